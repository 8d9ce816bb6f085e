"""The grids of a sweep file: what its lists stand for, and what a method searches."""

from collections.abc import Mapping
from itertools import product
from typing import Any

from isometry.core.messages import refusal
from isometry.lab.ladders import check_ladders
from isometry.lab.plans import plan
from isometry.lab.search import Search, Values


def grid(table: Mapping[str, Any], where: str) -> list[Values]:
    """Return all points of a grid: lists stand for several values, others for one.

    Args:
        table: Value or list of values by name.
        where: Names the table in messages.

    Raises:
        ValueError: If a list is empty or a value is no plain value.

    Example:
        >>> grid({"lr": [0.1, 0.2], "width": 8}, "[settings]")
        [{'lr': 0.1, 'width': 8}, {'lr': 0.2, 'width': 8}]
    """
    axes = []
    for key, value in table.items():
        values = value if isinstance(value, list) else [value]
        if not values:
            needed = f"at least one value for {key} in {where}"
            raise ValueError(refusal(needed, "an empty list", "add one, or leave it"))
        for one in values:
            if not isinstance(one, str | int | float | bool):
                needed = f"a value or a list of values for {key} in {where}"
                raise ValueError(refusal(needed, one, f"change {key}"))
        axes.append(values)
    return [dict(zip(table, point, strict=True)) for point in product(*axes)]


def cases_of(content: Mapping[str, Any], benchmark: str) -> list[Values]:
    """Return the settings under which all methods are compared on a benchmark.

    Args:
        content: Of a sweep file.
        benchmark: Its name.

    Raises:
        ValueError: If a list of them is a method's too.
    """
    own = content["benchmarks"][benchmark]
    common = {k: v for k, v in content.get("settings", {}).items() if k not in own}
    for key, value in {**common, **own}.items():
        tables = {f"methods.{m}": space for m, space in content["methods"].items()}
        for table, space in {**tables, "search": content.get("search", {})}.items():
            if isinstance(value, list) and key in space:
                needed = f"{key} as a list for all methods or in [{table}]"
                raise ValueError(refusal(needed, "both", "leave one out"))
    points = product(grid(common, "[settings]"), grid(own, f"[benchmarks.{benchmark}]"))
    return [{**first, **second} for first, second in points]


def search_of(
    content: Mapping[str, Any],
    benchmark: str,
    method: str,
    case: Values,
    profile: str,
    continued: bool,
) -> Search:
    """Return the candidates of a method on a benchmark, every setting checked.

    Args:
        content: Of a sweep file.
        benchmark: Its name.
        method: Its name.
        case: Settings under which all methods are compared.
        profile: Where settings start.
        continued: Whether the search goes on along the file's ladders.

    Raises:
        KeyError: For a name that is not known.
        ValueError: For a value that cannot be.
    """
    ladders = check_ladders(content.get("ladders", {}))
    space = {**content.get("search", {}), **content["methods"][method]}
    points = grid(space, f"[methods.{method}]")
    plans = [plan(benchmark, method, {**case, **point}, profile) for point in points]
    return Search(
        benchmark=benchmark,
        method=method,
        case=case,
        candidates=tuple(points),
        plans=tuple(plans),
        ladders=ladders if continued else {},
        parts=("all", "first") if content.get("control") == method else ("all",),
    )
