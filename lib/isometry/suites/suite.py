"""Suites: the rows of somebody's table, with the settings that were published for it.

A suite is a file ``NAME.toml`` beside this one::

    title = "Online Permuted MNIST"
    source = "kumar2023maintaining"     # whose table, a key of the bibliography, if any
    box = "One sentence: stream, network, sizes."
    notes = ["What the source leaves open, and how it is read here."]
    benchmark = "permuted_mnist"        # of every row, as are the next two
    profile = "paper"                   # where settings start
    seeds = "0:10"

    [settings]                          # of every row
    tasks = 200

    [[measures]]                        # the numbers of the table, one a column
    name = "mean accuracy"
    metric = "online_accuracy"          # that runs record, one number a task
    last = 20                           # mean of the last 20 tasks; without it, of all

    [[rows]]                            # a row may have benchmark and seeds of its own
    label = "SGD"
    method = "adam"
    settings = { optimizer = "sgd", lr = 0.003 }
    note = "What is ours in this row."

    [reduced]                           # makes a second suite, NAME-reduced
    how = "A sentence: what is smaller."
    settings = { tasks = 20 }

    [[changes]]                         # a row once more, with one thing changed
    of = "SGD"
    label = "inputs standardised"
    why = "A sentence."
    settings = { input_scaling = "standard" }

Settings of a row override those of all rows, and those of ``[reduced]`` override both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isometry.core.messages import refusal, unknown
from isometry.core.seeding import parsed_seeds
from isometry.lab.plans import Plan, plan
from isometry.sweep.file import check_kinds, parsed_file

FOLDER = Path(__file__).parent
PUBLISHED = "published"  # the file of the published values, no suite
REDUCED = "-reduced"
SUITE_KINDS: dict[str, type] = {
    **dict.fromkeys(("title", "source", "box", "benchmark", "profile", "seeds"), str),
    **dict.fromkeys(("notes", "measures", "rows", "changes"), list),
    **dict.fromkeys(("settings", "reduced"), dict),
}
MEASURE_KINDS = {"name": str, "metric": str, "last": int}
ROW_KINDS: dict[str, type] = {
    **dict.fromkeys(("label", "benchmark", "method", "seeds", "note"), str),
    "settings": dict,
}
CHANGE_KINDS: dict[str, type] = {**ROW_KINDS, "of": str, "why": str}
REDUCED_KINDS = {"how": str, "seeds": str, "settings": dict}
NEEDED = {  # of each kind of table
    "suite": ("title", "box", "measures", "rows"),
    "measure": ("name", "metric"),
    "row": ("label", "method"),
    "change": ("label", "of", "why"),
    "reduced": ("how", "settings"),
}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number of a table.

    Attributes:
        name: What the table calls it.
        metric: What runs record, one number a task.
        last: Mean of so many last tasks; 0: of all.
    """

    name: str
    metric: str
    last: int = 0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table: a method with its settings.

    Attributes:
        label: As the table calls it.
        benchmark: Name of the benchmark.
        method: Name of the method.
        settings: Those that differ from the profile's.
        profile: Where settings start.
        seeds: Which ones are asked for.
        planned: What that means, every setting checked.
        note: What is ours in it; "" where the source says all.
        of: Label of the row that this one changes in one thing; "" for a row.
        why: What that is to tell; "" for a row.
    """

    label: str
    benchmark: str
    method: str
    settings: Mapping[str, Any]
    profile: str
    seeds: tuple[int, ...]
    planned: Plan
    note: str = ""
    of: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The rows of one published table, or a reduction of them.

    Attributes:
        name: As typed.
        title: For headings.
        source: Whose table, a key of the bibliography; "" if it is not said here.
        box: The settings that all rows share, in a sentence.
        notes: What the source leaves open, and how it is read here.
        measures: The table's numbers.
        rows: In the table's order.
        changes: Rows once more, each with one thing changed.
        settings: Those that all rows share.
        reduced: What is smaller than in the source; "" where nothing is.
    """

    name: str
    title: str
    source: str
    box: str
    notes: tuple[str, ...]
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    changes: tuple[Row, ...]
    settings: Mapping[str, Any]
    reduced: str = ""

    @property
    def runs(self) -> tuple[Row, ...]:
        """Return all that is to be run: rows, then changes."""
        return self.rows + self.changes

    def only(self, labels: list[str]) -> tuple[Row, ...]:
        """Return the runs with these labels, or all if there is no label.

        Args:
            labels: Of rows or changes.

        Raises:
            KeyError: If there is no such row; the nearest label is named.
        """
        known = [run.label for run in self.runs]
        for label in labels:
            if label not in known:
                raise KeyError(unknown(f"row of suite {self.name}", label, known))
        return tuple(run for run in self.runs if not labels or run.label in labels)


def names(folder: Path | None = None) -> tuple[str, ...]:
    """Return the names of all suites, sorted, each before its reduction.

    Args:
        folder: Of the suites' files; the package's own if not given.
    """
    found = []
    for path in sorted((folder or FOLDER).glob("*.toml")):
        if path.stem != PUBLISHED:
            both = ("", REDUCED) if "reduced" in parsed_file(path, "suite") else ("",)
            found += [f"{path.stem}{end}" for end in both]
    return tuple(found)


def read_suite(name: str, folder: Path | None = None) -> Suite:
    """Return a suite, everything in it checked.

    Args:
        name: One of :func:`names`.
        folder: Of the suites' files; the package's own if not given.

    Raises:
        KeyError: For a name that is not known; the nearest known one is named.
        ValueError: For anything else that cannot be; one line names suite and row.
    """
    if name not in names(folder):
        raise KeyError(unknown("suite", name, names(folder)))
    stem = name.removesuffix(REDUCED)
    content = parsed_file((folder or FOLDER) / f"{stem}.toml", "suite")
    return _suite(name, content, reduced=name != stem)


def all_suites(folder: Path | None = None) -> Iterator[Suite]:
    """Yield all suites.

    Args:
        folder: Of the suites' files; the package's own if not given.

    Raises:
        KeyError: As :func:`read_suite`.
        ValueError: As :func:`read_suite`.
    """
    for name in names(folder):
        yield read_suite(name, folder)


def _suite(name: str, content: Mapping[str, Any], reduced: bool) -> Suite:
    """Return the suite that a file's contents stand for."""
    _check_table(content, SUITE_KINDS, "suite", name)
    smaller = content.get("reduced", {})
    if smaller:
        _check_table(smaller, REDUCED_KINDS, "reduced", f"{name}, [reduced]")
    if not reduced:
        smaller = {}
    tables: dict[str, Mapping[str, Any]] = {}
    rows, changes = [], []
    for one in content["rows"]:
        _check_table(one, ROW_KINDS, "row", f"{name}, [[rows]]")
        rows.append(_row(name, content, one, smaller))
        tables[one["label"]] = one
    for one in content.get("changes", []):
        _check_table(one, CHANGE_KINDS, "change", f"{name}, [[changes]]")
        if one["of"] not in tables:
            raise KeyError(unknown(f"row of suite {name}", one["of"], tables))
        base = tables[one["of"]]
        both = {**base.get("settings", {}), **one.get("settings", {})}
        changes.append(_row(name, content, {**base, **one, "settings": both}, smaller))
    _check_distinct(name, [*rows, *changes])
    return Suite(
        name=name,
        title=content["title"],
        source=content.get("source", ""),
        box=content["box"],
        notes=tuple(content.get("notes", ())),
        measures=_measures(name, content["measures"], rows),
        rows=tuple(rows),
        changes=tuple(changes),
        settings={**content.get("settings", {}), **smaller.get("settings", {})},
        reduced=smaller.get("how", ""),
    )


def _check_table(table: Any, kinds: Mapping[str, type], kind: str, where: str) -> None:
    """Refuse a table of the wrong form: unknown keys, wrong kinds, missing keys."""
    if not isinstance(table, Mapping):
        needed = f"tables in suite {where}"
        raise ValueError(refusal(needed, table, "write each as a table"))
    check_kinds(table, kinds, f"suite {where}")
    for key in NEEDED[kind]:
        if not table.get(key):
            raise ValueError(refusal(f"{key} in suite {where}", "none", f"add {key}"))


def _row(
    name: str,
    content: Mapping[str, Any],
    one: Mapping[str, Any],
    smaller: Mapping[str, Any],
) -> Row:
    """Return a row with all settings that are meant for it, planned."""
    label = one["label"]
    settings = {
        **content.get("settings", {}),
        **one.get("settings", {}),
        **smaller.get("settings", {}),
    }
    found = {**content, **one}
    for key in ("benchmark", "seeds"):
        if key not in found:
            needed = f"{key} for suite {name} or its row {label}"
            raise ValueError(refusal(needed, "none", f"add {key}"))
    profile = content.get("profile", "paper")
    try:
        seeds = tuple(parsed_seeds(smaller.get("seeds", found["seeds"])))
        planned = plan(found["benchmark"], one["method"], settings, profile)
    except (KeyError, ValueError) as error:
        raise type(error)(f"suite {name}, row {label}: {error.args[0]}") from None
    return Row(
        label=label,
        benchmark=found["benchmark"],
        method=one["method"],
        settings=settings,
        profile=profile,
        seeds=seeds,
        planned=planned,
        note=one.get("note", ""),
        of=one.get("of", ""),
        why=one.get("why", ""),
    )


def _check_distinct(name: str, runs: list[Row]) -> None:
    """Refuse two runs of a suite that are the same, or are called the same."""
    seen: dict[str, str] = {}
    labels = [run.label for run in runs]
    for run in runs:
        other = seen.setdefault(run.planned.hash(), run.label)
        if other != run.label or labels.count(run.label) > 1:
            needed = f"different rows in suite {name}"
            found = f"{other} and {run.label}, which are the same"
            raise ValueError(refusal(needed, found, "change or remove one"))


def _measures(name: str, tables: list[Any], rows: list[Row]) -> tuple[Measure, ...]:
    """Return the measures of a suite, whose tasks every row has."""
    found = []
    for table in tables:
        _check_table(table, MEASURE_KINDS, "measure", f"{name}, [[measures]]")
        measure = Measure(**table)
        tasks = min(row.planned.settings.tasks for row in rows)
        if not 0 <= measure.last <= tasks:
            needed = f"0 <= last <= {tasks} for measure {measure.name} of suite {name}"
            raise ValueError(refusal(needed, measure.last, "change last"))
        found.append(measure)
    return tuple(found)
