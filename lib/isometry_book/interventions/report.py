"""What the forks say: which share of the lost plasticity comes back with which part.

An intervention also changes the loss that the next task begins with. Where it raises
it, the fraction of the loss that is removed rises by itself; the accuracy while
learning and the loss at the end do not have this fault. So they stand beside it.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from isometry.core.messages import refusal, unknown
from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, as_scores, stratified_bootstrap

LEAST = 0.01  # in the metric's unit: a smaller loss is none
LESS_IS_BETTER = ("initial_loss", "final_loss")
# What is put back, in words; in the order of drawings.
INTERVENTION_NAMES = {
    "spectrum_optimizer": "spectrum and new moments",
    "spectrum": "spectrum",
    "optimizer": "new moments",
    "scale_optimizer": "old scale and new moments",
    "scale": "old scale",
    "gates_optimizer": "open gates and new moments",
    "gates": "open gates",
    "head_optimizer": "old head and new moments",
    "head": "old head",
    "hidden_optimizer": "old hidden layers and new moments",
    "hidden": "old hidden layers",
}


def _shares(
    worn: ArrayLike,  # (seeds,)
    intervened: ArrayLike,  # (seeds,)
    fresh: ArrayLike,  # (seeds,)
    least: float = LEAST,
) -> NDArray:
    """Return ``(intervened - worn) / (fresh - worn)`` of each seed.

    Example:
        >>> _shares([0.5, 0.7], [0.6, 0.7], [0.9, 0.7])
        array([0.25,  nan])
    """
    if not least > 0:
        raise ValueError(refusal("least > 0", least, "pass e.g. 0.01"))
    before, after, best = (as_scores(x) for x in (worn, intervened, fresh))
    if not before.shape == after.shape == best.shape or len(before) != 1:
        found = f"{before.shape}, {after.shape} and {best.shape}"
        raise ValueError(
            refusal("one score of each seed", found, "run what is missing")
        )
    lost = best - before
    share = (after - before) / np.where(lost >= least, lost, 1.0)
    return np.where(lost >= least, share, np.nan)[0]


def _returned(
    worn: ArrayLike,
    intervened: ArrayLike,
    fresh: ArrayLike,
    generator: np.random.Generator,
    least: float = LEAST,
) -> Interval | None:
    """Return the share of the lost plasticity that comes back, or None: none was lost.

    Something was lost if the interval over seeds of ``fresh - worn`` lies above
    ``least``. Seeds that lost less by themselves have no share and are left out; the
    interval's ``num_seeds`` says how many are left.

    Example:
        >>> one_seed = [0.5], [0.6], [0.9]
        >>> _returned(*one_seed, np.random.default_rng(0)) is None
        True
    """
    shares = _shares(worn, intervened, fresh, least)
    lost = np.asarray(fresh, dtype=float) - np.asarray(worn, dtype=float)
    if not stratified_bootstrap(lost, generator).low > least:  # one seed: no number
        return None
    return stratified_bootstrap(shares[np.isfinite(shares)], generator)


def scores_of(frame: pd.DataFrame, method: str, age: int, metric: str) -> pd.Series:
    """Return a metric of every seed at one age, so that more is better.

    Args:
        frame: Tidy, of a benchmark ``interventions_<stream>``.
        method: An intervention, or ``nothing`` or ``fresh``.
        age: Tasks before the one that is measured.
        metric: Which one; a loss is returned with its sign turned.

    Returns:
        By seed, sorted.

    Raises:
        KeyError: If there is no such intervention.
    """
    known = frame["method"].unique()
    if method not in known:
        raise KeyError(unknown("intervention", method, known))
    chosen = frame[(frame["method"] == method) & (frame["metric"] == metric)]
    scores = chosen[chosen["task"] == age].set_index("seed")["value"].sort_index()
    return -scores if metric in LESS_IS_BETTER else scores


def share_returned(
    frame: pd.DataFrame,
    name: str,
    age: int,
    metric: str = "online_accuracy",
    least: float = LEAST,
) -> Interval | None:
    """Return which share of what was lost comes back; None if nothing was lost.

    Args:
        frame: Tidy, of a benchmark ``interventions_<stream>``.
        name: The intervention.
        age: Tasks before the one that is measured.
        metric: Of that task.
        least: The interval over seeds of what was lost must lie above this, in the
            metric's unit.
    """
    worn, after, new = (
        scores_of(frame, method, age, metric) for method in ("nothing", name, "fresh")
    )
    draw = numpy_generator(0, "interventions", name, int(age), metric)
    return _returned(worn, after, new, draw, least)


def returned_table(
    frame: pd.DataFrame, metric: str = "online_accuracy", least: float = LEAST
) -> pd.DataFrame:
    """Return for every intervention and age which share of what was lost comes back.

    Args:
        frame: Tidy, of a benchmark ``interventions_<stream>``.
        metric: Of the next task.
        least: The interval over seeds of what was lost must lie above this, in the
            metric's unit; below there is no share.

    Returns:
        Columns ``intervention, age, share, low, high, seeds``, NaN where nothing was
        lost; learning rates are left out.
    """
    rows = []
    fresh = frame["method"].str.startswith("fresh")
    rates = frame["method"].str.startswith("rate_")
    for name in sorted(set(frame.loc[~fresh & ~rates, "method"]) - {"nothing"}):
        for age in sorted(frame["task"].unique()):
            found = share_returned(frame, name, age, metric, least)
            end = (np.nan, np.nan, np.nan, 0)
            if found is not None:
                end = (found.estimate, found.low, found.high, found.num_seeds)
            rows.append((name, age, *end))
    columns = ["intervention", "age", "share", "low", "high", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def _at_best_rate(scores: ArrayLike) -> NDArray:
    """Return each seed's score at the learning rate that the other seeds choose.

    A rate chosen by the very seed that is then counted would look better than it is.

    Example:
        >>> _at_best_rate([[1.0, 1.0, 9.0], [2.0, 2.0, 2.0]])
        array([1., 1., 2.])
    """
    array = as_scores(scores)
    if array.shape[1] < 2:
        raise ValueError(refusal("two seeds or more", array.shape[1], "run more"))
    others = array.sum(1, keepdims=True) - array
    return np.take_along_axis(array, others.argmax(0)[None], axis=0)[0]


def loss_by_rate(
    frame: pd.DataFrame, age: int, metric: str = "online_accuracy"
) -> dict[str, Interval]:
    """Return how far worn networks stay behind new ones, also with rates tuned anew.

    If the worn networks only needed another step size, nothing is left once both
    kinds learn at their own best rate.

    Args:
        frame: Tidy, of a benchmark ``interventions_<stream>``.
        age: Tasks before the one that is measured.
        metric: Of that task.

    Returns:
        What is lost at the ``usual`` rate and at the ``tuned`` ones, and how much the
        worn networks gain ``by_tuning``.
    """
    rates = sorted(m for m in frame["method"].unique() if m.startswith("rate_"))
    usual = [scores_of(frame, m, age, metric).to_numpy() for m in ("nothing", "fresh")]
    tuned = [
        _at_best_rate(
            [scores_of(frame, f"{kind}{rate}", age, metric) for rate in rates]
        )
        for kind in ("", "fresh_")
    ]
    draw = numpy_generator(0, "interventions", "rates", age, metric)
    return {
        "usual": stratified_bootstrap(usual[1] - usual[0], draw),
        "tuned": stratified_bootstrap(tuned[1] - tuned[0], draw),
        "by_tuning": stratified_bootstrap(tuned[0] - usual[0], draw),
    }
