"""How far a sweep is: a live table in a terminal, a line a run elsewhere."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from isometry.sweep.job import TUNE, Job

DONE, THERE, RETRY, FAILED = "done", "there already", "tried again", "failed"
ADDED = "added"  # to what was expected: a search went on


@dataclass(frozen=True)
class _Tally:
    """What is done of a row.

    Attributes:
        total: Its jobs.
        values: The metric of those that are done in this call.
        states: How each finished job ended.
    """

    total: int
    values: list[float] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    def note(self, phase: str) -> str:
        """Return the best value so far in tuning, the mean in the report; failures."""
        words = []
        if self.values and phase == TUNE:
            words.append(f"best {max(self.values):.3f}")
        elif self.values:
            words.append(f"mean {sum(self.values) / len(self.values):.3f}")
        failed = self.states.count(FAILED)
        return "  ".join([*words, *([f"{failed} failed"] if failed else [])])


Rows = dict[tuple[str, str, str], _Tally]
Tell = Callable[[Job, str, float | None], None]  # (job, how it ended, its metric)
Show = Callable[[Job, str, int, str], None]  # (job, state, jobs finished, time left)


def _left(started: float, done: float, total: float) -> str:
    """Return the time left, at the speed so far, in words."""
    if not done:
        return "time left unknown"
    seconds = (time.monotonic() - started) * max(0.0, total - done) / done
    return f"{timedelta(seconds=round(seconds))} left"


@contextmanager
def told(jobs: Iterable[Job]) -> Iterator[Tell]:
    """Yield a function that is told how each job ended and shows how far all are.

    ``ISOMETRY_PROGRESS=0`` shows nothing.

    Args:
        jobs: All jobs. Those of the report may stand for settings that are not chosen
            yet: what counts is row and cost.
    """
    jobs = list(jobs)
    counts = Counter(job.row() for job in jobs)
    rows = {row: _Tally(total) for row, total in counts.items()}
    costs = {"total": sum(job.cost for job in jobs), "done": 0.0}
    started = time.monotonic()
    shown: AbstractContextManager[Show]
    if os.environ.get("ISOMETRY_PROGRESS") == "0":
        shown = nullcontext(lambda *told: None)
    elif sys.stderr.isatty():
        shown = _live_table(rows)
    else:
        shown = nullcontext(_lines(rows))
    with shown as show:

        def tell(job: Job, state: str, value: float | None) -> None:
            row = job.row()
            if state == ADDED:
                costs["total"] += job.cost
                rows[row] = replace(rows[row], total=rows[row].total + 1)
                return
            if state == THERE:
                costs["total"] -= job.cost
            elif state != RETRY:
                costs["done"] += job.cost
            tally = rows[row]
            if state != RETRY:
                tally.states.append(state)
            if value is not None:
                tally.values.append(value)
            finished = sum(len(one.states) for one in rows.values())
            show(job, state, finished, _left(started, costs["done"], costs["total"]))

        yield tell


def _total_of(rows: Rows) -> int:
    """Return the number of all jobs that are known so far."""
    return sum(tally.total for tally in rows.values())


def _lines(rows: Rows) -> Show:
    """Return a function that prints a line a job to standard error."""

    def show(job: Job, state: str, finished: int, remaining: str) -> None:
        if state == THERE:  # counted only
            return
        total = _total_of(rows)
        text = f"{job.name()}: {state}; {finished} of {total}, {remaining}"
        print(text, file=sys.stderr, flush=True)

    return show


@contextmanager
def _live_table(rows: Rows) -> Iterator[Show]:
    """Yield a function that keeps a table in the terminal current."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as table:
        overall = table.add_task("all runs", total=_total_of(rows), note="")
        bars = {
            row: table.add_task(" ".join(row), total=tally.total, note="")
            for row, tally in rows.items()
        }

        def show(job: Job, state: str, finished: int, remaining: str) -> None:
            row = job.row()
            tally = rows[row]
            done, note = len(tally.states), tally.note(row[0])
            table.update(bars[row], completed=done, total=tally.total, note=note)
            total = _total_of(rows)
            table.update(overall, completed=finished, total=total, note=remaining)

        yield show
