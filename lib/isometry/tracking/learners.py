"""The learners by name, with their settings: gradient descent, IDBD, Adam, FADE."""

from dataclasses import dataclass
from math import exp
from typing import Any

from isometry.core.settings import keys, require, setting
from isometry.methods.method import AdamSettings
from isometry.tracking.learner import Learner, LinearRule, NetworkRule, register

PAPER = "arXiv 2604.27063"
NETWORK = "nonlinear_tracking"
LEAST_LOGARITHM = -15.0  # of a decay; the largest is 0
FADE_RATE = "theta: learning rate of the logarithms of decays, >= 0."
FADE_START = "gamma_0: logarithm of every decay at the start, in [-15, 0]."
DECAY = "Fraction taken off a weight in a step, in [0, 1]."
ABOVE, LEAST, FRACTION = "{} > 0", "{} >= 0", "0 <= {} <= 1"
RANGES = {
    "lr": (ABOVE, lambda value: value > 0),
    "decay": (FRACTION, lambda value: 0 <= value <= 1),
    "head_decay": (FRACTION, lambda value: 0 <= value <= 1),
    "weight_decay": (LEAST, lambda value: value >= 0),
    "idbd_rate": (LEAST, lambda value: value >= 0),
    "idbd_start": ("{} <= 0", lambda value: value <= 0),
    "fade_rate": (LEAST, lambda value: value >= 0),
    "fade_start": ("-15 <= {} <= 0", lambda value: LEAST_LOGARITHM <= value <= 0),
}


def _check(settings: Any) -> None:
    """Refuse a setting out of its range."""
    for key in RANGES.keys() & set(keys(settings)):
        needed, inside = RANGES[key]
        value = getattr(settings, key)
        require(inside(value), key, needed.format(key), value)


@dataclass(frozen=True, kw_only=True)
class _SgdSettings:
    """The setting of SGD."""

    lr: float = setting(0.05, "Learning rate, > 0.")

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class _SgdDecaySettings(_SgdSettings):
    """Settings of SGD with decay."""

    decay: float = setting(0.01, DECAY)


@dataclass(frozen=True, kw_only=True)
class _IdbdSettings:
    """Settings of IDBD.

    Source: Sutton 1992.
    """

    idbd_rate: float = setting(
        0.005, "theta: learning rate of the logarithms of step sizes, >= 0."
    )
    idbd_start: float = setting(
        -4.6, "beta_0: logarithm of every step size at the start, <= 0."
    )

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class _IdbdDecaySettings(_IdbdSettings):
    """Settings of IDBD with decay."""

    idbd_rate: float = setting(0.01, "theta, see idbd, >= 0.")
    decay: float = setting(0.01, DECAY)


@dataclass(frozen=True, kw_only=True)
class _FadeSettings(_SgdSettings):
    """Settings of FADE on SGD.

    Source: arXiv 2604.27063.
    """

    lr: float = setting(0.1, "Learning rate, > 0.")
    fade_rate: float = setting(0.01, FADE_RATE)
    fade_start: float = setting(-1.2, FADE_START)


@dataclass(frozen=True, kw_only=True)
class _FadeIdbdSettings(_IdbdSettings):
    """Settings of FADE on IDBD.

    Source: arXiv 2604.27063.
    """

    idbd_rate: float = setting(0.01, "theta of the step sizes, see idbd, >= 0.")
    fade_rate: float = setting(0.01, FADE_RATE)
    fade_start: float = setting(-2.3, FADE_START)


@dataclass(frozen=True, kw_only=True)
class _AdamSettings(AdamSettings):
    """Settings of Adam.

    Source: Kingma & Ba 2015.
    """

    lr: float = setting(1e-3, "Learning rate, > 0.")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self)


@dataclass(frozen=True, kw_only=True)
class _AdamWSettings(_AdamSettings):
    """Settings of AdamW."""

    weight_decay: float = setting(
        0.1, "Times the learning rate the fraction taken off in a step, >= 0."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        fraction = self.weight_decay * self.lr
        require(fraction <= 1, "weight_decay", "weight_decay * lr <= 1", fraction)


@dataclass(frozen=True, kw_only=True)
class _HeadDecaySettings(_SgdSettings):
    """Settings of SGD with decay of the head.

    Source: arXiv 2604.27063, a baseline.
    """

    lr: float = setting(0.01, "Learning rate, > 0.")
    head_decay: float = setting(exp(-6.9), DECAY)


@dataclass(frozen=True, kw_only=True)
class _FadeAdamSettings(_AdamSettings):
    """Settings of FADE on Adam.

    Source: arXiv 2604.27063.
    """

    lr: float = setting(1e-4, "Learning rate, > 0.")
    fade_rate: float = setting(1.0, FADE_RATE)
    fade_start: float = setting(-9.2, FADE_START)


def _idbd(own: Any) -> LinearRule:
    """Return IDBD's rule, with a decay if the settings have one."""
    decay = getattr(own, "decay", 0.0)
    return LinearRule(rate=exp(own.idbd_start), rate_theta=own.idbd_rate, decay=decay)


def _fade(own: Any, coupled: bool = False) -> LinearRule:
    """Return FADE's rule on fixed step sizes, or on IDBD's if they are settings."""
    learned = isinstance(own, _IdbdSettings)
    return LinearRule(
        rate=exp(own.idbd_start) if learned else own.lr,
        rate_theta=own.idbd_rate if learned else 0.0,
        decay=exp(own.fade_start),
        decay_theta=own.fade_rate,
        coupled=coupled,
    )


def _coupled(own: Any) -> LinearRule:
    """Return the same with the decay inside the gradient."""
    return _fade(own, coupled=True)


def _fade_network(own: Any) -> NetworkRule:
    """Return FADE's rule for the head, on SGD or Adam."""
    return NetworkRule(
        lr=own.lr,
        adam=own if isinstance(own, AdamSettings) else None,
        head_decay=exp(own.fade_start),
        head_theta=own.fade_rate,
    )


SGD = register(
    Learner(
        name="sgd",
        summary="gradient descent",
        source="Widrow & Hoff 1960",
        settings=_SgdSettings(),
        linear=lambda own: LinearRule(rate=own.lr),
        network=lambda own: NetworkRule(lr=own.lr),
        starts={NETWORK: {"lr": 0.01}},
    )
)
SGD_DECAY = register(
    Learner(
        name="sgd_decay",
        summary="gradient descent with one decay of all weights",
        source=f"{PAPER}, a baseline",
        settings=_SgdDecaySettings(),
        linear=lambda own: LinearRule(rate=own.lr, decay=own.decay),
        network=lambda own: NetworkRule(lr=own.lr, decay=own.decay),
        starts={NETWORK: {"lr": 0.01, "decay": 1e-5}},
    )
)
IDBD = register(
    Learner(
        name="idbd",
        summary="gradient descent, the step size learned weight by weight",
        source="Sutton 1992",
        settings=_IdbdSettings(),
        linear=_idbd,
    )
)
IDBD_DECAY = register(
    Learner(
        name="idbd_decay",
        summary="as idbd, with one decay of all weights",
        source=f"{PAPER}, a baseline",
        settings=_IdbdDecaySettings(),
        linear=_idbd,
    )
)
FADE = register(
    Learner(
        name="fade",
        summary="gradient descent with decay, its rate learned weight by weight",
        source=PAPER,
        settings=_FadeSettings(),
        linear=_fade,
        network=_fade_network,
        starts={NETWORK: {"lr": 0.01, "fade_rate": 2.0, "fade_start": -9.2}},
    )
)
FADE_IDBD = register(
    Learner(
        name="fade_idbd",
        summary="step size and decay both learned weight by weight",
        source=PAPER,
        settings=_FadeIdbdSettings(),
        linear=_fade,
    )
)
FADE_COUPLED = register(
    Learner(
        name="fade_coupled",
        summary="as fade, with the decay inside the gradient",
        source=f"{PAPER}, a baseline",
        settings=_FadeSettings(),
        linear=_coupled,
    )
)
FADE_IDBD_COUPLED = register(
    Learner(
        name="fade_idbd_coupled",
        summary="as fade_idbd, with the decay inside the gradient",
        source=f"{PAPER}, a baseline",
        settings=_FadeIdbdSettings(),
        linear=_coupled,
    )
)
ADAM = register(
    Learner(
        name="adam",
        summary="Adam, nothing else",
        source="Kingma & Ba 2015",
        settings=_AdamSettings(),
        network=lambda own: NetworkRule(lr=own.lr, adam=own),
    )
)
ADAMW = register(
    Learner(
        name="adamw",
        summary="Adam with decoupled weight decay",
        source="Loshchilov & Hutter 2019",
        settings=_AdamWSettings(),
        network=lambda own: NetworkRule(
            lr=own.lr, adam=own, decay=own.weight_decay * own.lr
        ),
    )
)
HEAD_DECAY = register(
    Learner(
        name="head_decay",
        summary="gradient descent with one decay of the head alone",
        source=f"{PAPER}, a baseline",
        settings=_HeadDecaySettings(),
        network=lambda own: NetworkRule(lr=own.lr, head_decay=own.head_decay),
    )
)
FADE_ADAM = register(
    Learner(
        name="fade_adam",
        summary="Adam with decay of the head, its rate learned weight by weight",
        source=PAPER,
        settings=_FadeAdamSettings(),
        network=_fade_network,
    )
)
