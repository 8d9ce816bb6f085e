"""Many steps of one student at batch 1, compiled: the fast form of the network's rules.

:mod:`isometry.tracking.reference` is the form to read; tests hold this one against it,
and it against torch's optimisers. A member's numbers do not depend on other members.
The innermost loop always runs over hidden units, and inputs and features end with a 1,
which makes biases weights like others::

    hidden  (inputs + 1, width)    its last row is the bias
    head    (outputs, padded)      its column `width` is the bias; the rest stays 0
"""

from math import exp, sqrt

from isometry.core.code_cache import kept_on_disk
from isometry.core.extras import extra

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray

LANES = 16  # of the widest registers: the head's rows are padded to a multiple
LOWEST = -15.0  # of a decay's logarithm; the highest is 0
# log2(e), ln(2) as a short number and the rest of it, and 1/k! for k = 0, ..., 7.
_SERIES = (1.0, 1.0, 0.5, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040)
EXPONENTIAL = (1.4426950408889634, 0.693359375, -2.1219444005469057e-4, *_SERIES)
# Sums in another order, and a product and a sum that are rounded once, are as good. NaN
# and infinity, which say that a member diverged, stay what they are.
LOOSE = {"reassoc", "contract", "nsz"}


@kept_on_disk
@njit(nogil=True)
def decays(
    logarithms: NDArray,  # (n,), in [-15, 0]
    constants: NDArray,  # EXPONENTIAL, of the same type
    powers: NDArray,  # int32 (n,), is overwritten
    out: NDArray,  # (n,), is overwritten
) -> None:
    """Write the exponentials of logarithms that are not above zero.

    In float32 it is ``2^n e^f`` with ``|f| <= ln(2) / 2``, the power of two written as
    bits, so that the loops become vector code; the C library's exponential does not.

    Args:
        logarithms: Of decays.
        constants: :data:`EXPONENTIAL`.
        powers: Room for the powers of two.
        out: The decays.

    Source: ours; the reduction is textbook.
    """
    if out.itemsize == 8:
        for k in range(len(out)):
            out[k] = exp(logarithms[k])
        return
    for k in range(len(out)):
        power = np.int32(constants[0] * logarithms[k] - constants[5])  # to the nearest
        whole = out.dtype.type(power)
        rest = logarithms[k] - whole * constants[1] - whole * constants[2]
        total = constants[10]
        for i in range(9, 2, -1):
            total = total * rest + constants[i]
        powers[k] = (power + np.int32(127)) << np.int32(23)
        out[k] = total
    factors = powers.view(np.float32)
    for k in range(len(out)):
        out[k] *= factors[k]


# Of more arrays that are written in one loop a compiler cannot tell that they are
# apart, and leaves the loop as it is; so does a check that no divisor is zero.
@kept_on_disk
@njit(nogil=True, fastmath=LOOSE, error_model="numpy")
def _moments(
    descent: NDArray,  # (n,): minus the gradient is this times the factor
    factor: float,
    first: NDArray,  # (n,)
    second: NDArray,  # (n,)
    numbers: NDArray,
    scale: NDArray,  # (n,), overwritten
) -> None:
    """Move Adam's moments of some weights, and write what scales the step of each.

    Source: Kingma & Ba 2015; epsilon where torch has it.
    """
    beta1, beta2, eps, root = numbers[4], numbers[5], numbers[6], numbers[8]
    along, across = numbers[9] * factor, numbers[10] * factor * factor
    one = first.dtype.type(1)
    for k in range(len(descent)):
        first[k] = beta1 * first[k] + along * descent[k]
        second[k] = beta2 * second[k] + across * (descent[k] * descent[k])
        scale[k] = one / (sqrt(second[k]) * root + eps)


@kept_on_disk
@njit(nogil=True, fastmath=LOOSE)
def _add_rows(hidden: NDArray, now: NDArray, pre: NDArray) -> None:
    """Add what the hidden layer says of an input before the nonlinearity."""
    for j in range(len(hidden)):
        for k in range(len(pre)):
            pre[k] += now[j] * hidden[j, k]


@kept_on_disk
@njit(nogil=True, fastmath=LOOSE)
def _descend(
    hidden: NDArray,
    kept: float,
    now: NDArray,
    after: NDArray,
    change: NDArray,
    pre: NDArray,
) -> None:
    """Change the hidden layer by SGD, and add up what it says of the next input.

    Two rows at a time: the change and the sums are read half as often.
    """
    rows = len(hidden)
    for j in range(0, rows - 1, 2):
        x, y, x_after, y_after = now[j], now[j + 1], after[j], after[j + 1]
        for k in range(len(pre)):
            hidden[j, k] = kept * hidden[j, k] + x * change[k]
            hidden[j + 1, k] = kept * hidden[j + 1, k] + y * change[k]
            pre[k] += x_after * hidden[j, k] + y_after * hidden[j + 1, k]
    if rows % 2:
        x, x_after = now[rows - 1], after[rows - 1]
        for k in range(len(pre)):
            hidden[rows - 1, k] = kept * hidden[rows - 1, k] + x * change[k]
            pre[k] += x_after * hidden[rows - 1, k]


@kept_on_disk
@njit(nogil=True, fastmath=LOOSE)
def _head_step(
    targets: NDArray,  # (outputs,)
    feature: NDArray,  # (padded,)
    state: tuple[NDArray, ...],
    numbers: NDArray,
    constants: NDArray,
    room: tuple[NDArray, ...],
    powers: NDArray,
    back: NDArray,  # (padded,), overwritten: descent by the features
    squares: NDArray,  # (outputs,), overwritten
) -> None:
    """Predict, and take one step of the head, its logarithms and traces.

    Source: arXiv 2604.27063 for FADE; :func:`isometry.tracking.reference.head_step`.
    """
    head, first, second, logarithms, traces = state[1], *state[4:8]
    scale, decay = room
    rate, theta, rate_now = numbers[0], numbers[3], numbers[7]
    adam, learned = first.size > 0, logarithms.size > 0
    zero, one, least = head.dtype.type(0), head.dtype.type(1), head.dtype.type(LOWEST)
    padded = len(feature)
    back[:] = zero
    for o in range(len(targets)):
        weight, error = head[o], targets[o]
        for k in range(padded):
            error -= weight[k] * feature[k]
        squares[o] = error * error
        for k in range(padded):
            back[k] += error * weight[k]
        if adam:
            _moments(feature, error, first[o], second[o], numbers, scale)
        if learned:
            logarithm, trace = logarithms[o], traces[o]
            for k in range(padded):
                moved = logarithm[k] + theta * error * feature[k] * trace[k]
                logarithm[k] = min(max(moved, least), zero)
            decays(logarithm, constants, powers, decay)
            for k in range(padded):
                step = rate * scale[k] * feature[k] * feature[k]
                kept = max(one - decay[k] - step, zero)
                trace[k] = kept * trace[k] - decay[k] * weight[k]
        if adam:
            moved_by = first[o]
            for k in range(padded):
                step = rate_now * moved_by[k] * scale[k]
                weight[k] = (one - decay[k]) * weight[k] + step
        else:
            step = rate * error
            for k in range(padded):
                weight[k] = (one - decay[k]) * weight[k] + step * feature[k]


@kept_on_disk
@njit(nogil=True, fastmath=LOOSE)
def steps(
    inputs: NDArray,  # (steps, inputs + 1), the last column is 1
    targets: NDArray,  # (steps, outputs)
    state: tuple[NDArray, ...],
    numbers: NDArray,  # (11,), see `isometry.tracking.network.numbers_of`
    constants: NDArray,  # EXPONENTIAL
    betas: tuple[float, float],
    taken: int,
    squares: NDArray,  # (steps, outputs), overwritten
) -> None:
    """Take a student through a stretch of its stream, one step an example.

    Args:
        inputs: Of the student, with the 1.
        targets: Of the teacher.
        state: Hidden layer and head, Adam's moments of both (empty without Adam), the
            logarithms of the head's decays and their traces (empty unless they are
            learned); all are changed in place and of one type.
        numbers: Of the rule, of that type.
        constants: Of that type.
        betas: Adam's, in double precision for the bias corrections.
        taken: Steps that were taken before.
        squares: Squared error of each output before each step.

    Source: :mod:`isometry.tracking.reference`.
    """
    hidden, head, first, second = state[:4]
    rows, width = hidden.shape
    padded, adam, last = head.shape[1], first.size > 0, len(inputs) - 1
    zero, one = hidden.dtype.type(0), hidden.dtype.type(1)
    pre, change = np.zeros(width, hidden.dtype), np.zeros(width, hidden.dtype)
    feature, back = np.zeros(padded, hidden.dtype), np.zeros(padded, hidden.dtype)
    room = np.full(padded, one), np.full(padded, numbers[2])  # scale, decay
    powers, kept = np.empty(padded, np.int32), one - numbers[1]
    feature[width] = one
    for t in range(len(inputs)):
        if t == 0 or adam:
            pre[:] = zero
            _add_rows(hidden, inputs[t], pre)
        for k in range(width):
            feature[k] = max(pre[k], zero)
        numbers[7] = numbers[0] / (1.0 - betas[0] ** (taken + t + 1))
        numbers[8] = 1.0 / sqrt(1.0 - betas[1] ** (taken + t + 1))
        parts = targets[t], feature, state, numbers, constants, room, powers
        _head_step(*parts, back, squares[t])
        for k in range(width):
            change[k] = back[k] if pre[k] > zero else zero
            pre[k] = zero
        if adam:
            scale, rate_now = room[0], numbers[7]
            for j in range(rows):
                row, moved_by = hidden[j], first[j]
                _moments(change, inputs[t, j], moved_by, second[j], numbers, scale)
                for k in range(width):
                    row[k] = kept * row[k] + rate_now * moved_by[k] * scale[k]
        else:
            for k in range(width):
                change[k] *= numbers[0]
            after = inputs[min(t + 1, last)]
            _descend(hidden, kept, inputs[t], after, change, pre)
