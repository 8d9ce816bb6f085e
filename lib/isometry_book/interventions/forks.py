"""Interventions on worn networks: each changes exactly what its name says.

A fork is a copy of a run between two tasks. Before the copy learns the next task, one
part of it is put back: the spectrum of its weights, their scale, its gates, or Adam's
memory. What then comes back of the lost plasticity was lost with that part.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.stacking import Parameters
from isometry.plasticity import dormancy_scores
from isometry.stream.run import Run, on_device
from isometry.supervised.diagnostics import DORMANT
from isometry.supervised.networks.mlp import MLP

OPEN_SHARE = 0.5  # of the new task's inputs, on which a reopened unit is active


@dataclass(frozen=True, kw_only=True)
class Fork:
    """What an intervention may change, and what it may look at.

    Attributes:
        network: A perceptron.
        parameters: name -> ``(members, ...)``; changed in place.
        optimizer: Holds the parameters; its state is changed in place.
        start: The parameters before the first task.
        inputs: Of the next task, ``(members, n, features)``.
    """

    network: MLP
    parameters: Parameters
    optimizer: torch.optim.Optimizer
    start: Parameters
    inputs: Tensor


Intervention = Callable[[Fork], None]


def copied(run: Run) -> Run:
    """Return a run that goes on by itself: no tensor is shared.

    Args:
        run: Between two tasks. Its records are left behind.
    """
    parameters = {name: p.detach().clone() for name, p in run.parameters.items()}
    return Run(
        seeds=list(run.seeds),
        task=run.task,
        parameters=on_device(parameters, next(iter(parameters.values())).device),
        optimizer_state=deepcopy(run.optimizer_state),
        steps=run.steps,
        carried=deepcopy(run.carried),
    )


def _hidden_weights(network: MLP) -> list[str]:
    """Return the names of the hidden layers' weights, the first layer first."""
    return [name for name, role in network.roles().items() if role == "hidden"]


@torch.no_grad()
def _restore_spectrum_(fork: Fork) -> None:
    """Set every singular value of every hidden weight to one; the vectors stay."""
    for name in _hidden_weights(fork.network):
        weight = fork.parameters[name]
        left, _, right = torch.linalg.svd(weight.double(), full_matrices=False)
        weight.copy_(left @ right)


@torch.no_grad()
def _restore_scale_(fork: Fork) -> None:
    """Give every hidden weight its Frobenius norm at the start, by one factor."""
    for name in _hidden_weights(fork.network):
        weight = fork.parameters[name]
        norms = [w.double().norm(dim=(1, 2)) for w in (fork.start[name], weight)]
        factor = norms[0] / norms[1].clamp_min(torch.finfo(torch.float64).tiny)
        weight.copy_(weight.double() * factor[:, None, None])


def dormant_units(network: MLP, parameters: Parameters, inputs: Tensor) -> list[Tensor]:
    """Return which units of each hidden layer are dormant, ``(members, units)`` each.

    Args:
        network: A perceptron.
        parameters: name -> ``(members, ...)``.
        inputs: ``(members, n, features)``.

    Source: Sokar et al. 2023, Definition 3.1, threshold 0.1; dead units are among them.
    """
    with torch.no_grad():
        hidden = network.hidden_activations(parameters, inputs)
    return [dormancy_scores(h) <= DORMANT for h in hidden]


@torch.no_grad()
def _reopen_gates_(fork: Fork) -> None:
    """Set the biases of dormant units so that they are active on half of the inputs.

    Which units are dormant is judged before anything is changed; then layer after
    layer, since a reopened unit is an input of the next layer. All else stays.
    """
    network, parameters = fork.network, fork.parameters
    own = network.architecture
    if own.activation != "relu" or not own.hidden_bias or own.normalised:
        found = f"activation={own.activation}, normalisation={own.normalisation}"
        needed = "ReLU units with a bias of their own"
        raise ValueError(refusal(needed, found, "leave this intervention out"))
    chosen = dormant_units(network, parameters, fork.inputs)
    count = round(OPEN_SHARE * fork.inputs.shape[1])
    for layer, closed in enumerate(chosen):
        below = network.hidden_activations(parameters, fork.inputs)[:layer]
        seen = below[-1] if below else fork.inputs
        weight = parameters[f"hidden.{layer}.weight"]
        drive = (seen.double() @ weight.double().mT).sort(1, descending=True).values
        # Halfway between the last input that opens the unit and the first that does not
        level = (drive[:, count - 1] + drive[:, count]) / 2
        bias = parameters[f"hidden.{layer}.bias"]
        bias.copy_(torch.where(closed, -level.to(bias.dtype), bias))


@torch.no_grad()
def _restore_(fork: Fork, part: str) -> None:
    """Give weights and biases of a part of the network their values at the start."""
    for name, parameter in fork.parameters.items():
        if name.startswith(part):
            parameter.copy_(fork.start[name])


def _restore_head_(fork: Fork) -> None:
    """Put the whole head back."""
    _restore_(fork, "head.")


def _restore_hidden_(fork: Fork) -> None:
    """Put all hidden layers back."""
    _restore_(fork, "hidden.")


@torch.no_grad()
def _reset_optimizer_(fork: Fork) -> None:
    """Set both of Adam's moments and its count of steps to zero."""
    for state in fork.optimizer.state.values():
        for memory in state.values():
            memory.zero_()


# Name -> what is done, in this order.
INTERVENTIONS: Mapping[str, tuple[Intervention, ...]] = MappingProxyType(
    {
        "nothing": (),
        "spectrum": (_restore_spectrum_,),
        "scale": (_restore_scale_,),
        "gates": (_reopen_gates_,),
        "optimizer": (_reset_optimizer_,),
        "spectrum_optimizer": (_restore_spectrum_, _reset_optimizer_),
        "scale_optimizer": (_restore_scale_, _reset_optimizer_),
        "gates_optimizer": (_reopen_gates_, _reset_optimizer_),
    }
)
# As above, of whole layers: asked later, by a study of its own.
OF_LAYERS: Mapping[str, tuple[Intervention, ...]] = MappingProxyType(
    {
        "head": (_restore_head_,),
        "head_optimizer": (_restore_head_, _reset_optimizer_),
        "hidden": (_restore_hidden_,),
        "hidden_optimizer": (_restore_hidden_, _reset_optimizer_),
    }
)
ALL: Mapping[str, tuple[Intervention, ...]] = MappingProxyType(
    {**INTERVENTIONS, **OF_LAYERS}
)
