"""The judges of the claims of chapter 3: deep linear networks."""

import pandas as pd

from isometry.lab.store import Record
from isometry_book.claims.claim import Outcome, Verdict, judged
from isometry_book.evidence.rows import chosen


@judged("deep-linear")
def _deep_linear(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge Eq. 9 by its relative error over random orthogonal networks."""
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
def _layerwise(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge both halves of the claim: the product is not enough; layers are needed."""
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
