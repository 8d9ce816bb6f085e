"""Downloading by :mod:`pooch`: from the official address, with its checksum, once."""

import logging
import tarfile
from pathlib import Path

import pooch
from filelock import FileLock

from isometry.supervised.data.files import (
    FileReport,
    not_official,
    official_files,
    path,
    read_all,
)

CONNECT_SECONDS, READ_SECONDS = 4.0, 30.0
LOCK_SECONDS = 3600.0  # another process may be downloading all this while
ARCHIVES = {
    "cifar10": "cifar-10-python.tar.gz",
    "cifar100": "cifar-100-python.tar.gz",
}


def _bad_files(name: str, root: str | Path | None) -> list[FileReport]:
    """Return the reports on files that are not there or not the official ones."""
    return [r for _, r in read_all(name, root) if r.state != "verified"]


def fetch(name: str, root: str | Path | None = None) -> Path:
    """Make sure that every official file of a data set is there, and return the folder.

    Nothing is downloaded, and nothing written, if all files are the official ones.
    Otherwise those that are missing or altered are downloaded, and replaced once their
    checksum fits; several processes may call this at a time.

    Args:
        name: One of the data sets; ``digits`` is always there.
        root: See :func:`isometry.supervised.data.path`.

    Raises:
        ValueError: If the name is unknown.
        DataError: If a file cannot be had, with which, where, and what to do.
    """
    folder = path(name, root)
    if name == "digits" or not (bad := _bad_files(name, root)):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / ".download.lock", timeout=LOCK_SECONDS):
            if bad := _bad_files(name, root):  # else another process was faster
                _download(name, bad)
                bad = _bad_files(name, root)
    except (OSError, ValueError, tarfile.TarError) as error:
        raise not_official(name, bad[0], _in_short(error)) from error
    if bad:
        raise not_official(name, bad[0], "it is not in the archive")
    return folder


def _download(name: str, bad: list[FileReport]) -> None:
    """Put the official files in the place of bad ones, each in full or not at all."""
    folder = bad[0].file.parent
    files = official_files(folder.parent)
    pooch.get_logger().setLevel(logging.WARNING)  # the bar says what goes on
    over_http = pooch.HTTPDownloader(
        progressbar=True, timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    if name not in ARCHIVES:
        for report in bad:
            files.fetch(f"{folder.name}/{report.file.name}", downloader=over_http)
        return
    archive = Path(files.fetch(ARCHIVES[name], downloader=over_http))
    with tarfile.open(archive) as tar:
        tar.extractall(folder.parent, filter="data")
    archive.unlink()


def _in_short(error: Exception) -> str:
    """Return a few words: what pooch and requests say fills several lines."""
    if type(error) is ValueError:  # pooch's, for another checksum
        return "bytes that are not the official ones"
    return getattr(error, "strerror", None) or type(error).__name__
