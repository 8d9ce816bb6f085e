"""The checkpoint of a run: the state as it is now, and the records as they grew.

The state is written whole at each task. Records only grow, so those of a task are one
line that is added to a file beside it: a task costs the same at the end of a long
stream as at its start. The state says how much of that file is its own and has the
checksum of it; what a stopped run added after its last state is overwritten.
"""

import hashlib
import io
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from isometry.core.files import named_errors, onto_disk, write_whole
from isometry.core.machine import code_digest, device_name, versions
from isometry.core.messages import refusal
from isometry.core.settings import as_dict
from isometry.stream.run import Record, Run, Written, moved, on_device

Identity = dict[str, Any]  # what a run's bits depend on, JSON-ready
MAGIC = b"isometry checkpoint 2 "


def save(run: Run, path: Path, identity: Identity | None = None) -> None:
    """Write a checkpoint, whole or not at all, that says what run it is of.

    Args:
        run: The state between two tasks; ``run.written`` is brought up to date.
        path: The checkpoint; its folder is made.
        identity: See :func:`identity_of`.

    Raises:
        OSError: If it cannot be written; the checkpoint of before stays.
    """
    run.written = _added(run, records_path(path))
    state = {f.name: getattr(run, f.name) for f in fields(run) if f.name != "records"}
    state["parameters"] = {n: p.detach() for n, p in run.parameters.items()}
    state["written"] = tuple(run.written)
    content = io.BytesIO()
    content.write(json.dumps(identity or {}, sort_keys=True).encode() + b"\n")
    torch.save(state, content)
    held = content.getvalue()
    write_whole(path, MAGIC + _digest(held) + b"\n" + held)


def restored(path: Path, device: torch.device, identity: Identity | None = None) -> Run:
    """Return the run that a checkpoint holds.

    Args:
        path: The checkpoint.
        device: Where the run goes on.
        identity: Of the run that goes on; any run's if not given.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is damaged, of an older version, or of another run; says what
            differs.
    """
    with path.open("rb") as file:
        first, second, held = file.readline(), file.readline(), file.read()
    if not first.startswith(MAGIC):
        found = "one that does not say what run it is of"
        raise _not_of_this_run(path, found)
    if first.removeprefix(MAGIC).rstrip(b"\n") != _digest(second + held):
        raise _not_of_this_run(path, "one that is damaged")
    differing = _differing(json.loads(second), identity)
    if differing:
        raise _not_of_this_run(path, f"one of another, with {differing}")
    run = Run(**torch.load(io.BytesIO(held), weights_only=True))
    run.written = Written(*run.written)
    run.records = _read(run.written, path)
    run.parameters = on_device(run.parameters, device)
    run.carried, run.seen = moved(run.carried, device), moved(run.seen, device)
    return run


def records_path(path: Path) -> Path:
    """Return where the records of a checkpoint stand.

    Args:
        path: The checkpoint.
    """
    return path.with_suffix(".records")


def identity_in(path: Path) -> Identity:
    """Return what a checkpoint says it is of; nothing, if that cannot be read.

    Args:
        path: The checkpoint; no more of it is read than its first two lines.
    """
    try:
        with path.open("rb") as file:
            first, second = file.readline(), file.readline()
        return json.loads(second) if first.startswith(MAGIC) else {}
    except (OSError, ValueError):
        return {}


def _added(run: Run, path: Path) -> Written:
    """Add the records that are not in the file yet; return what then is in it."""
    had = run.written
    if not path.exists() or path.stat().st_size < had.size:
        had = Written()  # somebody removed it: all are written anew
    line = json.dumps(run.records[had.records :]).encode() + b"\n"
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.truncate(had.size)  # what follows is of a state that was not written
            file.write(line)
            onto_disk(file)
    digest = _chained(had.digest, line)
    return Written(len(run.records), had.size + len(line), digest)


def _read(written: Written, path: Path) -> list[Record]:
    """Return the records that a state says are its own, known to be as they were."""
    found: list[Record] = []
    digest = ""
    try:
        with records_path(path).open("rb") as file:
            lines = file.read(written.size).splitlines(keepends=True)
    except FileNotFoundError:
        lines = []
    for line in lines:
        digest = _chained(digest, line)
    if digest != written.digest:
        raise _not_of_this_run(path, f"damaged records in {records_path(path).name}")
    for line in lines:
        found += json.loads(line)
    return found


def _chained(before: str, line: bytes) -> str:
    """Return the checksum of all lines from that of the lines before."""
    return _digest(before.encode() + line).decode()


def identity_of(
    benchmark: str,
    method: str,
    settings: Any,
    method_settings: Any,
    seeds: list[int],
    device: torch.device,
) -> Identity:
    """Return what a run's bits depend on, for its checkpoint.

    Args:
        benchmark: Its name.
        method: Its name.
        settings: Of the run.
        method_settings: Of the method.
        seeds: One member a seed.
        device: Where it is trained.
    """
    settings = {**as_dict(settings), **as_dict(method_settings)}
    found = {"benchmark": benchmark, "method": method, "seeds": seeds, **settings}
    found |= {"device": device_name(device), **versions(), "code": code_digest()}
    return json.loads(json.dumps(found))


def _digest(held: bytes) -> bytes:
    """Return the checksum of what a checkpoint holds."""
    return hashlib.blake2b(held, digest_size=16).hexdigest().encode()


def differing_keys(found: Identity, wanted: Identity) -> list[str]:
    """Return in what two identities differ, in the order of the wanted one.

    Args:
        found: What a checkpoint says of itself.
        wanted: What it should say.
    """
    return [k for k in {**wanted, **found} if found.get(k) != wanted.get(k)]


def _differing(found: Identity, wanted: Identity | None) -> str:
    """Return in words where a checkpoint's identity differs from the one wanted."""
    if wanted is None:
        return ""
    return ", ".join(
        f"{k} {found.get(k)} instead of {wanted.get(k)}"
        for k in differing_keys(found, wanted)
    )


def _not_of_this_run(path: Path, found: str) -> ValueError:
    """Return the refusal of a checkpoint."""
    do = "go on as the run was begun, or remove it to begin anew"
    return ValueError(refusal(f"a checkpoint of this run at {path}", found, do))
