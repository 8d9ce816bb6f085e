"""One call that looks at all of a network: ``diagnose(model, inputs)``."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from isometry.core.messages import refusal
from isometry.core.untouched import untouched
from isometry.diagnostics.activity import Sizes, activity
from isometry.diagnostics.call import Call, itself
from isometry.diagnostics.checks import (
    check_caps,
    check_model,
    check_thresholds,
    checked_inputs,
    checked_outputs,
    mixes_inputs,
)
from isometry.diagnostics.jacobians import (
    MOST_ENTRIES,
    Slopes,
    evenly,
    jacobian_spectra,
)
from isometry.diagnostics.layer_jacobians import layer_seconds
from isometry.diagnostics.progress import Tell, silent, told
from isometry.diagnostics.records import WeightSpectrum
from isometry.diagnostics.report import Diagnostics
from isometry.diagnostics.weights import (
    Weights,
    operator_norm,
    spectrum_seconds,
    weight_spectrum,
    weights_of,
)
from isometry.ntk import Conditioning, conditioning, empirical_ntk, ntk_matrix
from isometry.ntk.arguments import Arguments, Inputs, Pick

KERNEL_PASSES = 10  # as long as so many forward passes, about, of each input and output
THRESHOLDS = (0.0, 0.025, 0.1)  # of Sokar et al. 2023
NOT_ASKED = "not asked for"
MIXED = "an input's outputs change with the rest of the batch, or at random"


def diagnose(
    model: nn.Module,
    inputs: Inputs,  # (n, ...)
    *,
    outputs: Pick | None = None,
    jacobian: bool = True,
    ntk: bool = True,
    max_inputs: int = 256,
    max_jacobian_inputs: int = 16,
    max_ntk_inputs: int = 32,
    max_outputs: int = 32,
    max_layer_entries: int = MOST_ENTRIES,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Diagnostics:
    """Look at a network's health: weights, units, ranks, Jacobians and kernel.

    The model is looked at in evaluation mode and left as it was: modes, gradients,
    buffers, hooks and torch's random state are the same after the call. Its own
    hooks run in each forward pass.

    What a number needs beyond a forward pass may not be there. A part that cannot be
    had, for example the kernel of a frozen model, is named in ``left_out`` with its
    reason, and all others are given.

    What it costs: a singular value decomposition of each matrix, ``out * in *
    min(out, in)``; one forward pass of ``max_inputs`` inputs, in memory as well; for
    each layer's Jacobian a backward pass of as many inputs as it has rows, where each
    output hangs on one entry of the linear map's, else its rows times a backward pass
    of ``max_jacobian_inputs`` inputs; for the whole model's ``max_outputs`` backward
    passes of them; for the kernel N = ``max_ntk_inputs * max_outputs`` rows,
    that is ``N^2`` numbers and ``N^3`` operations, and N backward passes of one input
    where the model is no sum over layers (attention, tied weights). In a terminal a
    look of more than two seconds says on standard error what it is expected to take
    and how far it is, unless the variable ``ISOMETRY_PROGRESS`` is 0.

    Args:
        model: Any module. One of ``torch.compile``, and compiled parts of one, are
            looked at without compilation, one of a data parallel class by itself.
        inputs: ``(n, ...)``, of the model's dtype and on its device; or whole numbers,
            for a model that begins with an embedding. Then the derivatives by the
            inputs are left out. Or a tuple of positional or a dict of keyword
            arguments: tensors ``(n, ...)``, the first of which derivatives are taken
            by, and what all inputs share.
        outputs: Makes one tensor ``(n, ...)`` of what the model returns, e.g. ``lambda
            o: o.logits``; None: the model returns one.
        jacobian: Whether to take Jacobians.
        ntk: Whether to take the empirical neural tangent kernel.
        max_inputs: The first so many inputs are used at most, >= 1.
        max_jacobian_inputs: The same for the Jacobians, >= 1.
        max_ntk_inputs: The same for the kernel, >= 1.
        max_outputs: Outputs, evenly spaced over all of an input's, that the whole
            model's Jacobian and the kernel are taken of at most, >= 1.
        max_layer_entries: Outputs times inputs of one layer, for one input of the
            model, beyond which its Jacobian is left out, >= 1. Its decomposition takes
            the entries times the smaller side.
        thresholds: Of dormancy, each >= 0.

    Returns:
        A record with ``to_dict()``, ``to_frame()`` and ``plot()`` that prints as
        tables.

    Raises:
        TypeError: If the model is no module, the inputs are no tensors or of another
            dtype, or the outputs are not one floating-point tensor.
        ValueError: If inputs are empty, not finite or on another device, the model
            fails on them, weights or outputs are not finite, no weight is a matrix, or
            a cap or threshold is out of range.

    Source: the parts as said in :class:`Diagnostics`; their choice follows the paper's
        appendix, arXiv 2606.09762. Caps ours.

    Example:
        >>> found = diagnose(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), torch.eye(3))
        >>> [weight.name for weight in found.weights], found.activations[0].name
        (['0.weight'], '1')
    """
    check_caps(
        max_inputs=max_inputs,
        max_jacobian_inputs=max_jacobian_inputs,
        max_ntk_inputs=max_ntk_inputs,
        max_outputs=max_outputs,
        max_layer_entries=max_layer_entries,
    )
    check_thresholds(thresholds)
    model = check_model(model)
    arguments = checked_inputs(inputs, model)
    with untouched(model):
        given = _copied(arguments.at(slice(max_inputs)))
        call = Call(model=model, arguments=given, pick=outputs or itself)
        sample = call.arguments.main
        with torch.no_grad():
            begun = time.perf_counter()
            said = checked_outputs(call, sample)
            forward = (time.perf_counter() - begun) / len(sample)
            mixed = mixes_inputs(call, sample, said)
            weights, others = _some_weights(model)
        units, features, sizes, shapes = activity(call, sample, thresholds)
        caps = (max_outputs, max_layer_entries)
        few = sample[:max_jacobian_inputs]
        shape = min(len(sample), max_ntk_inputs), min(said[0].numel(), max_outputs)
        passes = KERNEL_PASSES * forward * math.prod(shape) * (ntk and not mixed)
        shapes = shapes if jacobian and not mixed else []
        with told(passes + _seconds(weights, shapes, len(few), caps[1])) as tell:
            layers, whole, reasons = slopes(call, few, caps, jacobian, mixed, tell)
            kernel = _kernel_conditioning(call, max_ntk_inputs, max_outputs, ntk, mixed)
            tell("kernel", passes)
            matrices = spectra(weights, sizes, tell)
    return Diagnostics(
        model=type(model).__name__,
        parameters=sum(p.numel() for p in model.parameters()),
        inputs=len(sample),
        jacobian_inputs=min(len(sample), max_jacobian_inputs) if layers or whole else 0,
        ntk_shape=(0, 0) if isinstance(kernel, str) else shape,
        weights=matrices,
        activations=units,
        features=features,
        layer_jacobians=layers,
        end_to_end=whole,
        ntk=None if isinstance(kernel, str) else kernel,
        left_out=others | reasons | _left_out(kernel),
    )


def _some_weights(model: nn.Module) -> tuple[Weights, dict[str, str]]:
    """Return what :func:`weights_of` does, or refuse a model without a matrix."""
    weights, others = weights_of(model)
    if not weights:
        needed, found = "at least one weight matrix", type(model).__name__
        do = "pass the network that holds the linear layers"
        raise ValueError(refusal(needed, f"none in {found}", do))
    return weights, others


def _seconds(weights: Weights, shapes: Sizes, inputs: int, most: int) -> float:
    """Return about how long the weights' spectra and the layers' Jacobians take."""
    seconds = sum(spectrum_seconds(weight) for _, _, weight in weights.values())
    return seconds + sum(layer_seconds(*shape, inputs, most) for shape in shapes)


def _left_out(kernel: Conditioning | str) -> dict[str, str]:
    """Return why there is no kernel, if there is none."""
    return {"NTK": kernel} if isinstance(kernel, str) else {}


def _copied(arguments: Arguments) -> Arguments:
    """Return arguments whose tensors are copies that no graph holds."""
    copies = {k: arguments.values[k].detach().clone() for k in arguments.batched}
    return replace(arguments, values={**arguments.values, **copies})


def slopes(
    call: Call,
    sample: Tensor,
    caps: tuple[int, int],
    wanted: bool,
    mixed: bool,
    tell: Tell = silent,
) -> Slopes:
    """Return the Jacobians' spectra, or why there are none.

    Args:
        call: The model with its arguments.
        sample: ``(n, ...)``.
        caps: Outputs of each input, and entries of a layer's Jacobian, at most.
        wanted: Whether they were asked for.
        mixed: Whether the model mixes the inputs of a batch.
        tell: Is told of each layer.

    Source: ours; see :func:`isometry.diagnostics.jacobians.jacobian_spectra`.
    """
    if wanted and not mixed:
        return jacobian_spectra(call, sample, *caps, tell)
    return (), None, {"Jacobians": MIXED if wanted else NOT_ASKED}


def spectra(
    weights: Weights, sizes: Mapping[str, list[int]], tell: Tell = silent
) -> tuple[WeightSpectrum, ...]:
    """Return the spectrum of every weight.

    Args:
        weights: Name to kind, owner and weight.
        sizes: Name of a kernel to the size of the maps it was called with.
        tell: Is told of each weight.
    """
    found = []
    for name, (kind, module, weight) in weights.items():
        norm = None
        size = sizes.get(name.partition(" = ")[0])
        if size is not None:
            norm = operator_norm(module, weight, size)
        found.append(replace(weight_spectrum(name, kind, weight), operator_norm=norm))
        tell(f"singular values of {name}", spectrum_seconds(weight))
    return tuple(found)


def _kernel_conditioning(
    call: Call, most: int, max_outputs: int, wanted: bool, mixed: bool
) -> Conditioning | str:
    """Return the conditioning of the kernel, or why there is no kernel.

    Source: arXiv 2606.09762, Sec. 2; see :func:`isometry.ntk.empirical_ntk`.
    """
    if not wanted or mixed:
        return MIXED if wanted else NOT_ASKED

    def chosen(said: Any) -> Tensor:
        outputs = call.pick(said).flatten(1)
        return outputs[:, evenly(outputs.shape[1], max_outputs, outputs.device)]

    values = call.arguments.at(slice(most)).values
    places = tuple(value for key, value in values.items() if isinstance(key, int))
    inputs = places or {str(key): value for key, value in values.items()}
    try:
        kernel = empirical_ntk(call.model, inputs, outputs=chosen)
        return conditioning(ntk_matrix(kernel))
    except (TypeError, ValueError) as error:
        return str(error)
