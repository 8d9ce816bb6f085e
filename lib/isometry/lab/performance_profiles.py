"""Performance profiles: which fraction of seeds gets above which score."""

import numpy as np
import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import performance_profile
from isometry.lab.labels import labels_of, scales_of
from isometry.lab.metrics import stored_of
from isometry.lab.report import (
    BOOTSTRAP_SEED,
    LEVEL,
    markdown,
    seed_scores,
)
from isometry.lab.store import Source

THRESHOLDS = 9  # between the smallest and the largest score of a benchmark


def profiles(
    path: Source, metric: str = "online_accuracy", thresholds: int = THRESHOLDS
) -> pd.DataFrame:
    """Return the performance profile of every method on every benchmark, tidy.

    Each seed counts with its mean over tasks. The thresholds of a benchmark at one
    scale lie evenly between the smallest and the largest finite score of any method; a
    score that is infinite, as the loss of a diverged seed is, lies above all of them.

    Args:
        path: The store, a benchmark's folder in it, one file, or what was read of it.
        metric: Which metric.
        thresholds: How many, at least 1.

    Returns:
        Columns ``benchmark, scale, method, settings, threshold, fraction, fraction_low,
        fraction_high``: the fraction of seeds above the threshold with a 95 % interval.

    Raises:
        KeyError: If no run recorded the metric; the nearest known one is named.
        StoreError: If there is nothing under ``path``.

    Source: Agarwal et al., NeurIPS 2021, Sec. 4.3.
    """
    stored = stored_of(path, metric)
    labels, scales = labels_of(stored.records), scales_of(stored.records)
    rows = []
    frame = stored.frame.assign(scale=stored.frame["settings"].map(scales))
    for (benchmark, scale), part in frame.groupby(["benchmark", "scale"]):
        named = {key: seed_scores(p, metric) for key, p in part.groupby("settings")}
        pooled = pd.concat(named.values())
        finite = pooled[np.isfinite(pooled)]
        if finite.empty:
            continue
        # All seeds alike have one threshold.
        values = np.unique(
            np.linspace(finite.min(), finite.max(), thresholds + 2)[1:-1]
        )
        for settings, scores in named.items():
            draw = numpy_generator(BOOTSTRAP_SEED, "profile", benchmark, scale)
            clipped = scores.clip(finite.min() - 1, finite.max() + 1)
            found = performance_profile(clipped, values, draw, LEVEL)
            for value, interval in zip(values, found, strict=True):
                rows.append(
                    {
                        "benchmark": benchmark,
                        "scale": scale,
                        "method": labels[settings],
                        "settings": settings,
                        "threshold": value,
                        "fraction": interval.estimate,
                        "fraction_low": interval.low,
                        "fraction_high": interval.high,
                    }
                )
    return pd.DataFrame(rows)


def _shown_profiles(table: pd.DataFrame) -> pd.DataFrame:
    """Return profiles for reading: a row a method, a column a threshold."""
    wide = table.pivot(index="method", columns="threshold", values="fraction")
    order = wide.sum(axis=1).sort_values(ascending=False).index
    wide = wide.loc[order].map("{:.2f}".format)
    wide.columns = [f"> {threshold:.3f}" for threshold in wide.columns]
    return wide.rename_axis("method").reset_index()


def table_text(table: pd.DataFrame, format: str) -> str:
    """Return a table as text.

    Args:
        table: Any table.
        format: ``table``, ``csv``, ``json`` or ``markdown``.
    """
    if format == "csv":
        return table.to_csv(index=False).rstrip("\n")
    if format == "json":
        return table.to_json(orient="records", indent=2, double_precision=15)
    if format == "markdown":
        return markdown(table)
    lines = table.to_string(index=False, justify="left").splitlines()
    return "\n".join(line.rstrip() for line in lines)


def profile_text(path: Source, metric: str, format: str = "table") -> str:
    """Return the performance profiles of a store as text.

    Args:
        path: The store, a benchmark's folder in it, one file, or what was read of it.
        metric: Which metric.
        format: ``table`` and ``markdown`` have one block a scale; ``csv`` and
            ``json`` all digits and the intervals.

    Raises:
        KeyError: If no run recorded the metric.
        StoreError: If there is nothing under ``path``.
    """
    table = profiles(path, metric)
    if format in ("csv", "json"):
        return table_text(table, format)
    blocks = []
    for (benchmark, scale), part in table.groupby(["benchmark", "scale"]):
        name = f"{benchmark} ({scale})" if scale else benchmark
        head = f"{name}: fraction of seeds whose {metric} is above"
        blocks.append(f"{head}\n\n{table_text(_shown_profiles(part), format)}")
    return "\n\n".join(blocks)
