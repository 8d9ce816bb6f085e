"""Chapter 5: the force of a registered method: its places in a step, without a task.

Every place of the method is the one that training uses. Only the task is missing: its
gradient is zero. So what moves the weights is the method, and nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor

from isometry.core.settings import changed
from isometry.core.stacking import Parameters
from isometry.methods import METHODS
from isometry.methods.initialisation import chain_structure, fresh_member
from isometry.methods.method import adam
from isometry.methods.optimisers.gradient_descent import sgd
from isometry.methods.structure import Architecture
from isometry.stream.binding import Bound
from isometry.stream.run import Run, on_device
from isometry.supervised.networks.mlp import MLP

Weights = tuple[Tensor, ...]  # one (members, out, in) a layer, the head last


def network_with(method: str, weights: Weights) -> tuple[MLP, Parameters]:
    """Return a ReLU network without biases, as a method changes it, of given weights.

    Args:
        method: A registered method.
        weights: Of its layers, whose widths may differ.

    Returns:
        The network, which reads the widths from the parameters, and the parameters.
    """
    chosen, depth = METHODS.get(method), len(weights) - 1
    plain = Architecture(
        network="mlp",
        width=weights[0].shape[1],
        depth=depth,
        activation="relu",
        negative_slope=0.0,
        init="orthogonal",
        init_gain=1.0,
    )
    architecture = chosen.architecture(plain, chosen.settings)
    parameters = {}
    for layer, weight in enumerate(weights[:-1]):
        parameters[f"hidden.{layer}.weight"] = weight.detach().clone()
        for kind in architecture.norm_vectors:
            start = weight.new_full(weight.shape[:2], float(kind == "gain"))
            parameters[f"hidden.{layer}.{kind}"] = start
    parameters["head.weight"] = weights[-1].detach().clone()
    classes, features = weights[-1].shape[1], weights[0].shape[2]
    network = MLP(architecture=architecture, in_features=features, num_classes=classes)
    return network, parameters


def forced(
    method: str,
    changes: Mapping[str, Any],
    weights: Weights,
    *,
    initial: Weights | None = None,
    inputs: Tensor | None = None,
    lr: float = 1.0,
    descent: bool = True,
) -> Iterator[Weights]:
    """Yield the weights before the first step and after each, under a method alone.

    Args:
        method: A registered method.
        changes: Of its settings.
        weights: Where the force begins.
        initial: What the method takes for the network's start; the weights, if None.
        inputs: ``(members, n, in)``, for a method that looks at activations.
        lr: Learning rate.
        descent: Whether gradient descent takes the step where the method brings no
            optimiser of its own; otherwise it is Adam.

    Raises:
        KeyError: If the method or a setting is not known.
    """
    chosen = METHODS.get(method)
    settings = changed(chosen.settings, dict(changes))
    network, parameters = network_with(method, initial or weights)
    shapes = {name: tuple(p.shape[1:]) for name, p in parameters.items()}
    architecture = network.architecture
    fresh = partial(fresh_member, shapes, architecture)
    places = [1] * architecture.depth
    structure = chain_structure(architecture, shapes, fresh, places)
    cpu = torch.device("cpu")
    run = Run(seeds=list(range(len(weights[0]))), parameters=on_device(parameters, cpu))
    bound = Bound(method=chosen, settings=settings, structure=structure, lr=lr)
    bound.start(run)
    names = structure.named("hidden", "head")
    with torch.no_grad():
        for name, weight in zip(names, weights, strict=True):
            run.parameters[name].copy_(weight)
    if descent and chosen.optimizer is adam:
        optimizer = sgd(bound.training(run))
    else:
        optimizer = bound.optimizer(run)
    hooks = bound.hooks(run, optimizer)
    own = run.parameters
    for step in count():
        yield tuple(own[name].detach() for name in names)
        seen: Sequence[Tensor] = ()
        if hooks.watch and inputs is not None:
            with torch.no_grad():
                seen = network.hidden_activations(own, inputs)
        for parameter in own.values():
            parameter.grad = torch.zeros_like(parameter)
        if hooks.penalty is not None:
            hooks.penalty().sum().backward()
        if hooks.add_gradient is not None:
            hooks.add_gradient()
        optimizer.step()
        if hooks.after_step is not None:
            with torch.no_grad():
                hooks.after_step(step, seen, ())


def at_times(steps: Iterator[Weights], times: Sequence[int]) -> list[Weights]:
    """Return copies of the weights at some times.

    Args:
        steps: From :func:`forced`.
        times: Steps, ascending, from 0.
    """
    found = []
    for time, weights in zip(range(times[-1] + 1), steps, strict=False):
        if time in times:
            found.append(tuple(weight.clone() for weight in weights))
    return found
