"""Data sets: verified on every read, fetched once, refused by name; without network."""

import gzip
import hashlib
import io
import logging
import os
import pickle
import struct
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch

from isometry.supervised import data
from isometry.supervised.data import DataError
from isometry.supervised.data import files as data_files

RNG = np.random.default_rng(0)


def digest(content):
    return hashlib.sha256(content).hexdigest()


def idx(array):
    head = struct.pack(">HBB", 0, 8, array.ndim)
    return gzip.compress(
        head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    )


def tar_of(folder, contents):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def random_batch(n, **labels):
    pixels = RNG.integers(256, size=(n, 3072), dtype=np.uint8)
    return pickle.dumps({"data": pixels, **labels}, protocol=4)


def tiny_files():
    """Return, for each data set, file name -> content: a few images of each."""
    mnist = {}
    for split, n in (("train", 6), ("t10k", 3)):
        pixels = RNG.integers(256, size=(n, 28, 28), dtype=np.uint8)
        mnist[f"{split}-images-idx3-ubyte.gz"] = idx(pixels)
        mnist[f"{split}-labels-idx1-ubyte.gz"] = idx(np.arange(n, dtype=np.uint8))
    cifar10 = {
        f"data_batch_{i}": random_batch(2, labels=[i, i + 1]) for i in range(1, 6)
    }
    cifar10["test_batch"] = random_batch(3, labels=[0, 1, 2])
    cifar10["batches.meta"] = pickle.dumps({"label_names": [b"cat", b"dog"]})
    cifar100 = {
        split: random_batch(2, fine_labels=[98, 99], coarse_labels=[18, 19])
        for split in ("train", "test")
    }
    cifar100["meta"] = pickle.dumps({"fine_label_names": [b"apple"]})
    return {"mnist": mnist, "cifar10": cifar10, "cifar100": cifar100}


class Server:
    """What the network would deliver: url -> bytes or an error; and what was asked."""

    def __init__(self):
        self.contents, self.asked = {}, []

    def __call__(self, url, output_file, pooch):
        self.asked.append(url)
        content = self.contents.get(url, ConnectionError("no connection"))
        if isinstance(content, Exception):
            raise content
        Path(output_file).write_bytes(content)


ARCHIVES = {
    "cifar10": "cifar-10-python.tar.gz",
    "cifar100": "cifar-100-python.tar.gz",
}


def publish(monkeypatch, folder, server, contents, archives=None):
    """Let these files be the official ones, and let a server deliver them."""
    lines = []
    for name, files in contents.items():
        place = data_files.FOLDERS[name]
        for file_name, content in files.items():
            url = f"https://one.test/{file_name}" if name == "mnist" else ""
            lines.append(f"{place}/{file_name} {digest(content)} {url}")
            server.contents[url] = content
        if name in ARCHIVES:
            url = f"https://one.test/{ARCHIVES[name]}"
            archive = (archives or {}).get(name) or tar_of(place, files)
            lines.append(f"{ARCHIVES[name]} {digest(archive)} {url}")
            server.contents[url] = archive
    file = folder / "published.txt"
    file.write_text("\n".join(lines))
    monkeypatch.setattr(data_files, "OFFICIAL_FILES", file)


@pytest.fixture
def official(monkeypatch, tmp_path_factory):
    """Let the tiny files be the official ones, and let a fake server deliver them."""
    server = Server()
    server.files = tiny_files()
    publish(monkeypatch, tmp_path_factory.mktemp("list"), server, server.files)
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: server)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    return server


def fill(server, name, root):
    """Put the official files in place by hand; return their folder."""
    folder = data.path(name, root)
    folder.mkdir(parents=True)
    for file_name, content in server.files[name].items():
        (folder / file_name).write_bytes(content)
    return folder


REAL = ("mnist", "cifar10", "cifar100")


@pytest.mark.parametrize("name", REAL)
def test_folder_filled_by_hand_is_loaded_without_network(official, tmp_path, name):
    fill(official, name, tmp_path)
    loaded = data.load(name, tmp_path)
    assert official.asked == []
    assert loaded.train_images.dtype == torch.uint8
    assert loaded.train_labels.dtype == torch.int64
    assert len(loaded.train_images) == len(loaded.train_labels)
    assert len(loaded.test_images) == len(loaded.test_labels)
    assert loaded.train_images.shape[1:] == loaded.test_images.shape[1:]
    assert (loaded.train_coarse_labels is not None) == (name == "cifar100")


def test_batches_are_joined_in_the_official_order(official, tmp_path):
    fill(official, "cifar10", tmp_path)
    loaded = data.load("cifar10", tmp_path)
    assert loaded.train_labels.tolist() == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    second = pickle.loads(official.files["cifar10"]["data_batch_2"])["data"]
    rows = loaded.train_images[2:4].flatten(1)
    torch.testing.assert_close(rows, torch.from_numpy(second))
    assert loaded.class_names == ("cat", "dog")


@pytest.mark.parametrize("name", REAL)
def test_missing_data_are_downloaded_once(official, tmp_path, name):
    first = data.load(name, tmp_path)
    asked = len(official.asked)
    second = data.load(name, tmp_path)
    assert len(official.asked) == asked == (4 if name == "mnist" else 1)
    torch.testing.assert_close(first.train_images, second.train_images)
    folder = data_files.FOLDERS[name]
    assert {p.name for p in tmp_path.iterdir()} <= {folder, ".download.lock"}
    assert {p.name for p in (tmp_path / folder).iterdir()} == set(official.files[name])


def test_transfer_that_breaks_off_is_tried_again(official, tmp_path):
    (url,) = (url for url in official.contents if "cifar-100" in url)
    whole, halves = official.contents[url], [b"half"]

    class Shaky(dict):
        def get(self, url, default):
            return halves.pop() if halves else whole

    official.contents = Shaky()
    data.fetch("cifar100", tmp_path)
    assert data.available("cifar100", tmp_path)
    assert official.asked == [url] * 2


@pytest.mark.parametrize("name", REAL)
def test_wrong_bytes_never_take_a_files_place(official, tmp_path, name):
    for url, content in official.contents.items():
        official.contents[url] = content[:-1]
    with pytest.raises(DataError, match="bytes that are not the official ones") as no:
        data.fetch(name, tmp_path)
    assert "\n" not in str(no.value)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [
        tmp_path / ".download.lock"
    ]


def test_archive_with_other_members_is_refused(official, tmp_path, monkeypatch):
    files = official.files["cifar100"]
    archive = tar_of("cifar-100-python", {**files, "meta": b"no"})
    (tmp_path / "root").mkdir()
    contents, archives = {"cifar100": files}, {"cifar100": archive}
    publish(monkeypatch, tmp_path, official, contents, archives)
    with pytest.raises(DataError, match="official cifar-100-python/meta, found alter"):
        data.fetch("cifar100", tmp_path / "root")
    assert not data.available("cifar100", tmp_path / "root")


def test_no_network_is_one_line_with_file_place_and_remedy(official, tmp_path):
    official.contents.clear()
    with pytest.raises(DataError) as caught:
        data.load("mnist", tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "mnist/train-images-idx3-ubyte.gz",
        str(tmp_path / "mnist"),
        "isometry data fetch mnist",
        "not downloaded: ConnectionError",
    ):
        assert part in message
    assert len(set(official.asked)) == 1  # not again for each of the other files


def altered(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def truncated(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize("damage", [altered, truncated, lambda content: b""])
@pytest.mark.parametrize("name", REAL)
def test_damaged_file_is_named_and_never_used(official, tmp_path, name, damage):
    folder = fill(official, name, tmp_path)
    victim = folder / list(official.files[name])[-1]
    before = victim.stat()
    victim.write_bytes(damage(victim.read_bytes()))
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not data.available(name, tmp_path)
    states = {r.file.name: r.state for r in data.verify(name, tmp_path)}
    assert states.pop(victim.name) == "altered"
    assert set(states.values()) == {"verified"}
    with pytest.raises(DataError, match=f"found altered: .*{victim.name}"):
        data.load(name, tmp_path, download=False)


@pytest.mark.parametrize("name", REAL)
def test_damaged_file_is_replaced_alone(official, tmp_path, name):
    folder = fill(official, name, tmp_path)
    victim = folder / next(iter(official.files[name]))
    for junk in (b"first", b"second"):
        victim.write_bytes(junk)
        data.load(name, tmp_path)
        assert victim.read_bytes() == official.files[name][victim.name]
    if name == "mnist":
        assert {Path(url).name for url in official.asked} == {victim.name}


def test_damaged_file_stays_when_nothing_can_replace_it(official, tmp_path):
    folder = fill(official, "mnist", tmp_path)
    victim = folder / "t10k-labels-idx1-ubyte.gz"
    victim.write_bytes(b"junk")
    official.contents.clear()
    with pytest.raises(DataError, match=f"altered: {victim}"):
        data.load("mnist", tmp_path)
    assert victim.read_bytes() == b"junk"


def test_two_at_a_time_download_once(official, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: data.fetch("mnist", tmp_path), range(4)))
    assert len(official.asked) == 4
    assert data.available("mnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("../outside", tarfile.REGTYPE, ""),
        ("inside", tarfile.SYMTYPE, "../outside"),
        ("inside", tarfile.CHRTYPE, ""),
    ],
)
def test_archive_cannot_write_outside_its_folder(
    official, tmp_path, monkeypatch, name, kind, target
):
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, target, 0
        tar.addfile(member)
    contents, archives = (
        {"cifar10": official.files["cifar10"]},
        {"cifar10": evil.getvalue()},
    )
    publish(monkeypatch, tmp_path, official, contents, archives)
    with pytest.raises(DataError, match=r"not downloaded: \w+Error"):
        data.fetch("cifar10", tmp_path / "root")
    assert {p.name for p in tmp_path.iterdir()} == {"root", "published.txt"}


def test_root_is_argument_then_variable_then_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOMETRY_DATA", str(tmp_path / "variable"))
    assert data.path("mnist", tmp_path) == tmp_path / "mnist"
    assert data.path("mnist") == tmp_path / "variable" / "mnist"
    monkeypatch.delenv("ISOMETRY_DATA")
    monkeypatch.setattr(
        data_files.platformdirs, "user_cache_dir", lambda *a, **k: "/cache/isometry"
    )
    assert data.path("cifar10") == Path("/cache/isometry/cifar-10-batches-py")


def test_folder_that_cannot_be_made_is_one_line(official, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DataError, match="choose another folder by ISOMETRY_DATA"):
        data.fetch("mnist", file)


def test_auto_is_mnist_where_it_can_be_had_else_digits(official, tmp_path):
    assert data.resolve("auto", download=False, root=tmp_path) == "digits"
    assert official.asked == []
    assert data.resolve("auto", download=True, root=tmp_path) == "mnist"
    official.contents.clear()
    assert data.resolve("auto", download=False, root=tmp_path) == "mnist"
    assert data.resolve("auto", download=True, root=tmp_path / "none") == "digits"
    assert data.resolve("cifar10", download=True, root=tmp_path) == "cifar10"


def test_auto_warns_of_an_altered_file(official, tmp_path, caplog):
    folder = fill(official, "mnist", tmp_path)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(b"junk")
    with caplog.at_level(logging.WARNING):
        assert data.resolve("auto", download=False, root=tmp_path) == "digits"
    assert "altered" in caplog.text
    assert "train-labels-idx1-ubyte.gz" in caplog.text


def test_digits_are_the_known_ones_split_once_for_all():
    digits = data.load("digits")
    assert digits.train_images.shape == (1500, 1, 8, 8)
    assert digits.test_images.shape == (297, 1, 8, 8)
    assert digits.train_images.dtype == torch.uint8
    every = torch.cat([digits.train_images, digits.test_images])
    assert int(every.max()) == digits.max_value == 16
    assert int(every.long().sum()) == 561718  # sum over scikit-learn's digits.csv
    labels = torch.cat([digits.train_labels, digits.test_labels])
    known = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # UCI, optdigits.names
    assert labels.bincount().tolist() == known
    assert int(digits.test_labels.bincount().min()) >= 15
    assert digits.train_labels[:12].tolist() == FIRST_LABELS
    assert data.verify("digits")[0].file.exists()


FIRST_LABELS = [9, 5, 9, 7, 9, 7, 1, 2, 9, 5, 2, 6]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.load("minst"), "did you mean 'mnist'"),
        (lambda: data.load("cifar"), "unknown data set 'cifar'"),
        (lambda: data.path("nothing"), "known: cifar10, cifar100, digits, mnist"),
        (lambda: data.verify("auto"), "unknown data set 'auto'"),
        (lambda: data.available(""), "unknown data set ''"),
        (lambda: data.fetch("imagenet"), "unknown data set"),
        (lambda: data.resolve("mnis", download=False), "did you mean 'mnist'"),
    ],
)
def test_unknown_names_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "num_test", "a_class"),
    [
        ("mnist", (60000, 1, 28, 28), 10000, 5923),
        ("cifar10", (50000, 3, 32, 32), 10000, 5000),
        ("cifar100", (50000, 3, 32, 32), 10000, 500),
    ],
)
def test_real_files_have_the_published_shapes_and_counts(
    name, shape, num_test, a_class
):
    if not data.available(name):
        pytest.skip(f"no {name} in {data.path(name)}")
    loaded = data.load(name, download=False)
    assert tuple(loaded.train_images.shape) == shape
    assert len(loaded.test_images) == num_test
    assert int(loaded.train_labels.bincount()[0]) == a_class
    assert len(loaded.train_labels.unique()) == loaded.num_classes
    assert len(loaded.class_names) == loaded.num_classes
