"""Many runs as one: search, choice on tuning seeds, report on fresh ones."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from isometry.core.messages import refusal
from isometry.core.processors import processors
from isometry.experiments.choices import (
    choice,
    choice_path,
    tuning_store,
    write_choice,
)
from isometry.experiments.cluster import cluster
from isometry.experiments.jobs import Failure, finished, jobs_of, stacks_of
from isometry.experiments.ladders import extended, untried
from isometry.experiments.plans import needs_images
from isometry.experiments.run import chosen_device, missing_seeds
from isometry.experiments.search import Search, Sweep, Values
from isometry.experiments.store import Record, StoreError, finished_seeds
from isometry.experiments.sweep_file import read_sweep
from isometry.experiments.sweep_progress import ADDED, REPORT, TUNE, Job, told
from isometry.experiments.units import Crew, here
from isometry.experiments.workers import processes
from isometry.supervised.data import load


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a sweep.

    Attributes:
        sweep: What was asked for.
        choices: One a search, without those that could not be made; see
            ``isometry.experiments.choices.choice``. Empty without tuning.
        failures: Jobs that failed twice.
        files: Results on the report seeds.

    Source: ours.
    """

    sweep: Sweep
    choices: tuple[Record, ...]
    failures: tuple[Failure, ...]
    files: tuple[Path, ...]


def sweep(
    source: str | Path | Mapping[str, Any],
    *,
    workers: int | None = None,
    dask: str | None = None,
    out: str | Path = "results",
    device: str = "auto",
) -> Outcome:
    """Do all runs of a sweep, and choose each method's settings on its tuning seeds.

    What the store has is not run again. A sweep that was stopped or killed goes on when
    the same call is made again, and gives the same numbers, bit for bit if its stacks
    are the same: with the same number of workers, or with ``members`` set. A run that
    fails is tried once more, then counted; the others go on.

    A script that calls this needs ``if __name__ == "__main__":``, for worker processes
    import it.

    Args:
        source: A sweep file (see :mod:`isometry.experiments.sweep_file`), or its
            contents as nested mappings.
        workers: Processes of one thread each, 0: this process; one a processor, or one
            a GPU, if not given.
        dask: Address of a Dask scheduler whose workers see the folder ``out``.
        out: The results store.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        KeyError: For a name in the file that is not known.
        ValueError: For anything else in the file or the arguments that cannot be.
        DataError: If the data are missing and cannot be had.
        StoreError: If the store cannot take the results, or another sweep is at it.

    Source: ours.
    """
    asked, store = read_sweep(source), Path(out).absolute()
    workplace = crew_of(workers, dask, device)
    # The lock is outside: it is held until the last worker has ended.
    with only_sweep(store), workplace as crew:
        check_store(asked.searches, asked, store)
        if dask is None:
            plans = [p for s in asked.searches for p in s.plans]
            for data in {p.settings.data for p in plans if needs_images(p)}:
                load(data)  # once, before many processes ask for it
        return carried_out(asked, store, crew)


def crew_of(
    workers: int | None, dask: str | None, device: str
) -> AbstractContextManager[Crew]:
    """Return the crew that is asked for.

    Args:
        workers: How many processes, 0: only this one; None: one a processor, or one a
            GPU.
        dask: Address of a scheduler, or None.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ValueError: If both are given, or one cannot be.

    Source: ours.
    """
    if dask is not None:
        if workers is not None:
            found = f"--workers {workers} and --dask {dask}"
            raise ValueError(refusal("--workers or --dask", found, "leave one out"))
        return cluster(dask, device)
    if workers is not None and workers < 0:
        do = "0 works in this process"
        raise ValueError(refusal("--workers >= 0", workers, do))
    where = chosen_device(device)
    if workers == 0:
        return here(str(where))
    if workers is None:
        workers = torch.cuda.device_count() if where.type == "cuda" else processors()
    return processes(workers, str(where))


@contextmanager
def only_sweep(store: Path) -> Iterator[None]:
    """Keep other sweeps away from a store meanwhile.

    Single runs may write to it: they and the sweep's runs wait for each other where
    they want the same seeds.

    Args:
        store: The store's folder.

    Raises:
        StoreError: If another sweep is at work.

    Source: ours.
    """
    work = store / ".work"
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / "sweep.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        needed = f"a store at {store} that no other sweep writes to"
        do = "wait for it, or choose another --out"
        raise StoreError(refusal(needed, "one at work", do)) from None
    try:
        yield
    finally:
        lock.release()


def check_store(searches: Iterable[Search], asked: Sweep, store: Path) -> None:
    """Refuse a store whose results do not go together with a sweep.

    Args:
        searches: Whose candidates are looked at.
        asked: The sweep.
        store: The store's folder.

    Raises:
        StoreError: If it has results of another version of a benchmark, results on the
            tuning seeds, or tuning runs on seeds that are to be reported.

    Source: ours.
    """
    for planned in (planned for one in searches for planned in one.plans):
        for folder, seeds, kind in (
            (store, asked.tune_seeds, "tune_seeds"),
            (tuning_store(store), asked.report_seeds, "report_seeds"),
        ):
            path = planned.path(folder)
            there = finished_seeds(path, planned.benchmark.experiment_version)
            both = sorted(there & set(seeds))
            if both:
                other = "reported" if kind == "tune_seeds" else "tuned on"
                needed = f"{kind} that are not {other} in {path}"
                found = ", ".join(map(str, both))
                do = "choose other seeds or another --out"
                raise StoreError(refusal(needed, found, do))


def carried_out(asked: Sweep, store: Path, crew: Crew) -> Outcome:
    """Return the outcome of a sweep: tune, go on where the best is at an edge, report.

    Args:
        asked: The sweep.
        store: The store's folder.
        crew: Does the work.

    Source: ours.
    """
    searches = list(asked.searches)
    tuned = [bool(asked.tune_seeds) and len(s.plans) > 1 for s in searches]
    # Before the choice the first candidate stands for the cost of the chosen one.
    reports = [range(1 if asked.tune_seeds else len(s.plans)) for s in searches]
    stacks = {
        TUNE: stacks_of(
            asked,
            TUNE,
            sum(len(s.plans) for s, own in zip(searches, tuned, strict=True) if own),
            crew.workers,
        ),
        REPORT: stacks_of(asked, REPORT, sum(map(len, reports)), crew.workers),
    }
    waiting: Counter[int] = Counter()  # jobs of each search that have not ended
    chosen: list[tuple[int, int]] = []  # a search and the place of a candidate in it
    choices: list[Record] = []

    def jobs(phase: str, group: int, places: Iterable[int]) -> list[Job]:
        folder = tuning_store(store) if phase == TUNE else store
        candidates = [(searches[group], place) for place in places]
        return jobs_of(phase, candidates, asked, folder, crew, stacks[phase], group)

    def reported(group: int) -> list[Job]:
        """Choose a search's settings, where there is a choice, and run them."""
        search, places = searches[group], []
        for part in search.parts if asked.tune_seeds else ():
            best, record = choice(search, asked, store, part)
            write_choice(choice_path(search.plans[best], store, part), record)
            choices.append(record)
            places += [best] if best not in places else []
        places = places or list(reports[group])
        chosen.extend((group, place) for place in places)
        return jobs(REPORT, group, places)

    with told(
        [
            job
            for group, own in enumerate(tuned)
            for phase, places in (
                (TUNE, range(len(searches[group].plans) if own else 0)),
                (REPORT, reports[group]),
            )
            for job in jobs(phase, group, places)
        ]
    ) as tell:

        def added(new: list[Job], expected: int = 0) -> list[Job]:
            for job in new[expected:]:
                tell(job, ADDED, None)
            return new

        def follow(job: Job) -> list[Job]:
            group = job.group
            waiting[group] -= 1
            if waiting[group] or job.phase == REPORT:
                return []
            search = searches[group]
            if not complete(search, asked, store):
                return []
            points = points_to_try(search, asked, store)
            if points:
                searches[group] = extended(search, points, asked.profile)
                check_store([searches[group]], asked, store)
                tried = len(search.plans)
                new = jobs(TUNE, group, range(tried, tried + len(points)))
                new = added(new)
            else:
                new = reported(group)
                new = added(new, expected=len(jobs(REPORT, group, reports[group])))
            waiting[group] += len(new)
            return new

        first = []
        for group, own in enumerate(tuned):
            places = range(len(searches[group].plans))
            new = jobs(TUNE, group, places) if own else reported(group)
            waiting[group] += len(new)
            first += new
        failures = finished(first, crew, store, tell, follow)
    paths = [searches[group].plans[place].path(store) for group, place in chosen]
    return Outcome(
        sweep=asked,
        choices=tuple(choices),
        failures=tuple(failures),
        files=tuple(path for path in paths if path.exists()),
    )


def points_to_try(search: Search, asked: Sweep, store: Path) -> list[Values]:
    """Return the neighbours of the best candidates that were not tried yet.

    Args:
        search: All of its candidates are in the tuning store.
        asked: Names metric and seeds.
        store: The store of the results.
    """
    points: list[Values] = []
    for part in search.parts:
        best, _ = choice(search, asked, store, part)
        points += [p for p in untried(search, best) if p not in points]
    return points


def complete(search: Search, asked: Sweep, store: Path) -> bool:
    """Return whether all that a choice depends on is there.

    Where a run failed there is no choice: one among the others would not be fair.

    Args:
        search: The candidates.
        asked: Names the seeds.
        store: The store of the results.

    Source: ours.
    """
    return len(search.plans) == 1 or not any(
        missing_seeds(planned, asked.tune_seeds, tuning_store(store))
        for planned in search.plans
    )
