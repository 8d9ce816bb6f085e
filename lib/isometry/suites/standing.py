"""Where a suite stands: what each row reached, beside what was published."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from isometry.core.messages import unknown
from isometry.core.statistics import (
    NAN,
    Interval,
    spelled_interval,
    t_interval,
    telling_digits,
)
from isometry.lab.choices import spelled
from isometry.lab.performance_profiles import table_text
from isometry.lab.run import missing_seeds
from isometry.lab.store import Record, read_file
from isometry.suites.published import Published, Values, Verdict, verdict
from isometry.suites.suite import REDUCED, Measure, Row, Suite

NOT_YET = "not run yet"
SMALLER = "smaller"  # in place of a verdict


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a row reached.

    Attributes:
        row: Which one.
        done: How many of its seeds have run.
        diverged: How many of these diverged.
        numbers: A number for each of the suite's measures: mean over seeds with
            Student's 95 % interval; none before a seed has run; not finite where a
            seed's is not.
        seconds: Of processor cores that its seeds took; 0 before one has run.
        measured: Whether these are known; else they are those of the clock, of which
            one thread cannot have taken more.
        devices: On which they ran.
    """

    row: Row
    done: int
    diverged: int
    numbers: Mapping[str, Interval]
    seconds: float
    measured: bool
    devices: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Return whether all seeds have run."""
        return self.done == len(self.row.seeds)


def values_of(frame: pd.DataFrame, measure: Measure, tasks: int) -> pd.Series:
    """Return one number a seed: the mean of a metric over the tasks that count.

    Args:
        frame: Tidy numbers of one row.
        measure: Names metric and tasks.
        tasks: In the stream.

    Returns:
        Indexed by seed, in the metric's unit.

    Raises:
        KeyError: If the metric was not recorded; the nearest one that was is named.
    """
    if measure.metric not in set(frame["metric"]):
        raise KeyError(unknown("metric", measure.metric, set(frame["metric"])))
    counts = frame["metric"] == measure.metric
    if measure.last:
        counts &= frame["task"] >= tasks - measure.last
    return frame[counts].groupby("seed")["value"].mean()


def standing(row: Row, suite: Suite, store: Path) -> Standing:
    """Return where a row stands.

    Args:
        row: Of the suite.
        suite: Has the measures.
        store: The store's folder.

    Raises:
        KeyError: If a metric was not recorded.
        StoreError: If the row's file cannot be used.
    """
    there = sorted(set(row.seeds) - set(missing_seeds(row.planned, row.seeds, store)))
    runs: list[Record] = []
    numbers = {}
    if there:
        frame, record = read_file(row.planned.path(store))
        runs = [run for run in record["runs"] if {*run["seeds"]} & {*there}]
        own, tasks = frame[frame["seed"].isin(there)], row.planned.settings.tasks
        numbers = {
            measure.name: _interval(values_of(own, measure, tasks))
            for measure in suite.measures
        }
    shares = [_share(run, there) for run in runs]
    return Standing(
        row=row,
        done=len(there),
        diverged=sum(count for count, _ in shares),
        numbers=numbers,
        seconds=sum(seconds for _, seconds in shares),
        measured=all("core_seconds" in run for run in runs),
        devices=tuple(sorted({run["device"] for run in runs if "device" in run})),
    )


def _interval(values: pd.Series) -> Interval:
    """Return mean and interval; without ends where a value is not finite."""
    if all(map(math.isfinite, values)):
        return t_interval(values.to_numpy())
    return Interval(float(values.mean()), NAN, NAN, 0.95, len(values))


def _share(run: Record, seeds: list[int]) -> tuple[int, float]:
    """Return how many of some seeds diverged in a run, and the core-seconds of all."""
    both = set(run["seeds"]) & set(seeds)
    states = [run.get("status", {}).get(str(seed), "") for seed in both]
    share = len(both) / len(run["seeds"])
    return (
        sum(state.startswith("diverged") for state in states),
        share * {"core_seconds": run.get("seconds", NAN), **run}["core_seconds"],
    )


def judged(
    one: Standing, suite: Suite, measure: Measure, values: Values
) -> tuple[Published | None, Verdict | str]:
    """Return the published value and the verdict on it, "" where there is none.

    Args:
        one: Of a row.
        suite: Its suite.
        measure: Which number.
        values: All published values that are known.

    Returns:
        Beside a reduction the value of the whole box, and no verdict but that it is
        smaller.
    """
    theirs = values.get(
        (suite.name.removesuffix(REDUCED), one.row.of or one.row.label, measure.name)
    )
    if theirs is None or not one.complete:
        return theirs, ""
    if suite.reduced:
        return theirs, SMALLER
    return theirs, verdict(one.numbers[measure.name], theirs.interval, measure)


def number_text(one: Standing, measure: Measure) -> str:
    """Return what a row reached, as text.

    Args:
        one: Of a row.
        measure: Which number.
    """
    if not one.done:
        return NOT_YET
    found = one.numbers[measure.name]
    if not math.isfinite(found.estimate):
        return "diverged"
    digits = telling_digits(found.low, found.high)
    return spelled_interval(found.estimate, found.low, found.high, digits)


def seeds_text(one: Standing) -> str:
    """Return how many seeds have run of those asked for, and how many diverged.

    Args:
        one: Of a row.
    """
    text = f"{one.done} of {len(one.row.seeds)}"
    return f"{text}, {one.diverged} diverged" if one.diverged else text


def _seconds_text(one: Standing) -> str:
    """Return the core-seconds of a row, as text; "" if there are none."""
    if not one.done or math.isnan(one.seconds):
        return ""
    return f"{'' if one.measured else 'at most '}{one.seconds:,.0f}"


def own_settings(row: Row, suite: Suite) -> str:
    """Return the settings of a row that not all rows share, as they are typed.

    Args:
        row: Of the suite.
        suite: Has those that all rows share.
    """
    shared = suite.settings.items()
    return spelled({k: v for k, v in row.settings.items() if (k, v) not in shared})


def described(suite: Suite, store: Path, values: Values) -> dict[str, Any]:
    """Return what a suite is and where all its rows stand, JSON-ready.

    Args:
        suite: Any suite.
        store: The store's folder.
        values: All published values that are known.

    Returns:
        The suite's texts, ``settings`` of all rows as they are typed, and ``rows``: its
        rows, then its changes. Each has under ``numbers`` one entry a measure.

    Raises:
        KeyError: If a metric was not recorded.
        StoreError: If a file cannot be used.
    """
    return {
        "name": suite.name,
        "title": suite.title,
        "source": suite.source,
        "box": suite.box,
        "notes": list(suite.notes),
        "reduced": suite.reduced,
        "settings": spelled(dict(suite.settings)),
        "rows": [_described(row, suite, store, values) for row in suite.runs],
    }


def _described(row: Row, suite: Suite, store: Path, values: Values) -> dict[str, Any]:
    """Return what a row is and where it stands."""
    one, numbers = standing(row, suite, store), []
    for measure in suite.measures:
        theirs, found = judged(one, suite, measure, values)
        numbers.append(
            {
                "name": measure.name,
                "ours": number_text(one, measure),
                "theirs": None if theirs is None else str(theirs),
                "source": None if theirs is None else theirs.source,
                "verdict": found,
            }
        )
    return {
        "label": row.label,
        "of": row.of,
        "why": row.why,
        "note": row.note,
        "benchmark": row.benchmark,
        "method": row.method,
        "settings": own_settings(row, suite),
        "seeds": seeds_text(one),
        "numbers": numbers,
        "core_seconds": _seconds_text(one),
        "devices": list(one.devices),
    }


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a table to be read.

    Args:
        rows: Of :func:`described`.

    Returns:
        Text: columns ``row, method, settings, seeds``, for each measure its name, and
        with ``published`` and ``verdict`` where a value is known; ``core-seconds``.
    """
    lines = []
    for row in rows:
        line = {"row": f"{row['of']}: {row['label']}" if row["of"] else row["label"]}
        line |= {key: row[key] for key in ("method", "settings", "seeds")}
        for number in row["numbers"]:
            name = number["name"]
            line |= {
                name: number["ours"],
                f"{name}, published": number["theirs"] or "",
                f"{name}, verdict": number["verdict"],
            }
        line["core-seconds"] = row["core_seconds"]
        lines.append(line)
    found = pd.DataFrame(lines)
    added = [c for c in found if c.endswith((", published", ", verdict"))]
    return found.drop(columns=[column for column in added if not found[column].any()])


def shown(suite: Suite, store: Path, values: Values, format: str = "table") -> str:
    """Return a suite with its table as text.

    Args:
        suite: Any suite.
        store: The store's folder.
        values: All published values that are known.
        format: ``table`` and ``markdown`` with what the suite is, ``csv`` and ``json``
            the table alone.

    Raises:
        KeyError: If a metric was not recorded.
        StoreError: If a file cannot be used.
    """
    found = described(suite, store, values)
    text = table_text(table(found["rows"]), format)
    if format in ("csv", "json"):
        return text
    known = any(n["theirs"] for row in found["rows"] for n in row["numbers"])
    source = f" ({suite.source})" if suite.source else ""
    parts = [f"{suite.title}{source}", suite.box]
    parts += [f"Reduced: {suite.reduced}"] if suite.reduced else []
    parts += [f"All rows: {found['settings']}", "", text, ""]
    parts += ["Means over seeds with Student's 95 % intervals."]
    parts += [] if known else ["No published value is known here yet."]
    return "\n".join(parts)
