"""Commands in forked processes, so that the library is imported once."""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import cache
from io import StringIO
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm
from tqdm.std import TqdmDefaultWriteLock

from isometry.cli import main
from isometry.core.machine import code_digest
from isometry.lab import provenance
from isometry.sweep import crew

HANG_SECONDS = 300.0  # after which a command hangs
STOPPED = "isometry: stopped; the same command goes on\n"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Tally:
    """What came of an attack.

    Attributes:
        tries: How many there were.
        lost: After how many, and the same command again, results were not there.
        wrong: After how many numbers or records were others, without a word.
        said: How many the program itself ended with a line, or answered with one.
        unsaid: How many it ended otherwise: a traceback, several lines, a hang.
        details: Counts of anything else.
        numbers: What was measured.
        examples: What the first failures were.
    """

    tries: int = 0
    lost: int = 0
    wrong: int = 0
    said: int = 0
    unsaid: int = 0
    details: Counter[str] = field(default_factory=Counter)
    numbers: dict[str, float] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def fail(self, kind: str, example: str) -> None:
        """Count a failure and keep it, if it is one of the first."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.examples) < 8:
            self.examples.append(f"{kind}: {example[-600:]}")


class Ended(NamedTuple):
    """How a command ended: its exit status, or minus the signal, and what it said."""

    status: int
    out: str
    err: str


class Child:
    """A command that runs in a forked process.

    Args:
        line: Its arguments.
        folder: Where what it says is kept.
        prepare: Is called in the process first.
    """

    def __init__(
        self, line: list[str], folder: Path, prepare: Callable[[], Any] = int
    ) -> None:
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        self.began = time.monotonic()
        self.pid = forked(lambda: (prepare(), main(line)), self.out, self.err)
        self.status: int | None = None

    def ended(self) -> bool:
        """Return whether it has ended by now."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def runs_until(self, seconds: float) -> bool:
        """Wait until it has run for so long, or has ended; return whether it runs."""
        while not self.ended() and time.monotonic() - self.began < seconds:
            time.sleep(0.004)
        return not self.ended()

    def result(self, seconds: float = HANG_SECONDS) -> Ended:
        """Wait for its end; one that takes longer is killed and told to hang."""
        if self.runs_until(seconds):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            return Ended(1, "", f"hung for {seconds:g} s")
        assert self.status is not None
        return Ended(self.status, self.out.read_text(), self.err.read_text())


def forked(act: Callable[[], Any], out: Path, err: Path) -> int:
    """Do something in a forked process that leaves by its own end; return its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    # A thread of the parent, the bars' monitor, may hold their lock at the fork.
    tqdm.set_lock(TqdmDefaultWriteLock())
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for stream, file in ((1, out), (2, err)):
            opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(opened, stream)
        act()
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def command(
    line: list[str],
    folder: Path,
    prepare: Callable[[], Any] = int,
    seconds: float = HANG_SECONDS,
) -> Ended:
    """Run a command to its end, if that comes in time."""
    return Child(line, folder, prepare).result(seconds)


def answered(line: list[str]) -> Ended:
    """Run a command to its end in this process."""
    out, err, status = StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(line)
        except SystemExit as ended:
            status = int(ended.code or 0)
        except BaseException:
            status = 1
            traceback.print_exc()
    return Ended(status, out.getvalue(), err.getvalue())


def in_a_line(ended: Ended) -> bool:
    """Return whether a command that failed says why in one line."""
    lines = [x for x in ended.err.splitlines() if x.startswith("isometry: ")]
    whole = "Traceback" not in ended.err and len(ended.err.splitlines()) == len(lines)
    return ended.status == 2 and whole and len(lines) >= 1 and ended.out == ""


# --- what need not be done in every process -------------------------------------------


def warm(line: list[str], folder: Path) -> None:
    """Import here what a command imports, and ask once for what stays the same."""
    provenance.commit = cache(provenance.commit)  # type: ignore[assignment]
    code_digest()  # of the code that runs, whatever becomes of its files
    with redirect_stdout(StringIO()), suppress(SystemExit):
        main([*line, "--out", str(folder)])


class _Shared(forkserver.ForkServer):
    """The server of whoever forked this process, which only he looks after."""

    def ensure_running(self) -> None:
        """It runs."""


def warm_workers() -> None:
    """Let crews take their workers from a server that has imported the library.

    A worker has, as one that is spawned, what it is handed and nothing more, and ends
    as one does; it only does not take seconds to begin.
    """
    multiprocessing.set_forkserver_preload(["attacks.preloaded"])
    here = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(here).rstrip(os.pathsep)
    server = forkserver._forkserver  # type: ignore[attr-defined]
    server.ensure_running()
    server.__class__ = _Shared
    context = multiprocessing.get_context("forkserver")
    crew.multiprocessing = _Context(context)  # type: ignore[assignment]


class _Context:
    """Stands for the module where a crew asks for the context that spawns."""

    def __init__(self, context: Any) -> None:
        self.context = context

    def get_context(self, kind: str) -> Any:
        """Return the context of the server."""
        return self.context
