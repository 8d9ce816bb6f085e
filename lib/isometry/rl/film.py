"""One episode of an agent, kept to be looked at.

Source: ours.
"""

from dataclasses import dataclass

import torch

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.core.stacking import Parameters
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.continual_benchmarks import ContinualBenchmark
from isometry.rl.continual_settings import ContinualSettings
from isometry.rl.evaluation import NOISE_STEPS, Stage, stage_of
from isometry.rl.games.registry import GAMES
from isometry.rl.ppo.players import reset_, step_
from isometry.rl.ppo.rollout import gumbel_noise, sampled

with extra("rl"):
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Film:
    """An episode from its start: ``steps`` steps and ``steps + 1`` boards.

    Attributes:
        game: ``suite/game``.
        boards: bool ``(steps + 1, *shape)``, as the game shows them.
        actions: int64 ``(steps,)``, those of the game.
        rewards: float32 ``(steps,)``; the k-th leads to board k + 1.
        values: float32 ``(steps + 1,)``: the critic's of each board, in units of
            return.
        terminated: Whether the game ended.
        truncated: Whether the limit of steps ended it. If neither, the film was cut.
    """

    game: str
    boards: NDArray[np.bool_]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]
    values: NDArray[np.float32]
    terminated: bool
    truncated: bool

    @property
    def steps(self) -> int:
        """Steps that were played."""
        return len(self.actions)

    @property
    def ended(self) -> bool:
        """Whether the episode is over at the last board."""
        return self.terminated or self.truncated

    @property
    def cells(self) -> NDArray[np.bool_]:
        """What a picture shows: bool ``(steps + 1, rows, columns, channels)``."""
        return GAMES.get(self.game).cells(self.boards)

    @property
    def returns(self) -> NDArray[np.float64]:
        """The return so far at each board, ``(steps + 1,)``."""
        return np.concatenate([[0.0], self.rewards.cumsum(dtype=np.float64)])

    def following(self, discount: float) -> NDArray[np.float64]:
        """Return the discounted rewards that followed: what a critic should expect.

        A film that was cut counts on with the critic's last value.

        Args:
            discount: gamma, in [0, 1].

        Returns:
            ``(steps + 1,)``, in units of return.
        """
        found = np.zeros(self.steps + 1)
        found[-1] = 0.0 if self.ended else self.values[-1]
        for step in reversed(range(self.steps)):
            found[step] = self.rewards[step] + discount * found[step + 1]
        return found


@torch.no_grad()
def film(
    network: ActorCritic,
    parameters: Parameters,
    benchmark: ContinualBenchmark,
    settings: ContinualSettings,
    game: str,
    seed: int,
    *,
    member: int = 0,
    visit: int = 0,
    max_frames: int = 1000,
) -> Film:
    """Play one episode and keep it; actions are drawn, as in training.

    The draws depend on seed and visit alone: two agents that are filmed with the same
    start from the same board, and a film that is taken again is the same.

    Args:
        network: Actor and critic.
        parameters: name -> ``(members, ...)``.
        benchmark: Names the suite.
        settings: Of the run: channels, actions, limits of steps.
        game: Any game of the suite with boards that the network can read.
        seed: Of the draws, and of the order of the channels.
        member: Which agent of the stack.
        visit: Whose order of channels the boards have.
        max_frames: Most boards that are kept, >= 2; an episode that goes on is cut.

    Returns:
        The episode.

    Raises:
        IndexError: If there is no such member.
        KeyError: If the game is unknown, with the nearest known name.
        ValueError: If boards or actions do not fit the network, or ``max_frames`` is
            too small.

    Example:
        >>> from isometry.methods import get
        >>> from isometry.rl.agent import network_of
        >>> from isometry.rl.continual_benchmarks import CONTINUAL_MINATAR as minatar
        >>> settings, adam = minatar.settings("smoke", games="breakout"), get("adam")
        >>> net = network_of(minatar, adam, adam.settings, settings)
        >>> kept = film(net, net.stacked([0]), minatar, settings, "breakout", 0)
        >>> kept.boards.shape == (kept.steps + 1, 10, 10, 4)
        True
    """
    if max_frames < 2:
        raise ValueError(refusal("max_frames >= 2", max_frames, "keep more boards"))
    parameters = _own(parameters, member)
    device = next(iter(parameters.values())).device
    stage = stage_of(
        benchmark.suite, settings, [game], [seed], visit, 1, "film", device=device
    )
    _check_fit(network, stage, game)
    players = stage.players
    placed = network.placed(parameters, stage.channels)
    boards = torch.empty(players.staged.shape, dtype=torch.bool, device=device)
    reset_(players, boards)
    shown, values = [_board(boards, players.shape)], [network.values(placed, boards)]
    actions: list[int] = []
    rewards: list[float] = []
    terminated = truncated = False
    while len(shown) < max_frames and not (terminated or truncated):
        step = len(actions)
        if step % NOISE_STEPS == 0:
            size = (NOISE_STEPS, 1, network.num_actions)
            labels = ("film", visit, step)
            noise = gumbel_noise([seed], size, *labels, device=device)
        logits = network.logits(placed, boards)
        chosen = sampled(logits, noise[:, step % NOISE_STEPS])
        outcome = step_(players, chosen, boards)
        terminated = bool(outcome.terminated[0, 0])
        truncated = bool(outcome.truncated[0, 0])
        if terminated or truncated:  # the board on stage is a new game's
            last = torch.from_numpy(outcome.infos[0]["final_obs"])
            boards = last.flatten(1).unsqueeze(0).to(device)
        actions.append(int(players.codes[0][int(chosen)]))
        rewards.append(float(outcome.rewards[0, 0]))
        shown.append(_board(boards, players.shape))
        values.append(network.values(placed, boards))
    return Film(
        game=f"{benchmark.suite}/{game}",
        boards=np.stack(shown),
        actions=np.array(actions, dtype=np.int64),
        rewards=np.array(rewards, dtype=np.float32),
        values=torch.cat(values, 1)[0].cpu().numpy(),
        terminated=terminated,
        truncated=truncated,
    )


def _own(parameters: Parameters, member: int) -> Parameters:
    """Return the parameters of one member, as a stack of one."""
    members = len(next(iter(parameters.values())))
    if not 0 <= member < members:
        needed = f"a member from 0 to {members - 1}"
        raise IndexError(refusal(needed, member, "choose one of the stack"))
    return {n: p.detach()[member : member + 1] for n, p in parameters.items()}


def _check_fit(network: ActorCritic, stage: Stage, game: str) -> None:
    """Refuse a game whose boards or actions the network cannot take."""
    shape, seen = stage.players.shape, network.observation
    alike = shape[:-1] == seen[:-1]
    fits = alike and shape[-1] <= seen[-1] if stage.channels is not None else False
    if not fits and shape != seen:
        needed = f"boards that the network reads, {seen}"
        do = "film a game that it was made for"
        raise ValueError(refusal(needed, f"{game} of {shape}", do))
    actions = stage.players.codes.shape[1]
    if actions != network.num_actions:
        needed = f"num_actions={network.num_actions}, as the network has"
        raise ValueError(refusal(needed, actions, "pass the settings of its run"))


def _board(boards: torch.Tensor, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return boards.cpu().numpy().reshape(shape).copy()
