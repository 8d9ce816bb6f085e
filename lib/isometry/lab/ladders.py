"""Going on with a search whose best lies at an edge, by one rule for all methods.

A ladder names the values that a setting may take, in order. The best candidate of a
search has a neighbour one rung up and one rung down each ladder, its other values held.
As long as one of these was not tried, it is tried; then the best one is asked again. So
a search ends where its best is better than both neighbours on every ladder, or at a
ladder's end, which is a stated limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from isometry.core.messages import refusal
from isometry.lab.plans import plan
from isometry.lab.search import Search, Values

Ladders = Mapping[str, tuple[Any, ...]]
End = Literal["interior", "limit", "open"]


def neighbours(values: Values, ladders: Ladders) -> dict[str, list[Values | None]]:
    """Return a candidate's two neighbours on each ladder; None beyond a ladder's end.

    Example:
        >>> neighbours({"lr": 0.1, "leak": 0.8}, {"lr": (0.1, 0.3)})
        {'lr': [None, {'lr': 0.3, 'leak': 0.8}]}
    """
    found: dict[str, list[Values | None]] = {}
    for key in ladders.keys() & values.keys():
        ladder = ladders[key]
        place = ladder.index(values[key])
        found[key] = [
            {**values, key: ladder[beside]} if 0 <= beside < len(ladder) else None
            for beside in (place - 1, place + 1)
        ]
    return dict(sorted(found.items()))


def untried(search: Search, best: int) -> list[Values]:
    """Return the neighbours of the best candidate that were not tried.

    Args:
        search: All candidates that were tried.
        best: The place of the best one.
    """
    beside = neighbours(search.candidates[best], search.ladders).values()
    return [
        values
        for pair in beside
        for values in pair
        if values is not None and values not in search.candidates
    ]


def ends_of(search: Search, best: int) -> dict[str, End]:
    """Return how the search ended on each ladder.

    Args:
        search: All candidates that were tried.
        best: The place of the best one.

    Returns:
        Setting -> ``interior`` if both neighbours of the best were tried, ``limit`` if
        it stands at the ladder's end, ``open`` if a neighbour was not tried.
    """
    found: dict[str, End] = {}
    for key, pair in neighbours(search.candidates[best], search.ladders).items():
        if any(v is not None and v not in search.candidates for v in pair):
            found[key] = "open"
        else:
            found[key] = "limit" if None in pair else "interior"
    return found


def extended(search: Search, points: Sequence[Values], profile: str) -> Search:
    """Return a search with more candidates, every setting checked.

    Args:
        search: What was compared so far.
        points: Values of the new candidates.
        profile: Where settings start.

    Raises:
        ValueError: For a value out of range.
    """
    plans = [
        plan(search.benchmark, search.method, {**search.case, **point}, profile)
        for point in points
    ]
    return replace(
        search,
        candidates=(*search.candidates, *points),
        plans=(*search.plans, *plans),
    )


def check_ladders(ladders: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return the ladders of a sweep file, each checked to be a rising list of numbers.

    Args:
        ladders: Setting -> list.

    Raises:
        ValueError: If one is none.
    """
    for key, values in ladders.items():
        numbers = isinstance(values, list) and all(
            isinstance(one, int | float) and not isinstance(one, bool) for one in values
        )
        if not numbers or len(values) < 2 or values != sorted(set(values)):
            needed = f"two or more rising numbers for {key} in [ladders]"
            raise ValueError(refusal(needed, values, f"change {key}"))
    return {key: tuple(values) for key, values in ladders.items()}


def check_continuable(search: Search, profile: str) -> None:
    """Refuse a search that could stop at an edge for want of a ladder.

    Args:
        search: As the file asks for it.
        profile: Where settings start.

    Raises:
        ValueError: If a setting with several numbers has no ladder, a value is not on
            its ladder, or a rung is out of range.
    """
    where = f"[methods.{search.method}] or [search]"
    first = search.candidates[0]
    for key in first:
        tried = list(dict.fromkeys(values[key] for values in search.candidates))
        numbers = all(
            isinstance(one, int | float) and not isinstance(one, bool) for one in tried
        )
        ladder = search.ladders.get(key)
        if ladder is None and numbers and len(tried) > 1:
            needed = f"a ladder for {key} of {where}, on which its search can go on"
            do = "add it to [ladders], or set continued = false"
            raise ValueError(refusal(needed, "none", do))
        beyond = [one for one in tried if ladder is not None and one not in ladder]
        if beyond:
            needed = f"values of {key} in {where} that are rungs of its ladder"
            found = ", ".join(map(str, beyond))
            raise ValueError(refusal(needed, found, "add them to [ladders]"))
        # A rung that cannot be must not end the sweep when the search gets there.
        extended(search, [{**first, key: rung} for rung in ladder or ()], profile)
