"""The unit of work of a sweep, and what takes such units.

A :class:`Unit` is one call of :func:`isometry.lab.run.run`. It says in plain
values what to do, so that it is the same work wherever it is done, and it stores its
results itself. A :class:`Crew` takes units and gives futures.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from isometry.lab.report import seed_scores
from isometry.lab.run import run


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One stack of seeds of one method under one setting.

    Attributes:
        benchmark: Name of the benchmark.
        method: Name of the method.
        settings: Those that differ from the profile's.
        profile: Where settings start.
        seeds: Members of the stack.
        store: Folder of the results.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        metric: Whose mean is told when the unit is done.
    """

    benchmark: str
    method: str
    settings: dict[str, Any]
    profile: str
    seeds: tuple[int, ...]
    store: str
    device: str
    metric: str


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Workers that take units.

    Attributes:
        workers: How many work side by side.
        size: How many units it takes at a time.
        device: Of the units.
        submit: ``(place, unit) -> Future``; a place below ``size`` has one unit.
    """

    workers: int
    size: int
    device: str
    submit: Callable[[int, Unit], "Future[float]"]


def work(unit: Unit) -> float:
    """Do a unit and return the mean of its metric over seeds and tasks.

    Args:
        unit: What to run; what its store has already is not run again.
    """
    torch.set_num_threads(1)
    with environment({"ISOMETRY_PROGRESS": "0"}):
        frame = run(
            unit.benchmark,
            unit.method,
            unit.seeds,
            unit.settings,
            profile=unit.profile,
            out=unit.store,
            device=unit.device,
        )
    return float(seed_scores(frame, unit.metric).mean())


def parts(seeds: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Return seeds in ``count`` stacks of nearly the same size, in their order.

    Args:
        seeds: At least one.
        count: At least one; no stack is empty.

    Example:
        >>> parts(range(5), 2)
        [(0, 1, 2), (3, 4)]
    """
    count = min(count, len(seeds))
    ends = [-(-len(seeds) * i // count) for i in range(count + 1)]
    return [tuple(seeds[first:last]) for first, last in pairwise(ends)]


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment meanwhile, for processes that are started.

    Args:
        values: By name.
    """
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def here(device: str) -> Iterator[Crew]:
    """Yield a crew that does each unit in this process, at once.

    Args:
        device: Of the units.
    """

    def submit(place: int, unit: Unit) -> "Future[float]":
        future: Future[float] = Future()
        try:
            future.set_result(work(unit))
        except Exception as error:
            future.set_exception(error)
        return future

    threads = torch.get_num_threads()
    try:
        yield Crew(workers=1, size=1, device=device, submit=submit)
    finally:
        torch.set_num_threads(threads)
