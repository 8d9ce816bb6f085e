"""Chapter 6: the streams of the second protocol as tables."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import stratified_bootstrap
from isometry.lab.comparison import CEILING, with_choices
from isometry.lab.report import BOOTSTRAP_SEED
from isometry.lab.store import load
from isometry_book.evidence.protocol import finished
from isometry_book.evidence.streams import (
    CONTROL,
    HELD,
    Stream,
    achievable_loss,
    gate_of,
    measured_plasticity,
    streams_of,
    table_of,
)
from isometry_book.style import by_family, stream_label

EARLY = "adam, first fifth"  # the control as tuned for the first fifth of the tasks
# Two activations by two optimisers.
FORMS = {
    ("ReLU", "Adam"): "adam",
    ("ReLU", "AdamO"): "adamo",
    ("MaxMin", "Adam"): "maxmin",
    ("MaxMin", "AdamO"): "adamo_maxmin",
}


def loaded_streams(store: Path) -> dict[str, Stream]:
    """Return the streams of a store, by name, with the methods that are done with.

    Args:
        store: The results store.

    Returns:
        None without results; see :func:`isometry_book.evidence.protocol.finished`.

    Raises:
        StoreError: If a file cannot be used.
    """
    stored = load(store)
    streams = streams_of(stored.frame, with_choices(stored.records, store))
    done = {name: finished(stream) for name, stream in streams.items()}
    return {name: stream for name, stream in done.items() if stream.runs}


def _intervals_table(table: pd.DataFrame, *labels: str) -> pd.DataFrame:
    """Return the interquartile mean over seeds of each method, largest first."""
    rows = {}
    for method in table:
        scores = table[method].dropna()
        if not scores.empty:
            draw = numpy_generator(BOOTSTRAP_SEED, "streams", *labels, str(method))
            own = stratified_bootstrap(scores, draw)
            rows[method] = [own.estimate, own.low, own.high, len(scores)]
    found = pd.DataFrame(rows, index=["mean", "low", "high", "seeds"]).T
    return found.sort_values("mean", ascending=False)


def numbers(stream: Stream, what: str) -> pd.DataFrame:
    """Return one of a stream's numbers by method, largest first.

    Args:
        stream: Any stream.
        what: See :func:`isometry_book.evidence.streams.table_of`.

    Returns:
        As :func:`_intervals_table`.
    """
    return _intervals_table(table_of(stream, what), stream.name, what)


def gained(stream: Stream) -> pd.DataFrame:
    """Return what each method's level has over the control's, paired by seed.

    Args:
        stream: One whose control was run.

    Returns:
        As :func:`_intervals_table`; without the control and fresh networks.
    """
    level = table_of(stream, "level")
    over = level.sub(level[CONTROL], axis=0)
    over = over.drop(columns=[CONTROL, CEILING], errors="ignore")
    return _intervals_table(over, stream.name, "gained")


def beside_level(stream: Stream, methods: Iterable[str]) -> pd.DataFrame:
    """Return the levels of some methods, and how isometric and awake they stay.

    Args:
        stream: One that has them all.
        methods: Which.

    Returns:
        By method, highest level first: ``level``, ``Gram deviation`` and ``dormant``
        (the share of units), means over all looks; missing where it was not looked at.
    """
    measures = {"Gram deviation": "gram_deviation", "dormant": "dormant_fraction"}
    columns = {
        key: numbers(stream, what)["mean"]
        for key, what in {"level": "level", **measures}.items()
    }
    table = pd.DataFrame(columns).loc[list(methods)]
    return table.sort_values("level", ascending=False)


def bought(
    streams: Mapping[str, Stream], costs: Mapping[str, pd.Series]
) -> pd.DataFrame:
    """Return what each method costs, and what one gets for it on each stream.

    Args:
        streams: By name; methods that one of them lacks are left out.
        costs: Title -> time of a step over the control's, by method.

    Returns:
        By method, the largest mean gain first: the costs as numbers; and for each
        stream ``gains`` (level minus the control's) and ``changes`` (last minus first
        fifth), means with 95 % intervals, as text.
    """
    columns: dict[str, pd.Series] = {}
    means = []
    for name, stream in streams.items():
        tables = {"gains": gained(stream), "changes": numbers(stream, "slope")}
        means.append(tables["gains"]["mean"])
        for what, table in tables.items():
            columns[f"{stream_label(name)} {what}"] = table.apply(
                lambda row: (
                    f"{row['mean']:+z.3f} [{row['low']:+z.3f}, {row['high']:+z.3f}]"
                ),
                axis=1,
            )
    order = pd.concat(means, axis=1).dropna().mean(axis=1).sort_values(ascending=False)
    found = pd.DataFrame({**costs, **columns}).reindex(order.index)
    return found.dropna()


def with_early(stream: Stream) -> Stream:
    """Return a stream in which the control, tuned early, is one more method.

    Args:
        stream: Any stream.
    """
    if stream.control is None or stream.control["hash"] == _early_twin(stream):
        return stream
    runs = {**stream.runs, EARLY: stream.control}
    return Stream(stream.name, runs, stream.control, stream.results)


def _early_twin(stream: Stream) -> str | None:
    """Return the settings of the control that was tuned for the whole stream."""
    record = stream.runs.get(CONTROL)
    return None if record is None else record["hash"]


def gates_table(streams: Mapping[str, Stream]) -> pd.DataFrame:
    """Return what each stream's control loses.

    Args:
        streams: By name.

    Returns:
        One row a stream whose control was run: ``tasks``, ``tuned for the first fifth``
        and ``tuned for the whole`` (last minus first fifth with 95 % interval), and
        whether the stream ``counts``.
    """
    rows = {}
    for name, stream in streams.items():
        gate = gate_of(stream)
        if gate is not None:
            rows[name] = {
                "tasks": stream.runs[CONTROL]["settings"]["tasks"],
                "tuned for the first fifth": str(gate.early),
                "tuned for the whole": str(gate.whole),
                "counts": "yes" if gate.passed else "no",
            }
    return pd.DataFrame(rows).T


def places(streams: Mapping[str, Stream]) -> pd.DataFrame:
    """Return the place of each method by level, on each stream that it was run on.

    A place is among the methods of its own stream, and says of how many: those of two
    streams are never averaged, and a method that a stream lacks has none there. Fresh
    networks and AdamO's form that is not judged are not placed.

    Args:
        streams: By name.

    Returns:
        One row a method, by family, one column a stream: ``3 of 11``, or empty.
    """
    columns = {}
    for name, stream in streams.items():
        level = numbers(stream, "level")["mean"]
        own = [m for m in level.index if m != CEILING and not m.endswith(HELD)]
        ranks = level[own].rank(ascending=False, method="min").astype(int)
        columns[name] = {m: f"{rank} of {len(own)}" for m, rank in ranks.items()}
    table = pd.DataFrame(columns, dtype=object).fillna("")
    order = [
        (family, method)
        for family, own in by_family(map(str, table.index)).items()
        for method in own
    ]
    table = table.reindex([method for _, method in order])
    names = ["family", "method"]
    return table.set_axis(pd.MultiIndex.from_tuples(order, names=names))


def _four_numbers(store: Path, stream: Stream) -> pd.DataFrame:
    """Return level, slope, plasticity and test accuracy of every method of a stream."""
    stored = load(store / next(iter(stream.runs.values()))["benchmark"])
    least = achievable_loss(stored.frame, stored.records, stream)
    tables = {
        "level": table_of(stream, "level"),
        "slope": table_of(stream, "slope"),
        "plasticity": measured_plasticity(stream, least or 0.0),
        "test accuracy": table_of(stream, "test_accuracy"),
    }
    columns = {
        name: _intervals_table(table, stream.name, name)["mean"]
        for name, table in tables.items()
        if table.notna().any(axis=None)
    }
    return pd.DataFrame(columns).sort_values("level", ascending=False)


def all_numbers(store: Path, streams: Mapping[str, Stream]) -> pd.DataFrame:
    """Return the four numbers of every method on several streams.

    Args:
        store: The results store.
        streams: By name.

    Returns:
        One row a stream and method, see :func:`_four_numbers`.

    Raises:
        StoreError: If a file cannot be used.
    """
    found = {
        name.replace("_", " "): _four_numbers(store, stream)
        for name, stream in streams.items()
    }
    return pd.concat(found, names=["stream", "method"]) if found else pd.DataFrame()


def two_by_two(streams: Mapping[str, Stream]) -> pd.DataFrame:
    """Return level and slope of two activations by two optimisers.

    Args:
        streams: By name; those without all four forms are left out.

    Returns:
        One row a stream and number, one column a pair of activation and optimiser.
    """
    rows = {}
    for name, stream in streams.items():
        if set(FORMS.values()) <= set(stream.runs):
            for what in ("level", "slope"):
                found = numbers(stream, what)["mean"]
                rows[name, what] = {
                    " with ".join(pair): found[method]
                    for pair, method in FORMS.items()
                    if method in found
                }
    return pd.DataFrame(rows).T
