"""The working folder of a store: checkpoints of runs, and who trains them.

``<store>/.work/<benchmark>/<method>-<settings>-<seeds>/`` holds the checkpoint of a
run as long as it trains. Beside it lie a lock and, in ``.by``, the name of the process
that holds it.
"""

import os
import shutil
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from isometry.core.files import named_errors
from isometry.core.messages import Notice, refusal
from isometry.lab.store import StoreError, read_file
from isometry.stream.checkpoint import Identity, differing_keys, identity_in

WORK = ".work"
CHECKPOINT = "checkpoint.pt"


class Waiting(Notice):
    """Another process trains what was asked for; the message says which one."""


@contextmanager
def held(work: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; say for whom one waits, where one has to.

    Args:
        work: The run's folder.

    Raises:
        OSError: If the lock cannot be made.
    """
    lock, holder = FileLock(work.with_suffix(".lock")), work.with_suffix(".by")
    with named_errors(work.parent):
        work.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = holder.read_text() if holder.exists() else "another process"
            line = f"{who} trains the same seeds ({work.name}); waiting for it"
            warnings.warn(line, Waiting, stacklevel=2)
            lock.acquire()
    try:
        with suppress(OSError):  # a full disk must not keep the run from beginning
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def _free(lock: FileLock) -> Iterator[bool]:
    """Hold a lock if nobody else does; tell whether that is so."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def unfinished(
    folder_of: Callable[[list[int]], Path],
    identity: Callable[[list[int]], Identity],
    missing: list[int],
) -> list[int]:
    """Return the seeds with which a stopped run goes on: some of those missing.

    Args:
        folder_of: ``(seeds) ->`` the folder in which these are trained at once.
        identity: ``(seeds) ->`` what their checkpoint says of itself.
        missing: Seeds that the store does not have.

    Returns:
        Those of the checkpoint with most of them that has no others and is of this
        run; all that are missing, if there is none.
    """
    work = folder_of(missing)
    if (work / CHECKPOINT).exists():
        return missing
    found = []
    for checkpoint in work.parent.glob(f"{_stem(work)}-*/{CHECKPOINT}"):
        said = identity_in(checkpoint)
        seeds = said.get("seeds", [])
        if seeds and set(seeds) <= set(missing) and said == identity(seeds):
            found += [seeds] if folder_of(seeds) == checkpoint.parent else []
    return max(found, key=len, default=missing)


def begun_elsewhere(work: Path, identity: Identity) -> bool:
    """Return whether a run was begun as it would be here, but on another device.

    Args:
        work: The run's folder.
        identity: What its checkpoint would say here.
    """
    return differing_keys(identity_in(work / CHECKPOINT), identity) == ["device"]


def _stem(work: Path) -> str:
    """Return what the folders of a run's settings share: all but the seeds' hash."""
    return work.name.rsplit("-", 1)[0]


def removed_orphans(store: Path, work: Path | None = None, *, all: bool = False) -> int:
    """Remove checkpoints that no run will go on from; return how many.

    Such is one some of whose seeds the store has: the run was killed before it could
    remove its checkpoint, or its seeds were trained with others. What a living process
    holds stays.

    Args:
        store: The store's folder.
        work: Only those of the settings of this run's folder; None: all of the store.
        all: Whether also those go that a run would go on from.

    Raises:
        OSError: If one cannot be removed.
    """
    if work is None:
        folders = [f.parent for f in store.glob(f"**/{WORK}/*/*/{CHECKPOINT}")]
    else:
        folders = [f for f in work.parent.glob(f"{_stem(work)}-*") if f.is_dir()]
    count = 0
    for folder in sorted(folders):
        with _free(FileLock(folder.with_suffix(".lock"))) as free:
            if free and (all or _is_orphan(folder)):
                shutil.rmtree(folder)
                count += 1
    return count


def _is_orphan(folder: Path) -> bool:
    """Return whether the store has results of some of a checkpoint's seeds."""
    store, benchmark = folder.parents[2], folder.parent.name
    results = store / benchmark / f"{_stem(folder)}.parquet"
    if not results.exists():
        return False
    try:
        frame, _ = read_file(results)
    except StoreError:
        return False  # whatever can be rescued is kept
    seeds = identity_in(folder / CHECKPOINT).get("seeds", [])
    return bool(frame["seed"].isin(seeds).any())


def clean(store: Path, *, all: bool = False) -> str:
    """Remove what killed runs left behind in a store, and say what.

    Args:
        store: The store's folder.
        all: Whether checkpoints go as well from which a run would go on.

    Raises:
        OSError: If something cannot be removed.
        StoreError: If there is no such folder.
    """
    if not store.is_dir():
        needed = f"a results store at {store}"
        raise StoreError(refusal(needed, "no such folder", "change --out"))
    checkpoints, files = removed_orphans(store, all=all), 0
    for pattern in ("**/*.partial", f"**/{WORK}/**/*.by", "**/*.lock"):  # locks last
        for file in store.glob(pattern):
            with _free(FileLock(_lock_of(file))) as free:
                if free:
                    file.unlink(missing_ok=True)
                    files += pattern != "**/*.lock"
    kept = len(list(store.glob(f"**/{WORK}/*/*/{CHECKPOINT}")))
    goes_on = f"; {kept} checkpoints from which runs go on stay" if kept else ""
    return f"removed {checkpoints} checkpoints and {files} other files{goes_on}"


def _lock_of(file: Path) -> Path:
    """Return the lock that whoever writes a file of a store holds."""
    in_checkpoint = file.parent.parent.parent.name == WORK
    return (file.parent if in_checkpoint else file).with_suffix(".lock")
