"""The numbers of one metric of a store, by default of that which runs are judged by."""

from dataclasses import replace
from pathlib import Path

from isometry.core.messages import unknown
from isometry.lab.store import Source, Stored, load_usable

# The first that a store has.
MAIN_METRICS = ("online_accuracy", "episodic_return", "squared_error")


def load_metric(path: str | Path, metric: str | None) -> tuple[Stored, str]:
    """Return what is needed of a store to report one metric, each file read once.

    Args:
        path: The store, a benchmark's folder in it, or one file.
        metric: Which metric, known or not; None: the one that runs are judged by.

    Returns:
        What is stored, without most other metrics' numbers, and the metric's name.

    Raises:
        StoreError: If there is nothing under ``path``, or nothing that can be read.
    """
    stored = load_usable(path, MAIN_METRICS if metric is None else (metric,))
    main = (m for m in MAIN_METRICS if m in stored.metrics)
    return stored, metric or next(main, MAIN_METRICS[0])


def stored_of(path: Source, metric: str) -> Stored:
    """Return what is stored, with the numbers of one metric alone.

    Args:
        path: The store, a benchmark's folder in it, one file, or what was read of it.
        metric: Which metric.

    Raises:
        KeyError: If no run recorded the metric; the nearest known one is named.
        StoreError: If there is nothing under ``path``, or nothing that can be read.
    """
    stored = path if isinstance(path, Stored) else load_metric(path, metric)[0]
    frame = stored.frame[stored.frame["metric"] == metric]
    if frame.empty:
        raise KeyError(unknown("metric", metric, stored.metrics))
    return replace(stored, frame=frame.reset_index(drop=True))
