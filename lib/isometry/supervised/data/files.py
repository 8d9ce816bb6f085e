"""What the official data files are, where they lie, and whether they are intact.

A root folder holds one folder a data set, laid out as the archives unpack::

    ROOT/mnist/train-images-idx3-ubyte.gz ...
    ROOT/cifar-10-batches-py/data_batch_1 ...
    ROOT/cifar-100-python/train ...

It does not matter who filled it: the bytes that are read are hashed before they are
used. The checksums and the official addresses stand in ``official_files.txt``.
"""

import hashlib
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import platformdirs
import pooch

from isometry.core.extras import missing
from isometry.core.messages import refusal, unknown

ROOT_VARIABLE = "ISOMETRY_DATA"
OFFICIAL_FILES = Path(__file__).with_name("official_files.txt")
FOLDERS = {
    "mnist": "mnist",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
}
State = Literal["verified", "missing", "altered", "unreadable"]


class DataError(RuntimeError):
    """Data that are missing, altered or out of reach; one line that says what to do."""


@dataclass(frozen=True)
class FileReport:
    """What verification found for one file.

    Attributes:
        file: Where it was looked for.
        state: ``verified``, ``missing``, ``altered`` (truncated counts) or
            ``unreadable``.
        detail: In words, what is wrong; empty if verified.
    """

    file: Path
    state: State
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.file}{self.detail and f' ({self.detail})'}"


def names() -> tuple[str, ...]:
    """Return the names of all data sets; ``digits`` needs no files of its own.

    Example:
        >>> names()
        ('digits', 'mnist', 'cifar10', 'cifar100')
    """
    return ("digits", *FOLDERS)


def path(name: str, root: str | Path | None = None) -> Path:
    """Return the folder in which the files of a data set are looked for.

    Args:
        name: One of :func:`names`; the digits lie inside scikit-learn.
        root: The folder that holds all; default ``$ISOMETRY_DATA``, else the user's
            cache.

    Raises:
        ValueError: If the name is unknown, with the nearest known name, or the folder
            is in a home that is not.
    """
    if name not in names():
        raise ValueError(unknown("data set", name, names()))
    if name == "digits":
        package = find_spec("sklearn")  # finds it without importing it
        if package is None or package.origin is None:
            raise ImportError(missing("bench", "no sklearn"))
        return Path(package.origin).parent / "datasets" / "data"
    cache = platformdirs.user_cache_dir("isometry", appauthor=False)
    chosen = Path(root or os.environ.get(ROOT_VARIABLE) or cache)
    try:
        return chosen.expanduser().absolute() / FOLDERS[name]
    except RuntimeError:  # no such user, or one without a home
        needed, do = f"a data folder for {name}", f"name another by {ROOT_VARIABLE}"
        found = f"{chosen}, whose home is not known"
        raise ValueError(refusal(needed, found, do)) from None


def official_files(root: Path) -> pooch.Pooch:
    """Return the official files of all data sets, to be kept in a root folder.

    Args:
        root: Where :mod:`pooch` looks for them and puts them.
    """
    files = pooch.create(path=root, base_url="", retry_if_failed=1)
    files.load_registry(OFFICIAL_FILES)
    return files


def _read(file: Path, sha256: str) -> tuple[bytes, FileReport]:
    """Read a file once; return its bytes, if they are the official ones, and why not.

    An answer kept from an earlier look could vouch for a file that has changed since.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return b"", FileReport(file, "missing", "no such file")
    except OSError as error:
        return b"", FileReport(file, "unreadable", error.strerror or str(error))
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        detail = f"{len(content)} bytes with SHA-256 {found[:12]}…, not {sha256[:12]}…"
        return b"", FileReport(file, "altered", detail)
    return content, FileReport(file, "verified")


def read_all(
    name: str, root: str | Path | None = None
) -> list[tuple[bytes, FileReport]]:
    """Return bytes and report of every file of a data set other than digits.

    Args:
        name: ``mnist``, ``cifar10`` or ``cifar100``.
        root: See :func:`path`.

    Returns:
        In the order of ``official_files.txt``; no bytes unless they are the official
        ones.
    """
    folder = path(name, root)
    checksums = official_files(folder.parent).registry.items()
    own = {Path(k).name: v for k, v in checksums if Path(k).parent.name == folder.name}
    return [_read(folder / file, sha256) for file, sha256 in own.items()]


def not_official(name: str, report: FileReport, why: str = "") -> DataError:
    """Return the refusal of a data set, for one of its files.

    Args:
        name: Of the data set.
        report: On the file.
        why: It could not be downloaded; empty if this was not tried.
    """
    folder = report.file.parent
    return DataError(
        refusal(
            f"the official {folder.name}/{report.file.name}",
            f"{report}{why and f'; not downloaded: {why}'}",
            f"run `isometry data fetch {name}`, or put the official files in {folder}, "
            f"or choose another folder by {ROOT_VARIABLE}",
        )
    )
