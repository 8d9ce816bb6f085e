"""Chapter 6: the paper's network, at the reported numbers and with the hardest pull."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.settings import as_dict
from isometry.core.statistics import paired_difference
from isometry.lab.plans import plan
from isometry.lab.report import BOOTSTRAP_SEED
from isometry.lab.store import Record, load
from isometry_book.c6_benchmark.streams_tables import numbers
from isometry_book.evidence.streams import (
    CONTROL,
    Stream,
    slope_interval,
    table_of,
)
from isometry_book.style import method_label

BENCHMARK, JUDGED = "permuted_mnist", "adamo"
# The network is the paper's; images, epochs and batches of its stream are not known.
BOX: dict[str, Any] = {
    "data": "mnist",
    "tasks": 80,
    "images_per_task": 6000,
    "epochs": 1,
    "batch_size": 128,
    "width": 512,
    "depth": 4,
    "init": "orthogonal",
    "input_scaling": "standard",
}
REPORTED, FASTER = 1e-4, 1e-3  # learning rates
# Learning rate -> what AdamO's settings are beside the defaults.
FORMS: dict[float, dict[str, Any]] = {
    REPORTED: {"isometry_strength": 1e-3, "isometry_head": True},
    FASTER: {"isometry_pull": 0.125, "isometry_head": False},
}
STEADY = -0.01  # slope of online accuracy above which nothing is lost

Answer = Literal["yes", "no", "undecided", "nothing is lost"]


def in_box(record: Record) -> bool:
    """Return whether a record is of the paper's network on this stream.

    Args:
        record: Any of a store.
    """
    return (
        record["benchmark"] == BENCHMARK and BOX.items() <= record["settings"].items()
    )


def boxes(store: Path) -> dict[float, Stream]:
    """Return Adam and AdamO on the paper's network, by learning rate.

    At the reported rate AdamO has the reported strength and holds its head; at the
    faster one it has the hardest pull, and its head is free.

    Args:
        store: The results store.

    Raises:
        StoreError: If a file cannot be used.
    """
    stored = load(store / BENCHMARK)
    results, records = stored.frame, [one for one in stored.records if in_box(one)]
    streams = {}
    for lr, form in FORMS.items():
        wanted = {CONTROL: {"lr": lr}, JUDGED: {"lr": lr, **form}}
        settings = {
            method: as_dict(plan(BENCHMARK, method, own).method_settings)
            for method, own in wanted.items()
        }
        runs = {
            one["method"]: one
            for one in records
            if one["settings"]["lr"] == lr
            and settings.get(one["method"]) == one["method_settings"]
        }
        hashes = {record["hash"] for record in runs.values()}
        own = results[results["settings"].isin(hashes)].reset_index(drop=True)
        streams[lr] = Stream(f"paper's network, {lr:g}", runs, None, own)
    return streams


def shown(streams: Mapping[float, Stream]) -> pd.DataFrame:
    """Return level and slope of each form with their intervals, to be shown.

    Args:
        streams: From :func:`boxes`.
    """
    rows = {}
    for lr, stream in streams.items():
        tables = {
            "online accuracy": numbers(stream, "level"),
            "last minus first fifth": numbers(stream, "slope"),
        }
        for method, record in stream.runs.items():
            pull = record["method_settings"].get("isometry_strength", 0) * lr
            rows[f"{lr:g}", method_label(method), f"{pull:g}"] = {
                what: "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**table.loc[method])
                for what, table in tables.items()
            }
    names = ["learning rate", "method", "pull of a step"]
    return pd.DataFrame(rows).T.rename_axis(names)


def answer(stream: Stream) -> Answer:
    """Return whether the hardest pull does here what it does in small networks.

    The rule, from before the runs: *yes* if Adam loses (the whole 95 % interval of last
    minus first fifth lies below 0), AdamO's interval lies above :data:`STEADY`, and
    that of its paired gain in online accuracy above 0; *no* if one of these two lies
    on the other side; otherwise *undecided*.

    Args:
        stream: One of :func:`boxes`.
    """
    slopes = {
        method: slope_interval(stream.numbers(record), stream.name, method)
        for method, record in stream.runs.items()
    }
    if not slopes[CONTROL].high < 0:
        return "nothing is lost"
    level = table_of(stream, "level")
    draw = numpy_generator(BOOTSTRAP_SEED, "box", stream.name)
    gain = paired_difference(level[JUDGED], level[CONTROL], draw)
    if slopes[JUDGED].low > STEADY and gain.low > 0:
        return "yes"
    return "no" if slopes[JUDGED].high < STEADY or gain.high < 0 else "undecided"
