"""Many runs as one: search, choice on tuning seeds, report on fresh ones."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from isometry.core.messages import refusal
from isometry.core.processors import processors
from isometry.lab.plans import Plan, needs_images
from isometry.lab.run import chosen_device
from isometry.lab.search import Sweep
from isometry.lab.store import Record, StoreError
from isometry.supervised.data import load
from isometry.sweep.cluster import cluster
from isometry.sweep.course import Course, check_store
from isometry.sweep.crew import Crew, here, processes
from isometry.sweep.file import read_sweep
from isometry.sweep.progress import told
from isometry.sweep.queue import Failure, finished


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a sweep.

    Attributes:
        sweep: What was asked for.
        choices: One a search, without those that could not be made; see
            ``isometry.lab.choosing.choice``. Empty without tuning.
        failures: Jobs that failed twice.
        files: Results on the report seeds.
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
    are the same, with the same number of workers or with ``members`` set, on the
    same machine, build of torch and device; a worker has one thread. A run that
    fails is tried once more, then counted; the others go on.

    A script that calls this needs ``if __name__ == "__main__":``, for worker processes
    import it.

    Args:
        source: A sweep file (see :mod:`isometry.sweep.file`), or its
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
    """
    asked, store = read_sweep(source), Path(out).absolute()
    workplace = crew_of(workers, dask, device)
    # The lock is outside: it is held until the last worker has ended.
    with only_sweep(store), workplace as crew:
        check_store(asked.searches, asked, store)
        if dask is None:
            load_data(p for s in asked.searches for p in s.plans)
        return _carried_out(asked, store, crew)


def crew_of(
    workers: int | None, dask: str | None, device: str
) -> AbstractContextManager[Crew]:
    """Return the crew that is asked for.

    Args:
        workers: Processes of one thread each, 0: this process; one a processor, or one
            a GPU, if not given.
        dask: Address of a Dask scheduler, instead.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ValueError: If both are given, or one of the three cannot be.
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
    """Keep other sweeps, and suites, away from a store meanwhile.

    Single runs may write to it: they and the sweep's runs wait for each other where
    they want the same seeds.

    Args:
        store: The store's folder.

    Raises:
        StoreError: If another one is at work there.
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


def load_data(plans: Iterable[Plan]) -> None:
    """Load the data sets of plans once, before many processes ask for them.

    Args:
        plans: Of runs.

    Raises:
        DataError: If data are missing and cannot be had.
    """
    for data in {p.settings.data for p in plans if needs_images(p)}:
        load(data)


def _carried_out(asked: Sweep, store: Path, crew: Crew) -> Outcome:
    """Tune, go on where the best is at an edge, report; return the outcome."""
    course = Course(asked, store, crew)
    with told(course.expected()) as tell:
        first = course.first()
        failures = finished(first, crew, store, tell, partial(course.follow, tell))
    paths = [course.searches[g].plans[place].path(store) for g, place in course.chosen]
    return Outcome(
        sweep=asked,
        choices=tuple(course.choices),
        failures=tuple(failures),
        files=tuple(path for path in paths if path.exists()),
    )
