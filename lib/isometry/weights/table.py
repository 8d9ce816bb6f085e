"""A table of parameters: name, shape, kind, and whether it is pulled or why not."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One parameter.

    Args:
        name: Its dotted name.
        shape: Its shape; empty for a lazy one.
        kind: Its operator's kind, see :class:`isometry.weights.Operator`.
        pulled: Whether the isometry step moves it.
        why: Why not, or how many matrices it holds; empty for one matrix.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    pulled: bool
    why: str

    def cells(self) -> tuple[str, str, str, str]:
        """Return what is printed of it."""
        said = "pulled" if self.pulled else "spared"
        shape = "x".join(map(str, self.shape)) or "-"
        return self.name, shape, self.kind, f"{said}: {self.why}" if self.why else said


@dataclass(frozen=True, kw_only=True)
class Table:
    """All parameters of an optimiser; printed, one a line.

    Args:
        rows: In the order of its groups.

    Example:
        >>> print(Table(rows=(Row(name="0.weight", shape=(2, 3), kind="matrix",
        ...                       pulled=True, why=""),)))
        0.weight  2x3  matrix  pulled
    """

    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        cells = [row.cells() for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = (
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            )
            for row in cells
        )
        return "\n".join(line.rstrip() for line in lines)
