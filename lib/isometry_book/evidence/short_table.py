"""A report's rows for a page: what a reader compares, narrow enough for a telephone."""

import pandas as pd
from pandas.io.formats.style import Styler

from isometry_book.style import method_label, worded

COLUMNS = {"first": "first fifth", "last": "last fifth", "difference": "minus Adam"}


def short_table(table: pd.DataFrame, uuid: str) -> Styler:
    """Return methods with what they reach early and late, and beside Adam.

    Args:
        table: From :func:`isometry.lab.report.summary`.
        uuid: Of the table, so that the same numbers give the same page.

    Returns:
        Three columns; an interval stands below its number.
    """
    shown = pd.DataFrame(
        {
            name: [_spelled(row, key) for _, row in table.iterrows()]
            for key, name in COLUMNS.items()
        },
        index=[_named(name) for name in table["method"]],
    )
    return shown.style.set_uuid(uuid)


def _spelled(row: pd.Series, key: str) -> str:
    """Return a number above its interval, nothing where there is none."""
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    if pd.isna(row[key]):
        return ""
    return f"{row[key]:.3f}<br><small>[{low:.3f}, {high:.3f}]</small>"


def _named(label: str) -> str:
    """Return a method with its settings in words.

    Example:
        >>> _named("adamo(isometry_strength=0.3)")
        'AdamO, isometry strength 0.3'
    """
    method, _, settings = label.partition("(")
    words = worded(settings.rstrip(")").replace("=", " "))
    return ", ".join(part for part in (method_label(method), words) if part)
