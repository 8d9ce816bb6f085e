"""Sweep files: a grid of benchmarks, methods, settings and seeds, written in TOML.

A list stands for several values, and all combinations of lists are meant. The table
that a list stands in says what is done with it::

    profile = "laptop"              # where settings start: smoke, laptop or paper
    metric = "online_accuracy"      # by which settings are chosen
    tune_seeds = "100:103"          # settings are chosen on these seeds
    report_seeds = "0:8"            # and reported on these

    [settings]                      # of every run; lists are reported value by value
    data = "digits"

    [benchmarks.permuted_mnist]     # one table a benchmark, settings of its own
    tasks = [10, 30]

    [search]                        # searched by every method, with lists of its own
    lr = [3e-4, 1e-3, 3e-3]

    [ladders]                       # a search goes on here if its best is at an edge
    lr = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    weight_decay = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    beta2 = [0.9, 0.99, 0.999, 0.9999]

    [methods.adam]                  # one table a method: its search space
    beta2 = [0.99, 0.999]

    [methods.adamw]
    weight_decay = [1e-2, 1e-1]

Values of a method override those of the benchmark, and those the common settings.

Without ``tune_seeds`` nothing is chosen: every combination is run on ``report_seeds``.
With them, each method must have as many combinations as the others, unless the file
says ``equal_budgets = false``; and a search whose best lies at an edge goes on along
``[ladders]`` (:mod:`isometry.lab.ladders`), unless it says ``continued =
false``. Then all methods share their learning rates: they stand in ``[search]``. Every
setting that has a ladder starts on it, also one with a single value. A method that has
one combination is not searched.

``control = "adam"`` chooses that method's settings once more for the first fifth of the
tasks alone: what it reaches there, and loses later, is the gate of a stream.

All seeds of a setting train in one stack, unless workers would be idle; ``members = 4``
makes stacks of four whatever the number of workers. Stacks of another size round their
numbers another way, by a part in a million.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isometry.core.messages import refusal, unknown
from isometry.core.seeding import parsed_seeds
from isometry.lab.ladders import check_continuable
from isometry.lab.plans import benchmark_of
from isometry.lab.search import (
    TUNING_METRICS,
    Sweep,
    check_budgets,
    check_distinct,
)
from isometry.sweep.grid import cases_of, search_of

TABLES = ("settings", "benchmarks", "methods", "search", "ladders")
KINDS: dict[str, type] = {
    "profile": str,
    "metric": str,
    "tune_seeds": str,
    "report_seeds": str,
    "members": int,
    "equal_budgets": bool,
    "continued": bool,
    "control": str,
    **dict.fromkeys(TABLES, dict),
}
KIND_NAMES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
}


def read_sweep(source: str | Path | Mapping[str, Any]) -> Sweep:
    """Return what a sweep file asks for, everything in it checked.

    Args:
        source: The file, or its contents as nested mappings.

    Raises:
        KeyError: For a name that is not known; the nearest known one is named.
        ValueError: For anything else that cannot be; one line says what to do.
        OSError: If the file cannot be read.
    """
    content = parsed_file(Path(source)) if isinstance(source, str | Path) else source
    _checked_kinds(content)
    _checked_search(content)
    for table in ("benchmarks", "methods"):
        if not content.get(table):
            needed = f"a table [{table}.NAME], one for each, in the sweep file"
            raise ValueError(refusal(needed, "none", f"see `isometry list {table}`"))
    judged = benchmark_of(next(iter(content["benchmarks"]))).metric
    metric = content.get("metric", judged)
    if metric not in TUNING_METRICS:
        raise KeyError(unknown("metric to choose settings by", metric, TUNING_METRICS))
    tune_seeds, report_seeds = _seeds_of(content)
    profile = content.get("profile", "laptop")
    searches = tuple(
        search_of(content, benchmark, method, case, profile, _is_continued(content))
        for benchmark in content["benchmarks"]
        for case in cases_of(content, benchmark)
        for method in content["methods"]
    )
    sweep = Sweep(
        searches=searches,
        profile=profile,
        metric=metric,
        tune_seeds=tune_seeds,
        report_seeds=report_seeds,
        members=content.get("members", 0),
    )
    check_distinct(searches)
    if tune_seeds and content.get("equal_budgets", True):
        check_budgets(sweep.budgets())
    if _is_continued(content):
        for search in searches:
            check_continuable(search, profile)
    return sweep


def parsed_file(path: Path, kind: str = "sweep file") -> dict[str, Any]:
    """Return the contents of a TOML file; a byte order mark before them is no part.

    Args:
        path: The file.
        kind: What it is, for messages.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is no TOML in UTF-8.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are such
        raise ValueError(
            refusal(f"a {kind} in TOML at {path}", str(error), "correct it")
        ) from None


def check_kinds(
    content: Mapping[str, Any], kinds: Mapping[str, type], what: str
) -> None:
    """Refuse keys that a file does not have, and values of the wrong kind.

    Args:
        content: Of the file, or of a table in it.
        kinds: The type that each key asks for.
        what: Names the file or table in messages.

    Raises:
        KeyError: For a key that is not known; the nearest known one is named.
        ValueError: For a value of another type.
    """
    for key, value in content.items():
        if key not in kinds:
            raise KeyError(unknown(f"key of {what}", key, kinds))
        # bool is an int to Python, not to a reader of the file
        taken = (int, float) if kinds[key] is float else (kinds[key],)
        if type(value) not in taken:
            needed = f"{KIND_NAMES.get(kinds[key], 'a table')} for {key}"
            raise ValueError(refusal(needed, value, f"change {key}"))


def _checked_kinds(content: Mapping[str, Any]) -> None:
    """Refuse keys that a sweep file does not have, and values of the wrong kind."""
    check_kinds(content, KINDS, "a sweep file")
    for table in ("benchmarks", "methods"):
        for name, value in content.get(table, {}).items():
            if not isinstance(value, Mapping):
                needed = f"a table [{table}.{name}]"
                raise ValueError(refusal(needed, value, "write it as a table"))
    if content.get("members", 0) < 0:
        needed = "members >= 0 (0: as many as keep all workers busy)"
        raise ValueError(refusal(needed, content["members"], "change members"))


def _is_continued(content: Mapping[str, Any]) -> bool:
    """Return whether searches of a file go on while their best is at an edge."""
    return "tune_seeds" in content and content.get("continued", True)


def _checked_search(content: Mapping[str, Any]) -> None:
    """Refuse search spaces that overlap, and learning rates of one method alone."""
    methods = content.get("methods", {})
    for method, space in methods.items():
        for key in space.keys() & content.get("search", {}).keys():
            needed = f"{key} in [search], for all methods alike"
            found = f"it in [methods.{method}] as well"
            raise ValueError(refusal(needed, found, "leave it out there"))
        if isinstance(space.get("lr"), list) and _is_continued(content):
            needed = (
                "the learning rates that are searched in [search], the same for all"
            )
            do = "move it there, or set continued = false"
            raise ValueError(refusal(needed, f"a list in [methods.{method}]", do))
    control = content.get("control")
    if control is not None and control not in methods:
        raise KeyError(unknown("method of this sweep", control, methods))
    if control is not None and "tune_seeds" not in content:
        needed = "tune_seeds, on which the control's settings are chosen"
        raise ValueError(refusal(needed, "none", "add them, or leave control out"))


def _seeds_of(content: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the seeds for tuning, if any, and those for the report."""
    if "report_seeds" not in content:
        needed = "report_seeds in the sweep file"
        raise ValueError(refusal(needed, "none", 'add e.g. report_seeds = "0:8"'))
    report = tuple(parsed_seeds(content["report_seeds"]))
    tune: tuple[int, ...] = ()
    if "tune_seeds" in content:
        tune = tuple(parsed_seeds(content["tune_seeds"]))
    both = sorted(set(report) & set(tune))
    if both:
        needed = "report_seeds on which nothing was chosen"
        found = f"{', '.join(map(str, both))} in tune_seeds too"
        raise ValueError(refusal(needed, found, "choose others"))
    return tune, report
