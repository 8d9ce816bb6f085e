"""Gradient descent on one image after another, compiled: one member, many steps.

Weights lie here with their inputs first, so that an input that is zero and a unit that
is off are a row each that nobody reads or writes: of permuted MNIST's pixels, divided
by their largest value, four fifths, and about half of the units.
"""

import math
from functools import partial
from typing import Any

from isometry.core.code_cache import kept_on_disk
from isometry.core.extras import extra

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray

# Sums may be taken in any order; what is not finite stays what it is.
REORDERED = {"reassoc", "contract", "nsz"}
# Above this no update may be, so that weights stay finite, and zero times one zero.
LARGEST_UPDATE = 1e30


@njit(nogil=True)
def _list_on(read: NDArray, on: NDArray[np.int64]) -> int:
    """List the inputs ``(in,)`` that are not zero and return how many they are."""
    count = 0
    for i in range(len(read)):
        on[count] = i
        count += read[i] != 0
    return count


@njit(nogil=True, fastmath=REORDERED)
def _add_rows(
    read: NDArray, on: NDArray[np.int64], weight: NDArray, bias: NDArray, out: NDArray
) -> None:
    """Write ``bias + sum of read_i weight_i`` over the inputs that are on."""
    out[:] = bias
    whole = len(on) - len(on) % 4
    for k in range(0, whole, 4):  # four rows at once: the sum is read and written less
        a, b, c, d = on[k], on[k + 1], on[k + 2], on[k + 3]
        times_a, times_b, times_c, times_d = read[a], read[b], read[c], read[d]
        row_a, row_b, row_c, row_d = weight[a], weight[b], weight[c], weight[d]
        for j in range(len(out)):
            first = times_a * row_a[j] + times_b * row_b[j]
            out[j] += first + (times_c * row_c[j] + times_d * row_d[j])
    for i in on[whole:]:
        times, row = read[i], weight[i]
        for j in range(len(out)):
            out[j] += times * row[j]


@njit(nogil=True, fastmath=REORDERED)
def _go_back(
    gradient: NDArray,
    weight: NDArray,
    read: NDArray,
    rows: NDArray[np.int64],
    slope: Any,
    back: NDArray,
) -> None:
    """Write the gradient by a nonlinearity's input, from that by the next layer's."""
    back[:] = 0
    for i in rows:
        total, row = back[i], weight[i]
        for j in range(len(gradient)):
            total += row[j] * gradient[j]
        back[i] = total if read[i] > 0 else slope * total


@njit(nogil=True, fastmath=REORDERED)
def _step(
    read: NDArray,
    on: NDArray[np.int64],
    gradient: NDArray,
    rate: Any,
    weight: NDArray,
    bias: NDArray,
) -> None:
    """Take a layer's step: its gradient is a product of what it read and passed on."""
    for i in on:
        share, row = rate * read[i], weight[i]
        for j in range(len(gradient)):
            row[j] -= share * gradient[j]
    for j in range(len(gradient)):
        bias[j] -= rate * gradient[j]


@njit(nogil=True)
def _loss(logits: NDArray, label: int, gradient: NDArray) -> tuple[Any, bool]:
    """Return the cross-entropy and whether the first largest logit is the label's.

    The gradient by the logits is written. Source: definition.
    """
    best = 0
    for j in range(1, len(logits)):
        if logits[j] > logits[best]:
            best = j
    total = logits.dtype.type(0)
    for j in range(len(logits)):
        gradient[j] = math.exp(logits[j] - logits[best])
        total += gradient[j]
    gradient /= total
    gradient[label] -= logits.dtype.type(1)
    return math.log(total) - (logits[label] - logits[best]), best == label


@njit(nogil=True, fastmath=REORDERED)
def _size(values: NDArray) -> float:
    """Return the sum of absolute values; NaN or infinity if one of them is."""
    total = values.dtype.type(0)
    for value in values:
        total += abs(value)
    return float(total)


@partial(kept_on_disk, what="online gradient descent")
@njit(nogil=True)
def descend(
    inputs: NDArray,  # (n, features)
    labels: NDArray[np.int64],  # (n,)
    flat: NDArray,  # weights (in, out) and bias (out,) of each layer; changed
    sizes: NDArray[np.int64],  # (layers + 1,), of inputs, hidden layers, logits
    slope: Any,
    rate: Any,
    losses: NDArray,  # (n,), written
    hits: NDArray[np.bool_],  # (n,), written
) -> int:
    """Take a step of gradient descent on each image in turn and return how many.

    Before a step that is not finite, or not far from that, it stops and leaves the
    weights as they are: a row that is skipped counts as zero, which infinity times zero
    is not.

    Args:
        inputs: The images, in the order in which they come.
        labels: Their classes.
        flat: Of the type of ``inputs``, as are ``slope`` and ``rate``.
        sizes: Of the layers.
        slope: Of the nonlinearity below zero, dimensionless: 0, ReLU; 1, none.
        rate: Learning rate.
        losses: Cross-entropy before each step, nats.
        hits: Whether the prediction before each step was right.

    Source: the chain rule.
    """
    depth, most = len(sizes) - 1, sizes.max()
    read = np.zeros((depth + 1, most), flat.dtype)
    gradients = np.zeros((depth + 1, most), flat.dtype)
    on, counts = np.zeros((depth, most), np.int64), np.zeros(depth, np.int64)
    starts, every = np.zeros(depth + 1, np.int64), np.arange(most)
    for k in range(depth):
        starts[k + 1] = starts[k] + (sizes[k] + 1) * sizes[k + 1]
    if not np.isfinite(flat).all():
        return 0
    for step in range(len(inputs)):
        read[0, : sizes[0]] = inputs[step]
        for k in range(depth):
            own, out = read[k, : sizes[k]], read[k + 1, : sizes[k + 1]]
            layer = flat[starts[k] : starts[k + 1]].reshape(
                (sizes[k] + 1, sizes[k + 1])
            )
            counts[k] = _list_on(own, on[k])
            _add_rows(own, on[k, : counts[k]], layer[:-1], layer[-1], out)
            if k + 1 < depth:
                for j in range(len(out)):
                    out[j] = out[j] if out[j] > 0 else slope * out[j]
        logits, gradient = read[depth, : sizes[depth]], gradients[depth, : sizes[depth]]
        losses[step], hits[step] = _loss(logits, labels[step], gradient)
        largest = 0.0
        for k in range(depth - 1, -1, -1):
            own, gradient = read[k, : sizes[k]], gradients[k + 1, : sizes[k + 1]]
            layer = flat[starts[k] : starts[k + 1]].reshape(
                (sizes[k] + 1, sizes[k + 1])
            )
            if k > 0:
                rows = every[: sizes[k]] if slope != 0 else on[k, : counts[k]]
                back = gradients[k, : sizes[k]]
                _go_back(gradient, layer[:-1], own, rows, slope, back)
            largest += rate * (1 + _size(own)) * _size(gradient)
        if not (largest < LARGEST_UPDATE and math.isfinite(losses[step])):
            return step
        for k in range(depth):
            own, gradient = read[k, : sizes[k]], gradients[k + 1, : sizes[k + 1]]
            layer = flat[starts[k] : starts[k + 1]].reshape(
                (sizes[k] + 1, sizes[k + 1])
            )
            _step(own, on[k, : counts[k]], gradient, rate, layer[:-1], layer[-1])
    return len(inputs)
