"""Dormant, dead and duplicate units and ranks, taken while the model runs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from isometry.core.matrices import effective_rank, singular_values_by_gram
from isometry.diagnostics.call import Call
from isometry.diagnostics.recording import Recording, recorded
from isometry.diagnostics.records import ActivationHealth, Ranks
from isometry.plasticity import (
    dead_fraction,
    dormancy_scores,
    duplicate_fraction,
    srank,
    stable_rank,
    threshold_rank,
)

MOST_ROWS = 2048  # that ranks and duplicates are taken on; dead, dormant: on all
Sizes = list[tuple[int, int]]  # rows and columns of the layer before an activation
Activity = tuple[
    tuple[ActivationHealth, ...], Ranks | None, dict[str, list[int]], Sizes
]


def rows_of(features: Tensor, channels_first: bool) -> Tensor:
    """Return features as ``(rows, units)``: inputs times places, by unit.

    Args:
        features: ``(n, units, ...)`` if ``channels_first``, else ``(n, ..., units)``.
        channels_first: Whether they come from a convolution.

    Example:
        >>> rows_of(torch.zeros(2, 3, 4, 4), channels_first=True).shape
        torch.Size([32, 3])
    """
    if channels_first and features.ndim > 2:
        features = features.movedim(1, -1)
    return features.reshape(-1, features.shape[-1])


def _chosen(rows: Tensor) -> Tensor:
    """Return at most :data:`MOST_ROWS` rows, evenly spaced, in at least float32."""
    if len(rows) > MOST_ROWS:
        chosen = torch.linspace(0, len(rows) - 1, MOST_ROWS, device=rows.device)
        rows = rows[chosen.long()]
    return rows.float() if rows.dtype.itemsize < 4 else rows


def _feature_ranks(rows: Tensor) -> Ranks:
    """Return the ranks of features; of at most :data:`MOST_ROWS` rows, evenly spaced.

    Source: see :class:`isometry.diagnostics.Ranks`.

    Example:
        >>> _feature_ranks(torch.eye(3)).threshold_rank
        3
    """
    rows = _chosen(rows)
    values = singular_values_by_gram(rows)
    centred = singular_values_by_gram(rows - rows.mean(-2, keepdim=True))
    return Ranks(
        feature_effective_rank=float(effective_rank(centred)),
        effective_rank=float(effective_rank(values)),
        stable_rank=float(stable_rank(values)),
        srank=int(srank(values)),
        threshold_rank=int(threshold_rank(values)),
    )


@torch.no_grad()
def activity(call: Call, inputs: Tensor, thresholds: Sequence[float]) -> Activity:
    """Return the health of every activation layer on the inputs.

    Only numbers are kept, so the memory is that of one forward pass.

    Args:
        call: The model with its arguments.
        inputs: The main one, ``(n, ...)``.
        thresholds: Of dormancy, each >= 0.

    Returns:
        One record a call of an activation function; the ranks of what the last linear
        layer saw, or None; by weight, the size of the map a convolution saw; and the
        size of each layer's Jacobian, as far as the order of calls tells it.

    Source: ours; see :class:`isometry.diagnostics.ActivationHealth`.
    """
    found: list[ActivationHealth] = []
    last: dict[str, Tensor] = {}
    sizes: dict[str, list[int]] = {}
    channels_first, columns = [False], [0]
    layers: Sizes = []

    def on_linear(name: str, _: Tensor, seen: Tensor, convolution: bool) -> Tensor:
        channels_first[0] = convolution
        places = seen.ndim > 2 and not convolution
        columns[0] = seen.shape[-1] if places else seen[0].numel()
        if convolution:
            sizes.setdefault(name, list(seen.shape[2:]))
        elif seen.ndim > 1:
            last["input"] = seen
        return seen

    def on_activation(name: str, function: str, output: Tensor) -> None:
        if not output.is_floating_point() or output.ndim < 2 or not output.numel():
            return
        places = output.ndim > 2 and not channels_first[0]
        units = output.shape[-1] if places else output[0].numel()
        if columns[0]:
            layers.append((units, columns[0]))
        rows = rows_of(output, channels_first[0])
        scores = dormancy_scores(rows)
        dormant = {t: float((scores <= t).double().mean()) for t in thresholds}
        count, units = rows.shape
        found.append(
            ActivationHealth(
                name=name,
                function=function,
                units=units,
                rows=count,
                dead_fraction=float(dead_fraction(rows)),
                dormant_fraction=dormant,
                duplicate_fraction=float(duplicate_fraction(_chosen(rows))),
                ranks=_feature_ranks(rows),
            )
        )

    watched = Recording(on_linear, lambda output, _: output, on_activation)
    with recorded(call.model, watched):
        call(inputs)
    features = rows_of(last["input"], False) if last else None
    ranks = None if features is None else _feature_ranks(features)
    return tuple(found), ranks, sizes, layers
