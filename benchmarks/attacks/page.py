"""The page that says how the product held, made from the report."""

from collections.abc import Mapping
from typing import Any

BEGIN, END = "<!-- reliability: begin -->", "<!-- reliability: end -->"
FAILURES = ("lost", "wrong", "unsaid")
Report = Mapping[str, Any]


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def failures(report: Report) -> dict[str, dict[str, int]]:
    """Return the attacks that something did not withstand, with what was counted."""
    found = {
        name: {kind: row[kind] for kind in FAILURES if row[kind]}
        for name, row in report["attacks"].items()
    }
    return {name: counts for name, counts in found.items() if counts}


def _tries(row: Report) -> str:
    """Return how many tries there were, and of how many if those are not all."""
    made, asked = row["tries"], row["asked"]
    return f"{made:,}" if made >= asked else f"{made:,} of {asked:,}"


def text(report: Report) -> str:
    """Return what the page has between its marks.

    Args:
        report: As ``benchmarks/reliability.py`` writes it.
    """
    rows = [row for row in report["attacks"].values() if not row["numbers"]]
    cells = [
        [row["title"], _tries(row), *(f"{row[k]:,}" for k in (*FAILURES, "said"))]
        for row in rows
    ]
    total = {k: sum(row[k] for row in rows) for k in ("tries", *FAILURES, "said")}
    cells.append(["**all**", *(f"{total[k]:,}" for k in total)])
    head = ["attack", "tries", "lost", "silently wrong", "ended without a line"]
    parts = [_table([*head, "said in a line"], cells)]
    measured = [row for row in report["attacks"].values() if row["numbers"]]
    if measured:
        parts.append(_memory(measured))
    packages = ", ".join(f"{k} {v}" for k, v in report["versions"].items() if v)
    seconds = sum(row["core_seconds"] for row in report["attacks"].values())
    commits = dict.fromkeys(row["commit"] for row in report["attacks"].values())
    at = ", ".join(f"`{commit}`" for commit in commits)
    where = f"made on {report['date']} at {at}"
    parts.append(
        f"The report was {where} with {packages}, on {report['cpu']}, in "
        f"{seconds:,.0f} seconds of its cores; other work ran on them."
    )
    return "\n\n".join(parts)


def _memory(measured: list[Report]) -> str:
    """Return the table of memory."""
    cells = []
    for row in measured:
        numbers = row["numbers"]
        for who in [name[:-5] for name in numbers if name.endswith(", MiB")]:
            mean, low, high = (
                numbers[f"{who}, MiB a million{end}"] for end in ("", ", low", ", high")
            )
            grows = f"{mean:+,.1f} [{low:+,.1f}, {high:+,.1f}]"
            held = f"{numbers[f'{who}, MiB']:,.0f}"
            cells.append([row["title"], _tries(row), who, held, grows])
    head = [
        "load",
        "done",
        "process",
        "memory at the end, MiB",
        "growth, MiB a million",
    ]
    return _table(head, cells)


def paged(page: str, report: Report) -> str:
    """Return the page with the report's text between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text(report)}\n\n{END}{rest.partition(END)[2]}"
