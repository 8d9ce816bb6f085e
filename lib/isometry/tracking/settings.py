"""The settings of the tracking streams: targets that drift, one example a step."""

from dataclasses import dataclass
from typing import Any, Literal

from isometry.core.settings import require, setting


def _require_least(settings: Any, least: int, *names: str) -> None:
    """Refuse settings below the least value that makes sense."""
    for key in names:
        value = getattr(settings, key)
        require(value >= least, key, f"{key} >= {least}", value)


@dataclass(frozen=True, kw_only=True)
class LinearSettings:
    """A sum of few inputs whose signs flip one by one, tracked by a linear unit.

    Source: Sutton 1992; sizes of arXiv 2604.27063.
    """

    tasks: int = setting(20, "Stretches whose error is recorded, >= 1.")
    steps_per_task: int = setting(10_000, "Steps of a stretch, >= 1.")
    inputs: int = setting(20, "Inputs, each standard normal, >= 1.")
    relevant: int = setting(5, "Inputs whose target weight is 1 or -1, not 0, >= 1.")
    flip_every: int = setting(20, "Steps after which one of these flips, >= 1.")
    noise: float = setting(0.0, "Standard deviation of the target's noise, >= 0.")

    def __post_init__(self) -> None:
        own = ("tasks", "steps_per_task", "inputs", "relevant", "flip_every")
        _require_least(self, 1, *own)
        _require_least(self, 0, "noise")
        needed = f"relevant <= inputs = {self.inputs}"
        require(self.relevant <= self.inputs, "relevant", needed, self.relevant)


@dataclass(frozen=True, kw_only=True)
class NonlinearSettings:
    """The outputs of a network whose signs flip, tracked by a network of its size.

    Source: arXiv 2604.27063 and its public code.
    """

    tasks: int = setting(4, "Stretches whose error is recorded, >= 1.")
    steps_per_task: int = setting(
        500_000, "Steps of a stretch, >= 1, a multiple of fast_every."
    )
    inputs: int = setting(32, "Inputs, each standard normal, >= 1.")
    width: int = setting(256, "Hidden units of teacher and student, >= 1.")
    outputs: int = setting(20, "Outputs, >= 1.")
    fast: int = setting(7, "Outputs that change often, >= 0.")
    slow: int = setting(7, "Outputs that change seldom, >= 0; the rest never does.")
    fast_every: int = setting(500, "Steps between changes of the fast outputs, >= 1.")
    slow_every: int = setting(
        7500, "The same of the slow ones, a multiple of fast_every."
    )
    flip: Literal["weights", "outputs"] = setting(
        "weights",
        "weights: each weight of a changing output gets a sign drawn anew; outputs: "
        "the output as a whole changes its sign.",
    )

    def __post_init__(self) -> None:
        own = ("tasks", "steps_per_task", "inputs", "width", "outputs")
        _require_least(self, 1, *own, "fast_every", "slow_every")
        _require_least(self, 0, "fast", "slow")
        moving = self.fast + self.slow
        needed = f"fast + slow <= outputs = {self.outputs}"
        require(moving <= self.outputs, "one of them", needed, moving)
        for key in ("steps_per_task", "slow_every"):
            value = getattr(self, key)
            needed = f"{key} that is a multiple of fast_every = {self.fast_every}"
            require(value % self.fast_every == 0, key, needed, value)
