"""Write the page of known remedies: ``python book/remedies.py`` makes ``remedies.md``.

Names and sources come from the registry of methods, families and their order from
the book's style, costs from the report of ``benchmarks/methods_cost.py``, places from
the committed results, what we chose from the table of ``departures.md``, and the words
and formulas from ``remedies.toml``. No number is typed. ``tests/book/test_remedies.py``
holds the page current.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isometry.lab.comparison import compared, with_choices
from isometry.lab.store import load_records
from isometry.methods import METHODS, Method
from isometry_book.c6_benchmark.streams_tables import loaded_streams, numbers, places
from isometry_book.style import by_family, method_style

BOOK = Path(__file__).parent
ROOT = BOOK.parent
PAGE, WORDS, CHOICES = (
    BOOK / name for name in ("remedies.md", "remedies.toml", "departures.md")
)
COSTS = ROOT / "benchmarks" / "reports" / "methods_cost.json"
RESULTS = ROOT / "results"
LEAST_SWITCH = 1.0  # steps of Adam, below which the cost of a switch is not said


@dataclass(frozen=True)
class Known:
    """What is known of methods besides their words, by name.

    Attributes:
        network: On which costs were measured.
        costs: Ratios over Adam.
        measured: One line a stream of the second protocol.
        short: On how many streams of the first protocol it was run.
        choices: First cell of a row of ``departures.md`` -> choice and reason.
    """

    network: str
    costs: Mapping[str, Mapping[str, float]]
    measured: Mapping[str, list[str]]
    short: Mapping[str, int]
    choices: Mapping[str, tuple[str, str]]


def choice_rows(text: str) -> dict[str, tuple[str, str]]:
    """Return the rows of the tables of choices, by their first cell without citations.

    Args:
        text: Of ``departures.md``.
    """
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 3:
            name = cells[0].split("{cite")[0].strip()
            found[name] = (cells[1], cells[2])
    return found


def measured(results: Path) -> dict[str, list[str]]:
    """Return what was measured of each method under the second protocol, in words.

    Args:
        results: The results store.
    """
    streams = {n: s for n, s in loaded_streams(results).items() if len(s.runs) > 1}
    table = places(streams).droplevel("family")
    found: dict[str, list[str]] = {}
    for name, stream in streams.items():
        slopes = numbers(stream, "slope")
        for method, place in table[name].items():
            if place:
                slope = slopes.loc[method]
                ends = f"[{slope['low']:+.3f}, {slope['high']:+.3f}]"
                text = f"{name.replace('_', ' ')}: place {place}, change "
                text += f"{slope['mean']:+.3f} {ends}"
                found.setdefault(str(method), []).append(text)
    return found


def known(results: Path = RESULTS) -> Known:
    """Return what is known of all methods.

    Args:
        results: The results store.
    """
    networks = json.loads(COSTS.read_text(encoding="utf-8"))["networks"]
    records = with_choices(load_records(results), results)
    streams = {record["benchmark"] for record in records}
    network, costs = next(iter(networks.items()))
    return Known(
        network=network,
        costs=costs,
        measured=measured(results),
        short=Counter(m for one in streams for m in compared(records, one)),
        choices=choice_rows(CHOICES.read_text(encoding="utf-8")),
    )


def label(method: str) -> str:
    """Return how a method is called in figures."""
    return str(method_style(method)["label"])


def target(method: str) -> str:
    """Return the name of a method's place on the page."""
    return f"remedy-{method.replace('_', '-')}"


def formula(rule: str) -> str:
    """Return a rule as a displayed formula, its parts below each other."""
    parts = rule.split(r", \quad ")
    if len(parts) > 1:
        rows = r" \\ ".join(parts)
        rule = rf"\begin{{gathered}} {rows} \end{{gathered}}"
    return f"$$\n{rule}\n$$"


def entry(method: Method, words: Mapping[str, Any], facts: Known) -> str:
    """Return a method's part of the page; only its summary where there are no words.

    Args:
        method: Of the registry.
        words: Of ``remedies.toml``.
        facts: What is known of all methods.
    """
    name, title = method.name, label(method.name)
    does = words.get("does", f"{method.summary}.")
    lines = [f"({target(name)})=", f"### {title[0].upper()}{title[1:]}", ""]
    lines += [f"`{name}`. {does}", ""]
    if "rule" in words:
        lines += [formula(words["rule"]), ""]
    cost = facts.costs.get(name)
    spent = "not timed yet"
    if cost is not None:
        spent = f"{cost['time_ratio']:.2f} x the time, {cost['kept_ratio']:.2f} x "
        spent += "the memory"
        if cost["switch_steps"] > LEAST_SWITCH:
            spent += f", and at a new task as much as {cost['switch_steps']:.0f} steps"
    spent += f"; {words['cost']}" if "cost" in words else ""
    lines.append(f"* **Costs**: {spent}")
    own = []
    if name in facts.measured:
        own.append(f"{'; '.join(facts.measured[name])} ({{numref}}`fig-slopes`)")
    if facts.short.get(name):
        own.append(
            f"{facts.short[name]} short streams of the first protocol "
            "({numref}`fig-standings`)"
        )
    lines.append(f"* **Measured**: {'; '.join(own) or 'not yet'}")
    cited = ", ".join(f"{{cite:t}}`{key}`" for key in words.get("cite", ()))
    lines.append(f"* **Source**: {cited or method.source}")
    rows = words.get("choices", ())
    for row in rows:
        choice, why = facts.choices[row]
        of = f", {row}" if len(rows) > 1 else ""
        lines.append(f"* **Our choices**{of}: {choice}; *why*: {why}")
    return "\n".join(lines)


def page(facts: Known, words: Mapping[str, Any], methods: Mapping[str, Method]) -> str:
    """Return the whole page.

    Args:
        facts: What is known of all methods.
        words: Contents of ``remedies.toml``.
        methods: By name; those that are a combination of others too.
    """
    families, own = words["families"], words["methods"]
    grouped = by_family(methods)
    overview = ["| family | methods |", "|---|---|"]
    parts = []
    for family, names in grouped.items():
        about = families[family]
        place = "remedies-" + family.replace(" ", "-")
        row = ", ".join(f"[{label(name)}](#{target(name)})" for name in names)
        overview.append(f"| [{about['title']}](#{place}) | {row} |")
        parts.append(f"({place})=\n## {about['title']}\n\n{about['idea'].strip()}")
        parts += [entry(methods[name], own.get(name, {}), facts) for name in names]
    intro = words["intro"].replace("{overview}", "\n".join(overview))
    intro = intro.replace("{network}", facts.network)
    return intro + "\n" + "\n\n".join(parts) + "\n"


def current(results: Path = RESULTS) -> str:
    """Return the page as it is to be.

    Args:
        results: The results store.
    """
    words = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    methods = {method.name: method for method in METHODS}
    order = [name for name in words["methods"] if name in methods]
    order += [name for name in methods if name not in order]
    return page(known(results), words, {name: methods[name] for name in order})


if __name__ == "__main__":
    PAGE.write_text(current(), encoding="utf-8")
