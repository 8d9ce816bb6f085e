"""The Jacobians of layers and of the whole model, at a sample of inputs.

A batch is differentiated at once: in evaluation mode the inputs do not interact, so the
derivative of the summed outputs by one input is that input's own.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from isometry.core.matrices import effective_rank, singular_values_by_gram
from isometry.diagnostics.call import Call
from isometry.diagnostics.layer_jacobians import (
    Link,
    affordable,
    at,
    diagonal,
    ends,
    layer_seconds,
    own_jacobian,
)
from isometry.diagnostics.progress import Tell, silent
from isometry.diagnostics.recording import Map, Recording, recorded
from isometry.diagnostics.records import JacobianSpectrum, spread

MOST_ENTRIES = 2**21  # of one input's Jacobian
# Linear maps that an activation may follow at once: the nearest, of dense connections.
MOST_LINKS = 4
CHUNK_ENTRIES = 2**24  # of what is held at a time while it is computed
# Of the layers, of the whole model, and what is left out with its reason.
Slopes = tuple[tuple[JacobianSpectrum, ...], JacobianSpectrum | None, dict[str, str]]


Links = list[Link]
# How many inputs the model is called with; and of an activation the number of its call,
# its name, what leads to it, and its output.
Take = Callable[[int, int, str, Links, Tensor], None]


def jacobian(outputs: Tensor, sources: Tensor) -> Tensor:
    """Return the derivative of each input's outputs by its own source.

    Args:
        outputs: ``(n, m)``, in the graph of ``sources``.
        sources: ``(n, ...)``; input i's outputs hang on its own source alone.

    Returns:
        ``(n, m, d)`` with d the entries of one source.

    Source: definition.

    Example:
        >>> x = torch.tensor([[3.0], [5.0]], requires_grad=True)
        >>> jacobian(x**2, x).flatten().tolist()
        [6.0, 10.0]
    """
    count, num_outputs = outputs.shape
    rows = torch.eye(num_outputs, dtype=outputs.dtype, device=outputs.device)
    chunk = max(1, CHUNK_ENTRIES // max(sources.numel(), outputs.numel()))
    parts = []
    for part in rows.split(chunk):
        basis = part.unsqueeze(1).expand(-1, count, -1)
        found = _pulled_back(outputs, sources, basis)
        parts.append(found.reshape(*found.shape[:2], -1))
    return torch.cat(parts).transpose(0, 1)


def _pulled_back(outputs: Tensor, sources: Tensor, basis: Tensor) -> Tensor:
    """Return the products of ``basis`` ``(c, n, m)`` with the Jacobian."""
    try:
        (found,) = torch.autograd.grad(
            outputs, sources, basis, retain_graph=True, is_grads_batched=True
        )
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        # Some backward formulas cannot be batched: one pass for each output.
        found = torch.stack(
            [
                torch.autograd.grad(outputs, sources, one, retain_graph=True)[0]
                for one in basis
            ]
        )
    return found


def spectrum(
    name: str, by: str, matrices: Tensor, depth: int = 1, rows: int | None = None
) -> JacobianSpectrum:
    """Return singular values and exponents of Jacobians, summarised over the inputs.

    What rounding cannot tell from zero counts as zero.

    Args:
        name: What was differentiated.
        by: By what.
        matrices: ``(n, rows, columns)``.
        depth: Linear maps between the two, >= 1.
        rows: Of the whole Jacobian, where rows of zeros were left out.
    """
    shape = rows or matrices.shape[1], matrices.shape[2]
    values = singular_values_by_gram(matrices)
    values = functional.pad(values, (0, min(shape) - values.shape[1]))
    floor = torch.finfo(values.dtype).eps * max(shape) * values[:, :1]
    values = torch.where(values > floor, values, 0)
    exponents = values.double().log() / depth
    return JacobianSpectrum(
        name=name,
        by=by,
        shape=shape,
        inputs=len(matrices),
        largest=spread(values[:, 0]),
        median=spread(torch.quantile(values.double(), 0.5, dim=1)),
        smallest=spread(values[:, -1]),
        effective_rank=spread(effective_rank(values)),
        depth=depth,
        largest_exponent=spread(exponents[:, 0]),
        smallest_exponent=spread(exponents[:, -1]),
        mean_exponent=spread(exponents.mean(1)),
    )


def jacobian_spectra(
    call: Call,
    inputs: Tensor,
    max_outputs: int,
    max_layer_entries: int,
    tell: Tell = silent,
) -> Slopes:
    """Return the spectra of all layers and of the whole model, and what is left out.

    A layer is a linear map with the activation behind it, ``D_l(x) W_l``; only what
    lies between the two may stand there (norms, pooling, additions). Where a linear
    map acts at each place of a sequence, its Jacobian is taken at the middle place. Of
    many maps that lead to one activation, as in dense connections, the nearest count.

    Args:
        call: The model with its arguments, gradients enabled.
        inputs: The main one, ``(n, ...)``, that do not interact.
        max_outputs: How many outputs the whole model's Jacobian has at most.
        max_layer_entries: How many entries one input's Jacobian of a layer has at most.
        tell: Is told of each layer.

    Source: arXiv 2606.09762, Sec. 4.1 (layers).
    """
    layers: dict[tuple[int, int], JacobianSpectrum] = {}
    left_out: dict[str, str] = {}
    fewer: set[int] = set()

    def take(size: int, number: int, name: str, met: Links, output: Tensor) -> None:
        if len(met) > MOST_LINKS:
            what = f"layer Jacobians of {name} by layers further back"
            left_out[what] = f"{len(met)} linear maps lead to it at once"
        for place, link in enumerate(met[-MOST_LINKS:]):
            most = affordable(link, output, max_layer_entries)
            if isinstance(most, str):
                left_out[f"layer Jacobian of {name}"] = most
            elif len(output) == size != min(most, len(inputs)):
                fewer.add(most)
            elif len(output) == size or size == len(inputs):
                layers[number, place] = _layer(name, link, output, most)
                shape = layers[number, place].shape
                seconds = layer_seconds(*shape, len(inputs), max_layer_entries)
                tell(f"Jacobian of {name}", seconds)

    sample, outputs, nodes = _run(call, inputs, take)
    whole = None
    if not sample.requires_grad:
        left_out["end-to-end Jacobian"] = "the inputs are whole numbers"
    elif not outputs.requires_grad:
        left_out["end-to-end Jacobian"] = "the outputs run without a gradient"
    else:
        chosen = outputs[:, evenly(outputs.shape[1], max_outputs, outputs.device)]
        depth = max(1, _longest(outputs.grad_fn, sample, nodes))
        whole = spectrum("outputs", "inputs", jacobian(chosen, sample), depth)
    del sample, outputs, nodes  # and with them the graph
    for few in sorted(fewer):  # nothing is differentiated that is not looked at
        _run(call, inputs[:few], take)
    if not layers and not left_out.keys() - {"end-to-end Jacobian"}:
        left_out["layer Jacobians"] = "no activation follows a linear layer"
    return tuple(layers[key] for key in sorted(layers)), whole, left_out


def _run(call: Call, inputs: Tensor, take: Take) -> tuple[Tensor, Tensor, set[Any]]:
    """Run the model and hand over each activation with the maps that lead to it.

    Returns:
        A copy of the inputs and the outputs ``(n, m)``, in one graph, and the nodes of
        the linear maps in it.
    """
    links: Links = []
    stops: set[Any] = set()
    numbers = count()

    def on_linear(name: str, _: Tensor, seen: Tensor, convolution: bool) -> Tensor:
        source = seen.clone()
        if not source.requires_grad and source.is_floating_point():
            source.requires_grad_()
        links.append(Link(name, source, convolution))
        return source

    def after_linear(output: Tensor, again: Map) -> Tensor:
        output = output.clone()  # a view would leave the graph with what is in place
        node, shape = output.grad_fn, output.shape
        links[-1] = replace(links[-1], node=node, shape=shape, again=again)
        return output

    def on_activation(name: str, _: str, output: Tensor) -> None:
        number = next(numbers)
        if output.grad_fn is None:
            return
        reached = _reached(output.grad_fn, {link.node for link in links} | stops)
        stops.add(output.grad_fn)
        met = [link for link in links if link.node is not None and link.node in reached]
        take(len(inputs), number, name, met, output)

    sample = inputs.detach().clone()
    if sample.is_floating_point():
        sample.requires_grad_()
    with recorded(call.model, Recording(on_linear, after_linear, on_activation)):
        outputs = call(sample).flatten(1)
    return sample, outputs, {link.node for link in links}


def evenly(count: int, most: int, device: torch.device | str = "cpu") -> Tensor:
    """Return at most ``most`` indices of ``count``, evenly spaced.

    Args:
        count: How many there are.
        most: How many are wanted at most, >= 1.
        device: Where.

    Example:
        >>> evenly(9, 3).tolist()
        [0, 4, 8]
    """
    return torch.linspace(0, count - 1, min(count, most), device=device).round().long()


def _reached(start: Any, stops: set[Any]) -> set[Any]:
    """Return the nodes of ``stops`` that a walk back from ``start`` meets first."""
    met, seen = set(), set()
    waiting = [node for node, _ in start.next_functions]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in stops:
            met.add(node)
        else:
            waiting += [following for following, _ in node.next_functions]
    return met


def _longest(start: Any, source: Tensor, nodes: set[Any]) -> int:
    """Return the most of ``nodes`` on a way back from ``start`` to a leaf.

    Example:
        >>> x = torch.ones(1, requires_grad=True)
        >>> y = x.sin()
        >>> z = y.sin() + y
        >>> _longest(z.grad_fn, x, {y.grad_fn, z.grad_fn})
        2
    """
    most: dict[Any, float] = {}
    waiting = [(start, False)]
    while waiting:
        node, known = waiting.pop()
        if node in most:
            continue
        before = [one for one, _ in node.next_functions if one is not None]
        if known or not before:
            ways = [most[one] for one in before]
            leaf = 0 if getattr(node, "variable", None) is source else -math.inf
            most[node] = (node in nodes) + max([leaf, *ways])
        else:
            waiting += [(node, True), *((one, False) for one in before)]
    return int(max(0.0, most[start]))


def _layer(name: str, link: Link, output: Tensor, most: int) -> JacobianSpectrum:
    """Return the spectrum from a linear map's input to an activation.

    Where each output hangs on the same entry of what the map said and on no other, the
    Jacobian is a diagonal matrix times the map's own, which all inputs share. Elsewhere
    it takes a backward pass for each row. A row of zeros, as of a unit that ReLU keeps
    at zero, adds a singular value of zero and no other change: it is left out.
    """
    target, _, place = ends(link, output)
    slopes = diagonal(link, target, place)
    if slopes is None:
        matrices = jacobian(target, link.source)[:most]
        matrices = at(matrices, link.source.shape[1:], place)
    else:
        rows = own_jacobian(link, place, target.shape[1])
        slopes, active = slopes[:most], slopes[:most] != 0
        number = max(1, int(active.sum(1).max()))
        which = active.int().argsort(dim=1, descending=True, stable=True)[:, :number]
        matrices = rows[which] * slopes.gather(1, which).unsqueeze(2)
    return spectrum(name, link.name, matrices, rows=target.shape[1])
