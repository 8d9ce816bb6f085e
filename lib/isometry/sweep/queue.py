"""The queue of a sweep: its jobs are done by a crew, a failing one once more."""

import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeGuard

from isometry.core.files import NO_ROOM, system_error
from isometry.core.messages import refusal
from isometry.core.settings import settings_hash
from isometry.lab.store import StoreError
from isometry.sweep.crew import Crew, LostCrewError
from isometry.sweep.job import Job
from isometry.sweep.progress import DONE, FAILED, RETRY, THERE, Tell

ATTEMPTS = 2  # a failure is tried once more
LOOK_SECONDS = 10.0  # between looks at who does the jobs
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

    Raises:
        LostCrewError: If nobody is left to do them.
        OSError: If the disk is full.
    """
    waiting: deque[tuple[Job, int]] = deque()

    def enter(new: Sequence[Job]) -> list[tuple[Job, int]]:
        """Return the jobs that are to be done, those included that follow others."""
        entered = []
        for job in new:
            if job.missing():
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
                running[crew.submit(place, job)] = place, job, attempt
            ended = wait(running, LOOK_SECONDS, return_when=FIRST_COMPLETED).done
            crew.look(False)
            for future in ended:
                _, job, attempt = running.pop(future)
                error = _error_of(future, job)
                if isinstance(error, LostCrewError) or _without_room(error):
                    raise error
                if isinstance(error, CancelledError):
                    crew.look(True)
                if error is not None and attempt < ATTEMPTS:
                    waiting.append((job, attempt + 1))
                    tell(job, RETRY, None)
                    continue
                if error is None:
                    tell(job, DONE, future.result())
                else:
                    failures.append(_failure(job, error, store))
                    tell(job, FAILED, None)
                waiting.extendleft(reversed(enter(follow(job))))
    finally:
        for future in running:  # where an error or the keyboard ended the loop
            future.cancel()
    return failures


def _error_of(future: "Future[float]", job: Job) -> BaseException | None:
    """Return why a job failed, or None."""
    try:
        error = future.exception()
    except CancelledError as cancelled:  # a scheduler that went away
        return cancelled
    if error is None and job.missing():
        needed = f"the results in {job.store}"
        do = "use a folder that all workers see"
        return StoreError(refusal(needed, "none, though the run ended", do))
    return error


def _without_room(error: BaseException | None) -> TypeGuard[OSError]:
    """Return whether a disk is full: no other job could store anything either."""
    return isinstance(error, OSError) and error.errno in NO_ROOM


def _failure(job: Job, error: BaseException, store: Path) -> Failure:
    """Return the failure of a job, with its traceback in a log."""
    name = settings_hash(job.phase, job.name(), job.settings)
    log = store / ".work" / "failures" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    said = str(error.args[0] if error.args else "")
    if isinstance(error, OSError):
        said = system_error(error)
    said = " ".join(said.split())
    kind = type(error).__name__
    return Failure(name=job.name(), reason=f"{kind}: {said}" if said else kind, log=log)
