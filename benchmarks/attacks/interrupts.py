"""Ctrl-C in every phase of a command: one line, and the same command goes on."""

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

from attacks.children import STOPPED, Child, Ended, Tally, command, forked
from attacks.kills import COMMANDS, end
from attacks.stores import RUN, SWEEP, compared, contents


@dataclass(frozen=True)
class Phase:
    """What a command does for a while.

    Attributes:
        name: Of the phase.
        place: ``module:name`` of the function with which it begins.
        line: The command.
        latest: Seconds after its beginning until which Ctrl-C may come.
    """

    name: str
    place: str
    line: str = "run"
    latest: float = 0.0


PHASES = (
    Phase("reading the command", "isometry.commands:command_line"),
    Phase("loading data", "isometry.lab.run:load"),
    Phase("training", "isometry.lab.run:train", latest=0.3),
    Phase("writing a checkpoint", "isometry.stream.checkpoint:write_whole"),
    Phase("writing records", "isometry.stream.checkpoint:onto_disk"),
    Phase("bringing a file onto the disk", "isometry.core.files:onto_disk"),
    Phase("writing results", "isometry.lab.store:write_file"),
    Phase("naming results", "pathlib:Path.replace"),
    Phase("removing the checkpoint", "shutil:rmtree"),
    Phase("printing the table", "isometry.lab.report:report"),
    Phase("tuning", "isometry.sweep.queue:wait", "sweep", 0.5),
    Phase("tuning in two processes", "isometry.sweep.queue:wait", "sweep 2", 2.0),
    Phase("choosing", "isometry.sweep.course:choice", "sweep"),
    # Its compiled code is not kept: each process makes it anew, within some seconds.
    Phase("compiling", "isometry.supervised.online:_compiled", "image", 1.0),
)


def _owner(place: str) -> tuple[Any, str]:
    """Return the module or class that has a function, and the function's name."""
    module, _, path = place.partition(":")
    import_module(module)
    owner: Any = sys.modules[module]
    *classes, name = path.split(".")
    for one in classes:
        owner = getattr(owner, one)
    return owner, name


def _armed(phase: Phase, after: float, folder: Path) -> None:
    """Let Ctrl-C come when a phase begins, or a moment after that."""

    def come(*ignored: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    owner, name = _owner(phase.place)
    original = getattr(owner, name)
    state = {"armed": True}

    def begin(*arguments: Any, **keywords: Any) -> Any:
        if state.pop("armed", False):
            (folder / "begun").touch()
            if after:
                signal.signal(signal.SIGALRM, come)
                signal.setitimer(signal.ITIMER_REAL, after)
            else:
                come()
        return original(*arguments, **keywords)

    setattr(owner, name, begin)


def _line(kind: str, folder: Path) -> list[str]:
    """Return a command without its store."""
    if kind == "run":
        return [*RUN]
    if kind in COMMANDS:
        return [*COMMANDS[kind]]
    file = folder / "sweep.toml"
    file.write_text(SWEEP)
    return ["sweep", str(file), "--workers", kind.partition(" ")[2] or "0"]


def interrupted(draw: random.Random, folder: Path, tries: int) -> Tally:
    """Send Ctrl-C in each phase in turn."""
    tally = Tally()
    for number in range(tries):
        phase = PHASES[number % len(PHASES)]
        line = _line(phase.line, folder)
        whole = folder / phase.line.replace(" ", "_")
        if not whole.exists():
            assert command([*line, "--out", str(whole)], folder).status == 0
        out = folder / "out"
        after = draw.choice((0.0, draw.uniform(0, phase.latest)))
        (folder / "begun").unlink(missing_ok=True)
        armed = partial(_armed, phase, after, folder)
        ended = command([*line, "--out", str(out)], folder, armed)
        tally.tries += 1
        if not (folder / "begun").exists():
            tally.fail("unsaid", f"{phase.name}: never begun")
        _judged(tally, phase.name, ended)
        again = command([*line, "--out", str(out)], folder)
        kind, example = compared(out, contents(whole))
        if again.status != 0:
            tally.fail("lost", f"{phase.name}: exit {again.status}: {again.err}")
        elif kind:
            tally.fail(kind, f"{phase.name}: {example}")
        shutil.rmtree(out, ignore_errors=True)
    return tally


def _judged(tally: Tally, phase: str, ended: Ended) -> None:
    """Count how a command that was interrupted ended."""
    if ended.status == 130 and STOPPED in ended.err:  # a bar may end after it
        if "Traceback" not in ended.err:
            tally.said += 1
            tally.details[phase] += 1
            return
    elif ended.status == 0:
        tally.details[f"{phase}: it had ended"] += 1
        return
    tally.fail("unsaid", f"{phase}: exit {ended.status}: {ended.err}")


# --- downloads -----------------------------------------------------------------------


def _served(root: Path, port: Path) -> None:
    """Serve the files of a folder, slowly."""

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = (root / self.path.lstrip("/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            size = max(1, len(content) // 20)
            for start in range(0, len(content), size):
                self.wfile.write(content[start : start + size])
                time.sleep(0.01)

    with HTTPServer(("127.0.0.1", 0), Slow) as server:
        port.write_text(f"{server.server_port}\n")
        server.serve_forever()


def _official(port: int) -> Callable[[], None]:
    """Return what lets this process look for data at a port of this machine."""

    def prepare() -> None:
        downloads: Any = import_module("isometry.supervised.data.download")
        original = downloads.official_files

        def here(root: Path) -> Any:
            files = original(root)
            files.urls = {}
            files.base_url = f"http://127.0.0.1:{port}/"
            return files

        downloads.official_files = here

    return prepare


def interrupted_downloads(draw: random.Random, folder: Path, tries: int) -> Tally:
    """Send Ctrl-C, or a kill, while MNIST is downloaded from this machine."""
    from isometry.supervised import data

    tally, root = Tally(), data.path("mnist").parent
    if any(report.state != "verified" for report in data.verify("mnist")):
        tally.details["MNIST is not here"] += 1
        return tally
    port = folder / "port"
    server = forked(lambda: _served(root, port), folder / "s.out", folder / "s.err")
    while not port.exists() or not port.read_text().endswith("\n"):
        time.sleep(0.01)
    prepare = _official(int(port.read_text()))
    try:
        for _ in range(tries):
            _download(tally, draw, folder, prepare)
    finally:
        end(server)
    return tally


def _download(
    tally: Tally, draw: random.Random, folder: Path, prepare: Callable[[], None]
) -> None:
    """Break a download off, and give the same command again."""
    to = folder / "data"

    def elsewhere() -> None:
        os.environ["ISOMETRY_DATA"] = str(to)
        prepare()

    child = Child(["data", "fetch", "mnist"], folder, elsewhere)
    sent = draw.choice((signal.SIGINT, signal.SIGINT, signal.SIGKILL))
    while not list(to.glob("mnist/*")) and not child.ended():
        time.sleep(0.001)
    now = time.monotonic() - child.began
    if child.runs_until(now + draw.uniform(0, 1.0)):
        os.kill(child.pid, sent)
        tally.tries += 1
        ended = child.result()
        if sent == signal.SIGINT:
            _judged(tally, "downloading", ended)
        else:
            tally.details["killed while downloading"] += 1
    ended = command(["data", "fetch", "mnist"], folder, elsewhere)
    checked = command(["data", "verify", "mnist"], folder, elsewhere)
    if ended.status or checked.status:
        tally.fail("lost", f"downloading: {ended.err} {checked.out}")
    shutil.rmtree(to)
