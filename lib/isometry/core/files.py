"""Files that are written whole or not at all, and stay after a power cut."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    It is written to a temporary name, brought onto the disk, and renamed; then the
    folder is brought there too, so that the name stays as well.

    Args:
        path: The file; its folder is made.
        content: All of it.

    Raises:
        OSError: If it cannot be written, a full disk included; names the file.
    """
    temporary = path.with_suffix(".partial")
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                onto_disk(file)
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()  # it takes the room that others need
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def onto_disk(file: BinaryIO) -> None:
    """Bring what was written to an open file onto the disk.

    Args:
        file: Open for writing.

    Raises:
        OSError: If it cannot be.
    """
    file.flush()
    os.fsync(file.fileno())


def system_error(error: OSError) -> str:
    """Return in a line what the system says, of which files, and what to do.

    Args:
        error: Any.

    Example:
        >>> system_error(OSError(errno.ENOSPC, "No space left", "a.parquet"))
        'No space left: a.parquet; make room, and the same command goes on'
        >>> system_error(OSError("no network"))
        'no network'
    """
    if not error.strerror:
        return str(error)
    names = [str(n) for n in (error.filename, error.filename2) if n is not None]
    line = f"{error.strerror}: {' and '.join(names)}" if names else error.strerror
    if error.errno in NO_ROOM:
        line += "; make room, and the same command goes on"
    return line


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Let an error of the system name the file that was to be written.

    Args:
        path: The file.

    Raises:
        OSError: What was raised within, with the file's name.
    """
    try:
        yield
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None


def visible(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files of a folder that are not hidden, sorted by name.

    A Mac writes ``._NAME`` beside each file on a foreign disk: a hidden name is none
    of ours, nor is what lies in a hidden folder.

    Args:
        folder: Where to look; it may itself be hidden.
        pattern: See :meth:`pathlib.Path.glob`.
    """
    for file in sorted(folder.glob(pattern)):
        parts = file.relative_to(folder).parts
        if not any(part.startswith(".") for part in parts):
            yield file
