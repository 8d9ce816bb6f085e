"""The judges of the claims of chapters 3 and 4: deep linear and MaxMin networks."""

import pandas as pd

from isometry.experiments.claims import Outcome, Verdict, judged
from isometry.experiments.store import Record


def chosen(
    results: pd.DataFrame, benchmark: str, metric: str, method: str | None = None
) -> pd.DataFrame:
    """Return the rows of one benchmark and metric, of one method or of all.

    Args:
        results: Tidy numbers of a store.
        benchmark: Name of the experiment.
        metric: Which metric.
        method: Which method; None for all.

    Source: ours.
    """
    rows = (results["benchmark"] == benchmark) & (results["metric"] == metric)
    if method is not None:
        rows &= results["method"] == method
    return results[rows]


@judged("deep-linear")
def deep_linear(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge Eq. 9 by its relative error over random orthogonal networks.

    Args:
        results: Tidy numbers of a store.
        records: Of its files; not needed.

    Source: ours.
    """
    errors = chosen(results, "deep_linear_kernel", "relative_error")["value"]
    if len(errors) < 50:
        return None
    depth = chosen(results, "deep_linear_kernel", "depth")["value"].max()
    return Verdict(
        verdict="reproduced" if errors.max() < 1e-12 else "not reproduced",
        reason=f"Largest relative difference {errors.max():.1e} over {len(errors)} "
        f"networks of up to {depth:.0f} layers.",
        gap="None: the statement is exact, and chapter 3 proves it.",
    )


@judged("layerwise")
def layerwise(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge both halves of the claim: the product is not enough; layers are needed.

    Args:
        results: Tidy numbers of a store.
        records: Of its files; not needed.

    Source: ours.
    """
    benchmark = "deep_linear_layers"
    if chosen(results, benchmark, "steps_slowest").empty:
        return None

    def values(metric: str, method: str) -> pd.Series:
        rows = chosen(results, benchmark, metric, f"isometric {method}")
        return rows.set_index(["seed", "task"])["value"]

    condition = values("condition_number", "product")
    slower = values("steps_slowest", "product") / values("steps_slowest", "layers")
    # One task with enough anisotropy decides, and it must do so for every seed.
    met = (condition >= 10) & (slower >= 3)
    enough = bool(met.groupby("task").all().any())
    exception = chosen(results, "deep_linear_exception", "condition_number")
    kernel = exception[exception["method"] == "kernel"]["value"].min()
    layer = exception[exception["method"] == "flattest layer"]["value"].min()
    excepted = kernel < 1 + 1e-12 and layer > 1.1
    outcome: Outcome = "not reproduced"
    if enough:
        outcome = "partly" if excepted else "reproduced"
    reason = (
        f"With an orthogonal product the kernel's condition number reaches "
        f"{condition.max():.0f} and the slowest direction learns "
        f"{slower.max():.0f} times slower."
    )
    if excepted:
        reason += (
            " But a network of four layers, each with a condition number of at least "
            f"{layer:.2f}, has an isotropic kernel: every layer must be isometric only "
            "for two or three layers, or for balanced ones."
        )
    return Verdict(verdict=outcome, reason=reason, gap="None: deep linear networks.")


@judged("maxmin-isometric")
def maxmin_isometric(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge the singular values of the Jacobians at depths up to 1,000.

    Args:
        results: Tidy numbers of a store.
        records: Of its files; not needed.

    Source: ours.
    """
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
def maxmin_expressive(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge MaxMin's median error against the best ReLU seed, on both targets.

    Args:
        results: Tidy numbers of a store.
        records: Of its files; not needed.

    Source: ours.
    """
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
def backward_norm(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge Eq. 14 on square, narrowing and widening layers.

    Args:
        results: Tidy numbers of a store.
        records: Of its files; not needed.

    Source: ours.
    """
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
