"""The Jacobians of layers and of the whole model, at a sample of inputs.

A batch is differentiated at once: in evaluation mode the inputs do not interact, so the
derivative of the summed outputs by one input is that input's own.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isometry.core.matrices import effective_rank, singular_values
from isometry.diagnostics.call import Call
from isometry.diagnostics.recording import Recording, recorded
from isometry.diagnostics.records import JacobianSpectrum, spread

MOST_ENTRIES = 2**21  # of one input's Jacobian
# Entries of all inputs' Jacobians of one layer, times their smaller side: beyond that
# fewer inputs are used. About a second on one core.
MOST_WORK = 2**31
# Linear maps that an activation may follow at once: the nearest, of dense connections.
MOST_LINKS = 4
CHUNK_ENTRIES = 2**24  # of what is held at a time while it is computed
# Of the layers, of the whole model, and what is left out with its reason.
Slopes = tuple[tuple[JacobianSpectrum, ...], JacobianSpectrum | None, dict[str, str]]


@dataclass(frozen=True)
class _Link:
    """A linear map and what it was called with.

    Attributes:
        name: Of the weight.
        source: A copy of the input, in the graph.
        node: Of the graph, at the map's output; None outside the graph.
        convolution: Whether it is one.
    """

    name: str
    source: Tensor
    node: Any
    convolution: bool


def jacobian(outputs: Tensor, sources: Tensor, most: int | None = None) -> Tensor:
    """Return the derivative of each input's outputs by its own source.

    Args:
        outputs: ``(n, m)``, in the graph of ``sources``.
        sources: ``(n, ...)``; input i's outputs hang on its own source alone.
        most: How many inputs are kept at most; None: all.

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
        found = _pulled_back(outputs, sources, basis)[:, :most]
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


def spectrum(name: str, by: str, matrices: Tensor, depth: int = 1) -> JacobianSpectrum:
    """Return singular values and exponents of Jacobians, summarised over the inputs.

    What rounding cannot tell from zero counts as zero.

    Args:
        name: What was differentiated.
        by: By what.
        matrices: ``(n, rows, columns)``.
        depth: Linear maps between the two, >= 1.
    """
    values = singular_values(matrices)
    floor = torch.finfo(values.dtype).eps * max(matrices.shape[1:]) * values[:, :1]
    values = torch.where(values > floor, values, 0)
    exponents = values.double().log() / depth
    return JacobianSpectrum(
        name=name,
        by=by,
        shape=(matrices.shape[1], matrices.shape[2]),
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
    call: Call, inputs: Tensor, max_outputs: int, max_layer_entries: int
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

    Source: arXiv 2606.09762, Sec. 4.1 (layers).
    """
    links: list[_Link] = []
    stops: set[Any] = set()
    layers: list[JacobianSpectrum] = []
    left_out: dict[str, str] = {}

    def on_linear(name: str, _: Tensor, seen: Tensor, convolution: bool) -> Tensor:
        source = seen.clone()
        if not source.requires_grad and source.is_floating_point():
            source.requires_grad_()
        links.append(_Link(name, source, None, convolution))
        return source

    def after_linear(output: Tensor) -> None:
        last = links.pop()
        links.append(_Link(last.name, last.source, output.grad_fn, last.convolution))

    def on_activation(name: str, _: str, output: Tensor) -> None:
        if output.grad_fn is None:
            return
        reached = _reached(output.grad_fn, {link.node for link in links} | stops)
        stops.add(output.grad_fn)
        met = [link for link in links if link.node is not None and link.node in reached]
        if len(met) > MOST_LINKS:
            what = f"layer Jacobians of {name} by layers further back"
            left_out[what] = f"{len(met)} linear maps lead to it at once"
        for link in met[-MOST_LINKS:]:
            found = _layer(name, link, output, max_layer_entries)
            if isinstance(found, str):
                left_out[f"layer Jacobian of {name}"] = found
            else:
                layers.append(found)

    sample = inputs.detach().clone()
    if sample.is_floating_point():
        sample.requires_grad_()
    with recorded(call.model, Recording(on_linear, after_linear, on_activation)):
        outputs = call(sample).flatten(1)
    if not layers and not left_out:
        left_out["layer Jacobians"] = "no activation follows a linear layer"
    whole = None
    if not sample.requires_grad:
        left_out["end-to-end Jacobian"] = "the inputs are whole numbers"
    elif not outputs.requires_grad:
        left_out["end-to-end Jacobian"] = "the outputs run without a gradient"
    else:
        chosen = outputs[:, evenly(outputs.shape[1], max_outputs, outputs.device)]
        nodes = {link.node for link in links}
        depth = max(1, _longest(outputs.grad_fn, sample, nodes))
        whole = spectrum("outputs", "inputs", jacobian(chosen, sample), depth)
    return tuple(layers), whole, left_out


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


def _layer(name: str, link: _Link, output: Tensor, most: int) -> JacobianSpectrum | str:
    """Return the spectrum from a linear map's input to an activation, or why not."""
    source, target = link.source, output
    sequence = source.ndim > 2 and not link.convolution
    place: tuple[int, ...] = ()
    if sequence and target.shape[:-1] == source.shape[:-1]:
        place = tuple(size // 2 for size in source.shape[1:-1])
        for position in place:
            target = target.select(1, position)
    target = target.flatten(1)
    columns = source.shape[-1] if place else source[0].numel()
    if target.shape[1] * columns > most:
        size = f"{target.shape[1]} x {columns}"
        return f"it has {size} entries for each input; raise max_layer_entries"
    if len(target) != len(source):
        return "it does not keep the inputs apart"
    work = target.shape[1] * columns * min(target.shape[1], columns)
    count = max(1, MOST_WORK // work)
    matrices = jacobian(target, source, count)
    if place:
        whole = matrices.unflatten(2, source.shape[1:])
        for position in place:
            whole = whole.select(2, position)
        matrices = whole
    return spectrum(name, link.name, matrices)
