"""The judges of the claims of chapter 4: MaxMin networks."""

import pandas as pd

from isometry.lab.store import Record
from isometry_book.claims.claim import Outcome, Verdict, judged
from isometry_book.evidence.rows import chosen


@judged("maxmin-isometric")
def _maxmin_isometric(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge the singular values of the Jacobians at depths up to 1,000."""
    rows = chosen(results, "jacobian_depth", "deviation", "maxmin")
    if rows.empty or rows["task"].max() < 1000:
        return None
    worst = rows["value"].max()
    return Verdict(
        verdict="reproduced" if worst < 1e-10 else "not reproduced",
        reason=f"Largest deviation from one {worst:.1e} over depths up to "
        f"{rows['task'].max()} and {rows['seed'].nunique()} seeds, in float64.",
        gap="Square layers of 16 units; chapter 4 proves the general case.",
    )


@judged("maxmin-expressive")
def _maxmin_expressive(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge MaxMin's median error against the best ReLU seed, on both targets."""
    ratios = {}
    for target in ("absolute_value", "cone"):
        benchmark, metric = f"lipschitz_{target}", "squared_error"
        maxmin = chosen(results, benchmark, metric, "maxmin")["value"]
        relu = chosen(results, benchmark, metric, "relu_orthogonal")["value"]
        if min(len(maxmin), len(relu)) < 5:
            return None
        ratios[target] = maxmin.median() / relu.min()
    met = [ratio <= 0.1 for ratio in ratios.values()]
    outcome: Outcome = "reproduced" if all(met) else "partly"
    return Verdict(
        verdict=outcome if any(met) else "not reproduced",
        reason=f"Squared error over the best ReLU seed's: "
        f"{ratios['absolute_value']:.3f} on the absolute value, {ratios['cone']:.3f} "
        "on the cone.",
        gap="Experiments only: the theorem of Anil et al. bounds the rows of the "
        "weights and does not cover exactly orthogonal ones.",
    )


@judged("backward-norm")
def _backward_norm(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge Eq. 14 on square, narrowing and widening layers."""
    rows = chosen(results, "backward_norm", "norm_ratio")
    if rows.empty:
        return None
    off = (rows["value"] - 1).abs().groupby(rows["method"]).max()
    kept = max(off["square"], off["wide"]) < 1e-12
    lost = rows[rows["method"] == "tall"]["value"].min()
    outcome: Outcome = "not reproduced"
    if kept:
        outcome = "partly" if lost < 0.99 else "reproduced"
    return Verdict(
        verdict=outcome,
        reason=f"Kept to {max(off['square'], off['wide']):.0e} by square layers and "
        "by those with more inputs than outputs; of the others one gradient keeps "
        f"{lost:.2f} of its length.",
        gap="None: single layers of random sizes.",
    )
