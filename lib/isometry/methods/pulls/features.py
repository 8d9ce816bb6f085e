"""InFeR: fixed outputs on top of the features are held where they began."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.structure import (
    State,
    function_of,
    last_layers,
    read_unit_by_unit,
)
from isometry.methods.training import Training


@dataclass(frozen=True, kw_only=True)
class _InFeRSettings(AdamSettings):
    """Settings of InFeR.

    Source: Lyle et al. 2022.
    """

    infer_strength: float = setting(0.1, "alpha: factor of the penalty, >= 0.")
    infer_scale: float = setting(1.0, "beta: of the first outputs in the target.")
    infer_heads: int = setting(10, "How many outputs are held, >= 1.")

    def __post_init__(self) -> None:
        super().__post_init__()
        strength, heads = self.infer_strength, self.infer_heads
        require(strength >= 0, "infer_strength", "infer_strength >= 0", strength)
        require(heads >= 1, "infer_heads", "infer_heads >= 1", heads)


def _first_features(training: Training) -> State:
    """Return a copy of the parameters, and for each layer that a head reads its heads.

    These are normal, with variance one over the number of features.

    Source: Lyle et al. 2022.
    """
    structure, own = training.structure, training.parameters
    heads = {}
    for index in last_layers(structure):
        layer = structure.layers[index]
        (read,) = layer.outgoing
        read_unit_by_unit(layer, read, own, "infer")
        draws = training.generators("infer", layer.weight)
        units = own[layer.weight].shape[1]
        size = (training.settings.infer_heads, units)
        drawn = torch.stack([torch.randn(size, generator=draw) for draw in draws])
        heads[layer.weight] = drawn.to(own[layer.weight]) * units**-0.5
    first = {name: p.detach().clone() for name, p in own.items()}
    return {"first": first, "heads": heads}


def _infer_penalty(training: Training) -> Tensor:
    """Return ``alpha E sum_k (h_k phi(x) - beta h_k phi_0(x))^2`` on the minibatch.

    Source: Lyle et al., ICLR 2022, arXiv 2204.09560. There the heads learn too; here
        they stay as they were drawn.
    """
    settings, structure = training.settings, training.structure
    function = function_of(structure, "infer")
    with torch.no_grad():
        _, first = function(training.state["first"], training.inputs)  # type: ignore[arg-type]
    total: Tensor | float = 0.0
    for index in last_layers(structure):
        heads = training.state["heads"][structure.layers[index].weight]
        gap = training.activations[index] - settings.infer_scale * first[index]
        total = total + torch.bmm(gap, heads.mT).square().sum(2).mean(1)
    return settings.infer_strength * total


INFER = register(
    Method(
        name="infer",
        summary="Adam with outputs of the features held at those of the start",
        source="Lyle et al., ICLR 2022, arXiv 2204.09560",
        settings=_InFeRSettings(),
        search={
            "infer_strength": (0.1, 0.01, 0.001),
            "infer_scale": (1.0, 10.0, 100.0),
        },
        start=_first_features,
        penalty=_infer_penalty,
        watches=True,
        reads=True,
    )
)
