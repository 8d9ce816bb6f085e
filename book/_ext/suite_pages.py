"""Our numbers beside theirs: ``{suite-tables}`` and ``{suite-changes}``.

Both read ``suites.json``, which the press makes of the results; nothing is typed in.
"""

from typing import Any

from docutils import nodes
from page_tables import TableDirective, read
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
Data = dict[str, Any]


class SuiteTables(TableDirective):
    """``{suite-tables}``: a table for each suite."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each: what the suite is, its table and its notes."""
        suites = read(self.env, "suites.json")
        if not suites:
            LOGGER.error("there are no suites", location=self.get_location())
            return []
        out = self.text(_known(suites))
        for suite in suites:
            title = suite["title"] + (", reduced" if suite["reduced"] else "")
            section = nodes.section(ids=[f"suite-{suite['name']}"])
            section += nodes.title("", title)
            section += self.text(_introduction(suite))
            section += self.suite_table(suite)
            section += self.text(_after(suite))
            out.append(section)
        return out

    def suite_table(self, suite: Data) -> nodes.Node:
        """Return the rows of a suite, without its changes."""
        rows = [row for row in suite["rows"] if not row["of"]]
        names = [number["name"] for number in rows[0]["numbers"]]
        known = any(number["theirs"] for row in rows for number in row["numbers"])
        cells = []
        for row in rows:
            line: list[Any] = [row["label"], _run_of(row), row["seeds"]]
            for number in row["numbers"]:
                line.append(number["ours"])
                line += [self.theirs(number)] if known else []
            cells.append([*line, row["core_seconds"]])
        heads = [
            head for name in names for head in [name, *(["published"] if known else [])]
        ]
        head = ["Row", "Method and its settings", "Seeds", *heads, "Core-seconds"]
        widths = [16, 26, 8, *[16] * len(heads), 8]
        return self.table(head, cells, widths, "suite-table")

    def theirs(self, number: Data) -> list[nodes.Node]:
        """Return a published value with the verdict on ours."""
        found = [nodes.paragraph("", number["theirs"] or "not published")]
        if number["verdict"]:
            found.append(nodes.paragraph("", "", verdict_badge(number["verdict"])))
        return found

    def text(self, text: str) -> list[nodes.Node]:
        """Return Markdown as nodes."""
        return list(self.parse_text_to_nodes(text)) if text else []


class SuiteChanges(TableDirective):
    """``{suite-changes}``: rows that ran once more with one thing changed."""

    def run(self) -> list[nodes.Node]:
        """Return the table, or a sentence that there is none."""
        rows = [
            self.change(suite, row, number)
            for suite in read(self.env, "suites.json")
            for row in suite["rows"]
            if row["of"]
            for number in row["numbers"]
        ]
        if not rows:
            words = "No row has been run with one thing changed yet."
            return [nodes.paragraph("", words)]
        head = ["Row", "Changed", "Why", "Number", "As published", "Changed", "Theirs"]
        return [self.table(head, rows, [16, 18, 22, 10, 14, 14, 14], "suite-table")]

    def change(self, suite: Data, row: Data, number: Data) -> list[Any]:
        """Return the cells of a change, for one number."""
        (base,) = [r for r in suite["rows"] if r["label"] == row["of"] and not r["of"]]
        before = [n for n in base["numbers"] if n["name"] == number["name"]]
        return [
            f"{suite['title']}: {row['of']}",
            row["label"],
            row["why"],
            number["name"],
            before[0]["ours"],
            number["ours"],
            number["theirs"] or "not known here yet",
        ]


def verdict_badge(verdict: str) -> nodes.inline:
    """Return a verdict with its look."""
    return nodes.inline("", verdict, classes=["verdict", f"verdict-{verdict}"])


def _known(suites: list[Data]) -> str:
    """Return how many published values are known."""
    numbers = [
        number
        for suite in suites
        for row in suite["rows"]
        if not row["of"] and not suite["reduced"]
        for number in row["numbers"]
    ]
    count = sum(number["theirs"] is not None for number in numbers)
    if not count:
        return (
            "**No published value stands here yet.** The suites are run blind: the "
            "values are filled in after our runs, and the verdicts with them."
        )
    verdicts = [number["verdict"] for number in numbers]
    words = ", ".join(
        f"{verdicts.count(kind)} {kind}" for kind in ("agree", "differ", "undecided")
    )
    return f"Published values known: {count} of {len(numbers)}. Of our numbers {words}."


def _introduction(suite: Data) -> str:
    """Return what stands before a table."""
    parts = [suite["box"]]
    if suite["source"]:
        parts.append(f"Settings of {{cite:t}}`{suite['source']}`.")
    if suite["reduced"]:
        parts.append(f"**Smaller than published.** {suite['reduced']}")
    return " ".join(parts) + f"\n\nAll rows: `{suite['settings']}`."


def _after(suite: Data) -> str:
    """Return what stands below a table: what is open, what is ours, the devices."""
    lines = [f"* {note}" for note in suite["notes"]]
    lines += [
        f"* *{row['label']}*: {row['note']}"
        for row in suite["rows"]
        if row["note"] and not row["of"]
    ]
    devices = sorted({one for row in suite["rows"] for one in row["devices"]})
    lines += [f"* Ran on: {'; '.join(devices)}."] if devices else []
    return "\n".join(lines)


def _run_of(row: Data) -> str:
    """Return method and settings of a row as code."""
    settings = f" with `{row['settings']}`" if row["settings"] else ""
    return f"`{row['method']}` on `{row['benchmark']}`{settings}"
