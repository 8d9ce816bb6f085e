"""The tables that a look at a network prints: plain, for rich, and as HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING

import torch

from isometry.diagnostics.records import JacobianSpectrum, Spread

if TYPE_CHECKING:  # the report prints itself
    from rich.table import Table

    from isometry.diagnostics.report import Diagnostics

COLUMNS, GAP = 110, "  "  # of the plain form: its width, and between columns


@dataclass(frozen=True)
class Section:
    """One table.

    Attributes:
        title: What it shows.
        head: Names of the columns; the first holds names, the others numbers.
        rows: One cell a column.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def words(self) -> list[bool]:
        """Return for each column whether it holds words, which stand on its left."""
        left_out = self.title == "Left out"
        return [i == 0 or left_out or h == "by" for i, h in enumerate(self.head)]


def number(value: float | None) -> str:
    """Return a number in three digits, and nothing for None.

    Args:
        value: Any.

    Example:
        >>> number(12345.6), number(0.5), number(None)
        ('1.23e+04', '0.5', '')
    """
    return "" if value is None else f"{value:.3g}"


def ratio(value: float, largest: float, smallest: float) -> str:
    """Return a condition number, as a bound where rounding hides the smallest value.

    Args:
        value: What stands for ``largest / smallest``, with a floor under the smallest.
        largest: Of the spectrum.
        smallest: Of the spectrum, as computed.

    Example:
        >>> ratio(8.0, 4.0, 0.5), ratio(1e6, 4.0, 0.0)
        ('8', 'above 1e+06')
    """
    bound = value * smallest < largest * (1 - 1e-6)
    return f"above {number(value)}" if bound else number(value)


def _over_inputs(values: Spread) -> str:
    """Return a spread as median and range, in two digits.

    Example:
        >>> _over_inputs(Spread(0.5, 1.0, 2.0))
        '1 (0.5 to 2)'
    """
    ends = values.minimum, values.median, values.maximum
    low, middle, high = (f"{value:.2g}" for value in ends)
    return middle if low == high else f"{middle} ({low} to {high})"


def _sections(found: Diagnostics) -> Iterator[Section]:
    """Yield the tables, those without rows left out."""
    for section in (
        _weights(found),
        _activations(found),
        _jacobians(found),
        _kernel(found),
        Section("Left out", ("what", "why"), tuple(found.left_out.items())),
    ):
        if section.rows:
            yield section


def _weights(found: Diagnostics) -> Section:
    first = ("weight", "shape", "largest", "median", "smallest", "condition")
    head = (*first, "Gram deviation", "operator norm")
    kernels = any(w.operator_norm is not None for w in found.weights)
    rows = []
    for w in found.weights:
        # The shape of a kernel tells that it is one.
        kind = "" if w.kind in ("matrix", "kernel") else f" ({w.kind})"
        row: tuple[str, ...] = (w.name + kind, "x".join(map(str, w.shape)))
        values = map(number, (w.largest, w.median, w.smallest))
        condition = ratio(w.condition_number, w.largest, w.smallest)
        row += (*values, condition, number(w.gram_deviation), number(w.operator_norm))
        rows.append(row if kernels else row[:-1])
    return Section(
        "Weights: singular values, kernels as (out, in * k * k)",
        head if kernels else head[:-1],
        tuple(rows),
    )


def _activations(found: Diagnostics) -> Section:
    thresholds = found.activations[0].dormant_fraction if found.activations else {}
    shares = ("dead", *(f"dormant {t:g}" for t in thresholds), "duplicate")
    head = ("activation", "units", *shares, "rank", "srank", "stable rank")
    rows = []
    for a in found.activations:
        name = a.name if a.function in a.name else f"{a.name} ({a.function})"
        dormant = a.dormant_fraction.values()
        fractions = (a.dead_fraction, *dormant, a.duplicate_fraction)
        row = (name, str(a.units), *(f"{f:.1%}" for f in fractions))
        ranks = a.ranks.feature_effective_rank, a.ranks.srank, a.ranks.stable_rank
        rows.append((*row, *map(number, ranks)))
    if found.features is not None and rows:
        last = found.features
        ranks = last.feature_effective_rank, last.srank, last.stable_rank
        blank = ("",) * (len(head) - 4)
        rows.append(("input of the last linear layer", *blank, *map(number, ranks)))
    return Section(
        f"Units: shares of no use, and ranks of features; {found.inputs} inputs",
        head,
        tuple(rows),
    )


def _jacobians(found: Diagnostics) -> Section:
    head = ("Jacobian", "by", "shape", "largest", "median", "smallest", "exponents")
    whole = () if found.end_to_end is None else (found.end_to_end,)
    rows = tuple(
        (
            j.name,
            j.by.removesuffix(".weight"),
            "x".join(map(str, j.shape)),
            *map(_over_inputs, (j.largest, j.median, j.smallest)),
            _exponents(j),
        )
        for j in (*found.layer_jacobians, *whole)
    )
    title = "Jacobians: singular values, median and range, and median exponents, over"
    return Section(f"{title} {found.jacobian_inputs} inputs at most", head, rows)


def _exponents(found: JacobianSpectrum) -> str:
    """Return smallest and largest exponent at the median input, to a hundredth."""
    ends = found.smallest_exponent.median, found.largest_exponent.median
    low, high = (f"{round(end, 2) + 0.0:g}" for end in ends)  # no minus before a zero
    return f"{low} to {high}"


def _kernel(found: Diagnostics) -> Section:
    n, m = found.ntk_shape
    title = f"Neural tangent kernel: {n} inputs x {m} outputs"
    if found.ntk is None:
        return Section(title, (), ())
    k = found.ntk
    low, high = float(k.eigenvalues[0]), float(k.eigenvalues[-1])
    fifth = float(torch.quantile(k.eigenvalues, 0.05))
    row = ratio(k.condition_number, high, low)
    robust = ratio(k.robust_condition_number, high, fifth)
    head = ("condition number", "robust condition number", "effective rank", "trace")
    return Section(
        title, head, ((row, robust, number(k.effective_rank), number(k.trace)),)
    )


def _headline(found: Diagnostics) -> str:
    """Return the line above the tables."""
    return f"{found.model}: {found.parameters:,} parameters"


def tables(found: Diagnostics) -> Iterator[str | Table]:
    """Yield what rich prints; rich, which asks for it, is there.

    Args:
        found: What to show.
    """
    from rich.table import Table

    yield _headline(found)
    for section in _sections(found):
        table = Table(title=section.title, title_justify="left", box=None)
        for name, words in zip(section.head, section.words(), strict=True):
            side = "left" if words else "right"
            table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
        for row in section.rows:
            table.add_row(*row)
        yield ""
        yield table


def plain(found: Diagnostics) -> str:
    """Return the tables as text without colours.

    Args:
        found: What to show.
    """
    lines = [_headline(found)]
    for section in _sections(found):
        lines += ["", section.title, *_aligned(section)]
    return "\n".join(lines)


def _aligned(section: Section) -> Iterator[str]:
    """Yield the lines of a table; the widest columns are folded where it is too wide.

    Example:
        >>> for line in _aligned(Section("", ("layer", "rank"), (("first", "7"),))):
        ...     print(line)
        layer  rank
        first     7
    """
    rows, sides = (section.head, *section.rows), section.words()
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + len(GAP) * (len(widths) - 1) > COLUMNS:
        widths[widths.index(max(widths))] -= 1
    for row in rows:
        cells = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
        for texts in zip_longest(*cells, fillvalue=""):
            padded = (
                text.ljust(width) if words else text.rjust(width)
                for text, width, words in zip(texts, widths, sides, strict=True)
            )
            yield GAP.join(padded).rstrip()


def markup(found: Diagnostics) -> str:
    """Return the tables as HTML, each with a caption.

    Args:
        found: What to show.
    """
    parts = [f"<p>{escape(_headline(found))}</p>"]
    for section in _sections(found):
        head = "".join(f'<th scope="col">{escape(h)}</th>' for h in section.head)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in section.rows
        )
        parts.append(
            f'<table class="table"><caption>{escape(section.title)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )
    return "\n".join(parts)
