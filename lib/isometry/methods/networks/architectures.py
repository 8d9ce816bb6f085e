"""Methods that change the network: LayerNorm, CReLU, leaky ReLU."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.pulls.penalties import (
    STRENGTHS,
    L2Settings,
    l2_gradient_,
    l2_penalty,
)
from isometry.methods.structure import Architecture


def _layernorm_network(architecture: Architecture, settings: Any) -> Architecture:
    """Return the architecture with LayerNorm, gain and offset before each nonlinearity.

    Biases stay, as in the code of Kumar et al. 2023. Elsewhere the normalisation has
    no gain, or stands after the last nonlinearity only.

    Source: Ba, Kiros & Hinton 2016.
    """
    return replace(architecture, normalisation="layer")


@dataclass(frozen=True, kw_only=True)
class _CReLUSettings(AdamSettings):
    """Settings of CReLU.

    Source: Abbas et al. 2023.
    """

    crelu_size: Literal["parameters", "half"] = setting(
        "parameters", "Which size is held: that of all parameters, or half the units."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.crelu_size
        allowed = ("parameters", "half")
        require(value in allowed, "crelu_size", "parameters or half", value)


def _crelu_network(
    architecture: Architecture, settings: _CReLUSettings
) -> Architecture:
    """Return the architecture with CReLU, ``[relu(x), relu(-x)]``, at a held size.

    Each unit has two outputs, so the next layer has twice the inputs. Kumar et al.
    remove 9 % of their hidden units, which is what ``parameters`` comes to for their
    network; ``half`` holds the number of features instead.

    Source: Shang et al. 2016; Abbas et al. 2023, arXiv 2303.07507.
    """
    return replace(architecture, activation="crelu", units=settings.crelu_size)


@dataclass(frozen=True, kw_only=True)
class _LeakyReLUSettings(AdamSettings):
    """Settings of the leaky ReLU.

    Source: Lillo & Cheney 2026.
    """

    leak: float = setting(0.8, "Slope below zero, in [0, 1].")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.leak <= 1, "leak", "0 <= leak <= 1", self.leak)


def _leaky_network(
    architecture: Architecture, settings: _LeakyReLUSettings
) -> Architecture:
    """Return the architecture with leaky ReLU.

    Source: Maas et al. 2013; Lillo & Cheney 2026, arXiv 2509.22562, for the slope.
    """
    return replace(architecture, activation="leaky_relu", negative_slope=settings.leak)


LAYERNORM = register(
    Method(
        name="layernorm",
        summary="Adam on a network with LayerNorm before each nonlinearity",
        source="Ba, Kiros & Hinton 2016",
        architecture=_layernorm_network,
    )
)
LAYERNORM_L2 = register(
    Method(
        name="layernorm_l2",
        summary="LayerNorm and L2 regularisation together",
        source="Lyle et al. 2024, arXiv 2402.18762",
        settings=L2Settings(),
        search={"l2_strength": STRENGTHS},
        architecture=_layernorm_network,
        penalty=l2_penalty,
        penalty_gradient_=l2_gradient_,
        parts=("layernorm", "l2"),
    )
)
CRELU = register(
    Method(
        name="crelu",
        summary="Adam on a network with concatenated ReLU, at a held size",
        source="Shang et al. 2016; Abbas et al. 2023, arXiv 2303.07507",
        settings=_CReLUSettings(),
        search={"crelu_size": ("parameters", "half")},
        architecture=_crelu_network,
    )
)
LEAKY_RELU = register(
    Method(
        name="leaky_relu",
        summary="Adam on a network with leaky ReLU",
        source="Maas et al. 2013; Lillo & Cheney 2026, arXiv 2509.22562",
        settings=_LeakyReLUSettings(),
        search={"leak": (0.01, 0.1, 0.3, 0.8)},
        architecture=_leaky_network,
    )
)
