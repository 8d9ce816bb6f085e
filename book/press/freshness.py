"""Whether a chapter must run again: what its last run reached, and what that is now."""

import hashlib
import json
import math
import os
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from press import run_folder

WATCH = "__import__('runpy').run_path({0!r})['watch']({1!r}, {2!r}, get_ipython())"
ELSEWHERE = "ISOMETRY_RESULTS"  # names another folder of results
PASSING = (".lock", ".partial")


def depfile(chapter: Path, root: Path, profile: str) -> Path:
    """Return the file that says what the last run of a chapter reached."""
    return run_folder(root, profile) / f"{chapter.stem}.reached.json"


def keyfile(chapter: Path, root: Path, profile: str) -> Path:
    """Return the file with the hash under which a chapter ran to its end."""
    return run_folder(root, profile) / f"{chapter.stem}.key"


def watching(chapter: Path, root: Path, profile: str) -> str:
    """Return the argument with which a kernel notes what its chapter reaches."""
    script = Path(__file__).with_name("reached.py")
    out = depfile(chapter, root, profile)
    line = WATCH.format(str(script), str(root), str(out))
    return f"--IPKernelApp.code_to_run={line}"


def digest(chapter: Path, root: Path, profile: str, data: str) -> str | None:
    """Return a hash of everything a chapter depends on; None if that is not known.

    Args:
        chapter: Its text.
        root: The repository.
        profile: The sizes.
        data: The data sets at hand, see :func:`data_at_hand`.
    """
    try:
        names = reached(chapter, root, profile)
    except (OSError, ValueError, KeyError):  # none, or half of it
        return None
    other = os.environ.get(ELSEWHERE, "")
    start = f"{profile}\n{data}\n{sys.version_info[:2]}{other}"
    total = hashlib.sha256(start.encode())
    for name in (str(chapter.relative_to(root)), "requirements.lock", *names):
        found = content(root / name)
        total.update(f"\n{name}\n{len(found)}\n".encode() + found)
    return total.hexdigest()


def reached(chapter: Path, root: Path, profile: str) -> list[str]:
    """Return the files and folders that the last run of a chapter reached."""
    found = json.loads(depfile(chapter, root, profile).read_text())
    return [*found["files"], *found["folders"]]


def content(path: Path) -> bytes:
    """Return what is in a file, or the names in a folder; a missing one says so."""
    if path.is_dir():
        # Without what a writer leaves for a while.
        names = [p.name for p in path.iterdir() if p.suffix not in PASSING]
        return "\n".join(sorted(name for name in names if name[0] != ".")).encode()
    return path.read_bytes() if path.exists() else b"missing"


def fresh(chapter: Path, root: Path, profile: str, data: str) -> bool:
    """Return whether nothing that a chapter depends on changed since it ran."""
    key = keyfile(chapter, root, profile)
    done = key.exists() and key.with_suffix(".ipynb").exists()
    return done and key.read_text() == digest(chapter, root, profile, data)


def stamp(
    chapter: Path, root: Path, profile: str, data: str, started: float = math.inf
) -> None:
    """Note that a chapter ran to its end, on what is there now.

    Args:
        chapter: Its text.
        root: The repository.
        profile: The sizes.
        data: The data sets at hand.
        started: When it began, in seconds since 1970. What changed later may not be
            what it saw: then it runs again.
    """
    key = digest(chapter, root, profile, data)
    if key is None:
        key = "not known what it reached"
    elif any(newer(root / n, started) for n in reached(chapter, root, profile)):
        key = "something that it reached changed while it ran"
    keyfile(chapter, root, profile).write_text(key)


def newer(path: Path, moment: float) -> bool:
    """Return whether a file or a folder's listing changed after a moment."""
    return path.exists() and path.stat().st_mtime > moment


def data_at_hand() -> str:
    """Return which data sets a chapter would find, as one string for the hash.

    What :func:`isometry.supervised.data.resolve` returns for ``auto``, from the one
    file that reads and verifies: its room would bring torch, for a second or two.
    """
    package = find_spec("isometry")
    if package is None or package.origin is None:
        return "none"
    file = Path(package.origin).parent / "supervised" / "data" / "files.py"
    spec = spec_from_file_location("press.data_files", file)
    assert spec is not None
    assert spec.loader is not None
    files = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(files)
    reports = [report for _, report in files.read_all("mnist")]
    return "mnist" if all(one.state == "verified" for one in reports) else "digits"
