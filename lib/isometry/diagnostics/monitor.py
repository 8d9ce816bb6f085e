"""A look at a network every so many steps of its training, written as scalars."""

import csv
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from isometry.core.messages import refusal
from isometry.diagnostics.health import diagnose
from isometry.diagnostics.report import Diagnostics, numbers
from isometry.ntk.arguments import Inputs

Write = Callable[[int, Mapping[str, float]], object]  # step, scalars by tag
# What is written of each part; `feature_effective_rank` is centred.
METRICS = (
    *("largest", "smallest", "condition_number", "gram_deviation"),
    *("dead_fraction", "dormant_fraction(0.025)", "duplicate_fraction"),
    *("feature_effective_rank", "stable_rank", "srank"),
    *("largest_median", "smallest_median"),  # of Jacobians, over the inputs
    *("largest_exponent_median", "smallest_exponent_median", "mean_exponent_median"),
    "robust_condition_number",
)


class PlasticityMonitor:
    """Looks at a model every so many steps and writes what it finds.

    A look is :func:`isometry.diagnostics.diagnose`, which leaves the model as it was,
    so a run with a monitor ends with the same weights, bit for bit, as one without.
    It costs about one forward pass of the inputs, and a singular value decomposition
    of each weight and of the features at each activation; :attr:`seconds` and
    :meth:`share` measure it. At 64 inputs on one core a look takes as long as 9 steps
    of Adam with batches of 64 on a perceptron of 256 units, and 4 on a small
    convolutional network: under 1 % of the training at the default. Jacobians and the
    kernel cost more, and are left out unless asked for.

    Args:
        model: What is trained.
        inputs: A fixed batch, see :func:`isometry.diagnostics.diagnose`; 64 to 256.
        to: Where to write: a path that ends with ``.csv`` (one number a row: step, tag,
            value; appended to), an open ``SummaryWriter``, a run of Weights & Biases,
            ``"tensorboard"`` or ``"wandb"`` for their defaults, or a function of step
            and scalars. None: only :attr:`last` is kept.
        every: Steps from one look to the next, >= 1; the first look is at step 0.
        metrics: Names of numbers of the records, as in ``to_frame()``, that are kept.
        asked: Keywords of ``diagnose``; ``jacobian`` and ``ntk`` are off by default.

    Raises:
        ValueError: If ``every`` is out of range, or ``to`` is nothing that can be
            written to.

    Example:
        >>> import torch
        >>> monitor = PlasticityMonitor(nn.Linear(2, 2), torch.eye(2), every=2)
        >>> [monitor.step() is not None for _ in range(4)]
        [True, False, True, False]
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        *,
        to: Any = None,
        every: int = 1000,
        metrics: tuple[str, ...] = METRICS,
        asked: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(refusal("a whole every >= 1", every, "pass e.g. 1000"))
        self.model = model
        self.inputs = inputs
        self.every = every
        self.metrics = frozenset(metrics)
        self.asked = {"jacobian": False, "ntk": False, **(asked or {})}
        self.write = _writer(to)
        self.steps = 0
        self.seconds = 0.0
        self.last: Diagnostics | None = None
        self._begun: float | None = None

    def step(self) -> Diagnostics | None:
        """Count a step of training, and look where it is time.

        Returns:
            What was found, or None between looks.
        """
        now = self.steps
        self.steps += 1
        if self._begun is None:
            self._begun = time.perf_counter()
        return self.look(now) if now % self.every == 0 else None

    def look(self, step: int) -> Diagnostics:
        """Look now, and write.

        Args:
            step: To write beside the numbers.
        """
        begun = time.perf_counter()
        self.last = diagnose(self.model, self.inputs, **self.asked)
        if self.write is not None:
            self.write(step, self.scalars(self.last))
        self.seconds += time.perf_counter() - begun
        return self.last

    def scalars(self, found: Diagnostics) -> dict[str, float]:
        """Return the numbers that are written, by tags ``part/name/metric``.

        Args:
            found: What a look found.
        """
        return {
            f"{part}/{name}/{metric}": value
            for part, name, metric, value in numbers(found)
            if metric in self.metrics
        }

    def share(self) -> float:
        """Return which part of the time since the first step went into looks."""
        if self._begun is None:
            return 0.0
        return self.seconds / (time.perf_counter() - self._begun)

    def state_dict(self) -> dict[str, int]:
        """Return what a run that goes on needs: the number of steps."""
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from a number of steps.

        Args:
            state: Of :meth:`state_dict`.
        """
        self.steps = int(state["steps"])


def _writer(to: Any) -> Write | None:
    """Return the function that writes to something; what is not needed stays closed."""
    if to == "tensorboard":
        to = import_module("torch.utils.tensorboard").SummaryWriter()
    elif to == "wandb":
        to = import_module("wandb").run or import_module("wandb").init()
    if isinstance(to, str | Path) and Path(to).suffix == ".csv":
        return _to_csv(Path(to))
    if hasattr(to, "add_scalar"):
        return lambda step, found: [to.add_scalar(k, v, step) for k, v in found.items()]
    if hasattr(to, "log") and not isinstance(to, type):
        return lambda step, found: to.log(dict(found), step=step)
    if to is None or callable(to):
        return to
    do = "pass a path to a .csv, a SummaryWriter, a wandb run or a function"
    raise ValueError(refusal("somewhere to write", to, do))


def _to_csv(path: Path) -> Write:
    """Return what appends rows ``step, tag, value`` to a file."""

    def write(step: int, found: Mapping[str, float]) -> None:
        fresh = not path.exists() or path.stat().st_size == 0
        with path.open("a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            if fresh:
                rows.writerow(["step", "tag", "value"])
            rows.writerows((step, tag, value) for tag, value in found.items())

    return write
