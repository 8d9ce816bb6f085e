"""What actor and critic look like inside after a visit, one number a member."""

import math

import torch
from torch import Tensor, nn

from isometry.core.stacking import Parameters
from isometry.diagnostics import Diagnostics, diagnose
from isometry.methods.activations import (
    activation_module,
    linear_module,
    norm_module,
)
from isometry.rl.actor_critic import PARTS, ActorCritic, Part

PROBES = 512  # boards that activations are taken on, at most
KERNEL_PROBES = 16  # boards that the kernel is taken at
DORMANT = 0.1  # threshold of Sokar et al. 2023
PERCENTILE = 0.05  # stands for the smallest singular value, as for the kernel


def _part_as_module(
    network: ActorCritic, parameters: Parameters, part: Part, member: int
) -> nn.Sequential:
    """Return the actor or the critic of one member as a module of its own."""
    architecture = network.architecture
    own = {name: tensor[member].detach() for name, tensor in parameters.items()}
    layers: list[nn.Module] = []
    for layer in range(architecture.depth):
        name = f"hidden.{part}.{layer}"
        layers.append(linear_module(own, name))
        if architecture.normalised:
            layers.append(norm_module(own, name))
        layers.append(activation_module(own, name, architecture))
    return nn.Sequential(*layers, linear_module(own, f"head.{part}"))


def _numbers_of(found: Diagnostics) -> dict[str, float]:
    """Return a network's diagnostics as a few numbers.

    Args:
        found: Of an actor or a critic; the last matrix is the head.

    Returns:
        ``dead_fraction``, ``dormant_fraction``, ``gram_deviation`` and
        ``weight_condition_number`` (largest over fifth-percentile singular value) as
        means over hidden layers, NaN where nothing is an activation;
        ``feature_effective_rank``; and the kernel's
        ``ntk_robust_condition_number``, ``ntk_effective_rank`` and ``ntk_trace``.

    Source: as for :func:`isometry.diagnostics.diagnose`.
    """

    def mean(values: list[float]) -> float:
        return sum(values) / len(values) if values else math.nan

    def spread(values: Tensor) -> float:
        low = float(torch.quantile(values, PERCENTILE))
        return float(values.max()) / low if low > 0 else math.inf

    hidden = found.weights[:-1]
    numbers = {
        "dead_fraction": mean([a.dead_fraction for a in found.activations]),
        "dormant_fraction": mean(
            [a.dormant_fraction[DORMANT] for a in found.activations]
        ),
        "gram_deviation": mean([w.gram_deviation for w in hidden]),
        "weight_condition_number": mean([spread(w.singular_values) for w in hidden]),
    }
    if found.features is not None:
        numbers["feature_effective_rank"] = found.features.feature_effective_rank
    if found.ntk is not None:
        numbers |= {
            "ntk_robust_condition_number": found.ntk.robust_condition_number,
            "ntk_effective_rank": found.ntk.effective_rank,
            "ntk_trace": found.ntk.trace,
        }
    return numbers


def agent_diagnostics(
    network: ActorCritic, parameters: Parameters, boards: Tensor
) -> dict[str, Tensor]:
    """Return each member's diagnostics, ``actor_`` and ``critic_`` before their names.

    Args:
        network: Actor and critic.
        parameters: name -> ``(members, ...)``, placed for these boards.
        boards: bool ``(members, n, features)``; :data:`PROBES` of them are used, evenly
            spaced.

    Returns:
        name -> ``(members,)``, float64; NaN for a member whose parameters are not
        finite.

    Source: see :func:`_numbers_of`.
    """
    count = min(PROBES, boards.shape[1])
    chosen = torch.linspace(0, boards.shape[1] - 1, count, device=boards.device).long()
    with torch.no_grad():
        features = network.features(parameters, boards[:, chosen])
    found: dict[str, list[float]] = {}
    for member in range(len(boards)):
        own = [p[member] for p in parameters.values()]
        if not all(bool(p.isfinite().all()) for p in own):
            continue
        for part in PARTS:
            looked = diagnose(
                _part_as_module(network, parameters, part, member).double(),
                features[member].double(),
                jacobian=False,
                max_inputs=PROBES,
                max_ntk_inputs=KERNEL_PROBES,
                thresholds=(DORMANT,),
            )
            for name, value in _numbers_of(looked).items():
                row = found.setdefault(f"{part}_{name}", [math.nan] * len(boards))
                row[member] = value
    return {n: torch.tensor(v, dtype=torch.float64) for n, v in found.items()}
