"""The kernel as a sum over layers, Eq. 7-8, without ever forming a Jacobian.

One forward pass and one batched backward pass give every layer's factors; the kernel is
then a few matrix products. For an MLP the cost is O(n n2 m^2 sum of widths) instead of
O(n n2 m^2 P), and the memory that of the kernel and a chunk.
"""

from collections.abc import Iterable

from torch import Tensor, nn

from isometry.core.matrices import long_product
from isometry.core.precision import exact_matmul
from isometry.ntk.capture import Layers, Trace, layers_with_parameters, traces
from isometry.ntk.checks import trainable_parameters
from isometry.ntk.terms import (
    Factors,
    add_term,
    factors,
    forward_gram,
    has_closed_form,
)

# Numbers that a chunk's factors may hold in a perceptron, 2^25 (256 MiB in float64) ...
CHUNK_ENTRIES = 2**25
# ... bytes that the traces of a chunk may hold in other networks, whose layers are run
# anew for every pair of chunks, so that larger ones are faster ...
CHUNK_BYTES = 2**29
# ... and numbers that one layer's product over pairs of outputs and positions may hold,
# or the part of its gradients that is formed at a time.
TILE_ENTRIES = 2**22
# Groups of outputs, by which the half of a symmetric kernel is cut out.
GROUPS = 5


def find_layers(model: nn.Module) -> Layers | str:
    """Return the layers whose terms make up the kernel, or why that is not known.

    Args:
        model: Any module.
    """
    return layers_with_parameters(model, has_closed_form)


def _traces(model: nn.Module, layers: Layers, inputs: Tensor) -> dict[str, Trace] | str:
    """Return each layer's trace at ``inputs`` by its name, or why there are none."""
    found = traces(model, layers, inputs)
    return found if isinstance(found, str) else {trace.name: trace for trace in found}


def kernel_by_layers(
    model: nn.Module,
    layers: Layers,
    inputs: Tensor,
    other: Tensor | None,
    num_outputs: int,
    chunk_size: int | None = None,
    only: str | None = None,
) -> Tensor | str:
    """Return the kernel as ``(m, n, m, n2)``, or why it is no sum over these layers.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``.
        layers: The layers to sum over, from :func:`find_layers`.
        inputs: ``(n, ...)``.
        other: ``(n2, ...)``, or None for the inputs themselves.
        num_outputs: m.
        chunk_size: Inputs whose factors are held at a time; None: as many as fit.
        only: The one layer whose term is wanted; None: all.

    Source: arXiv 2606.09762, Eq. 7-8.
    """
    second = inputs if other is None else other
    like = next(iter(trainable_parameters(model).values()))
    kernel = like.new_zeros(num_outputs, len(inputs), num_outputs, len(second))
    with exact_matmul(inputs.device):
        chunk = chunk_size or _affordable(model, layers, inputs, num_outputs)
        for i in range(0, len(inputs), chunk):
            rows = _traces(model, layers, inputs[i : i + chunk])
            if isinstance(rows, str):
                return rows
            for j in range(i if other is None else 0, len(second), chunk):
                same = other is None and i == j
                columns = rows
                if not same:
                    found = _traces(model, layers, second[j : j + chunk])
                    if isinstance(found, str):
                        return found
                    columns = found
                block = kernel[:, i : i + chunk, :, j : j + chunk]
                if only is not None:
                    rows = {only: rows[only]} if only in rows else {}
                _fill(block, rows, columns, same)
                if other is None and not same:
                    mirrored = block.permute(2, 3, 0, 1)
                    kernel[:, j : j + chunk, :, i : i + chunk] = mirrored
    return kernel


def _affordable(model: nn.Module, layers: Layers, inputs: Tensor, outputs: int) -> int:
    """Return how many inputs fit ``CHUNK_ENTRIES`` or ``CHUNK_BYTES``."""
    linear = [x for x in layers.values() if isinstance(x, nn.Linear)]
    if inputs.ndim == 2 and len(linear) == len(layers):
        entries = sum(outputs * x.out_features + x.in_features for x in linear)
        return max(1, CHUNK_ENTRIES // max(1, entries))
    one = _traces(model, layers, inputs[:1])
    if isinstance(one, str):
        return len(inputs)
    # All layers' traces are held, and besides them the factors of one.
    held = sum(t.input.nbytes + t.sensitivity.nbytes for t in one.values())
    each = (sum(f.nbytes for f in factors(t)) for t in one.values())
    return max(1, CHUNK_BYTES // max(1, held + max(each, default=0)))


def _fill(
    block: Tensor, rows: dict[str, Trace], columns: dict[str, Trace], symmetric: bool
) -> None:
    """Add all layers' terms to a block ``(m, c, m, c2)``.

    Of a symmetric block only what lies right of the diagonal, by groups of outputs, is
    worked out; the rest is copied at the end.
    """
    m, c, _, c2 = block.shape
    group = -(-m // GROUPS) if symmetric else m
    backward = block.new_zeros(m * c, m * c2)
    for name in (name for name in rows if name in columns):  # in order: bits stay
        firsts = factors(rows[name])
        seconds = firsts if symmetric else factors(columns[name])
        for first, second in zip(firsts, seconds, strict=True):
            if first.positions > 1 and not first.by_gradients:
                _add_tiles(block, first, second)
                continue
            for number, (left, right) in enumerate(_gradients(first, second)):
                for start in range(0, m * c, group * c):
                    part = slice(start, start + group * c)
                    done = slice(start if symmetric else 0, None)
                    target = backward[part, done]
                    if number == 0:
                        long_product(left[part], right[done], out=target)
                    else:
                        target += long_product(left[part], right[done])
            gram = None if first.by_gradients else forward_gram(first, second)
            add_term(block, backward, gram)
    for start in range(group, m, group):
        above = block[:start, :, start : start + group]
        block[start : start + group, :, :start] = above.permute(2, 3, 0, 1)


def _gradients(first: Factors, second: Factors) -> Iterable[tuple[Tensor, Tensor]]:
    """Give the parts of two gradients together, formed once where they are the same."""
    units = 1
    if first.features is not None:
        largest = max(f.sensitivity.shape[1] for f in (first, second))
        row = len(first.sensitivity) * largest * first.features.shape[-1]
        units = max(1, TILE_ENTRIES // row)
    if first is second:
        return ((part, part) for part in first.gradients(units))
    return zip(first.gradients(units), second.gradients(units), strict=True)


def _add_tiles(block: Tensor, first: Factors, second: Factors) -> None:
    """Add the term of a layer with several positions to a block ``(m, c, m, c2)``.

    Tiles are as small as ``TILE_ENTRIES`` demands of the product over pairs of
    positions.
    """
    m, c, _, c2 = block.shape
    tile = max(1, int(TILE_ENTRIES**0.5 / (m * first.positions)))
    for i in range(0, c, tile):
        for j in range(0, c2, tile):
            left, right = first.inputs(i, tile), second.inputs(j, tile)
            rows, columns = (
                left.sensitivity.flatten(0, 2),
                right.sensitivity.flatten(0, 2),
            )
            target = block[:, i : i + tile, :, j : j + tile]
            add_term(target, rows @ columns.mT, forward_gram(left, right))
