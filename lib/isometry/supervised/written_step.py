"""A training step of a stacked multilayer perceptron, written out.

Where minibatches are small, more than half of a step is bookkeeping: autograd's graph,
and what an optimiser asks itself before it calls its kernel (for that one see
:func:`isometry.core.bare_step.bare_step`). What is here gives autograd's gradients bit
for bit.
"""

from collections.abc import Callable
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.nn import functional

from isometry.core.stacking import Parameters
from isometry.methods.structure import Architecture
from isometry.supervised.networks.mlp import MLP

aten = torch.ops.aten
# What one pass gives: logits, losses (members,), activations of the hidden layers.
Pass = tuple[Tensor, Tensor, list[Tensor]]
# The gradient at a nonlinearity's input, from that at its output and the output.
BACKWARD: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "relu": lambda gradient, output, slope: aten.threshold_backward(
        gradient, output, 0
    ),
    "leaky_relu": lambda gradient, output, slope: aten.leaky_relu_backward(
        gradient, output, slope, slope > 0
    ),
    "tanh": lambda gradient, output, slope: aten.tanh_backward(gradient, output),
    "identity": lambda gradient, output, slope: gradient,
}


def is_written(network: Any, parameters: Parameters) -> TypeGuard[MLP]:
    """Return whether :func:`written_pass` knows a network.

    It knows perceptrons without normalisation whose nonlinearity has a derivative that
    its output tells, on a CPU.

    Args:
        network: Of any kind.
        parameters: name -> ``(members, ...)``.
    """
    if not isinstance(network, MLP):
        return False
    own: Architecture = network.architecture
    if own.normalisation != "none" or own.activation not in BACKWARD:
        return False
    if own.alpha is not None:
        return False
    if own.activation == "leaky_relu" and own.negative_slope <= 0:
        return False
    return all(p.device.type == "cpu" for p in parameters.values())


def written_pass(
    network: MLP,
    parameters: Parameters,
    *,
    shared: Tensor | None = None,
    then: Callable[[str], None] | None = None,
) -> Callable[[Tensor, Tensor], Pass]:
    """Return a function that passes a minibatch forward and back, without autograd.

    It takes inputs ``(members, batch, features)`` and labels ``(members, batch)``, puts
    the gradients of the sum of the members' mean cross-entropies into ``grad`` of the
    parameters, and is to be called without gradients being recorded. The gradients keep
    their memory from step to step.

    Args:
        network: One for which :func:`is_written` holds.
        parameters: Leaf tensors, name -> ``(members, ...)``; their gradients are made.
        shared: Memory for the gradient of one layer's weights after the other,
            ``(numbers,)``; None: each has its own.
        then: Called with a layer's name, ``hidden.0`` or ``head``, once its gradients
            are there and its weights are no longer needed: may change both.

    Source: the chain rule.
    """
    architecture = network.architecture
    backward = BACKWARD[architecture.activation]
    slope = architecture.negative_slope
    names = [*(f"hidden.{i}" for i in range(architecture.depth)), "head"]
    weights = [parameters[f"{name}.weight"] for name in names]
    biases = [parameters.get(f"{name}.bias") for name in names]
    for weight, bias in zip(weights, biases, strict=True):
        own = None if shared is None else shared[: weight.numel()].view_as(weight)
        weight.grad = torch.empty_like(weight) if own is None else own
        if bias is not None:
            bias.grad = torch.empty_like(bias)
    shares: dict[int, Tensor] = {}  # of an image in its minibatch's mean, by size
    unused = weights[0].new_zeros(())  # the sum of the weights of a mean over all

    def one_pass(inputs: Tensor, labels: Tensor) -> Pass:
        logits, activations = network.watched(parameters, inputs)
        logs = functional.log_softmax(logits.flatten(0, 1), -1)
        flat = labels.flatten()
        losses = functional.nll_loss(logs, flat, reduction="none")
        mean = losses.view_as(labels).mean(1)
        # Backwards: a minibatch's mean, the loss, then layer by layer.
        size = labels.shape[1]
        if size not in shares:
            shares[size] = torch.full_like(losses, 1 / size)
        gradient = aten.nll_loss_backward(
            shares[size], logs, flat, None, 0, -100, unused
        )
        gradient = aten._log_softmax_backward_data(gradient, logs, -1, logs.dtype)
        gradient = gradient.view_as(logits)
        for layer in reversed(range(len(weights))):
            read = activations[layer - 1] if layer else inputs
            weight, bias = weights[layer], biases[layer]
            torch.bmm(gradient.mT, read, out=weight.grad)
            if bias is not None:
                torch.sum(gradient, 1, out=bias.grad)
            if layer:
                gradient = backward(torch.bmm(gradient, weight), read, slope)
            if then is not None:
                then(names[layer])
        return logits, mean, activations

    return one_pass
