"""Nonlinearities that keep networks plastic: smooth-leaky, Fourier, AID, AdaLin."""

from dataclasses import dataclass, replace
from typing import Any

from isometry.core.settings import require, setting
from isometry.methods.linearity import check_gated
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.structure import Architecture


@dataclass(frozen=True, kw_only=True)
class _SmoothLeakySettings(AdamSettings):
    """Settings of the smooth leaky ReLU.

    Source: Lillo & Cheney 2026.
    """

    smooth_leak: float = setting(0.1, "Slope far below zero, in [0, 1].")

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.smooth_leak
        require(0 <= value <= 1, "smooth_leak", "0 <= smooth_leak <= 1", value)


def _smooth_network(
    architecture: Architecture, settings: _SmoothLeakySettings
) -> Architecture:
    """Return the architecture with ``a x + (1 - a) x sigmoid(5 x / 3)``.

    Source: Lillo & Cheney 2026, arXiv 2509.22562v4: a = 0.1, p = 3, c = 5, of which we
        let a be set.
    """
    slope = settings.smooth_leak
    return replace(architecture, activation="smooth_leaky", negative_slope=slope)


def _fourier_network(architecture: Architecture, settings: Any) -> Architecture:
    """Return the architecture with half the units and two outputs of each.

    ``[sin z, cos z]``: the next layer has as many inputs as without; there are fewer
    parameters.

    Source: Lewandowski et al., ICLR 2025, arXiv 2410.20634.
    """
    return replace(architecture, activation="fourier", units="half")


@dataclass(frozen=True, kw_only=True)
class _AIDSettings(AdamSettings):
    """The setting of interval-wise dropout.

    Source: Park et al. 2025.
    """

    aid_p: float = setting(0.9, "Probability of the part above zero, in [0, 1].")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.aid_p <= 1, "aid_p", "0 <= aid_p <= 1", self.aid_p)


def _interval_network(
    architecture: Architecture, settings: _AIDSettings
) -> Architecture:
    """Return the architecture with interval-wise dropout as its nonlinearity.

    In training ``max(x, 0)`` with probability p, else ``min(x, 0)``, drawn anew for
    each entry and step; whatever is measured takes the mean, ``p x`` above zero and
    ``(1 - p) x`` below.

    Source: Park et al., ICML 2025, arXiv 2502.01342: p = 0.99 on permuted MNIST, 0.9
        with random labels. There is no public code.
    """
    return replace(architecture, activation="aid", negative_slope=1 - settings.aid_p)


@dataclass(frozen=True, kw_only=True)
class _AdaLinSettings(AdamSettings):
    """The setting of AdaLin.

    Source: ours; that of Razavi Rohani et al. 2025 is not known.
    """

    adalin_start: float = setting(
        0.0, "alpha of each unit at the start; 0: the network as it is."
    )


def _adalin_network(
    architecture: Architecture, settings: _AdaLinSettings
) -> Architecture:
    """Return the architecture with a learned share round each unit's nonlinearity.

    ``phi(x) + alpha x sg[cos(pi / 2 |phi'(x)| / L)]`` with an alpha a unit, that of a
    convolution for its whole map. With ReLU it is PReLU. Other methods leave the alphas
    alone, and a unit that is made new keeps its own.

    Source: Razavi Rohani et al., CoLLAs 2025, PMLR 330:418-444, arXiv 2505.09486.

    Raises:
        ValueError: If the activation has no slope of its own at each input.
    """
    check_gated(architecture.activation)
    return replace(architecture, alpha=settings.adalin_start)


SMOOTH_LEAKY = register(
    Method(
        name="smooth_leaky",
        summary="Adam on a network with smooth leaky ReLU",
        source="Lillo & Cheney, ICLR 2026, arXiv 2509.22562",
        settings=_SmoothLeakySettings(),
        search={"smooth_leak": (0.01, 0.1, 0.3, 0.8)},
        architecture=_smooth_network,
    )
)
FOURIER = register(
    Method(
        name="fourier",
        summary="Adam on a network of half the units, each with sine and cosine",
        source="Lewandowski et al., ICLR 2025, arXiv 2410.20634",
        architecture=_fourier_network,
    )
)
AID = register(
    Method(
        name="aid",
        summary="Adam on a network with interval-wise dropout as nonlinearity",
        source="Park et al., ICML 2025, arXiv 2502.01342",
        settings=_AIDSettings(),
        search={"aid_p": (0.7, 0.9, 0.95, 0.99)},
        architecture=_interval_network,
        not_for_games="what is learned would not be what has played",
    )
)
ADALIN = register(
    Method(
        name="adalin",
        summary="Adam on a network whose units learn how much goes round them",
        source="Razavi Rohani et al., CoLLAs 2025, arXiv 2505.09486",
        settings=_AdaLinSettings(),
        search={"adalin_start": (0.0, 0.25, 1.0)},
        architecture=_adalin_network,
    )
)
