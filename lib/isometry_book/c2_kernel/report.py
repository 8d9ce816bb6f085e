"""What the stored kernels of chapter 2 say: what goes with plasticity, and why."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, stratified_bootstrap
from isometry.lab.store import load_results
from isometry_book.c2_kernel.study import (
    BENCHMARK,
    COMMON,
    METHODS,
    PROBES,
    SMALL,
    kernel_along_stream,
)

CONTINUAL = ("adam", "adamo")
# Short names under which the chapter prints metrics at the end of the stream.
REPORTED = {
    "condition": "ntk_robust_condition_number",
    "trace": "ntk_trace",
    "rank": "ntk_effective_rank",
    "plasticity": "plasticity",
    "weights": "weight_condition_number",
    "dead": "dead_fraction",
    "weights_part": "weights_part",
    "gates_part": "gates_part",
}


def stream_kernels(store: str | Path) -> pd.DataFrame:
    """Return the kernels along the stream: stored ones, or a small live run.

    Args:
        store: The results store.

    Returns:
        Columns ``benchmark, method, settings, seed, task, metric, value``; without a
        stored run, two seeds and four tasks on digits.
    """
    folder = Path(store) / BENCHMARK
    if folder.is_dir() and any(folder.glob("*.parquet")):
        return load_results(folder)
    frames = [kernel_along_stream(method, [0, 1], SMALL) for method in METHODS]
    return pd.concat(frames, ignore_index=True)


def wide(frame: pd.DataFrame, methods: tuple[str, ...] = CONTINUAL) -> pd.DataFrame:
    """Return one row a network, one column a metric.

    Args:
        frame: Tidy.
        methods: Whose networks.
    """
    chosen = frame[frame["method"].isin(methods)]
    keys = ["method", "seed", "task"]
    return chosen.pivot(index=keys, columns="metric", values="value").reset_index()


def rank_correlation(frame: pd.DataFrame, metric: str) -> Interval:
    """Return Spearman's correlation of a metric with the plasticity in the same task.

    Each seed gives one correlation over all its tasks under Adam and AdamO; the
    interval is over seeds.

    Args:
        frame: Tidy, from :func:`stream_kernels`.
        metric: A metric taken before each task.
    """
    networks = wide(frame)
    values = [
        float(spearmanr(one[metric], one["plasticity"]).statistic)
        for _, one in networks.groupby("seed")
    ]
    draw = numpy_generator(0, "kernel", "rank correlation", metric)
    return stratified_bootstrap(np.nan_to_num(values), draw)


def explained(frame: pd.DataFrame) -> dict[str, Interval]:
    """Return how much of the variance of plasticity weights and gates explain.

    Within each seed, plasticity is regressed on the weights' and the gates' part of the
    change in the log condition number, see ``study.parts_of_change``. The explained
    variance is split between the two by Shapley's rule.

    Args:
        frame: Tidy, from :func:`stream_kernels`.

    Returns:
        ``weights``, ``gates`` and ``both``: fractions of the variance over the seed's
        networks, with intervals over seeds.
    """
    shares: dict[str, list[float]] = {"weights": [], "gates": [], "both": []}
    for _, one in wide(frame).groupby("seed"):
        target = one["plasticity"].to_numpy()
        parts = one[["weights_part", "gates_part"]].to_numpy()
        alone = [_r_squared(parts[:, [i]], target) for i in (0, 1)]
        both = _r_squared(parts, target)
        shares["weights"].append((alone[0] + both - alone[1]) / 2)
        shares["gates"].append((alone[1] + both - alone[0]) / 2)
        shares["both"].append(both)
    draw = numpy_generator(0, "kernel", "explained")
    return {name: stratified_bootstrap(v, draw) for name, v in shares.items()}


def _r_squared(predictors: NDArray, target: NDArray) -> float:
    """Return the fraction of variance that least squares explains."""
    design = np.column_stack([np.ones(len(target)), predictors])
    fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
    total = float(((target - target.mean()) ** 2).sum())
    return 1 - float(((target - fitted) ** 2).sum()) / total if total > 0 else 0.0


def at_end(frame: pd.DataFrame, method: str, metric: str) -> float:
    """Return a metric's median over seeds in the last fifth of the tasks.

    Args:
        frame: Tidy.
        method: Which method.
        metric: Which metric.
    """
    chosen = frame[(frame["method"] == method) & (frame["metric"] == metric)]
    late = chosen[chosen["task"] >= int(0.8 * (chosen["task"].max() + 1))]
    return float(late.groupby("seed")["value"].mean().median())


def facts(frame: pd.DataFrame) -> dict[str, int | str]:
    """Return what a caption must say of the stream: seeds, tasks, probes, source.

    Args:
        frame: Tidy, from :func:`stream_kernels`.
    """
    tasks = int(frame["task"].nunique())
    stored = tasks == COMMON["tasks"]
    source = (
        "stored results of random-label MNIST"
        if stored
        else "a small live run on digits, as nothing is stored"
    )
    return {
        "stream_seeds": int(frame["seed"].nunique()),
        "stream_tasks": tasks,
        "stream_source": source,
        "probes": PROBES,
    }
