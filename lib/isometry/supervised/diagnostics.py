"""What a stack looks like inside after a task, one number a member."""

import math

import torch
from torch import Tensor, nn

from isometry.adamo import gram_deviation
from isometry.core.matrices import as_matrix, singular_values
from isometry.core.stacking import Parameters
from isometry.diagnostics.jacobians import jacobian
from isometry.ntk import conditioning, empirical_ntk, ntk_matrix
from isometry.plasticity import (
    dead_fraction,
    dormant_fraction,
    feature_effective_rank,
)
from isometry.supervised.networks.kinds import Network
from isometry.supervised.networks.mlp import as_module

PROBES = 512  # inputs that the activations are taken on, at most
DORMANT = 0.1  # threshold of Sokar et al. 2023
SLOPE_PROBES = 16  # inputs that kernel and Jacobians are taken at, at most
DIRECTIONS = 160  # of output space in the kernel, unless four inputs have more
PERCENTILE = 0.05  # stands for the smallest singular value, as for the kernel


def _spread_of(values: Tensor, floor: float) -> Tensor:
    """Return largest over fifth-percentile singular value, ``(...)``."""
    largest = values.amax(-1)
    small = torch.quantile(values, PERCENTILE, dim=-1).maximum(floor * largest)
    return torch.where(largest > 0, largest / small, math.inf)


def _slopes_of(module: nn.Module, inputs: Tensor) -> dict[str, float]:
    """Return the conditioning of one network's kernel and Jacobians, in float64.

    Source: arXiv 2606.09762, Sec. 2 and 3.
    """
    kernel = conditioning(ntk_matrix(empirical_ntk(module, inputs)))
    probes = inputs.clone().requires_grad_()
    with torch.enable_grad():
        slopes = jacobian(module(probes), probes)
    floor = torch.finfo(slopes.dtype).eps * max(slopes.shape[1:])
    return {
        "ntk_robust_condition_number": kernel.robust_condition_number,
        "ntk_effective_rank": kernel.effective_rank,
        "ntk_trace": kernel.trace,
        "jacobian_condition_number": float(
            _spread_of(singular_values(slopes), floor).median()
        ),
    }


@torch.no_grad()
def stack_diagnostics(
    network: Network, parameters: Parameters, inputs: Tensor
) -> dict[str, Tensor]:
    """Return each member's diagnostics on the first inputs of its task.

    Args:
        network: The network.
        parameters: name -> ``(members, ...)``.
        inputs: ``(members, n, features)``; the first :data:`PROBES` are used, and for
            kernel and Jacobians the first :data:`SLOPE_PROBES` or fewer.

    Returns:
        ``dead_fraction`` and ``dormant_fraction`` (means over hidden layers),
        ``feature_effective_rank`` (last hidden layer, centred), ``gram_deviation`` and
        ``weight_condition_number`` (means over hidden weights; largest over
        fifth-percentile singular value) and those of :func:`_slopes_of`, each
        ``(members,)``; NaN for a member whose activations are not finite. Without a
        hidden layer, those of :func:`_slopes_of` alone.

    Source: Sokar et al. 2023; Roy & Vetterli 2007; arXiv 2606.09762, Eq. 16.
    """
    layers = network.hidden_activations(parameters, inputs[:, :PROBES])
    seen = layers or [network.forward(parameters, inputs[:, :PROBES])]
    finite = torch.stack([h.isfinite().all((1, 2)) for h in seen]).all(0)
    found = _inner_diagnostics(network, parameters, layers, finite) if layers else {}
    count = min(SLOPE_PROBES, max(4, DIRECTIONS // network.num_classes))
    slopes = [
        _slopes_of(
            as_module(network, parameters, member).double(),
            inputs[member, :count].double(),
        )
        if bool(finite[member])
        else {}
        for member in range(len(finite))
    ]
    for name in sorted(set().union(*slopes)):
        values = [slope.get(name, math.nan) for slope in slopes]
        found[name] = torch.tensor(values, dtype=torch.float64, device=inputs.device)
    return {name: torch.where(finite, v, torch.nan) for name, v in found.items()}


def _inner_diagnostics(
    network: Network, parameters: Parameters, layers: list[Tensor], finite: Tensor
) -> dict[str, Tensor]:
    """Return what hidden layers look like: their activations and their weights."""
    kept = finite[:, None, None]
    layers = [torch.where(kept, h, 0.0) for h in layers]
    hidden = [n for n, role in network.roles().items() if role == "hidden"]
    weights = [torch.where(kept, as_matrix(parameters[n], 1), 0.0) for n in hidden]
    floor = torch.finfo(weights[0].dtype).eps * max(weights[0].shape[1:])
    return {
        "dead_fraction": torch.stack([dead_fraction(h) for h in layers]).mean(0),
        "dormant_fraction": torch.stack(
            [dormant_fraction(h, DORMANT) for h in layers]
        ).mean(0),
        "feature_effective_rank": feature_effective_rank(layers[-1]),
        "gram_deviation": torch.stack([gram_deviation(w) for w in weights]).mean(0),
        "weight_condition_number": torch.stack(
            [_spread_of(singular_values(w), floor) for w in weights]
        ).mean(0),
    }
