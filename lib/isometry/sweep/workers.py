"""Processes that do the units of a sweep, one thread each.

A worker ends with the process that started it, however that one ends, so that nothing
goes on working on a store behind its back. One that dies is replaced.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection

import torch
from tqdm import tqdm

from isometry.sweep.units import Crew, Unit, environment, work

# Read when torch and its libraries are loaded: they must be there before.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def _start_worker(alive: Connection) -> None:
    """Prepare a worker: it ends with the process that started it.

    An interrupt from the keyboard reaches all processes of a terminal. It is for the
    one that started the others, which ends them by closing ``alive``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
    with closing(reader), closing(writer):
        try:
            yield executor
        except BaseException:
            writer.close()  # ends the process in the middle of a unit
            raise
        finally:
            executor.shutdown(cancel_futures=True)


@contextmanager
def processes(count: int, device: str) -> Iterator[Crew]:
    """Yield a crew of processes, each with one thread; one that dies is replaced.

    Units for ``cuda`` go to the GPUs in turn.

    Args:
        count: How many, at least one.
        device: Of the units.
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

    def submit(place: int, unit: Unit) -> "Future[float]":
        if unit.device == "cuda":
            unit = replace(unit, device=f"cuda:{place % gpus}")
        executor = places[place][1] if place in places else fresh(place)
        with environment(ONE_THREAD):
            try:
                return executor.submit(work, unit)
            except BrokenExecutor:
                return fresh(place).submit(work, unit)

    with ExitStack() as every:
        yield Crew(workers=count, size=count, device=device, submit=submit)
