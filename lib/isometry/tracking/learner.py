"""What a learner is: a rule by which a linear unit or a network tracks a target.

All rules of the linear unit are one, with some of its parts at rest: each weight has a
step size and a decay, which stand still or are learned. Those of the network likewise,
with SGD or Adam and a decay of all weights or of the head's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from isometry.core.registry import Registry
from isometry.methods.method import AdamSettings


@dataclass(frozen=True, kw_only=True)
class LinearRule:
    """How a linear unit learns.

    Attributes:
        rate: Step size of every weight at the start.
        decay: Fraction taken off every weight in a step, at the start.
        rate_theta: Learning rate of the logarithms of step sizes; 0: they stand still.
        decay_theta: The same of decays.
        coupled: Whether the decay is part of the gradient and so multiplied by the
            step size.
    """

    rate: float
    decay: float = 0.0
    rate_theta: float = 0.0
    decay_theta: float = 0.0
    coupled: bool = False


@dataclass(frozen=True, kw_only=True)
class NetworkRule:
    """How a network learns.

    Attributes:
        lr: Learning rate.
        adam: Betas and epsilon of Adam; None: SGD.
        decay: Fraction taken off every parameter in a step.
        head_decay: The same of the head's weights and biases alone, at the start.
        head_theta: Learning rate of the logarithms of the head's decays; None: they
            stand still.
    """

    lr: float
    adam: AdamSettings | None = None
    decay: float = 0.0
    head_decay: float = 0.0
    head_theta: float | None = None


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A rule by which a linear unit or a network, or both, track a target.

    Attributes:
        name: As typed on the command line.
        summary: One line for tables.
        source: Where it comes from.
        settings: Its own settings, a frozen dataclass with the published values.
        linear: ``(settings) -> LinearRule``, or None if it is no rule for one.
        network: ``(settings) -> NetworkRule``, or None.
        starts: Benchmark -> where settings start there, unlike elsewhere.
    """

    name: str
    summary: str
    source: str
    settings: Any
    linear: Callable[[Any], LinearRule] | None = None
    network: Callable[[Any], NetworkRule] | None = None
    starts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


LEARNERS: Registry[Learner] = Registry("learner")


def register(learner: Learner) -> Learner:
    """Add a learner to the registry and return it; ValueError if its name is taken.

    Args:
        learner: The learner.
    """
    return LEARNERS.register(learner.name, learner)
