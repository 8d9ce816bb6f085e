"""The jobs of a sweep: made from candidates, done by a crew, counted if they fail."""

import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass
from itertools import count
from math import ceil
from pathlib import Path

from isometry.core.messages import refusal
from isometry.core.settings import settings_hash
from isometry.lab.choices import spelled
from isometry.lab.run import missing_seeds, plan
from isometry.lab.search import Search, Sweep
from isometry.lab.store import StoreError
from isometry.sweep.progress import DONE, FAILED, RETRY, THERE, TUNE, Job, Tell
from isometry.sweep.units import Crew, Unit, parts

ATTEMPTS = 2  # a failure is tried once more
Follow = Callable[[Job], Sequence[Job]]  # what is to be done after a job has ended


def _nothing_follows(job: Job) -> Sequence[Job]:
    """Return no job."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A job that failed, also the second time.

    Attributes:
        name: Which job.
        reason: The error, in a line.
        log: File with the whole traceback.
    """

    name: str
    reason: str
    log: Path


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
    candidates: Sequence[tuple[Search, int]],
    asked: Sweep,
    store: Path,
    crew: Crew,
    stacks: int,
    group: int = 0,
) -> list[Job]:
    """Return the jobs that run candidates on the seeds of a phase.

    Args:
        phase: Which one.
        candidates: A search and the place of a candidate in it.
        asked: The sweep.
        store: Where the results go.
        crew: Says on which device.
        stacks: Into how many the seeds of a candidate are split, see
            :func:`stacks_of`.
        group: Of the jobs.
    """
    seeds = asked.tune_seeds if phase == TUNE else asked.report_seeds
    jobs: list[Job] = []
    for search, index in candidates:
        settings = search.plans[index].settings
        for stack in parts(seeds, stacks):
            unit = Unit(
                benchmark=search.benchmark,
                method=search.method,
                settings=search.changes(index),
                profile=asked.profile,
                seeds=stack,
                store=str(store),
                device=crew.device,
                metric=asked.metric,
            )
            cost = float(settings.steps_per_task * settings.tasks * len(stack))
            label = spelled(search.candidates[index])
            jobs.append(
                Job(phase=phase, unit=unit, label=label, cost=cost, group=group)
            )
    return jobs


def _absent(unit: Unit) -> list[int]:
    """Return the seeds of a unit that its store does not have."""
    planned = plan(unit.benchmark, unit.method, unit.settings, unit.profile)
    return missing_seeds(planned, unit.seeds, Path(unit.store))


def finished(
    jobs: Sequence[Job],
    crew: Crew,
    store: Path,
    tell: Tell,
    follow: Follow = _nothing_follows,
) -> list[Failure]:
    """Do jobs, a failing one once more, and return those that failed twice.

    Args:
        jobs: What to do; what is in the store is left out.
        crew: Does the work.
        store: Where logs of failures go.
        tell: Is told how each job ended.
        follow: Says what is to be done next after a job that ended, whichever way;
            this is done before all that still waits.
    """
    waiting: deque[tuple[Job, int]] = deque()

    def enter(new: Sequence[Job]) -> list[tuple[Job, int]]:
        """Return the jobs that are to be done, those included that follow others."""
        entered = []
        for job in new:
            if _absent(job.unit):
                entered.append((job, 1))
            else:
                tell(job, THERE, None)
                entered += enter(follow(job))
        return entered

    waiting.extend(enter(jobs))
    running: dict[Future[float], tuple[int, Job, int]] = {}
    failures = []
    try:
        while waiting or running:
            while waiting and len(running) < crew.size:
                job, attempt = waiting.popleft()
                taken = {place for place, _, _ in running.values()}
                place = next(i for i in count() if i not in taken)
                running[crew.submit(place, job.unit)] = place, job, attempt
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                _, job, attempt = running.pop(future)
                error = _error_of(future, job.unit)
                if error is not None and attempt < ATTEMPTS:
                    waiting.append((job, attempt + 1))
                    tell(job, RETRY, None)
                    continue
                if error is None:
                    tell(job, DONE, future.result())
                else:
                    failures.append(failure(job, error, store))
                    tell(job, FAILED, None)
                waiting.extendleft(reversed(enter(follow(job))))
    finally:
        for future in running:  # where an error or the keyboard ended the loop
            future.cancel()
    return failures


def _error_of(future: "Future[float]", unit: Unit) -> BaseException | None:
    """Return why a unit failed, or None."""
    try:
        error = future.exception()
    except CancelledError as cancelled:  # a scheduler that went away
        return cancelled
    if error is None and _absent(unit):
        needed = f"the results in {unit.store}"
        do = "use a folder that all workers see"
        return StoreError(refusal(needed, "none, though the run ended", do))
    return error


def failure(job: Job, error: BaseException, store: Path) -> Failure:
    """Return the failure of a job, with its traceback in a log.

    Args:
        job: What failed.
        error: Why.
        store: The store's folder.
    """
    name = settings_hash(job.phase, job.name(), job.unit.settings)
    log = store / ".work" / "failures" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    said = " ".join(str(error.args[0] if error.args else "").split())
    kind = type(error).__name__
    return Failure(name=job.name(), reason=f"{kind}: {said}" if said else kind, log=log)
