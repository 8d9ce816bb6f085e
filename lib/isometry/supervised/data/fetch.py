"""Downloading: once, verified, in full or not at all.

Everything arrives in a folder of its own inside the root, is checked there, and only
then takes its place by a rename. A file that stood there and was not the official one
is renamed to ``*.refused``, never deleted.
"""

import hashlib
import shutil
import socket
import tarfile
import threading
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from filelock import FileLock, Timeout

from isometry.core.messages import refusal
from isometry.supervised.data.files import (
    FILE_SETS,
    DataError,
    Download,
    FileReport,
    advice,
    data_root,
    path,
    read_member,
    verify_files,
)

CONNECT_SECONDS = 4.0
READ_SECONDS = 30.0
LOCK_SECONDS = 3600.0  # another process may be downloading all this while
ATTEMPTS = 3  # a mirror, as long as it answers


def _host_answers(url: str, seconds: float = CONNECT_SECONDS) -> bool:
    """Return whether the host of ``url`` takes a connection within ``seconds``.

    A name with many addresses makes an ordinary connection time out once for each;
    without a network that is minutes. Behind a proxy nothing is tried and the answer
    is yes.
    """
    if requests.utils.get_environ_proxies(url):
        return True
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or {"http": 80}.get(parts.scheme, 443))
    answered = threading.Event()

    def connect() -> None:
        try:
            with socket.create_connection(address, timeout=seconds / 2):
                answered.set()
        except OSError:
            pass

    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(seconds)
    return answered.is_set()


def download(url: str, target: Path) -> None:
    """Download one address to ``target``, with a progress bar.

    Args:
        url: Where it lies.
        target: The file to write.

    Raises:
        OSError: If the host does not answer or the transfer breaks off.

    Source: ours, by :mod:`pooch`.
    """
    if not _host_answers(url):
        raise ConnectionError("no connection")
    fetch_file = pooch.HTTPDownloader(
        progressbar=True, chunk_size=1 << 16, timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    fetch_file(url, str(target), None)


def _obtain(item: Download, target: Path) -> list[str]:
    """Bring the verified file to ``target``; return what failed, empty on success."""
    failures: list[str] = []
    for url in item.urls:
        host = urlsplit(url).hostname
        for _ in range(ATTEMPTS):
            try:
                download(url, target)
            except ConnectionError as error:  # nobody there: on to the next mirror
                failures.append(f"{host}: {_in_short(error)}")
                break
            except requests.HTTPError as error:  # not there: the same
                failures.append(f"{host}: {_in_short(error)}")
                break
            except OSError as error:
                failures.append(f"{host}: {_in_short(error)}")
                continue
            with target.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found == item.sha256:
                return []
            size = target.stat().st_size
            failures.append(f"{host}: {size} bytes that are not the published ones")
            target.unlink()
    return failures


def _in_short(error: OSError) -> str:
    """Return one short line for an error of the network."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.ConnectionError) or type(error) is ConnectionError:
        return "no connection"
    return type(error).__name__


def extract(archive: Path, into: Path) -> None:
    """Unpack a tar archive, refusing all that would land outside ``into``.

    Args:
        archive: A tar file, compressed or not.
        into: An existing folder.

    Raises:
        DataError: If the archive is damaged, or has a member with an absolute path,
            a path through ``..``, a device, or a link that leads outside.

    Source: ours; the ``data`` filter of :mod:`tarfile` (PEP 706).
    """
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(into, filter="data")
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        found = f"{archive.name} with {type(error).__name__}: {error}"
        raise DataError(
            refusal("an intact archive", found, "fetch it again")
        ) from error


def _refused_name(file: Path) -> Path:
    """Return the first free name for a file that is not the official one."""
    candidate, number = file.with_name(f"{file.name}.refused"), 1
    while candidate.exists():
        number += 1
        candidate = file.with_name(f"{file.name}.refused-{number}")
    return candidate


def _install(arrived: Path, report: FileReport, digest: str) -> None:
    """Verify a file that arrived and let it take its place."""
    found = read_member(arrived, digest)[1]
    if found.state != "verified":
        needed = f"the official {report.file.name} in the download"
        raise DataError(refusal(needed, str(found), "report it; nothing was replaced"))
    report.file.parent.mkdir(parents=True, exist_ok=True)
    if report.state != "missing":
        report.file.rename(_refused_name(report.file))
    arrived.replace(report.file)


def _fetch_locked(name: str, root: str | Path | None) -> None:
    """Download and install what is not verified; the caller holds the lock."""
    files = FILE_SETS[name]
    wanted = [r for r in verify_files(name, root) if r.state != "verified"]
    if not wanted:  # another process was faster
        return
    incoming = data_root(root) / ".incoming"
    shutil.rmtree(incoming, ignore_errors=True)  # left by a process that was killed
    unpacked = incoming / files.folder
    unpacked.mkdir(parents=True)
    try:
        for item in files.downloads:
            file_name = item.urls[0].rsplit("/", 1)[1]
            if not item.archive and file_name not in {r.file.name for r in wanted}:
                continue
            target = incoming / file_name if item.archive else unpacked / file_name
            failures = _obtain(item, target)
            if failures:
                tried = ", ".join(dict.fromkeys(failures))
                found = f"{wanted[0]}; not downloaded: {tried}"
                needed = f"the official {files.folder}/{wanted[0].file.name}"
                raise DataError(refusal(needed, found, advice(name, root)))
            if item.archive:
                extract(target, incoming)
        for report in wanted:
            digest = files.members[report.file.name]
            _install(unpacked / report.file.name, report, digest)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def fetch(name: str, root: str | Path | None = None) -> Path:
    """Make sure that every official file of a data set is there, and return the folder.

    Nothing is downloaded, and nothing written, if all files are verified already.
    Otherwise the missing and altered ones are downloaded, checked, and put in place;
    several processes may call this at a time.

    Args:
        name: One of the data sets; ``digits`` is always there.
        root: Folder to keep the data in, see
            :func:`isometry.supervised.data.files.data_root`.

    Raises:
        ValueError: If the name is unknown.
        DataError: If a file cannot be had, with which, where, and what to do.
    """
    folder = path(name, root)
    if name == "digits" or all(r.state == "verified" for r in verify_files(name, root)):
        return folder
    lock_file = data_root(root) / ".download.lock"
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock_file, timeout=LOCK_SECONDS):
            _fetch_locked(name, root)
    except Timeout as error:
        held = f"{lock_file} held by another process for an hour"
        raise DataError(refusal("the download lock", held, "end that one")) from error
    except OSError as error:
        reason = error.strerror or str(error)
        found = f"{lock_file.parent} with {type(error).__name__}: {reason}"
        do = "choose another folder by ISOMETRY_DATA"
        raise DataError(refusal("a folder to keep data in", found, do)) from error
    return folder
