"""The tracking benchmarks: a stream of examples and its size in each profile."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from isometry.core.messages import refusal, unknown
from isometry.core.profile import ByProfile
from isometry.core.registry import Registry
from isometry.methods import METHODS
from isometry.tracking.learner import LEARNERS, Learner
from isometry.tracking.linear import Metrics, State, linear_begin, linear_task
from isometry.tracking.network import network_begin, network_task
from isometry.tracking.settings import LinearSettings, NonlinearSettings


@dataclass(frozen=True, kw_only=True)
class TrackingBenchmark:
    """A stream of examples whose targets drift, one example a step.

    Attributes:
        name: As typed on the command line.
        summary: One line for tables.
        source: Where the benchmark comes from.
        form: Which rule of a learner tracks it: ``linear`` or ``network``.
        begin: ``(rule, settings, seed)``: a member before its first step, tensors.
        task: ``(rule, settings, seed, task, state)``: takes it through a stretch in
            place and returns metrics and the squared error of each step.
        profiles: Settings of each profile.
        method_defaults: None; a learner says itself where its settings start.
        experiment_version: Raised when a change makes old results incomparable.
        metric: What it is judged by; less is better.
    """

    name: str
    summary: str
    source: str
    form: str
    begin: Callable[[Any, Any, int], State]
    task: Callable[[Any, Any, int, int, State], tuple[Metrics, Tensor]]
    profiles: ByProfile[Any]
    method_defaults: Mapping[str, Any] = field(default_factory=dict)
    experiment_version: int = 1
    metric: str = "squared_error"

    def settings(self, profile: str, **changes: Any) -> Any:
        """Return the profile's settings with some of them changed.

        Args:
            profile: smoke, laptop or paper.
            **changes: Settings by name.

        Raises:
            ValueError: If the profile is not known or a value is out of range.
        """
        return replace(self.profiles.of(profile), **changes)

    def learner_names(self) -> tuple[str, ...]:
        """Return the names of the learners that track this stream."""
        return tuple(one.name for one in LEARNERS if getattr(one, self.form))

    def learner(self, name: str) -> Learner:
        """Return a learner that tracks this stream, its settings where they start.

        Args:
            name: As typed on the command line.

        Raises:
            KeyError: If nothing has this name; the nearest learner is named.
            ValueError: If it is a method of images and games, or a learner of the
                other stream; the line names those of this one.
        """
        own = self.learner_names()
        if name in own:
            found = LEARNERS.get(name)
            starts = found.starts.get(self.name, {})
            return replace(found, settings=replace(found.settings, **starts))
        if name in LEARNERS.names() or name in METHODS.names() or "+" in name:
            others = "a learner of the other stream", "a method for images or games"
            kind = others[name not in LEARNERS.names()]
            needed = f"a learner of {self.name}"
            raise ValueError(refusal(needed, f"{name}, {kind}", _one_of(own)))
        raise KeyError(unknown(f"learner of {self.name}", name, own))

    def rule(self, learner: Learner, own: Any) -> Any:
        """Return how a learner tracks this stream.

        Args:
            learner: One of :meth:`learner_names`.
            own: Its settings.
        """
        return getattr(learner, self.form)(own)


def _one_of(names: tuple[str, ...]) -> str:
    """Return what to do about a name that is not among these."""
    return f"use one of {', '.join(names)}"


TRACKING: Registry[TrackingBenchmark] = Registry("benchmark")
LINEAR = LinearSettings()
NONLINEAR = NonlinearSettings()
LINEAR_TRACKING = TRACKING.register(
    "linear_tracking",
    TrackingBenchmark(
        name="linear_tracking",
        summary="predict a sum of few inputs whose signs flip one by one",
        source="Sutton 1992; sizes of arXiv 2604.27063",
        form="linear",
        begin=linear_begin,
        task=linear_task,
        profiles=ByProfile(
            smoke=replace(LINEAR, tasks=4, steps_per_task=500),
            laptop=LINEAR,
            paper=LINEAR,
        ),
    ),
)
NONLINEAR_TRACKING = TRACKING.register(
    "nonlinear_tracking",
    TrackingBenchmark(
        name="nonlinear_tracking",
        summary="learn from a teacher network some of whose outputs keep changing",
        source="arXiv 2604.27063 and its public code",
        form="network",
        begin=network_begin,
        task=network_task,
        profiles=ByProfile(
            smoke=replace(NONLINEAR, steps_per_task=500, width=24),
            laptop=replace(NONLINEAR, steps_per_task=50_000),
            paper=NONLINEAR,
        ),
    ),
)
