"""Running a suite: its rows side by side, each once, whatever was run before."""

from collections.abc import Sequence
from pathlib import Path

from isometry.suites.suite import Row, Suite
from isometry.sweep.job import REPORT, Job
from isometry.sweep.progress import told
from isometry.sweep.queue import Failure, finished
from isometry.sweep.sweep import crew_of, load_data, only_sweep


def job_of(row: Row, suite: Suite, store: Path, device: str) -> Job:
    """Return the job that runs a row: all its seeds in one stack, as one run does.

    Args:
        row: Of the suite.
        suite: Whose first measure is told when the row is done.
        store: The store's folder.
        device: Of the run.
    """
    settings = row.planned.settings
    return Job(
        phase=REPORT,
        benchmark=row.benchmark,
        method=row.method,
        settings=dict(row.settings),
        profile=row.profile,
        seeds=row.seeds,
        store=str(store),
        device=device,
        metric=suite.measures[0].metric,
        label=f"{row.of}: {row.label}" if row.of else row.label,
        cost=float(settings.steps_per_task * settings.tasks * len(row.seeds)),
    )


def run_suite(
    suite: Suite,
    labels: Sequence[str] = (),
    *,
    workers: int | None = None,
    out: str | Path = "results",
    device: str = "auto",
) -> list[Failure]:
    """Run the rows of a suite, and return those that failed twice.

    What the store has is not run again; rows that were stopped or killed go on. A row
    has the file, and the numbers, of ``isometry run`` with its settings and seeds.

    Args:
        suite: What to run.
        labels: Of the rows to run; all without one.
        workers: Processes of one thread each, 0: this process; one a processor, or one
            a GPU, if not given.
        out: The results store.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        KeyError: For a label that is not known.
        ValueError: For workers or a device that cannot be.
        DataError: If the data are missing and cannot be had.
        StoreError: If the store cannot take the results, or a sweep is at it.
    """
    rows, store = suite.only(list(labels)), Path(out).absolute()
    workplace = crew_of(workers, None, device)
    with only_sweep(store), workplace as crew:
        load_data(row.planned for row in rows)
        jobs = [job_of(row, suite, store, crew.device) for row in rows]
        with told(jobs) as tell:
            return finished(jobs, crew, store, tell)
