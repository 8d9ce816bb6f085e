"""Whether differences are more than chance, and how small a one could be found.

Differences are ``(seeds,)``: one method's score minus another's on the same seed, in
the unit of the scores. Scores over several streams are ``(streams, methods)``.
"""

import math
from dataclasses import dataclass

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.core.statistics import as_scores

with extra("bench"):
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from scipy import stats
    from scipy.optimize import brentq

MOST_EXACT = 20  # seeds: all 2^20 patterns of signs take milliseconds
DRAWN_PATTERNS = 99_999  # of signs, where there are more seeds
TIE = 1e-9  # of the sum of sizes: sums nearer than this differ by rounding alone


def require(holds: bool, needed: str, found: object, do: str) -> None:
    """Raise a ValueError of one line if something does not hold.

    Args:
        holds: Whether it does.
        needed: See :func:`isometry.core.messages.refusal`; so ``found`` and ``do``.
        found: What was given.
        do: What helps.
    """
    if not holds:
        raise ValueError(refusal(needed, found, do))


def by_seed(differences: ArrayLike, fewest: int) -> NDArray:
    """Return the differences of one comparison as finite numbers ``(seeds,)``.

    Args:
        differences: ``(seeds,)``, any unit.
        fewest: How many are needed.

    Raises:
        ValueError: If they are fewer, of several comparisons, or not finite.
    """
    array = as_scores(differences)
    needed, found = f"{fewest} seeds or more in one row", f"shape {array.shape}"
    enough = len(array) == 1 and array.size >= fewest
    require(enough, needed, found, "run more seeds")
    return array[0]


def _least_p(num_seeds: int) -> float:
    """Return the smallest p that :func:`sign_flip_p` can give, dimensionless.

    Example:
        >>> _least_p(5), _least_p(8)
        (0.0625, 0.0078125)
    """
    # Two of all patterns of signs are as extreme as equal signs.
    return 2.0 ** (1 - num_seeds)


def sign_flip_p(
    differences: ArrayLike,  # (seeds,)
    generator: np.random.Generator | None = None,
) -> float:
    """Return the two-sided p of a mean difference when each sign could be either one.

    It is the share of all patterns of signs whose mean is at least as far from zero as
    the observed one, ties included: exact for up to :data:`MOST_EXACT` seeds, and for
    more from drawn patterns with the observed one among them. The test needs no normal
    scores, only differences that are symmetric about zero if there is no effect.
    ``scipy.stats.permutation_test`` would take ties of rounded scores for distinct.

    Args:
        differences: One a seed, any unit.
        generator: Where patterns come from beyond :data:`MOST_EXACT` seeds.

    Raises:
        ValueError: If differences are not finite numbers of one comparison, or are many
            and there is no generator.

    Source: Fisher, The Design of Experiments, 1935, Sec. 21; drawn patterns: Phipson &
    Smyth 2010.

    Example:
        >>> sign_flip_p([0.1, 0.2, 0.3, 0.4])
        0.125
    """
    values = by_seed(differences, 1)
    sizes = np.abs(values)
    if len(sizes) <= MOST_EXACT:
        sums = np.zeros(1)
        for size in sizes:
            sums = np.concatenate([sums + size, sums - size])
    elif generator is None:
        needed, found = f"a generator beyond {MOST_EXACT} seeds", f"{len(sizes)} seeds"
        raise ValueError(refusal(needed, found, "pass numpy.random.default_rng(0)"))
    else:
        signs = generator.choice([-1.0, 1.0], size=(DRAWN_PATTERNS, len(sizes)))
        sums = np.append(signs @ sizes, values.sum())
    return float((np.abs(sums) >= abs(values.sum()) - TIE * sizes.sum()).mean())


def holm(p_values: ArrayLike) -> NDArray:
    """Return p adjusted for all comparisons of a family, in the order they came.

    Rejecting what is at most ``level`` errs anywhere with probability ``level``.

    Args:
        p_values: ``(comparisons,)``, between 0 and 1.

    Raises:
        ValueError: If there is none, or one is out of range.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979.

    Example:
        >>> holm([0.25, 0.0625, 0.5]).tolist()
        [0.5, 0.1875, 0.5]
    """
    values = by_seed(p_values, 1)
    proper = bool(((values >= 0) & (values <= 1)).all())
    require(proper, "0 <= p <= 1", str(values), "pass unadjusted p")
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


@dataclass(frozen=True)
class Friedman:
    """Whether several methods differ over streams, by their ranks in each.

    Attributes:
        mean_ranks: ``(methods,)``; 1 is the largest score, ties share their ranks.
        chi_square: Friedman's statistic, corrected for ties.
        chi_square_p: Its p; too large for few streams.
        f: Iman and Davenport's statistic; infinite if all streams agree.
        f_p: Its p, the one to report.

    Source: Demsar, JMLR 7, 2006, Sec. 3.2.2.
    """

    mean_ranks: NDArray
    chi_square: float
    chi_square_p: float
    f: float
    f_p: float


def friedman(scores: ArrayLike) -> Friedman:
    """Return mean ranks over streams and whether they are more than chance.

    Args:
        scores: ``(streams, methods)``, at least two and three; larger is better.

    Raises:
        ValueError: If there are fewer, or one is not finite.

    Source: Demsar, JMLR 7, 2006, Sec. 3.2.2; ``scipy.stats.friedmanchisquare``.
    """
    array = as_scores(scores)
    streams, methods = array.shape
    enough = streams >= 2 and methods >= 3
    needed, do = "2 streams and 3 methods or more", "compare two with sign_flip_p"
    require(enough, needed, f"{streams} and {methods}", do)
    ranks = stats.rankdata(-array, axis=1)
    if (ranks == ranks[:, :1]).all():  # every method ties with every other
        return Friedman(ranks.mean(0), 0.0, 1.0, 0.0, 1.0)
    chi_square, p = map(float, stats.friedmanchisquare(*ranks.T))
    left = streams * (methods - 1) - chi_square
    f = (streams - 1) * chi_square / left if left > TIE * chi_square else math.inf
    f_p = stats.f.sf(f, methods - 1, (methods - 1) * (streams - 1))
    return Friedman(ranks.mean(0), chi_square, p, f, float(f_p))


def nemenyi_distance(num_methods: int, num_streams: int, level: float = 0.05) -> float:
    """Return how far two mean ranks must be apart to differ among all pairs.

    Args:
        num_methods: How many were ranked, at least 2.
        num_streams: Over how many streams, at least 1.
        level: Probability of any false difference, between 0 and 1.

    Returns:
        In ranks; above ``num_methods - 1`` no pair of methods can differ.

    Raises:
        ValueError: If a number is out of range.

    Source: Demsar, JMLR 7, 2006, Sec. 3.2.2 and Table 5(a).
    """
    enough = num_methods >= 2 and num_streams >= 1
    found = f"{num_methods} and {num_streams}"
    require(enough, "2 methods and 1 stream or more", found, "rank more")
    require(0 < level < 1, "0 < level < 1", level, "pass e.g. 0.05")
    quantile = stats.studentized_range.ppf(1 - level, num_methods, np.inf)
    spread = math.sqrt(num_methods * (num_methods + 1) / (6 * num_streams))
    return float(quantile) / math.sqrt(2) * spread


def smallest_effect(
    spread: float, num_seeds: int, power: float = 0.8, level: float = 0.05
) -> float:
    """Return the true mean difference that a two-sided paired t test finds this often.

    Args:
        spread: Standard deviation of the differences over seeds.
        num_seeds: How many, at least 2.
        power: Probability of finding it, between ``level`` and 1.
        level: Of the test, between 0 and 1.

    Returns:
        In the unit of ``spread``.

    Raises:
        ValueError: If a number is out of range.

    Source: Cohen, Statistical Power Analysis, 1988, ch. 2. The square of a noncentral t
    is ``scipy.stats.ncf``, which is exact where ``scipy.stats.nct`` has no value.

    Example:
        >>> round(smallest_effect(0.01, 8), 4)
        0.0116
    """
    require(num_seeds >= 2, "2 seeds or more", num_seeds, "run more")
    require(0 <= spread < math.inf, "0 <= spread < inf", spread, "pass a deviation")
    needed, do = "0 < level < power < 1", "pass e.g. 0.05 and 0.8"
    require(0 < level < power < 1, needed, f"{level} and {power}", do)
    freedom = num_seeds - 1
    critical = float(stats.t.isf(level / 2, freedom))

    def missing(shift: float) -> float:  # in standard errors
        if shift == 0:  # where scipy's noncentral F is wrong, and nothing to work out
            return level - power
        return float(stats.ncf.sf(critical**2, 1, freedom, shift**2)) - power

    high = critical
    while missing(high) < 0:
        high *= 2
    return brentq(missing, 0.0, high) * spread / math.sqrt(num_seeds)
