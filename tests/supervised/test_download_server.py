"""Downloads from a real server on this machine that misbehaves in every known way."""

import gc
import hashlib
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from isometry.supervised import data
from isometry.supervised.data import DataError, download
from isometry.supervised.data import files as data_files

# pooch leaves the connection of an answer that it refuses to the collector.
UNRAISABLE = "pytest.PytestUnraisableExceptionWarning"
unclosed = f"ignore:Exception ignored in. <socket:{UNRAISABLE}"
pytestmark = pytest.mark.filterwarnings(unclosed, "ignore:unclosed:ResourceWarning")

NAMES = {
    f"{split}-{kind}-ubyte.gz"
    for split in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
}
CONTENTS = {name: hashlib.sha256(name.encode()).digest() * 2000 for name in NAMES}


class Mirror(BaseHTTPRequestHandler):
    """Delivers the files as its server's ``behaviour`` says."""

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        self.server.asked.append(name)
        behave = getattr(self, self.server.behaviour)
        behave(CONTENTS[name])

    def _send(self, content, status=200, length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def good(self, content):
        self._send(content)

    def forbidden(self, content):
        self._send(b"no", 403)

    def gone(self, content):
        self._send(b"not here", 404)

    def broken(self, content):
        self._send(b"my fault", 500)

    def cut(self, content):
        self._send(content[:999], length=len(content))

    def wrong(self, content):
        self._send(content[::-1])

    def a_page(self, content):
        self._send(b"<html>Please log in</html>")

    def silent(self, content):
        self.server.leave.wait(30)

    def stalls(self, content):
        self._send(content[:999], length=len(content))
        self.server.leave.wait(30)

    def slow(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for start in range(0, len(content), 8000):
            self.wfile.write(content[start : start + 8000])
            self.wfile.flush()
            time.sleep(0.02)

    def once_broken(self, content):
        first = self.server.asked.count(self.path.rsplit("/", 1)[-1]) == 1
        (self.broken if first else self.good)(content)

    def log_message(self, *ignored):
        pass


@pytest.fixture
def mirror(monkeypatch, tmp_path_factory):
    """Yield a server; the official files are those that it has."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    server.behaviour, server.asked, server.leave = "good", [], threading.Event()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    listed = tmp_path_factory.mktemp("list") / "published.txt"
    lines = [
        f"mnist/{name} {hashlib.sha256(content).hexdigest()} {address}/{name}"
        for name, content in CONTENTS.items()
    ]
    listed.write_text("\n".join(lines))
    server.listed = listed
    monkeypatch.setattr(data_files, "OFFICIAL_FILES", listed)
    monkeypatch.setattr(download, "READ_SECONDS", 0.4)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.leave.set()
    server.shutdown()
    server.server_close()
    gc.collect()  # here, where it is known, not in some later test


def whole(folder):
    """Return whether all files are there, and nothing else."""
    there = {file.name: file.read_bytes() for file in folder.iterdir()}
    return there == CONTENTS


@pytest.mark.parametrize("behaviour", ["good", "slow", "once_broken"])
def test_a_mirror_that_delivers_in_the_end_will_do(mirror, tmp_path, behaviour):
    mirror.behaviour = behaviour
    assert whole(data.fetch("mnist", tmp_path))
    asked = 2 if behaviour == "once_broken" else 1
    assert len(mirror.asked) == asked * len(NAMES)
    data.fetch("mnist", tmp_path)
    assert len(mirror.asked) == asked * len(NAMES), "it is there"


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("forbidden", "not downloaded: HTTPError"),
        ("gone", "not downloaded: HTTPError"),
        ("broken", "not downloaded: HTTPError"),
        ("silent", "not downloaded: ReadTimeout"),
        ("stalls", "not downloaded: "),
        ("cut", "not downloaded: "),
        ("wrong", "bytes that are not the official ones"),
        ("a_page", "bytes that are not the official ones"),
    ],
)
def test_a_mirror_that_does_not_deliver_is_one_line(mirror, tmp_path, behaviour, said):
    mirror.behaviour = behaviour
    with pytest.raises(DataError, match=said) as refused:
        data.fetch("mnist", tmp_path)
    line = str(refused.value)
    assert "\n" not in line
    assert "isometry data fetch mnist" in line
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert kept == [tmp_path / ".download.lock"], "no half of a file stays"
    mirror.behaviour = "good"
    assert whole(data.fetch("mnist", tmp_path)), "the same call goes on"


@pytest.mark.slow
def test_two_processes_at_once_download_each_file_once(mirror, tmp_path):
    mirror.behaviour = "slow"
    program = (
        "from pathlib import Path\n"
        "from isometry.supervised import data\n"
        "from isometry.supervised.data import files\n"
        f"files.OFFICIAL_FILES = Path({str(mirror.listed)!r})\n"
        f"data.fetch('mnist', {str(tmp_path)!r})\n"
    )
    command = [sys.executable, "-c", program]
    both = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert sorted(mirror.asked) == sorted(NAMES)
    assert whole(tmp_path / "mnist")


needs_rights = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere"
)


@needs_rights
def test_a_cache_that_cannot_be_written_is_one_line_and_can_be_read(mirror, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DataError, match="Permission denied"):
            data.fetch("mnist", tmp_path)
    finally:
        tmp_path.chmod(0o700)
    folder = data.fetch("mnist", tmp_path)
    asked = len(mirror.asked)
    for path in (folder, tmp_path):
        path.chmod(0o500)
    try:
        assert data.fetch("mnist", tmp_path) == folder
    finally:
        for path in (tmp_path, folder):
            path.chmod(0o700)
    assert len(mirror.asked) == asked


@needs_rights
def test_a_file_of_another_user_is_named(mirror, tmp_path):
    folder = data.fetch("mnist", tmp_path)
    victim = folder / "t10k-labels-idx1-ubyte.gz"
    victim.chmod(0)
    states = {r.file.name: r.state for r in data.verify("mnist", tmp_path)}
    assert states[victim.name] == "unreadable"
    with pytest.raises(DataError, match=f"unreadable: {victim}"):
        data.load("mnist", tmp_path, download=False)
