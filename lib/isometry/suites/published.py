"""The published values, and the rule by which ours agree with them.

``published.toml`` has a table for each suite, row and measure::

    [online_permuted."SGD"."mean accuracy"]
    value = 0.5            # in the unit of our runs: accuracies as fractions
    plus_minus = 0.01      # left out where none is printed
    means = "95 % interval"
    seeds = 10             # of the other spreads, which are made into 95 % intervals
    source = "whose table, and which"

The rule was written, and the suites were run, before a value stood there. Ours agree
where the difference is at most a tolerance: 0.01 of an accuracy, 5 % of any other
published value. Else they agree where both 95 % intervals overlap; but an interval that
reaches further than five tolerances from its centre agrees with nearly everything, and
then it is undecided. Else they differ. There is no verdict before all seeds have run.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scipy.special import stdtrit

from isometry.core.messages import refusal, unknown
from isometry.core.statistics import (
    NAN,
    Interval,
    spelled_interval,
    telling_digits,
)
from isometry.suites import suite
from isometry.suites.suite import PUBLISHED, Measure, all_suites
from isometry.sweep.file import check_kinds, parsed_file

Verdict = Literal["agree", "differ", "undecided"]
ACCURACY_TOLERANCE = 0.01
RELATIVE_TOLERANCE = 0.05
WIDE = 5  # tolerances from the centre
SPREADS = ("95 % interval", "standard error", "standard deviation")
KINDS: dict[str, type] = {
    **dict.fromkeys(("value", "plus_minus"), float),
    **dict.fromkeys(("means", "source"), str),
    "seeds": int,
}
Values = dict[tuple[str, str, str], "Published"]  # by suite, row and measure


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published value.

    Attributes:
        interval: Value with its 95 % interval, in the unit of our runs; without ends
            where none is printed.
        source: Whose table, and which.
    """

    interval: Interval
    source: str

    def __str__(self) -> str:
        own = self.interval
        if math.isnan(own.low):
            return f"{own.estimate:.3f}"
        digits = telling_digits(own.low, own.high)
        return spelled_interval(own.estimate, own.low, own.high, digits)


def read_published(folder: Path | None = None) -> Values:
    """Return all published values that are known, by suite, row and measure.

    Args:
        folder: Of the suites' files; the package's own if not given.

    Raises:
        KeyError: For a suite, row or measure that is not there.
        ValueError: For a value that cannot be.
    """
    file = (folder or suite.FOLDER) / f"{PUBLISHED}.toml"
    content = parsed_file(file, "file of values")
    suites = {one.name: one for one in all_suites(folder) if not one.reduced}
    found = {}
    for name, rows in content.items():
        if name not in suites:
            raise KeyError(unknown("suite", name, suites))
        labels = [row.label for row in suites[name].rows]
        measures = {measure.name: measure for measure in suites[name].measures}
        for label, values in rows.items():
            if label not in labels:
                raise KeyError(unknown(f"row of suite {name}", label, labels))
            for key, table in values.items():
                if key not in measures:
                    raise KeyError(unknown(f"measure of suite {name}", key, measures))
                where = f"the value of {name}, {label}, {key}"
                found[name, label, key] = _value(table, measures[key], where)
    return found


def _value(table: Any, measure: Measure, where: str) -> Published:
    """Return a value whose spread is made into a 95 % interval."""
    if not isinstance(table, Mapping):
        raise ValueError(refusal(f"a table for {where}", table, "write it as one"))
    check_kinds(table, KINDS, where)
    for key in ("value", "source"):
        if key not in table:
            raise ValueError(refusal(f"{key} in {where}", "none", f"add {key}"))
    value, spread = float(table["value"]), table.get("plus_minus")
    if not math.isfinite(value) or (is_accuracy(measure) and not 0 <= value <= 1):
        needed = f"a finite number for {where}, of an accuracy a fraction"
        raise ValueError(refusal(needed, value, "change value"))
    seeds = table.get("seeds", 0)
    if spread is None:
        return Published(
            interval=Interval(value, NAN, NAN, 0.95, seeds), source=table["source"]
        )
    means = table.get("means")
    if means not in SPREADS:
        needed = f"means of {', '.join(SPREADS)} for {where}"
        raise ValueError(refusal(needed, means, "say what plus_minus is"))
    half = float(spread)
    if means != SPREADS[0]:
        if seeds < 2:
            needed = f"seeds >= 2 for {where}, whose spread is a {means}"
            raise ValueError(refusal(needed, seeds, "add seeds"))
        half *= float(stdtrit(seeds - 1, 0.975))
        half /= math.sqrt(seeds) if means == "standard deviation" else 1
    interval = Interval(value, value - half, value + half, 0.95, seeds)
    return Published(interval=interval, source=table["source"])


def is_accuracy(measure: Measure) -> bool:
    """Return whether a measure is one of accuracy, a fraction.

    Args:
        measure: Of a suite.
    """
    return measure.metric.endswith("accuracy")


def verdict(ours: Interval, theirs: Interval, measure: Measure) -> Verdict:
    """Return whether our number agrees with a published one, by the rule above.

    Args:
        ours: Over all seeds that were asked for; not finite where one diverged.
        theirs: Published. An interval without ends counts as a point.
        measure: Says which tolerance holds.

    Example:
        >>> measure = Measure(name="mean", metric="online_accuracy")
        >>> ours = Interval(0.80, 0.79, 0.81, 0.95, 5)
        >>> verdict(ours, Interval(0.83, 0.805, 0.855, 0.95, 5), measure)
        'agree'
        >>> verdict(ours, Interval(0.83, 0.82, 0.84, 0.95, 5), measure)
        'differ'
    """
    tolerance = ACCURACY_TOLERANCE
    if not is_accuracy(measure):
        tolerance = RELATIVE_TOLERANCE * abs(theirs.estimate)
    if abs(ours.estimate - theirs.estimate) <= tolerance:
        return "agree"
    both = [_ends(ours), _ends(theirs)]
    if not max(low for low, _ in both) <= min(high for _, high in both):
        return "differ"
    wide = any(high - low > 2 * WIDE * tolerance for low, high in both)
    return "undecided" if wide else "agree"


def _ends(interval: Interval) -> tuple[float, float]:
    """Return the ends of an interval, or twice its centre if it has none."""
    if math.isnan(interval.low):
        return interval.estimate, interval.estimate
    return interval.low, interval.high
