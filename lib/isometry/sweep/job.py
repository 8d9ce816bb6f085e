"""The job of a sweep: one call of :func:`isometry.lab.run.run`.

It says in plain values what to do, so that it is the same work wherever it is done, and
it stores its results itself.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import torch

from isometry.lab.choices import spelled
from isometry.lab.plans import plan
from isometry.lab.report import seed_scores
from isometry.lab.run import missing_seeds, run
from isometry.lab.search import Search, Sweep

TUNE, REPORT = "tune", "report"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One stack of seeds of one method under one setting.

    Attributes:
        phase: :data:`TUNE` or :data:`REPORT`.
        benchmark: Name of the benchmark.
        method: Name of the method.
        settings: Those that differ from the profile's.
        profile: Where settings start.
        seeds: Members of the stack.
        store: Folder of the results.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        metric: Whose mean is told when the job is done.
        label: The candidate's values, as typed.
        cost: Steps times members: proportional to its time, roughly.
        group: Number of the search that it belongs to.
    """

    phase: str
    benchmark: str
    method: str
    settings: dict[str, Any]
    profile: str
    seeds: tuple[int, ...]
    store: str
    device: str
    metric: str
    label: str
    cost: float
    group: int = 0

    def row(self) -> tuple[str, str, str]:
        """Return the row of the live table that it belongs to."""
        return self.phase, self.benchmark, self.method

    def name(self) -> str:
        """Return what a line of progress or failure calls it."""
        seeds = ",".join(map(str, self.seeds))
        words = (*self.row(), self.label, f"seeds {seeds}")
        return " ".join(word for word in words if word)

    def missing(self) -> list[int]:
        """Return the seeds that its store does not have."""
        planned = plan(self.benchmark, self.method, self.settings, self.profile)
        return missing_seeds(planned, self.seeds, Path(self.store))


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


def work(job: Job) -> float:
    """Do a job and return the mean of its metric over seeds and tasks.

    Args:
        job: What to run; what its store has already is not run again.
    """
    torch.set_num_threads(1)
    with environment({"ISOMETRY_PROGRESS": "0"}):
        frame = run(
            job.benchmark,
            job.method,
            job.seeds,
            job.settings,
            profile=job.profile,
            out=job.store,
            device=job.device,
            anew=True,  # a worker elsewhere may have begun it
        )
    return float(seed_scores(frame, job.metric).mean())


def _parts(seeds: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Return seeds in ``count`` stacks of nearly the same size, in their order.

    Example:
        >>> _parts(range(5), 2)
        [(0, 1, 2), (3, 4)]
    """
    count = min(count, len(seeds))
    ends = [-(-len(seeds) * i // count) for i in range(count + 1)]
    return [tuple(seeds[first:last]) for first, last in pairwise(ends)]


def stacks_of(asked: Sweep, phase: str, candidates: int, workers: int) -> int:
    """Return into how many stacks the seeds of a candidate are split.

    One stack is best where there are enough candidates to keep all workers busy. The
    number does not depend on what the store has, so that a sweep that goes on has the
    stacks, and the checkpoints, that it had.

    Args:
        asked: May say how many seeds a stack has.
        phase: Which seeds.
        candidates: In this phase.
        workers: How many work side by side.
    """
    seeds = asked.tune_seeds if phase == TUNE else asked.report_seeds
    if asked.members:
        return ceil(len(seeds) / asked.members)
    return max(1, ceil(workers / max(1, candidates)))


def jobs_of(
    phase: str,
    search: Search,
    index: int,
    asked: Sweep,
    *,
    store: Path,
    device: str,
    stacks: int,
    group: int = 0,
) -> list[Job]:
    """Return the jobs that run a candidate on the seeds of a phase.

    Args:
        phase: Which one.
        search: Has the candidate.
        index: Its place there.
        asked: The sweep.
        store: Where the results go.
        device: Of the jobs.
        stacks: Into how many the seeds are split, see :func:`stacks_of`.
        group: Of the jobs.
    """
    settings = search.plans[index].settings
    seeds = asked.tune_seeds if phase == TUNE else asked.report_seeds
    return [
        Job(
            phase=phase,
            benchmark=search.benchmark,
            method=search.method,
            settings=search.changes(index),
            profile=asked.profile,
            seeds=stack,
            store=str(store),
            device=device,
            metric=asked.metric,
            label=spelled(search.candidates[index]),
            cost=float(settings.steps_per_task * settings.tasks * len(stack)),
            group=group,
        )
        for stack in _parts(seeds, stacks)
    ]
