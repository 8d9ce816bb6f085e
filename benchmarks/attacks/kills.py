"""Kills at random moments, each followed by the same command."""

import asyncio
import os
import random
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

from attacks.children import (
    HANG_SECONDS,
    SIGNALS,
    STOPPED,
    Child,
    Tally,
    answered,
    command,
    forked,
)
from attacks.stores import RUN, SWEEP, compared, contents, left_behind

MOST = 4  # kills of one command, so that it comes to an end
GAMES = ["run", "continual_minatar", "--method", "adam", "--profile", "smoke"]
GAMES += ["--seeds", "0:2"]
IMAGE = "--set batch_size=1 --set optimizer=sgd --set tasks=30 --set data=digits"
IMAGE += " --set images_per_task=200 --set width=16 --profile smoke --seeds 0:2"
TARGET = "--seeds 0:2 --profile smoke --set tasks=30"
COMMANDS = {
    "supervised": RUN,
    "image": ["run", "permuted_mnist", "--method", "adam", *IMAGE.split()],
    "target": ["run", "linear_tracking", "--method", "idbd", *TARGET.split()],
    "games": GAMES,
}


def killed_runs(name: str, draw: random.Random, folder: Path, tries: int) -> Tally:
    """Kill a run, or a sweep with two workers."""
    if name != "sweep":
        return _killed(COMMANDS[name], draw, folder, tries)
    file = folder / "sweep.toml"
    file.write_text(SWEEP)
    return _killed(["sweep", str(file), "--workers", "2"], draw, folder, tries)


def _killed(line: list[str], draw: random.Random, folder: Path, tries: int) -> Tally:
    """Kill a command at random moments until it has ended, over and over."""
    tally = Tally()
    if "sweep" not in line:  # whatever a process makes once, such as compiled code
        assert answered([*line, "--out", str(folder / "first")]).status == 0
    began = time.monotonic()
    assert command([*line, "--out", str(folder / "whole")], folder).status == 0
    usual, whole = time.monotonic() - began, contents(folder / "whole")
    while tally.tries < tries:
        out = folder / "out"
        again = [*line, "--out", str(out)]
        for _ in range(min(MOST, tries - tally.tries)):
            child, sent = Child(again, folder), draw.choice(SIGNALS)
            if child.runs_until(draw.uniform(0, usual)):
                _kill(child, sent, tally)
            else:
                tally.details["ended before the kill"] += 1
                break
        _gone_on(again, out, whole, folder, tally)
        shutil.rmtree(out, ignore_errors=True)
    return tally


def _kill(child: Child, sent: signal.Signals, tally: Tally) -> None:
    """Send a signal to a command and see how it ends."""
    os.kill(child.pid, sent)
    ended = child.result()
    tally.tries += 1
    tally.details[sent.name] += 1
    if sent == signal.SIGINT and ended.status != 0:
        said = ended.status == 130 and ended.err.endswith(STOPPED)
        if said and "Traceback" not in ended.err:
            tally.said += 1
        else:
            tally.fail("unsaid", f"Ctrl-C: exit {ended.status}, {ended.err}")


def _gone_on(
    line: list[str], out: Path, whole: dict, folder: Path, tally: Tally
) -> None:
    """Give the same command again, and compare what is there with what should be."""
    ended = command(line, folder)
    if ended.status != 0:
        tally.fail("lost", f"exit {ended.status}: {ended.err}")
        return
    kind, example = compared(out, whole)
    if kind:
        tally.fail(kind, example)
    tally.details["compared"] += 1
    tally.details["checkpoints left behind"] += left_behind(out)


# --- a cluster -----------------------------------------------------------------------


async def _schedule(file: Path) -> None:
    """Be a scheduler, and say where in a file."""
    from distributed import Scheduler

    options = {"host": "127.0.0.1", "port": 0, "dashboard": False}
    async with Scheduler(**options) as scheduler:
        file.with_suffix(".partial").write_text(scheduler.address)
        file.with_suffix(".partial").replace(file)
        await scheduler.finished()


async def _serve(address: str, folder: Path) -> None:
    """Be a worker of one thread."""
    from distributed import Worker

    options = {"nthreads": 1, "local_directory": str(folder), "dashboard": False}
    async with Worker(address, **options) as worker:
        await worker.finished()


def _quietly(folder: Path, name: str, coroutine) -> int:
    """Be something of a cluster in a forked process; return its id."""
    import logging

    def act() -> None:
        logging.disable()
        asyncio.run(coroutine())

    return forked(act, folder / f"{name}.out", folder / f"{name}.err")


def started_worker(address: str, folder: Path) -> int:
    """Start a worker; return its id."""
    return _quietly(folder, "worker", lambda: _serve(address, folder))


@contextmanager
def local_cluster(folder: Path, workers: int):
    """Yield the address of a scheduler and the ids of its workers, a list to change."""
    file = folder / "scheduler"
    scheduler = _quietly(folder, "scheduler", lambda: _schedule(file))
    began = time.monotonic()
    while not file.exists():
        assert time.monotonic() - began < HANG_SECONDS
        time.sleep(0.01)
    address = file.read_text()
    ids = [started_worker(address, folder) for _ in range(workers)]
    try:
        yield address, ids, scheduler
    finally:
        for one in (*ids, scheduler):
            end(one)


def end(process: int) -> None:
    """Kill a process of ours and wait for its end."""
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def killed_workers(draw: random.Random, folder: Path, tries: int) -> Tally:
    """Kill workers of a cluster, now and then the client; a new one joins each time."""
    tally, file = Tally(), folder / "sweep.toml"
    file.write_text(SWEEP)
    line = ["sweep", str(file), "--device", "cpu"]
    whole = folder / "whole"
    assert command([*line, "--workers", "0", "--out", str(whole)], folder).status == 0
    numbers = contents(whole)
    with local_cluster(folder, 2) as (address, workers, _):
        line += ["--dask", address]
        began = time.monotonic()
        assert command([*line, "--out", str(folder / "first")], folder).status == 0
        usual = time.monotonic() - began
        while tally.tries < tries:
            out = folder / "out"
            again = [*line, "--out", str(out)]
            _sweep_under_fire(again, usual, workers, address, draw, folder, tally)
            _gone_on(again, out, numbers, folder, tally)
            shutil.rmtree(out, ignore_errors=True)
    return tally


def _sweep_under_fire(
    line: list[str],
    usual: float,
    workers: list[int],
    address: str,
    draw: random.Random,
    folder: Path,
    tally: Tally,
) -> None:
    """Let a sweep begin and kill workers, in the end the client as well."""
    child = Child(line, folder)
    for count in range(MOST):
        until = time.monotonic() - child.began + draw.uniform(0, usual / 2)
        if not child.runs_until(until):
            return
        if count == MOST - 1:
            _kill(child, draw.choice(SIGNALS), tally)
            return
        place = draw.randrange(len(workers))
        end(workers[place])
        workers[place] = started_worker(address, folder)
        tally.tries += 1
        tally.details["workers"] += 1
