"""What goes with the next task's plasticity: over time, across seeds, across methods.

The three are different questions, and pooled they can have a sign that none of them has
(Simpson's paradox). A quantity that drifts as plasticity drifts need not tell which of
two seeds of the same age is worse off, and what tells methods apart need not tell what
happens to one of them. So they are always returned apart.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from isometry.core.messages import refusal
from isometry.core.seeding import numpy_generator
from isometry.core.statistics import (
    Interval,
    interquartile_mean,
    stratified_bootstrap,
)

# A statistic of predictor and target, both (..., methods, seeds, ages) -> (...).
Apart = Callable[[NDArray, NDArray], NDArray]


def _rank_correlation(first: ArrayLike, second: ArrayLike) -> NDArray:
    """Return Spearman's rank correlation along the last axis.

    Source: definition: Pearson's correlation of ranks, ties at their mean.

    Example:
        >>> float(_rank_correlation([1.0, 2.0, 3.0], [1.0, 4.0, 9.0]))
        1.0
    """
    ranks = [rankdata(np.asarray(x, dtype=float), axis=-1) for x in (first, second)]
    left, right = (r - r.mean(-1, keepdims=True) for r in ranks)
    size = np.sqrt((left**2).sum(-1) * (right**2).sum(-1))
    return (left * right).sum(-1) / np.where(size > 0, size, 1.0)


def _over_time(first: NDArray, second: NDArray) -> NDArray:
    """Return the correlation over ages within a seed and method, then the mean."""
    return _of_seeds(_rank_correlation(first, second))


def _across_seeds(first: NDArray, second: NDArray) -> NDArray:
    """Return the correlation across seeds at a fixed age and method, then the mean."""
    turned = [np.swapaxes(x, -1, -2) for x in (first, second)]
    return _rank_correlation(*turned).mean((-1, -2))


def _across_methods(first: NDArray, second: NDArray) -> NDArray:
    """Return the correlation across methods at a fixed age and seed, then the mean."""
    return _of_seeds(_each_across_methods(first, second))


def _each_across_methods(first: NDArray, second: NDArray) -> NDArray:
    """Return the correlation across methods of each seed, with an axis before."""
    turned = [np.moveaxis(x, -3, -1) for x in (first, second)]
    return _rank_correlation(*turned).mean(-1)[..., None, :]


def _of_seeds(each: NDArray) -> NDArray:
    """Return the mean over seeds, then over what stands before them."""
    return interquartile_mean(each).mean(-1)


# What each seed gives whichever others are drawn is computed once.
EACH: dict[Apart, Apart] = {
    _over_time: _rank_correlation,
    _across_methods: _each_across_methods,
}


def _panel(frame: pd.DataFrame, metric: str, methods: list[str], ages: list[int]):
    """Return a metric as an array ``(methods, seeds, ages)``."""
    chosen = frame[(frame["metric"] == metric) & frame["method"].isin(methods)]
    table = chosen.pivot(index=["method", "seed"], columns="task", values="value")
    seeds = sorted(chosen["seed"].unique())
    rows = pd.MultiIndex.from_product([methods, seeds])
    values = table.reindex(index=rows, columns=ages).to_numpy()
    if values.size == 0 or np.isnan(values).any():
        needed = f"{metric} of every method, seed and age"
        raise ValueError(refusal(needed, "gaps", "choose other ages or methods"))
    return values.reshape(len(methods), len(seeds), len(ages))


def _over_seeds(
    statistic: Apart,
    first: NDArray,
    second: NDArray,
    generator: np.random.Generator,
    other: NDArray | None = None,
) -> Interval:
    """Return a correlation, or a difference of two sizes, with an interval over seeds.

    Seeds are drawn whole: with all their methods and ages, and in both correlations
    the same.
    """
    pairs = [(first, second), *([] if other is None else [(other, second)])]
    each = EACH.get(statistic)
    known = [each(*pair) for pair in pairs] if each else []  # (..., seeds)

    def of(drawn: NDArray) -> NDArray:
        index = drawn.astype(int)  # (resamples, seeds)
        if each:
            found = [_of_seeds(np.moveaxis(x[:, index], 0, 1)) for x in known]
        else:  # of (resamples, methods, seeds, ages)
            found = [
                statistic(*(np.moveaxis(x[:, index], 0, 1) for x in pair))
                for pair in pairs
            ]
        return found[0] if other is None else np.abs(found[0]) - np.abs(found[1])

    return stratified_bootstrap(np.arange(first.shape[1]), generator, of)


def correlations(
    frame: pd.DataFrame,
    predictor: str,
    methods: list[str],
    ages: list[int],
    target: str = "plasticity",
    other: str | None = None,
    each: bool = True,
) -> dict[str, Interval]:
    """Return how a predictor goes with the next task's plasticity, three times apart.

    Args:
        frame: Tidy, of a benchmark ``worn_<stream>``.
        predictor: A metric taken before each task.
        methods: For the correlation across them, at least two.
        ages: At which both are stored; Adam's kernel is not at age 0.
        target: The measure of the same task.
        other: A second predictor, e.g. the trace beside the condition number: then all
            are differences of absolute values, predictor minus other.
        each: Whether those of each method are taken as well, which takes most of the
            time.

    Returns:
        ``over_time/<method>`` and ``across_seeds/<method>`` for each method, the mean
        of each over methods as ``over_time`` and ``across_seeds``, and
        ``across_methods``.

    Raises:
        ValueError: If a number is missing.
    """
    goal = _panel(frame, target, methods, ages)
    first = _panel(frame, predictor, methods, ages)
    second = None if other is None else _panel(frame, other, methods, ages)

    def interval(name: str, statistic: Apart, part: slice) -> Interval:
        draw = numpy_generator(0, "interventions", name, predictor, other or "", target)
        beside = None if second is None else second[part]
        return _over_seeds(statistic, first[part], goal[part], draw, beside)

    found: dict[str, Interval] = {}
    for name, statistic in (("over_time", _over_time), ("across_seeds", _across_seeds)):
        found[name] = interval(name, statistic, slice(None))
        for index, method in enumerate(methods if each else []):
            own = slice(index, index + 1)
            found[f"{name}/{method}"] = interval(name, statistic, own)
    found["across_methods"] = interval("across_methods", _across_methods, slice(None))
    return found
