"""Real images: digits (embedded), MNIST, CIFAR-10 and CIFAR-100, always verified."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.seeding import derived_seed
from isometry.supervised.data.download import fetch
from isometry.supervised.data.files import (
    DataError,
    FileReport,
    not_official,
    path,
    read_all,
)
from isometry.supervised.data.formats import read_cifar, read_idx, unpickle_arrays

NUM_TRAIN_DIGITS = 1500
_DIGITS_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageData:
    """A labelled set of images with its official split, on the CPU.

    Attributes:
        name: Which data set it is.
        train_images: uint8 ``(n, channels, height, width)``, 0 to ``max_value``.
        train_labels: int64 ``(n,)``, 0 to ``num_classes - 1``.
        test_images: uint8 ``(n_test, channels, height, width)``.
        test_labels: int64 ``(n_test,)``.
        num_classes: How many classes there are.
        max_value: The brightest possible value: 16 for digits, 255 for the others.
            Nothing is rescaled, so nothing is lost.
        class_names: One name a class, in the order of the labels.
        train_coarse_labels: int64 ``(n,)``, the 20 superclasses of CIFAR-100; None
            for the others.
        test_coarse_labels: The same for the test images.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    num_classes: int
    max_value: int
    class_names: tuple[str, ...]
    train_coarse_labels: Tensor | None = None
    test_coarse_labels: Tensor | None = None


def _digits() -> ImageData:
    """Return scikit-learn's digits, split by a fixed shuffle.

    The order of the file follows the writers, so a split by position would test on
    other hands than it trains on. The shuffle sorts the images by a hash of their
    index: the same on every platform and in every version.
    """
    # Its own reader gives the same after a second of imports.
    file = path("digits") / "digits.csv.gz"
    try:
        rows = np.loadtxt(file, np.uint8, delimiter=",")
    except (OSError, ValueError) as error:
        needed, do = f"the digits of scikit-learn in {file}", "reinstall scikit-learn"
        raise DataError(refusal(needed, str(error), do)) from None
    images, labels = rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    found = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    if found != _DIGITS_SHA256:
        needed = "the digits that scikit-learn is known for"
        shown = f"SHA-256 {found[:12]}…, not {_DIGITS_SHA256[:12]}…"
        raise DataError(refusal(needed, shown, "reinstall scikit-learn"))
    order = sorted(range(len(labels)), key=lambda i: derived_seed(0, "digits", i))
    train, test = order[:NUM_TRAIN_DIGITS], order[NUM_TRAIN_DIGITS:]
    all_images = torch.from_numpy(images)[:, None]
    all_labels = torch.from_numpy(labels).long()
    return ImageData(
        name="digits",
        train_images=all_images[train],
        train_labels=all_labels[train],
        test_images=all_images[test],
        test_labels=all_labels[test],
        num_classes=10,
        max_value=16,
        class_names=tuple("0123456789"),
    )


def _mnist(files: dict[str, bytes]) -> ImageData:
    def images(split: str) -> Tensor:
        name = f"{split}-images-idx3-ubyte.gz"
        return torch.from_numpy(read_idx(files[name]))[:, None]

    def labels(split: str) -> Tensor:
        name = f"{split}-labels-idx1-ubyte.gz"
        return torch.from_numpy(read_idx(files[name])).long()

    return ImageData(
        name="mnist",
        train_images=images("train"),
        train_labels=labels("train"),
        test_images=images("t10k"),
        test_labels=labels("t10k"),
        num_classes=10,
        max_value=255,
        class_names=tuple("0123456789"),
    )


def _names_in(files: dict[str, bytes], member: str, key: str) -> tuple[str, ...]:
    return tuple(name.decode() for name in unpickle_arrays(files[member], member)[key])


def _cifar10(files: dict[str, bytes]) -> ImageData:
    members = [f"data_batch_{i}" for i in range(1, 6)]
    batches = [read_cifar(files[name], name, "labels") for name in members]
    test_images, test_labels = read_cifar(files["test_batch"], "test_batch", "labels")
    return ImageData(
        name="cifar10",
        train_images=torch.from_numpy(np.concatenate([b[0] for b in batches])),
        train_labels=torch.from_numpy(np.concatenate([b[1] for b in batches])),
        test_images=torch.from_numpy(test_images.copy()),
        test_labels=torch.from_numpy(test_labels),
        num_classes=10,
        max_value=255,
        class_names=_names_in(files, "batches.meta", "label_names"),
    )


def _cifar100(files: dict[str, bytes]) -> ImageData:
    images, fine, coarse = {}, {}, {}
    for split in ("train", "test"):
        pixels, labels = read_cifar(files[split], split, "fine_labels")
        images[split] = torch.from_numpy(pixels.copy())
        fine[split] = torch.from_numpy(labels)
        superclasses = read_cifar(files[split], split, "coarse_labels")[1]
        coarse[split] = torch.from_numpy(superclasses)
    return ImageData(
        name="cifar100",
        train_images=images["train"],
        train_labels=fine["train"],
        test_images=images["test"],
        test_labels=fine["test"],
        num_classes=100,
        max_value=255,
        class_names=_names_in(files, "meta", "fine_label_names"),
        train_coarse_labels=coarse["train"],
        test_coarse_labels=coarse["test"],
    )


_READERS = {"mnist": _mnist, "cifar10": _cifar10, "cifar100": _cifar100}


def load(
    name: str, root: str | Path | None = None, *, download: bool = True
) -> ImageData:
    """Return a data set whose every byte was verified on this very read.

    Args:
        name: One of :func:`isometry.supervised.data.names`.
        root: Where the files are; default ``$ISOMETRY_DATA``, else the user's cache.
        download: Whether missing or altered files may be downloaded.

    Raises:
        ValueError: If the name is unknown.
        DataError: If a file is missing or altered and cannot be had; one line with
            which file, where it was looked for, and what to do.

    Source: Digits: 1,797 images of 8x8 inside scikit-learn (Alpaydin & Kaynak, UCI),
    here split into 1,500 and 297 by a fixed shuffle. The others have their official
    split and order.

    Example:
        >>> digits = load("digits")
        >>> digits.train_images.shape, int(digits.train_images.max())
        (torch.Size([1500, 1, 8, 8]), 16)
    """
    path(name, root)  # refuses a name that is not known
    if name == "digits":
        return _digits()
    found = read_all(name, root)
    bad = [report for _, report in found if report.state != "verified"]
    if bad and not download:
        raise not_official(name, bad[0])
    if bad:
        _log.info("%s", bad[0])
        fetch(name, root)
        return load(name, root, download=False)
    return _READERS[name]({report.file.name: content for content, report in found})


def verify(name: str, root: str | Path | None = None) -> tuple[FileReport, ...]:
    """Return a report for every file of a data set; all states may occur.

    Args:
        name: One of :func:`isometry.supervised.data.names`.
        root: See :func:`load`.

    Raises:
        ValueError: If the name is unknown.

    Example:
        >>> [report.state for report in verify("digits")]
        ['verified']
    """
    if name != "digits":
        return tuple(report for _, report in read_all(name, root))
    file = path(name) / "digits.csv.gz"
    try:
        _digits()
    except DataError as error:
        return (FileReport(file, "altered", str(error)),)
    return (FileReport(file, "verified"),)


def available(name: str, root: str | Path | None = None) -> bool:
    """Return whether all files of a data set are there and verified.

    Args:
        name: One of :func:`isometry.supervised.data.names`.
        root: See :func:`load`.

    Raises:
        ValueError: If the name is unknown.
    """
    return all(report.state == "verified" for report in verify(name, root))


def resolve(
    name: str = "auto", *, download: bool, root: str | Path | None = None
) -> str:
    """Return the data set that a name stands for.

    ``auto`` is MNIST if it is there or can be had, otherwise digits. A file that is
    there but not the official one is named in a logged warning; whoever shows results
    says which data they come from. Any other name stands for itself.

    Args:
        name: ``auto`` or one of :func:`isometry.supervised.data.names`.
        download: Whether MNIST may be downloaded.
        root: See :func:`load`.

    Raises:
        ValueError: If the name is unknown.
    """
    if name != "auto":
        path(name, root)  # refuses a name that is not known
        return name
    bad = [report for report in verify("mnist", root) if report.state != "verified"]
    for report in bad:
        if report.state != "missing":
            _log.warning("%s", report)
    if bad and download:
        try:
            fetch("mnist", root)
        except DataError as error:
            _log.info("%s", error)
        else:
            return "mnist"
    return "digits" if bad else "mnist"
