"""Files that are whole or not there, also where there is no room for them."""

import errno
import os
import resource
import subprocess
import sys
from stat import S_ISDIR

import pytest

from isometry.core.files import visible, write_whole


def test_a_file_is_written_and_nothing_else(tmp_path):
    path = tmp_path / "new" / "a.bin"
    for content in (b"first", b"", b"second" * 10_000):
        write_whole(path, content)
        assert path.read_bytes() == content
        assert list(path.parent.iterdir()) == [path]


def test_content_and_name_are_on_the_disk_when_it_returns(tmp_path, monkeypatch):
    done, sync, rename = [], os.fsync, os.replace

    def synced(descriptor):
        done.append("folder" if S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def renamed(*names):
        done.append("name")
        rename(*names)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write_whole(tmp_path / "a", b"x")
    assert done == ["file", "name", "folder"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_without_room_the_old_file_stays_and_the_error_names_it(
    tmp_path, monkeypatch, number
):
    path = tmp_path / "a.bin"
    write_whole(path, b"old")

    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=os.strerror(number)) as refused:
        write_whole(path, b"new")
    assert refused.value.filename == str(path)
    assert refused.value.errno == number
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path], "what was half written is removed"


def test_past_a_limit_of_file_sizes_the_old_file_stays(tmp_path):
    code = f"""
import resource
from pathlib import Path
from isometry.core.files import write_whole
path = Path({str(tmp_path)!r}) / "a.bin"
write_whole(path, b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))
try:
    write_whole(path, bytes(100_000))
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"[Errno 27] File too large: '{tmp_path}/a.bin'\n"
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_hidden_files_and_folders_are_left_out_but_not_the_folder_itself(tmp_path):
    folder = tmp_path / ".store"
    for name in ("b/2.x", "a/1.x", "a/._1.x", "._a/1.x", ".work/a/3.x", "a/1.y"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    found = [str(file.relative_to(folder)) for file in visible(folder, "**/*.x")]
    assert found == ["a/1.x", "b/2.x"]
