"""The kernel as a sum over layers, Eq. 7-8, without ever forming a Jacobian.

One forward pass and one batched backward pass give every layer's factors; the kernel is
then a few matrix products. For an MLP the cost is O(n n2 m^2 sum of widths) instead of
O(n n2 m^2 P), and the memory that of the kernel and a chunk.
"""

from torch import Tensor, nn

from isometry.ntk.capture import Layers, layers_with_parameters, traces
from isometry.ntk.checks import exact_matmul
from isometry.ntk.terms import Factors, add_term, factors, has_closed_form

# Numbers that a chunk's factors may hold, 2^25 (256 MiB in float64) ...
CHUNK_ENTRIES = 2**25
# ... and that one layer's product over pairs of outputs and positions may hold.
TILE_ENTRIES = 2**22
# A symmetric kernel of one chunk is computed in this many tiles a side; only the upper
# triangle is worked out.
TILES = 4

LayerFactors = dict[str, list[Factors]]


def find_layers(model: nn.Module) -> Layers | str:
    """Return the layers whose terms make up the kernel, or why that is not known.

    Args:
        model: Any module.

    Source: ours.
    """
    return layers_with_parameters(model, has_closed_form)


def layer_factors(model: nn.Module, layers: Layers, inputs: Tensor):
    """Return each layer's factors at ``inputs``, or why there are none.

    Args:
        model: Maps ``(c, ...)`` to ``(c, m)``.
        layers: From :func:`find_layers`.
        inputs: ``(c, ...)``.

    Source: arXiv 2606.09762, Eq. 7-8.
    """
    found = traces(model, layers, inputs)
    if isinstance(found, str):
        return found
    return {trace.name: factors(trace) for trace in found}


def kernel_by_layers(
    model: nn.Module,
    layers: Layers,
    inputs: Tensor,
    other: Tensor | None,
    num_outputs: int,
    chunk_size: int | None = None,
) -> Tensor | str:
    """Return the kernel as ``(m, n, m, n2)``, or why it is no sum over these layers.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``.
        layers: The layers to sum over, from :func:`find_layers`.
        inputs: ``(n, ...)``.
        other: ``(n2, ...)``, or None for the inputs themselves.
        num_outputs: m.
        chunk_size: Inputs whose factors are held at a time; None: as many as
            ``CHUNK_ENTRIES`` allows.

    Source: arXiv 2606.09762, Eq. 7-8.
    """
    second = inputs if other is None else other
    kernel = inputs.new_zeros(num_outputs, len(inputs), num_outputs, len(second))
    with exact_matmul(inputs.device):
        chunk = chunk_size or _affordable(model, layers, inputs, num_outputs)
        for i in range(0, len(inputs), chunk):
            rows = layer_factors(model, layers, inputs[i : i + chunk])
            for j in range(i if other is None else 0, len(second), chunk):
                same = other is None and i == j
                columns = rows
                if not same:
                    columns = layer_factors(model, layers, second[j : j + chunk])
                if isinstance(rows, str) or isinstance(columns, str):
                    return rows if isinstance(rows, str) else columns
                block = kernel[:, i : i + chunk, :, j : j + chunk]
                _fill(block, rows, columns, same)
                if other is None and not same:
                    mirrored = block.permute(2, 3, 0, 1)
                    kernel[:, j : j + chunk, :, i : i + chunk] = mirrored
    return kernel


def _affordable(model: nn.Module, layers: Layers, inputs: Tensor, outputs: int) -> int:
    """Return how many inputs' factors fit ``CHUNK_ENTRIES``."""
    linear = [x for x in layers.values() if isinstance(x, nn.Linear)]
    if inputs.ndim == 2 and len(linear) == len(layers):
        entries = sum(outputs * x.out_features + x.in_features for x in linear)
    else:
        one = layer_factors(model, layers, inputs[:1])
        if isinstance(one, str):
            return len(inputs)
        entries = sum(f.entries() for parts in one.values() for f in parts)
    return max(1, CHUNK_ENTRIES // max(1, entries))


def _fill(
    block: Tensor, rows: LayerFactors, columns: LayerFactors, symmetric: bool
) -> None:
    """Add all layers' terms to a block ``(m, c, m, c2)``, tile by tile.

    A tile is as small as the products over pairs of positions demand. A symmetric block
    is cut into ``TILES`` a side, of which only the upper triangle is worked out.
    """
    m, c, _, c2 = block.shape
    pairs = [
        pair
        for name in rows.keys() & columns.keys()
        for pair in zip(rows[name], columns[name], strict=True)
    ]
    widest = max((f.sensitivity.shape[2] for f, _ in pairs), default=1)
    tile = max(1, int(TILE_ENTRIES**0.5 / (m * widest))) if widest > 1 else max(c, c2)
    if symmetric and c * m >= 64 * TILES:
        tile = min(tile, -(-c // TILES))
    for i in range(0, c, tile):
        for j in range(i if symmetric else 0, c2, tile):
            target = block[:, i : i + tile, :, j : j + tile]
            for first, second in pairs:
                add_term(target, first.rows(i, i + tile), second.rows(j, j + tile))
            if symmetric and i != j:
                mirrored = target.permute(2, 3, 0, 1)
                block[:, j : j + tile, :, i : i + tile] = mirrored
