"""Kernels of worn networks: gradient descent's and Adam's own, at the next task."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from isometry.core.stacking import Parameters
from isometry.ntk import conditioning, empirical_ntk, ntk_matrix
from isometry.ntk.preconditioned import preconditioned_ntk
from isometry.supervised.networks.mlp import MLP, as_module

PROBES = 48  # of the next task's inputs, at which kernels are taken


def adam_scales(
    parameters: Parameters, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor] | None:
    """Return what Adam multiplies each entry of its first moment by, over the rate.

    Args:
        parameters: name -> ``(members, ...)``.
        optimizer: Adam, or one that keeps its state as Adam does.

    Returns:
        name -> ``(members, ...)``, ``1 / (sqrt(v_hat) + eps)`` in float64; None if a
        parameter has seen no step yet, for then there is no second moment.

    Source: Kingma & Ba 2015, Algorithm 1.
    """
    group_of = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    scales = {}
    for name, parameter in parameters.items():
        state, group = optimizer.state.get(parameter, {}), group_of[id(parameter)]
        steps = float(state.get("step", 0.0))
        if steps == 0:
            return None
        v_hat = state["exp_avg_sq"].double() / (1 - group["betas"][1] ** steps)
        scales[name] = 1 / (v_hat.sqrt() + group["eps"])
    return scales


def _summarised(matrix: Tensor, name: str) -> dict[str, float]:
    """Return a kernel's summaries under names that begin with ``name``.

    Source: as :func:`isometry.ntk.conditioning`.
    """
    found = conditioning(matrix)
    return {
        f"{name}_robust_condition_number": found.robust_condition_number,
        f"{name}_effective_rank": found.effective_rank,
        f"{name}_log_trace": math.log(found.trace) if found.trace > 0 else -math.inf,
    }


def kernel_statistics(
    network: MLP,
    parameters: Parameters,
    inputs: Tensor,
    scales: Mapping[str, Tensor] | None,
) -> dict[str, Tensor]:
    """Return what the members' kernels look like at their next task, in float64.

    Args:
        network: The network.
        parameters: name -> ``(members, ...)``.
        inputs: Of the next task, ``(members, n, features)``; the first
            :data:`PROBES` count.
        scales: From :func:`adam_scales`.

    Returns:
        Those of :func:`_summarised`, each ``(members,)``: ``ntk`` for J J^T, and with
        scales ``adam_ntk`` for J D J^T, by which a step of Adam moves the outputs to
        first order where its first moment is the gradient.

    Source: ours; arXiv 2606.09762, Sec. 2, for the first.
    """
    rows = []
    for index in range(len(inputs)):
        module = as_module(network, parameters, index).double()
        probes = inputs[index, :PROBES].double()
        found = _summarised(ntk_matrix(empirical_ntk(module, probes)), "ntk")
        if scales is not None:
            # The module has the network's parameters in the network's order.
            names = zip(dict(module.named_parameters()), parameters, strict=True)
            own = {inside: scales[name][index].double() for inside, name in names}
            kernel = ntk_matrix(preconditioned_ntk(module, probes, own))
            found |= _summarised(kernel, "adam_ntk")
        rows.append(found)
    return {
        name: torch.tensor([row[name] for row in rows], dtype=torch.float64)
        for name in rows[0]
    }
