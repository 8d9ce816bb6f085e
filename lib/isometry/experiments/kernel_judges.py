"""The judges of chapter 2's claims: from the stored kernels to a verdict."""

import numpy as np
import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import stratified_bootstrap
from isometry.experiments.claims import Outcome, Verdict, judged
from isometry.experiments.kernel_report import explained, rank_correlation
from isometry.experiments.kernel_study import BENCHMARK, DECOMPOSITION, GAP
from isometry.experiments.store import Record

KINDS = 6  # of networks that the decomposition is checked on
DEEP = 4  # hidden layers from which on the gap is claimed


@judged("anisotropy")
def anisotropy(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge whether the kernel's condition number goes with plasticity, not its scale.

    Args:
        results: Tidy numbers of a store.
        records: Of its files; not needed.

    Source: ours.
    """
    stream = results[results["benchmark"] == BENCHMARK]
    methods = set(stream["method"])
    if not {"adam", "adamo"} <= methods or stream["seed"].nunique() < 5:
        return None
    condition = rank_correlation(stream, "ntk_robust_condition_number")
    trace = rank_correlation(stream, "ntk_trace")
    governs = condition.estimate < -0.3 and condition.high < 0
    beats_scale = abs(condition.estimate) > abs(trace.estimate)
    outcomes: tuple[Outcome, ...] = ("not reproduced", "partly", "reproduced")
    return Verdict(
        verdict=outcomes[governs + (governs and beats_scale)],
        reason=f"Rank correlation with plasticity, {stream['task'].nunique()} tasks "
        f"under Adam and AdamO: condition number {condition}, trace {trace}; "
        f"{condition.num_seeds} seeds.",
        gap="Random-label MNIST with 320 images and a network of width 100; the "
        "paper's scale of this experiment is not known.",
    )


@judged("decomposition")
def decomposition(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge whether the sum over layers is the kernel.

    Args:
        results: Tidy numbers of a store.
        records: Of its files; not needed.

    Source: ours.
    """
    errors = results[results["benchmark"] == DECOMPOSITION]
    if errors["method"].nunique() < KINDS:
        return None
    worst = float(errors["value"].max())
    return Verdict(
        verdict="reproduced" if worst < 1e-10 else "not reproduced",
        reason=f"Largest relative difference {worst:.1e} over {len(errors)} networks "
        f"of {errors['method'].nunique()} kinds.",
    )


@judged("nonlinear-gap")
def nonlinear_gap(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge whether a nonlinearity spoils isotropy although all weights are orthogonal.

    Args:
        results: Tidy numbers of a store.
        records: Of its files; not needed.

    Source: ours.
    """
    law = results[(results["benchmark"] == GAP) & (results["task"] >= DEEP)]
    law = law[law["metric"] == "condition_number"]
    if not {"relu", "identity", "maxmin"} <= set(law["method"]):
        return None
    table = law.pivot(index="task", columns=["method", "seed"], values="value")
    gaps = {}
    for name in ("relu", "maxmin"):
        logs = np.log10(table[name].to_numpy() / table["identity"].to_numpy())
        draw = numpy_generator(0, "kernel", "gap", name)
        gaps[name] = [stratified_bootstrap(row, draw) for row in logs]
    opens = all(gap.low > 0 for gap in gaps["relu"])
    shown = {name: [10**gap.estimate for gap in found] for name, found in gaps.items()}
    reason = (
        f"Orthogonal weights, width 64, {DEEP} to {int(law['task'].max())} hidden "
        f"layers: the condition number is {shown['relu'][0]:.0f} to "
        f"{shown['relu'][-1]:.0f} times the linear network's for ReLU, "
        f"{shown['maxmin'][0]:.0f} to {shown['maxmin'][-1]:.0f} times for MaxMin."
    )
    stream = results[results["benchmark"] == BENCHMARK]
    if {"adam", "adamo"} <= set(stream["method"]):
        parts = explained(stream)
        reason += (
            " Of the variance of plasticity along the stream, the gates D_l(x) explain "
            f"{parts['gates']}, the weights {parts['weights']}."
        )
    return Verdict(verdict="reproduced" if opens else "not reproduced", reason=reason)
