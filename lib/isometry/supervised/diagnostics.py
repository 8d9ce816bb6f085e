"""What a stack looks like inside after a task, one number a member."""

import torch
from torch import Tensor

from isometry.adamo import gram_deviation
from isometry.core.stacking import Parameters
from isometry.plasticity import (
    dead_fraction,
    dormant_fraction,
    feature_effective_rank,
)
from isometry.supervised.networks import MLP

PROBES = 512  # inputs that the activations are taken on, at most
DORMANT = 0.1  # threshold of Sokar et al. 2023


@torch.no_grad()
def stack_diagnostics(
    network: MLP, parameters: Parameters, inputs: Tensor
) -> dict[str, Tensor]:
    """Return each member's diagnostics on the first inputs of its task.

    Args:
        network: The network.
        parameters: name -> ``(members, ...)``.
        inputs: ``(members, n, features)``; the first :data:`PROBES` are used.

    Returns:
        ``dead_fraction`` and ``dormant_fraction`` (means over hidden layers),
        ``feature_effective_rank`` (last hidden layer, centred) and ``gram_deviation``
        (mean over hidden weights), each ``(members,)``; NaN for a member whose
        activations are not finite.

    Source: Sokar et al. 2023; Roy & Vetterli 2007; arXiv 2606.09762, Eq. 16.
    """
    layers = network.hidden_activations(parameters, inputs[:, :PROBES])
    finite = torch.stack([h.isfinite().all((1, 2)) for h in layers]).all(0)
    kept = finite[:, None, None]
    layers = [torch.where(kept, h, 0.0) for h in layers]
    hidden = [n for n, role in network.roles().items() if role == "hidden"]
    weights = [torch.where(kept, parameters[name], 0.0) for name in hidden]
    found = {
        "dead_fraction": torch.stack([dead_fraction(h) for h in layers]).mean(0),
        "dormant_fraction": torch.stack(
            [dormant_fraction(h, DORMANT) for h in layers]
        ).mean(0),
        "feature_effective_rank": feature_effective_rank(layers[-1]),
        "gram_deviation": torch.stack([gram_deviation(w) for w in weights]).mean(0),
    }
    return {name: torch.where(finite, v, torch.nan) for name, v in found.items()}
