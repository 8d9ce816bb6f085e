"""The judges of chapter 2's claims: from the stored kernels to a verdict."""

import numpy as np
import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, stratified_bootstrap
from isometry.lab.store import Record
from isometry_book.c2_kernel.report import explained
from isometry_book.c2_kernel.study import BENCHMARK, DECOMPOSITION, GAP
from isometry_book.claims.claim import Outcome, Verdict, judged
from isometry_book.evidence.protocol import LEAST_SEEDS
from isometry_book.interventions.correlations import correlations

WORN = "worn_"  # benchmarks of networks that were looked at before a task
WORN_METHODS = ("adam", "adamo", "maxmin")
CONDITION = "robust_condition_number"
KERNELS = {"ntk": "kernel of gradient descent", "adam_ntk": "kernel of Adam"}
APART = ("over_time", "across_seeds")  # judged
WHERE = {
    "over_time": "over time",
    "across_seeds": "across seeds",
    "across_methods": "across methods",
}
KINDS = 6  # of networks that the decomposition is checked on
DEEP = 4  # hidden layers from which on the gap is claimed


@judged("anisotropy")
def _anisotropy(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge whether the kernel's condition, not its scale, goes with plasticity."""
    streams = sorted(b for b in results["benchmark"].unique() if b.startswith(WORN))
    frames = {}
    for name in streams:
        frame = results[results["benchmark"] == name]
        seeds = frame[frame["metric"] == "plasticity"].groupby("method")["seed"]
        few = seeds.nunique().reindex(list(WORN_METHODS), fill_value=0) < LEAST_SEEDS
        whole = all(len(_ages_of(frame, kernel)) > 1 for kernel in KERNELS)
        if whole and not few.any():
            frames[name.removeprefix(WORN)] = frame
    if len(frames) < 2:
        return None
    words, best = [], 0
    for kernel in KERNELS:
        found = {
            name: _kernel_correlations(one, kernel) for name, one in frames.items()
        }
        steps = [_kernel_support(*pair) for pair in found.values()]
        best = max(best, min(steps))
        for name, (condition, gap) in found.items():
            sizes = ", ".join(f"{WHERE[key]} {condition[key]}" for key in WHERE)
            gaps = ", ".join(f"{WHERE[key]} {gap[key]}" for key in APART)
            words.append(
                f"{KERNELS[kernel]}, {name}: {sizes}; size minus the trace's {gaps}"
            )
    outcomes: tuple[Outcome, ...] = ("not reproduced", "partly", "reproduced")
    return Verdict(
        verdict=outcomes[best],
        reason=f"Rank correlation of the condition number with the plasticity of the "
        f"task that follows. {'; '.join(words)}.",
        gap="Networks of width 100; the paper's scale of this experiment is not known.",
    )


def _ages_of(frame: pd.DataFrame, kernel: str) -> list[int]:
    """Return the ages at which every seed of every method was looked at."""
    taken = frame[frame["metric"] == f"{kernel}_{CONDITION}"]
    taken = taken[taken["method"].isin(WORN_METHODS)]
    counts = taken.groupby("task").size()
    whole = len(WORN_METHODS) * taken["seed"].nunique()
    return [int(age) for age in counts.index[counts == whole]]


def _kernel_correlations(
    frame: pd.DataFrame, kernel: str
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Return a kernel's correlations with plasticity, and how far its trace's are."""
    arguments = (list(WORN_METHODS), _ages_of(frame, kernel))
    own = f"{kernel}_{CONDITION}"
    condition = correlations(frame, own, *arguments, each=False)
    trace = f"{kernel}_log_trace"
    gap = correlations(frame, own, *arguments, other=trace, each=False)
    return condition, gap


def _kernel_support(condition: dict[str, Interval], gap: dict[str, Interval]) -> int:
    """Return how far one kernel on one stream supports the claim: 0, 1 or 2."""
    strong = all(condition[a].estimate < -0.3 and condition[a].high < 0 for a in APART)
    ahead = all(gap[a].low > 0 for a in APART)
    return 2 if strong and ahead else int(any(condition[a].high < 0 for a in APART))


@judged("decomposition")
def _decomposition(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge whether the sum over layers is the kernel."""
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
def _nonlinear_gap(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge whether a nonlinearity between orthogonal weights spoils isotropy."""
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
