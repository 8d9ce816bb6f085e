"""Rows of a store, as the judges ask for them."""

import pandas as pd


def chosen(
    results: pd.DataFrame, benchmark: str, metric: str, method: str | None = None
) -> pd.DataFrame:
    """Return the rows of one benchmark and metric, of one method or of all.

    Args:
        results: Tidy numbers of a store.
        benchmark: Name of the experiment.
        metric: Which metric.
        method: Which method; None for all.
    """
    rows = (results["benchmark"] == benchmark) & (results["metric"] == metric)
    if method is not None:
        rows &= results["method"] == method
    return results[rows]
