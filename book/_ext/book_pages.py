"""The book's own roles and directives.

``{number}`` prints a published number, ``{claim}`` a claim with its verdict,
``{chapter-claims}`` a line of links to those of a chapter, and ``{claims-table}``,
``{verdict-counts}``, ``{verdict-changes}``, ``{status-table}`` and
``{statements-table}`` list them;
``{suite-tables}`` and ``{suite-changes}``, from ``suite_pages``, show our numbers
beside others'; ``{cluster-plan}``, ``{gpu-plan}``, ``{scaling}``, ``{inventory}`` and
``{again}``, from ``plan_pages``, tell what was run and what would be. The others read
JSON files that lie beside the configuration; what is not there is an error, so a
strict build fails.
"""

import re
from typing import Any

from docutils import nodes
from home_links import add_links
from page_tables import TableDirective, read
from plan_pages import Again, ClusterPlan, GpuPlan, Inventory, Scaling
from quiz_pages import Quiz
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole
from suite_pages import SuiteChanges, SuiteTables

LOGGER = logging.getLogger(__name__)
PLACES = re.compile(r"(?:Sec|Eq|Fig)\. \d+(?:[.-]\d+)*|abstract|appendix")
BADGES = {
    "reproduced": "✓",
    "partly": "◐",
    "not reproduced": "✗",
    "undecided": "?",
    "not tested": "○",
}


class NumberRole(SphinxRole):
    """``{number}`` with ``chapter.key:format``: a number from an executed chapter."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the formatted number, or an error node."""
        name, _, form = self.text.partition(":")
        chapter, _, key = name.strip().partition(".")
        known = read(self.env, "numbers.json")
        try:
            value = known[chapter][key]
        except KeyError:
            there = ", ".join(sorted(known.get(chapter, known)))
            return self.refuse(f"unknown number {name!r}; known there: {there[:400]}")
        try:
            text = format(value, form)
        except ValueError:
            return self.refuse(f"number {name!r} = {value!r} has no format {form!r}")
        kind = "published-text" if isinstance(value, str) else "number"
        return [nodes.inline(self.rawtext, text, classes=[kind])], []

    def refuse(self, reason: str) -> tuple[list[nodes.Node], list[Any]]:
        """Return an error with its place."""
        LOGGER.error(reason, location=self.get_location())
        return [nodes.problematic(self.rawtext, self.rawtext)], []


def badge(verdict: str, text: str = "") -> nodes.inline:
    """Return a verdict with its sign, or a text in its place."""
    kind = verdict.replace(" ", "-")
    shown = f"{BADGES.get(verdict, '')} {text or verdict}".strip()
    return nodes.inline("", shown, classes=["verdict", f"verdict-{kind}"])


class ClaimDirective(SphinxDirective):
    """``{claim} key``: a claim, the verdict, and, folded, numbers and criterion."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the box, or nothing after an error."""
        key = self.arguments[0]
        rows = {row["key"]: row for row in read(self.env, "claims.json")}
        if key not in rows:
            known = ", ".join(sorted(rows))
            LOGGER.error(
                f"unknown claim {key!r}; known: {known}", location=self.get_location()
            )
            return []
        row = rows[key]
        box = nodes.container(classes=["claim"], ids=[f"claim-{key}"])
        head = nodes.paragraph(classes=["claim-head"])
        head += [nodes.strong("", f"Claim: {row['title']}"), badge(row["verdict"])]
        box += head
        box += self.parsed(f"{row['text']} *{row['source']}.*", "claim-text")
        box += self.parsed(row["said"] or row["reason"], "claim-note")
        for one in row.get("outside", ()):
            text = f"**Elsewhere.** {one['what']} ({one['who']}, {one['where']}.)"
            box += self.parsed(text, "claim-note")
        shared = f" ({row['shared']}, the same for others)" if row["shared"] else ""
        notes = [f"**Criterion{shared}.** {row['criterion']}"]
        if row["gap"]:
            notes.insert(0, f"**Scale.** {row['gap']}")
        if row["said"]:
            measured = row["reason"].split("; ")
            notes.insert(0, "\n* ".join(["**Measured.**\n", *measured]))
        self.fold(box, "How it was judged", notes)
        if before := row.get("before"):
            notes = [
                f"**{name.capitalize()}.** {before[name]}"
                for name in ("verdict", "reason", "criterion")
            ]
            if row["changed"]:
                notes.append(f"**Why it changed.** {row['changed']}")
            self.fold(box, "Under the first protocol", notes)
        return [box]

    def fold(self, box: nodes.container, summary: str, texts: list[str]) -> None:
        """Add Markdown texts that open with a click."""
        start = f"<details><summary>{summary}</summary>"
        box += nodes.raw("", start, format="html")
        box += [self.parsed(text, "claim-note") for text in texts]
        box += nodes.raw("", "</details>", format="html")

    def parsed(self, text: str, kind: str) -> nodes.container:
        """Return Markdown text as nodes."""
        part = nodes.container(classes=[kind])
        part += self.parse_text_to_nodes(text)
        return part


class ChapterClaims(SphinxDirective):
    """``{chapter-claims}``: one line, the verdicts of the chapter's claims as links."""

    def run(self) -> list[nodes.Node]:
        """Return the line."""
        number = str(int(self.env.docname.rpartition("/")[2].split("_")[0]))
        rows = read(self.env, "claims.json")
        mine = [row for row in rows if number in chapters_of(row)]
        word = "claim" if len(mine) == 1 else "claims"
        line = nodes.paragraph("", f"Judged here, {len(mine)} {word}: ")
        line["classes"].append("chapter-claims")
        for row in mine:
            link = nodes.reference("", "", refuri=f"#claim-{row['key']}", internal=True)
            link["reftitle"] = row["verdict"]
            link += badge(row["verdict"], row["title"])
            line += [link, nodes.Text(" ")]
        return [line]


class ClaimsTable(TableDirective):
    """``{claims-table}``: every claim and its verdict, by chapter."""

    def run(self) -> list[nodes.Node]:
        """Return one table a chapter."""
        rows = read(self.env, "claims.json")
        status = read(self.env, "status.json")
        if not rows:
            LOGGER.error("there are no claims", location=self.get_location())
            return []
        out: list[nodes.Node] = [counts_of(rows)]
        shared = {row["shared"]: row for row in reversed(rows) if row["shared"]}
        for name, row in reversed(shared.items()):
            text = f"**{name.capitalize()}**, as for *{row['title']}*: "
            out += self.parse_text_to_nodes(text + row["criterion"])
        for chapter in sorted(status):
            number = str(int(chapter.split("_")[0]))
            mine = [row for row in rows if number in chapters_of(row)]
            if not mine:
                continue
            heading = nodes.rubric("", "", classes=["claims-chapter"])
            heading += self.inline(f"{{doc}}`/chapters/{chapter}`")
            cells = [
                [
                    f"**{row['title']}.** {row['text']} ({row['source']})"
                    "\n\n*Criterion.* "
                    + (f"{row['shared']}." if row["shared"] else row["criterion"]),
                    self.verdicts(row),
                    " ".join(filter(None, (row["said"] or row["reason"], row["gap"]))),
                ]
                for row in mine
            ]
            table = self.table(
                ["Claim", "Verdict", "Why"], cells, [50, 15, 35], "claims-table"
            )
            out += [heading, table]
        return out

    def verdicts(self, row: dict[str, Any]) -> list[nodes.Node]:
        """Return a claim's verdict, and the earlier one if its criterion is new."""
        now = nodes.paragraph("", "", badge(row["verdict"]))
        if not row.get("before"):
            return [now]
        words = nodes.Text(f"first protocol: {row['before']['verdict']}")
        return [now, nodes.paragraph("", "", words, classes=["claim-before"])]

    def inline(self, text: str) -> list[nodes.Node]:
        """Return one paragraph's content."""
        parsed = self.parse_text_to_nodes(text)
        return list(parsed[0].children)


class VerdictChanges(TableDirective):
    """``{verdict-changes}``: verdicts that are not the first protocol's, and why."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        cells, said = [], ""
        for row in read(self.env, "claims.json"):
            before = row["before"]
            if not before or before["verdict"] == row["verdict"]:
                continue
            if not row["changed"]:
                text = f"needed why the verdict on {row['key']} changed, found nothing"
                LOGGER.error(text, location=self.get_location())
            both = [badge(one["verdict"]) for one in (before, row)]
            why = "*as above*" if row["changed"] == said else row["changed"]
            cells.append([row["title"], *both, why])
            said = row["changed"]
        head = ["Claim", "First", "Now", "Why"]
        return [self.table(head, cells, [30, 13, 13, 44], "verdict-changes")]


def chapters_of(row: dict[str, Any]) -> list[str]:
    """Return the numbers of the chapters of a claim, as text."""
    chapter = row["chapter"]
    parts = chapter if isinstance(chapter, list | tuple) else str(chapter).split(",")
    return [str(int(str(part).strip().split("_")[0])) for part in parts]


class StatusTable(TableDirective):
    """``{status-table}``: how every chapter ran, and with which versions."""

    def run(self) -> list[nodes.Node]:
        """Return the table of runs and the table of versions."""
        status = read(self.env, "status.json")
        rows = [
            [
                f"{{doc}}`/chapters/{chapter}`",
                facts["profile"],
                facts["data"],
                f"{facts['seconds']:.0f}",
                str(facts["cells"]),
                facts["device"],
                facts["commit"],
            ]
            for chapter, facts in sorted(status.items())
        ]
        total = sum(facts["seconds"] for facts in status.values())
        rows.append(["**all**", "", "", f"{total:.0f}", "", "", ""])
        head = ["Chapter", "Profile", "Data", "Seconds", "Cells", "Device", "Commit"]
        runs = self.table(head, rows, [28, 10, 18, 10, 8, 16, 14], "status-table")
        versions = [
            [name, ", ".join(sorted({facts[name] for facts in status.values()}))]
            for name in ("python", "torch", "numpy", "isometry")
        ]
        return [
            runs,
            self.table(["Part", "Version"], versions, [40, 60], "version-table"),
        ]


class PaperMap(TableDirective):
    """``{paper-map}``: where in the paper a claim stands, and where in the book."""

    def run(self) -> list[nodes.Node]:
        """Return one table, in the paper's order as far as it is known."""
        status = read(self.env, "status.json")
        pages = {str(int(name.split("_")[0])): name for name in status}
        found = [
            (where, row)
            for row in read(self.env, "claims.json")
            if (where := place_in_paper(row["source"]))
        ]
        rows = [
            [
                where,
                row["title"],
                " ".join(f"{{doc}}`/chapters/{pages[n]}`" for n in chapters_of(row)),
            ]
            for where, row in sorted(found, key=lambda one: in_order(one[0]))
        ]
        head = ["In the paper", "What it says", "Here"]
        return [self.table(head, rows, [20, 50, 30], "paper-map")]


def place_in_paper(source: str) -> str:
    """Return the sections and equations that a source names, or an empty text."""
    return ", ".join(PLACES.findall(source))


def in_order(where: str) -> tuple[bool, str, float]:
    """Return a key that sorts equations, figures and sections, then the rest."""
    number = re.search(r"\d+(?:\.\d+)?", where)
    kind = "Abstract" if where == "abstract" else where
    return number is None, kind[:3], float(number[0]) if number else 0.0


class StatementsTable(TableDirective):
    """``{statements-table}``: what captions and prose say and a run has checked."""

    def run(self) -> list[nodes.Node]:
        """Return one table over all chapters."""
        found = read(self.env, "statements.json")
        rows = [
            [f"{{doc}}`/chapters/{chapter}`", place(one["where"]), one["statement"]]
            for chapter, statements in sorted(found.items())
            for one in statements
        ]
        head = ["Chapter", "Where", "Statement"]
        return [self.table(head, rows, [25, 20, 55], "statements-table")]


class VerdictCounts(TableDirective):
    """``{verdict-counts}``: how many claims have each verdict."""

    def run(self) -> list[nodes.Node]:
        """Return one line."""
        return [counts_of(read(self.env, "claims.json"))]


def place(where: str) -> str:
    """Return a figure's reference, or a heading's text as it is."""
    return f"{{numref}}`{where}`" if where.startswith("fig-") else where


def counts_of(rows: list[dict[str, Any]]) -> nodes.paragraph:
    """Return how many claims have each verdict."""
    line = nodes.paragraph(classes=["claims-summary"])
    for verdict in BADGES:
        count = sum(row["verdict"] == verdict for row in rows)
        line += [badge(verdict), nodes.Text(f" {count}   ")]
    return line


def without_thebe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Drop the live-code scripts: unused here, and they name another host."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in str(getattr(script, "filename", None) or "").lower()
        and "thebe" not in str(getattr(script, "attributes", {})).lower()
    ]


def named_as_seen(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Let folded code be called what is written on it, for those who hear the page."""
    if body := context.get("body"):
        context["body"] = body.replace(' aria-label="Toggle hidden content"', "")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the roles and directives."""
    app.add_role("number", NumberRole())
    app.add_directive("claim", ClaimDirective)
    app.add_directive("chapter-claims", ChapterClaims)
    app.add_directive("claims-table", ClaimsTable)
    app.add_directive("verdict-changes", VerdictChanges)
    app.add_directive("paper-map", PaperMap)
    app.add_directive("status-table", StatusTable)
    app.add_directive("statements-table", StatementsTable)
    app.add_directive("verdict-counts", VerdictCounts)
    app.add_directive("cluster-plan", ClusterPlan)
    app.add_directive("gpu-plan", GpuPlan)
    app.add_directive("scaling", Scaling)
    app.add_directive("inventory", Inventory)
    app.add_directive("again", Again)
    app.add_directive("quiz", Quiz)
    app.add_directive("suite-tables", SuiteTables)
    app.add_directive("suite-changes", SuiteChanges)
    app.connect("html-page-context", without_thebe, priority=900)
    app.connect("html-page-context", named_as_seen)
    app.add_config_value("book_repository", "", "html")
    app.connect("html-page-context", add_links, priority=502)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
