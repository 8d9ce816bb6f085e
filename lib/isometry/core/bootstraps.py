"""Bootstrap intervals of very many sets of scores, each as it would be alone."""

from collections.abc import Iterable
from itertools import islice

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.core.statistics import NAN, Interval, as_scores, interquartile_mean

with extra("bench"):
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

AT_ONCE = 2**17  # scores drawn at a time: as many as a core's cache holds
# Of so many scores numpy leaves the middle ones, of which the mean is taken, sorted; of
# others it does not, and their sum has another last bit.
SORTED = (2, 3, 4, 5, 6, 8)


def bootstrap_each(
    scores: ArrayLike,  # (sets, seeds)
    generators: Iterable[np.random.Generator],
    level: float = 0.95,
    resamples: int = 2000,
) -> list[Interval]:
    """Return the interquartile mean of every set of scores, with its interval.

    Each is what :func:`isometry.core.statistics.stratified_bootstrap` gives for that
    set alone, bit for bit; what a call costs is paid once for several sets.

    Args:
        scores: One row a set, one column a seed; any unit.
        generators: Where the resamples of each set come from, in the sets' order; each
            is asked for when it is needed.
        level: Nominal coverage, between 0 and 1.
        resamples: How many of each set.

    Returns:
        One interval a set, in the unit of the scores.

    Raises:
        ValueError: If scores are not finite or of another shape, or there are not as
            many generators as sets.
    """
    array = as_scores(scores)
    sets, seeds = array.shape
    estimates = interquartile_mean(array)
    if seeds == 1:
        return [Interval(float(one), NAN, NAN, level, seeds) for one in estimates]
    ends, source, tail = [], iter(generators), (1 - level) / 2
    means = _means_of_few if seeds in SORTED else interquartile_mean
    step = max(1, AT_ONCE // (resamples * seeds))
    room = np.empty((min(step, sets), resamples, seeds))  # made once: memory is slow
    for first in range(0, sets, step):
        some = array[first : first + step]
        resampled, drawers = room[: len(some)], list(islice(source, len(some)))
        if len(drawers) < len(some):
            needed = f"a generator for each of {sets} sets of scores"
            raise ValueError(refusal(needed, first + len(drawers), "pass one a set"))
        for scores_of_one, drawer, into in zip(some, drawers, resampled, strict=True):
            drawn = drawer.integers(seeds, size=(resamples, seeds))
            np.take(scores_of_one, drawn, out=into, mode="clip")  # all are in range
        ends.append(np.quantile(means(resampled), [tail, 1 - tail], axis=1))
    return [
        Interval(float(estimate), float(low), float(high), level, seeds)
        for estimate, low, high in zip(estimates, *np.hstack(ends), strict=True)
    ]


def _means_of_few(scores: NDArray) -> NDArray:
    """Return :func:`interquartile_mean` of few scores: whole columns are compared.

    The sum has the same order as there, so that it has the same bits.

    Source: the sort is odd-even transposition (Habermann 1972).
    """
    columns = list(np.ascontiguousarray(np.moveaxis(scores, -1, 0)))
    count, spare = len(columns), np.empty_like(columns[0])
    for turn in range(count):
        for place in range(turn % 2, count - 1, 2):
            first, second = columns[place : place + 2]
            np.minimum(first, second, out=spare)
            np.maximum(first, second, out=second)
            columns[place], spare = spare, first
    cut = count // 4
    total, *others = columns[cut : count - cut]
    for other in others:
        total += other
    total /= count - 2 * cut
    return total
