"""Disks that are full: one line, and with room again the same command goes on."""

import random
import resource
import shutil
import subprocess
from functools import partial
from pathlib import Path

from attacks.children import Ended, Tally, command
from attacks.stores import RUN, SWEEP, compared, contents

GO_ON = "make room, and the same command goes on"
RAISED = "64m"  # the room that there is in the end


def _limited(size: int) -> None:
    """Let this process write no file of more bytes; what it says must fit as well."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def limited_files(draw: random.Random, folder: Path, tries: int) -> Tally:
    """Run commands that may write no file beyond a size."""
    tally = Tally()
    for _ in range(tries):
        size = draw.choice((1024, 4096, draw.randrange(1024, 60_000)))
        _tried(tally, draw, folder, folder, prepare=partial(_limited, size))
    return tally


def full_disks(draw: random.Random, folder: Path, tries: int) -> Tally:
    """Run commands on a small disk of memory, with too little room or too few files."""
    tally, disk = Tally(), folder / "disk"
    disk.mkdir()
    for _ in range(tries):
        size = f"size={draw.choice((4, 8, 16, 24, 32, 48, 64, 96))}k"
        few = f"size={RAISED},nr_inodes={draw.randrange(2, 14)}"
        options = draw.choice((size, few))
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            tally.details["no disk may be mounted here"] += 1
            return tally
        more = f"remount,size={RAISED},nr_inodes=10000"
        room = partial(subprocess.run, ["mount", "-o", more, str(disk)], check=True)
        try:
            _tried(tally, draw, folder, disk, make_room=room)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    return tally


def _tried(
    tally: Tally,
    draw: random.Random,
    folder: Path,
    disk: Path,
    prepare=int,
    make_room=int,
) -> None:
    """Run a command where there is no room, then the same where there is."""
    name = draw.choice(("run", "run", "sweep"))
    line, whole = _line(name, folder), folder / f"whole_{name}"
    if not whole.exists():
        assert command([*line, "--out", str(whole)], folder).status == 0
    out = disk / "out"
    line += ["--out", str(out)]
    ended = command(line, folder, prepare)
    tally.tries += 1
    if ended.status == 0:
        tally.details["there was room enough"] += 1
    elif _said(ended):
        tally.said += 1
    else:
        tally.fail("unsaid", f"{name}: exit {ended.status}: {ended.err}")
    make_room()
    again = command(line, folder)
    kind, example = compared(out, contents(whole))
    if again.status != 0:
        tally.fail("lost", f"{name}: exit {again.status}: {again.err}")
    elif kind:
        tally.fail(kind, f"{name}: {example}")
    shutil.rmtree(out)


def _line(name: str, folder: Path) -> list[str]:
    """Return a command without its store."""
    if name == "run":
        return [*RUN]
    file = folder / "sweep.toml"
    file.write_text(SWEEP)
    return ["sweep", str(file), "--workers", "0"]


def _said(ended: Ended) -> bool:
    """Return whether a command says that there is no room, and nothing else."""
    lines = ended.err.splitlines()
    return ended.status == 2 and len(lines) == 1 and lines[0].endswith(GO_ON)
