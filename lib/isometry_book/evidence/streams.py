"""The streams of the second protocol: who was run on them, and their four numbers.

A stream is one benchmark at one size, on which settings were chosen by a search that
went on until its best was inside (:mod:`isometry.lab.ladders`). Results of
other sweeps in the store are not looked at here.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, paired_difference
from isometry.lab.comparison import METRIC, best_score, tuning_score
from isometry.lab.labels import BASELINE, trained
from isometry.lab.report import BOOTSTRAP_SEED, seed_scores
from isometry.lab.store import Record
from isometry.plasticity import removed_fraction

CONTROL = BASELINE
HELD = " (head held)"  # AdamO's other form, which is shown and not judged
TUNED = ("lr",)  # settings of a run that the search chooses


@dataclass(frozen=True)
class Stream:
    """One stream with the runs of its methods.

    Attributes:
        name: The benchmark, and the network where it is no perceptron.
        runs: Method -> record of the setting that was chosen for the whole stream.
        control: Record of the control as it was chosen for the first fifth, or None.
        results: Tidy numbers of these runs.
    """

    name: str
    runs: dict[str, Record]
    control: Record | None
    results: pd.DataFrame

    def numbers(self, record: Record) -> pd.DataFrame:
        """Return the tidy numbers of one of its runs."""
        return self._by_run.get(record["hash"], self.results.iloc[:0])

    @cached_property
    def _by_run(self) -> dict[str, pd.DataFrame]:
        """Hold the numbers of each run, by its hash."""
        return {str(key): own for key, own in self.results.groupby("settings")}


@dataclass(frozen=True)
class _Gate:
    """Whether a stream can show that a loss is prevented.

    Attributes:
        early: Slope of the control as tuned for the first fifth of the tasks.
        whole: Slope of the control as tuned for all tasks.
    """

    early: Interval
    whole: Interval

    @property
    def passed(self) -> bool:
        """Whether the control, tuned for the first fifth, loses beyond its interval."""
        return self.early.high < 0

    def __str__(self) -> str:
        said = "loses" if self.passed else "loses nothing"
        return (
            f"the control {said}: last minus first fifth {self.early} tuned for the "
            f"first fifth, {self.whole} tuned for the whole stream"
        )


def _stream_name(record: Record) -> str:
    """Return which stream a record belongs to, in words.

    Example:
        >>> settings = {"network": "cnn"}
        >>> _stream_name({"benchmark": "permuted_mnist", "settings": settings})
        'permuted_mnist cnn'
    """
    network = record["settings"].get("network", "mlp")
    return record["benchmark"] + ("" if network == "mlp" else f" {network}")


def _form_of(record: Record) -> str:
    """Return the method of a record, and whether the pull holds its head."""
    own = record["method_settings"]
    held = record["method"].startswith("adamo") and own.get("isometry_head", False)
    return record["method"] + (HELD if held else "")


def _size_key(record: Record) -> str:
    """Return the settings that all methods of a stream share, as a text."""
    own = trained(record["settings"])
    shared = {key: value for key, value in own.items() if key not in TUNED}
    return json.dumps([record["benchmark"], shared], sort_keys=True)


def streams_of(results: pd.DataFrame, records: Iterable[Record]) -> dict[str, Stream]:
    """Return the streams of a store, by name.

    Of several sizes of one benchmark and network, the one with the most methods, then
    with the most tasks, has the plain name; the others say in what they differ. Of two
    choices of one method the better one on the tuning seeds stands.

    Args:
        results: Tidy numbers of a store.
        records: From :func:`isometry.lab.comparison.with_choices`.
    """
    sizes: dict[str, dict[str, Record]] = {}
    controls: dict[str, Record] = {}
    for record in records:
        key, choice = _size_key(record), record.get("choice")
        if choice and choice.get("ladders"):
            found = sizes.setdefault(key, {})
            other = found.get(_form_of(record))
            if other is None or tuning_score(record) > tuning_score(other):
                found[_form_of(record)] = record
        early = record.get("early_choice")
        if record["method"] == CONTROL and early and early.get("ladders"):
            held = controls.get(key)
            if held is None or best_score(early) > best_score(held["early_choice"]):
                controls[key] = record
    streams: dict[str, Stream] = {}
    for key in sorted(sizes, key=lambda one: _extent(sizes[one]), reverse=True):
        runs, control = sizes[key], controls.get(key)
        first = next(iter(runs.values()))
        name = _stream_name(first)
        if name in streams:
            usual = trained(next(iter(streams[name].runs.values()))["settings"])
            own = trained(first["settings"])
            differing = [
                f"{key}={own.get(key, 'default')}"
                for key in sorted({*own, *usual} - set(TUNED))
                if own.get(key) != usual.get(key)
            ]
            name = f"{name} ({', '.join(differing)})"
        chosen = [*runs.values(), *([control] if control else [])]
        rows = results["settings"].isin({record["hash"] for record in chosen})
        rows &= results["benchmark"] == first["benchmark"]
        numbers = results[rows].reset_index(drop=True)
        streams[name] = Stream(name, runs, control, numbers)
    return dict(sorted(streams.items()))


def _extent(runs: dict[str, Record]) -> tuple[int, int]:
    """Return how large a comparison is: methods, then tasks."""
    return len(runs), next(iter(runs.values()))["settings"]["tasks"]


def _slopes(numbers: pd.DataFrame, metric: str = METRIC) -> pd.Series:
    """Return the mean over the last fifth of the tasks minus the first's."""
    last = seed_scores(numbers, metric, "last")
    return last - seed_scores(numbers, metric, "first")


def slope_interval(numbers: pd.DataFrame, *labels: str) -> Interval:
    """Return the slope with its interval over seeds.

    Args:
        numbers: Tidy, of one run.
        *labels: Name the bootstrap's draws.
    """
    own = _slopes(numbers)
    draw = numpy_generator(BOOTSTRAP_SEED, "slope", *labels)
    return paired_difference(own, 0 * own, draw)


def gate_of(stream: Stream) -> _Gate | None:
    """Return whether a stream's control loses; None as long as it was not run.

    Args:
        stream: Any stream.
    """
    whole = stream.runs.get(CONTROL)
    if stream.control is None or whole is None:
        return None
    return _Gate(
        early=slope_interval(stream.numbers(stream.control), stream.name, "early"),
        whole=slope_interval(stream.numbers(whole), stream.name, "whole"),
    )


def table_of(
    stream: Stream, what: str, methods: Iterable[str] | None = None
) -> pd.DataFrame:
    """Return one of a stream's numbers: one row a seed, one column a method.

    Args:
        stream: Any stream.
        what: ``level`` (online accuracy over all tasks), ``slope`` of it, or a metric,
            of which the mean over tasks is taken.
        methods: Which; None: all of the stream.

    Returns:
        Missing where a method lacks a seed or the metric.
    """
    columns: dict[str, Any] = {}
    for method in stream.runs if methods is None else methods:
        numbers = stream.numbers(stream.runs[method])
        if what == "slope":
            columns[method] = _slopes(numbers)
        else:
            columns[method] = _seed_scores_or_none(
                numbers, METRIC if what == "level" else what
            )
    return pd.DataFrame(columns)


def _seed_scores_or_none(numbers: pd.DataFrame, metric: str) -> pd.Series:
    """Return the mean over tasks of a metric by seed; empty if it was not recorded."""
    if metric not in numbers["metric"].unique():
        return pd.Series(dtype="float64")
    return seed_scores(numbers, metric)


def achievable_loss(
    results: pd.DataFrame, records: Iterable[Record], stream: Stream
) -> float | None:
    """Return the loss that a fresh network reaches in many times the epochs.

    Args:
        results: Tidy numbers of the store.
        records: Of its files.
        stream: Whose tasks.

    Returns:
        The smallest mean final loss, over seeds and tasks, of the runs of fresh
        networks on the same tasks with at least five times the epochs; None without.
    """
    own = next(iter(stream.runs.values()))
    longer = {"tasks", "epochs", *TUNED}
    found = []
    for record in records:
        same = record["benchmark"] == own["benchmark"] and record["method"] == "fresh"
        first, second = trained(record["settings"]), trained(own["settings"])
        if not same or first.keys() != second.keys():
            continue
        if any(first[key] != second[key] for key in first.keys() - longer):
            continue
        if first["epochs"] >= 5 * second["epochs"]:
            rows = results["settings"] == record["hash"]
            rows &= results["benchmark"] == own["benchmark"]
            rows &= results["metric"] == "final_loss"
            found.append(float(results[rows]["value"].mean()))
    return min(found, default=None)


def measured_plasticity(stream: Stream, achievable: float) -> pd.DataFrame:
    """Return the share of the removable loss that a task removes, by a measured bound.

    Args:
        stream: Any stream.
        achievable: From :func:`achievable_loss`.

    Returns:
        One row a seed, one column a method: means over tasks. A task that starts at or
        below the bound has nothing to remove and does not count.

    Source: arXiv 2606.09762, Sec. 2.
    """
    columns = {}
    for method, record in stream.runs.items():
        numbers = stream.numbers(record)
        losses = numbers[numbers["metric"].isin(["initial_loss", "final_loss"])]
        wide = losses.pivot(index=["seed", "task"], columns="metric", values="value")
        wide = wide[wide["initial_loss"] > achievable]
        start, end = (  # copies: pandas' own arrays are not writable
            wide[name].to_numpy(copy=True) for name in ("initial_loss", "final_loss")
        )
        removed = removed_fraction(start, end, achievable)
        columns[method] = pd.Series(removed, wide.index).groupby("seed").mean()
    return pd.DataFrame(columns)
