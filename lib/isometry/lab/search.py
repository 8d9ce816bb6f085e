"""What a sweep compares: the settings of each method, the same number for all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from isometry.core.messages import refusal
from isometry.lab.run import Plan

# Where more is better; the others cannot choose.
TUNING_METRICS = (
    "online_accuracy",
    "final_accuracy",
    "test_accuracy",
    "plasticity",
    "episodic_return",
    "online_return",
)

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Search:
    """The settings of one method that are compared on one stream.

    Attributes:
        benchmark: Name of the benchmark.
        method: Name of the method.
        case: Settings of the stream: one point of the grids in ``[settings]`` and
            ``[benchmarks]``.
        candidates: Values of the search space, at least one point.
        plans: What each candidate stands for, every setting checked.
        ladders: Setting -> values in order, on which the search goes on while its best
            is at an edge; see :mod:`isometry.lab.ladders`.
        parts: Of the tasks, see :func:`isometry.lab.report.seed_scores`, for
            which settings are chosen, each by itself: ``all``, and ``first`` as well
            for the control.
    """

    benchmark: str
    method: str
    case: Values
    candidates: tuple[Values, ...]
    plans: tuple[Plan, ...]
    ladders: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    parts: tuple[str, ...] = ("all",)

    def changes(self, index: int) -> Values:
        """Return all settings of a candidate that differ from the profile's.

        Args:
            index: Which candidate.
        """
        return {**self.case, **self.candidates[index]}


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a sweep file asks for.

    Attributes:
        searches: One a benchmark, case and method.
        profile: Where settings start.
        metric: One of :data:`TUNING_METRICS`.
        tune_seeds: Seeds on which settings are chosen; none: nothing is chosen.
        report_seeds: Seeds of the results, none of them a tuning seed.
        members: Seeds that one process trains in a stack; 0: as many as keep all
            workers busy.
    """

    searches: tuple[Search, ...]
    profile: str
    metric: str
    tune_seeds: tuple[int, ...]
    report_seeds: tuple[int, ...]
    members: int

    def budgets(self) -> dict[str, int]:
        """Return how many settings of each method are compared on one stream."""
        return {search.method: len(search.plans) for search in self.searches}


def check_distinct(searches: Iterable[Search]) -> None:
    """Refuse two entries of a sweep that mean the same run.

    Args:
        searches: All of a sweep.

    Raises:
        ValueError: If a list has a value twice, in whatever spelling.
    """
    seen: set[str] = set()
    for search in searches:
        for planned, values in zip(search.plans, search.candidates, strict=True):
            if planned.hash() in seen:
                shown = ", ".join(
                    f"{k}={v}" for k, v in {**search.case, **values}.items()
                )
                found = f"{search.benchmark} {search.method} {shown} twice"
                raise ValueError(
                    refusal("different values in each list", found, "remove one")
                )
            seen.add(planned.hash())


def check_budgets(budgets: Mapping[str, int]) -> None:
    """Refuse search spaces of different sizes: a wider search finds more by chance.

    Args:
        budgets: Settings compared, by method.

    Raises:
        ValueError: If they differ.
    """
    if len(set(budgets.values())) > 1:
        found = ", ".join(f"{count} for {name}" for name, count in budgets.items())
        raise ValueError(
            refusal(
                "the same number of settings for each method",
                found,
                "complete the lists, or set equal_budgets = false",
            )
        )
