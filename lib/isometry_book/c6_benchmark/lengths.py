"""Chapter 6: which method at which length of a task?

Permuted MNIST with one, five and twenty passes over a task's images. The middle one is
the stream of the campaign; for the others each method keeps the setting of its own that
was chosen there and chooses its learning rate anew (``sweeps/campaign/20_lengths_*``,
whose heads have the rule by which a method is called first).
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import paired_difference
from isometry.lab.comparison import CEILING, with_choices
from isometry.lab.report import BOOTSTRAP_SEED
from isometry.lab.store import Record, load
from isometry_book.c6_benchmark.streams_tables import loaded_streams, numbers
from isometry_book.evidence.inventory import steps_of
from isometry_book.evidence.streams import Stream, table_of
from isometry_book.style import method_style

BENCHMARK = "permuted_mnist"
METHODS = ("adam", "adamo", "maxmin", "fire", "spectral", CEILING)
TASKS = {1: 100, 20: 40}  # passes -> tasks, of the two other lengths


def by_length(store: Path) -> dict[int, Stream]:
    """Return the streams by the optimiser steps of a task, shortest first.

    Args:
        store: The results store.

    Returns:
        Those on which all of :data:`METHODS` have been run.

    Raises:
        StoreError: If a file cannot be used.
    """
    usual = loaded_streams(store)[BENCHMARK]
    same = _of_stream(next(iter(usual.runs.values())))
    found: dict[int, dict[str, Record]] = {}
    found[steps_of(usual.runs["adam"]["settings"])] = usual.runs
    stored = load(store / BENCHMARK)
    for record in with_choices(stored.records, store):
        settings = record["settings"]
        choice = record["choice"]
        if not choice or choice.get("ladders"):
            continue
        other_length = TASKS.get(settings["epochs"]) == settings["tasks"]
        if other_length and _of_stream(record) == same:
            found.setdefault(steps_of(settings), {})[record["method"]] = record
    results = stored.frame
    streams = {}
    for steps in sorted(found):
        if not set(METHODS) <= set(found[steps]):
            continue
        runs = {method: found[steps][method] for method in METHODS}
        hashes = {record["hash"] for record in runs.values()}
        own = results[results["settings"].isin(hashes)].reset_index(drop=True)
        streams[steps] = Stream(f"{steps} steps a task", runs, None, own)
    return streams


def _of_stream(record: Record) -> tuple:
    """Return what the streams of all lengths share."""
    keys = ("data", "images_per_task", "batch_size", "width", "depth", "network")
    return tuple(record["settings"].get(key) for key in keys)


def first_at(stream: Stream) -> str | None:
    """Return the method that is first, or None if none is by the rule.

    The rule, from before the runs: the 95 % interval of its paired difference in online
    accuracy lies above 0 against each of the others, fresh networks apart.

    Args:
        stream: From :func:`by_length`.
    """
    level = table_of(stream, "level").drop(columns=CEILING, errors="ignore")
    best = str(level.mean().idxmax())
    for other in level.columns.drop(best):
        draw = numpy_generator(BOOTSTRAP_SEED, "lengths", stream.name, other)
        if not paired_difference(level[best], level[other], draw).low > 0:
            return None
    return best


def draw(ax: Axes, streams: Mapping[int, Stream], what: str) -> None:
    """Draw a number of each method over the length of a task.

    Args:
        ax: Where.
        streams: From :func:`by_length`.
        what: See :func:`isometry_book.evidence.streams.table_of`.
    """
    tables = {steps: numbers(stream, what) for steps, stream in streams.items()}
    for method in METHODS:
        rows = {s: t.loc[method] for s, t in tables.items() if method in t.index}
        if not rows:
            continue
        table = pd.DataFrame(rows).T
        errors = [table["mean"] - table["low"], table["high"] - table["mean"]]
        style = method_style(method, marker="o", markersize=4)
        ax.errorbar(table.index, table["mean"], errors, **style)
    ax.set_xscale("log")
    ax.set_xticks(list(tables), [f"{steps:,}" for steps in tables])
    ax.minorticks_off()
    ax.set_xlabel("steps of a task")
