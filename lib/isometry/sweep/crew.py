"""The crew of a sweep: what takes its jobs and gives futures, here or in processes.

Each worker is a standard executor of one process, so that one that dies takes no other
job along, and it ends with the process that started it, however that one ends, so that
nothing goes on working on a store behind its back.

Measured before other libraries were left out (200 runs of 40 ms, two workers, two busy
cores): this crew takes 39 to 43 ms a run and 348 MiB a worker; one executor for all
workers 53 to 58 ms, and a worker that dies breaks the jobs of the others; joblib's loky
62 ms; a local Dask cluster 44 to 50 ms, a third more processor time and 440 MiB a
worker, for a dependency with a dozen of its own.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import torch
from tqdm import tqdm

from isometry.sweep.job import Job, environment, work

# Read when torch and its libraries are loaded: they must be there before.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class LostCrewError(ValueError):
    """The crew of a sweep is gone, or not to be trusted; says what to do."""


def _nobody_is_lost(broken: bool) -> None:
    """Processes of this machine need no looking after."""


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Workers that take jobs.

    Attributes:
        workers: How many work side by side.
        size: How many jobs it takes at a time.
        device: Of the jobs.
        submit: ``(place, job) -> Future``; a place below ``size`` has one job.
        look: Called now and then, and with True after a job was broken off by what was
            to do it; raises :class:`LostCrewError` if nobody is left to wait for.
    """

    workers: int
    size: int
    device: str
    submit: Callable[[int, Job], "Future[float]"]
    look: Callable[[bool], None] = _nobody_is_lost


@contextmanager
def here(device: str) -> Iterator[Crew]:
    """Yield a crew that does each job in this process, at once.

    Args:
        device: Of the jobs.
    """

    def submit(place: int, job: Job) -> "Future[float]":
        future: Future[float] = Future()
        try:
            future.set_result(work(job))
        except Exception as error:
            future.set_exception(error)
        return future

    threads = torch.get_num_threads()
    try:
        yield Crew(workers=1, size=1, device=device, submit=submit)
    finally:
        torch.set_num_threads(threads)


def _start_worker(alive: Connection) -> None:
    """Prepare a worker: it ends when the other end of ``alive`` is closed."""
    # Its own lock between processes would be left behind by an end like a kill's.
    tqdm.set_lock(threading.RLock())

    def end_with_parent() -> None:
        alive.poll(None)
        # As a kill would: checkpoints and results are whole at any moment.
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


@contextmanager
def _started_worker() -> Iterator[Executor]:
    """Yield an executor of one process with one thread, which ends with the context."""
    context = multiprocessing.get_context("spawn")  # forking a threaded torch can hang
    reader, writer = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(
        1, mp_context=context, initializer=_start_worker, initargs=(reader,)
    )
    with closing(reader):
        try:
            yield executor
        finally:
            writer.close()  # ends the process, also in the middle of a job
            executor.shutdown(cancel_futures=True)


@contextmanager
def _deaf_to_the_keyboard() -> Iterator[None]:
    """Let processes that are started meanwhile never hear of an interrupt.

    One from the keyboard reaches all processes of a terminal, also those that have only
    begun to start. It is for the one that started the others, which ends them. What is
    blocked stays so in a new process from its very first instruction.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def processes(count: int, device: str) -> Iterator[Crew]:
    """Yield a crew of processes, each with one thread; one that dies is replaced.

    Jobs for ``cuda`` go to the GPUs in turn.

    Args:
        count: How many, at least one.
        device: Of the jobs.
    """
    gpus = max(1, torch.cuda.device_count())
    places: dict[int, tuple[ExitStack, Executor]] = {}

    def fresh(place: int) -> Executor:
        if place in places:
            places[place][0].close()
        # In the stack of all, so that what ends the sweep ends its workers.
        worker = every.enter_context(ExitStack())
        places[place] = worker, worker.enter_context(_started_worker())
        return places[place][1]

    def submit(place: int, job: Job) -> "Future[float]":
        if job.device == "cuda":
            job = replace(job, device=f"cuda:{place % gpus}")
        executor = places[place][1] if place in places else fresh(place)
        with environment(ONE_THREAD), _deaf_to_the_keyboard():
            try:
                return executor.submit(work, job)
            except BrokenExecutor:
                return fresh(place).submit(work, job)

    with ExitStack() as every:
        yield Crew(workers=count, size=count, device=device, submit=submit)
