"""What a continual reinforcement-learning experiment is made of, and the paper's two.

An agent plays one game for a *visit*, then the next with the same weights, through all
games of a *cycle*, and so on for several cycles.
"""

from dataclasses import dataclass, field, fields
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from isometry.core.messages import refusal

if TYPE_CHECKING:
    import pandas as pd

AUTHORS_CODE = (
    "the authors' public training code (github.com/bordeauxred/rejax, commit 6447c1d, "
    "29 January 2026), which may be older than the published version"
)


def _labelled(label: str) -> Any:
    return field(metadata={"label": label})


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One continual experiment with PPO; every number with its unit in the label.

    Attributes:
        suite: Name of the family of games.
        games: The games of a cycle.
        order: How the games of a cycle are ordered.
        cycles: How often all games are visited.
        env_steps: Environment steps of one visit.
        seeds: Agents trained.
        observation: What the network sees, the same for all games.
        num_actions: Actions of all games; those a game does not have do what action 0
            does.
        network: Actor and critic.
        num_envs: Games played side by side.
        rollout_length: Steps of each between two updates.
        epochs: Passes over a rollout.
        minibatches: Of one pass.
        lr: Constant learning rate of Adam.
        adam_eps: Its epsilon.
        discount: gamma.
        gae_lambda: lambda of the advantage estimate.
        clip: Of the probability ratio and of the value.
        gradient_clip: What is cut at 0.5.
        value_coefficient: Weight of the critic's loss.
        entropy_coefficient: Weight of the entropy bonus.
        at_a_switch: What is kept and what is made new.
        isometry_strength: AdamO's strength in this experiment.

    Raises:
        ValueError: If a count is not positive or a coefficient out of range.

    Source: the form is ours.
    """

    suite: str = _labelled("games from")
    games: tuple[str, ...] = _labelled("games of a cycle")
    order: str = _labelled("order within a cycle")
    cycles: int = _labelled("cycles")
    env_steps: int = _labelled("environment steps a visit")
    seeds: int = _labelled("seeds")
    observation: str = _labelled("observation")
    num_actions: int = _labelled("actions")
    network: str = _labelled("network")
    num_envs: int = _labelled("games side by side")
    rollout_length: int = _labelled("steps between updates")
    epochs: int = _labelled("epochs an update")
    minibatches: int = _labelled("minibatches an epoch")
    lr: float = _labelled("learning rate, constant")
    adam_eps: float = _labelled("epsilon of Adam")
    discount: float = _labelled("discount")
    gae_lambda: float = _labelled("lambda of the advantage estimate")
    clip: float = _labelled("clip of ratio and value")
    gradient_clip: Literal["global norm", "each element"] = _labelled(
        "gradient clipped at 0.5 by"
    )
    value_coefficient: float = _labelled("weight of the critic's loss")
    entropy_coefficient: float = _labelled("weight of the entropy")
    at_a_switch: str = _labelled("at a switch of games")
    isometry_strength: float = _labelled("strength of AdamO")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int | float) and not value > 0:
                raise ValueError(refusal(f"{entry.name} > 0", value, "raise it"))
        for name in ("discount", "gae_lambda"):
            if getattr(self, name) > 1:
                found = getattr(self, name)
                raise ValueError(refusal(f"{name} <= 1", found, "lower it"))
        if not self.games:
            raise ValueError(refusal("at least one game", "none", "name one"))

    @property
    def visits(self) -> int:
        """Visits of one agent: games times cycles."""
        return len(self.games) * self.cycles

    @property
    def updates(self) -> int:
        """Updates of one visit, the last one completed."""
        return ceil(self.env_steps / (self.num_envs * self.rollout_length))

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of one visit."""
        return self.updates * self.epochs * self.minibatches


PAPER_MINATAR = Protocol(
    suite="MinAtar",
    games=("breakout", "asterix", "space_invaders", "freeway"),
    order="a new one each cycle",
    cycles=20,
    env_steps=15_000_000,
    seeds=8,
    observation="10 x 10 x 10, padded with zeros; channels permuted anew each visit",
    num_actions=6,
    network="two MLPs, actor and critic, with four layers of 64",
    num_envs=2048,
    rollout_length=128,
    epochs=4,
    minibatches=128,
    lr=2.5e-4,
    adam_eps=1e-5,
    discount=0.99,
    gae_lambda=0.95,
    clip=0.2,
    gradient_clip="global norm",
    value_coefficient=0.5,
    entropy_coefficient=0.01,
    at_a_switch="weights kept, heads too; state of the optimiser new",
    isometry_strength=0.1,
)
PAPER_OCTAX = Protocol(
    suite="Octax",
    games=(
        "brix",
        "submarine",
        "filter",
        "tank",
        "blinky",
        "missile",
        "ufo",
        "wipe_off",
    ),
    order="always the same",
    cycles=3,
    env_steps=5_000_000,
    seeds=8,
    observation="4 frames of 32 x 64, not permuted",
    num_actions=6,
    network="one CNN with two heads, each with four layers of 64",
    num_envs=512,
    rollout_length=32,
    epochs=4,
    minibatches=32,
    lr=5e-4,
    adam_eps=1e-8,
    discount=0.99,
    gae_lambda=0.95,
    clip=0.2,
    gradient_clip="each element",
    value_coefficient=0.5,
    entropy_coefficient=0.01,
    at_a_switch="weights kept, heads too; state of the optimiser new",
    isometry_strength=0.1,
)


def protocol_table(*protocols: Protocol) -> "pd.DataFrame":
    """Return protocols side by side, one a column, with what follows from them.

    Args:
        protocols: At least one.

    Example:
        >>> protocol_table(PAPER_MINATAR).loc["cycles", "MinAtar"]
        '20'
    """
    import pandas as pd

    columns = {}
    for protocol in protocols:
        column = {
            entry.metadata["label"]: _shown(getattr(protocol, entry.name))
            for entry in fields(protocol)
            if entry.name != "suite"
        }
        column["environment steps a seed"] = f"{protocol.visits * protocol.env_steps:,}"
        column["gradient steps a visit"] = f"{protocol.gradient_steps:,}"
        columns[protocol.suite] = column
    return pd.DataFrame(columns)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(name.replace("_", " ") for name in value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
