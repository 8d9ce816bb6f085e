"""What every chapter of the book does first, and how its numbers reach the prose.

``begin`` sets a chapter up and says under which conditions it runs; ``publish`` hands
numbers to the book, where ``{number}`` reads them; ``check`` holds a statement against
the numbers. They speak through outputs of a MIME type of our own, which the press of
the book collects from the executed notebook. In plain Python they print and show
nothing.
"""

import atexit
import shutil
import tempfile
import warnings
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isometry.core.messages import refusal, unknown
from isometry.core.profile import checked_profile
from isometry.lab.provenance import commit, device_name, versions
from isometry_book import style
from isometry_book.measured import VARIABLE, results_folder

BANNER_MIME = "application/vnd.isometry.banner+json"
NUMBERS_MIME = "application/vnd.isometry.numbers+json"
STATEMENTS_MIME = "application/vnd.isometry.statements+json"
DATA_LABELS = {
    "digits": "scikit-learn digits (8x8)",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
}


def _live_store() -> Path:
    """Return a new temporary folder that is removed when Python ends."""
    folder = tempfile.mkdtemp(prefix="isometry-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@dataclass(frozen=True)
class Chapter:
    """The conditions a chapter runs under.

    Attributes:
        profile: ``"smoke"``, ``"laptop"`` or ``"paper"``.
        data: The data set in use, e.g. ``"mnist"``; None for a chapter without data.
        device: Where tensors live: ``"cuda"`` under ``paper`` if there is a GPU, else
            ``"cpu"``.
        store: An empty results store that lasts as long as the process: what a chapter
            shows as computed live cannot be left over from other code.
    """

    profile: str
    data: str | None
    device: str
    store: Path = field(default_factory=_live_store)

    @property
    def data_label(self) -> str:
        """The data set's name as a caption prints it; ``"no data set"`` without one."""
        if self.data is None:
            return "no data set"
        return DATA_LABELS.get(self.data, self.data)

    @property
    def results(self) -> Path:
        """The book's measured results, wherever the chapter was started.

        Raises:
            FileNotFoundError: If there are none, with what to do.
        """
        if folder := results_folder():
            return folder
        do = f"run the notebook's first cell, or name their folder by ${VARIABLE}"
        found = f"none in {Path.cwd()} or above it"
        raise FileNotFoundError(refusal("the book's results", found, do))

    def publish(self, **values: Any) -> None:
        """Hand numbers or strings to the book's prose.

        On any page, ``{number}`` with ``CHAPTER.key:format`` prints them.

        Args:
            values: Strings, or finite numbers (of Python, NumPy, a tensor).

        Raises:
            TypeError: For anything else.
            ValueError: For a number that is not finite.

        Example:
            >>> begin("smoke").publish(final_loss=0.25, method="adamo")
        """
        plain = {key: _plain(key, value) for key, value in values.items()}
        _show({NUMBERS_MIME: plain}, ", ".join(f"{k} = {v}" for k, v in plain.items()))

    def check(self, where: str, statement: str, holds: Any) -> None:
        """Hold what a caption or the prose says against the numbers.

        What was checked is listed on the book's status page.

        Args:
            where: The figure's name, or the heading's text.
            statement: What is said, in a few words.
            holds: Whether it is so: a truth value, of Python, NumPy or a tensor.

        Raises:
            AssertionError: If it is not so.

        Example:
            >>> begin("smoke").check("fig-loss", "the loss falls", 0.2 < 0.9)
        """
        if not bool(holds):
            raise AssertionError(f"{where} says what is not so: {statement}")
        _show({STATEMENTS_MIME: {"where": where, "statement": statement}}, statement)


def begin(profile: str, data: str | None = None) -> Chapter:
    """Set a chapter up: figures, threads, warnings, data; and show its banner.

    Under ``smoke``, warnings that would end on a page are errors. One thread is used:
    two chapters can run side by side, and no number depends on the thread count.

    Args:
        profile: ``"smoke"`` (seconds), ``"laptop"`` (minutes) or ``"paper"`` (GPU).
        data: A data set's name; ``"auto"`` for MNIST if it is there or can be fetched,
            else the digits inside scikit-learn; None for a chapter without data.

    Returns:
        The chapter's conditions, with the data set that was found.

    Raises:
        ValueError: If the profile or the data set is not known.

    Example:
        >>> chapter = begin("smoke", data="digits")
        >>> chapter.profile, chapter.data_label
        ('smoke', 'scikit-learn digits (8x8)')
    """
    checked_profile(profile)
    if data is not None and data != "auto" and data not in DATA_LABELS:
        raise ValueError(unknown("data set", data, ["auto", *DATA_LABELS]))
    torch.set_num_threads(1)
    style.use()
    if profile == "smoke" and style.in_a_kernel():
        for category in (UserWarning, FutureWarning, RuntimeWarning):
            warnings.simplefilter("error", category)
    if data == "auto":
        from isometry.supervised.data.sets import resolve

        data = resolve(data, download=profile != "smoke")
    gpu = profile == "paper" and torch.cuda.is_available()
    chapter = Chapter(profile, data, "cuda" if gpu else "cpu")
    facts = banner(chapter)
    published = {"profile": profile, "data": chapter.data_label}
    text = "   ".join(f"{key}: {value}" for key, value in facts.items())
    _show({BANNER_MIME: facts, NUMBERS_MIME: published}, text)
    return chapter


def banner(chapter: Chapter) -> dict[str, str]:
    """Return what a reader must know about a run, as short strings.

    Keys: profile, data, device, python, torch, numpy, isometry, commit.
    """
    found = versions()
    return {
        "profile": chapter.profile,
        "data": chapter.data_label,
        "device": device_name(chapter.device),
        "python": found["python"],
        "torch": found["torch"],
        "numpy": found["numpy"],
        "isometry": found["plasticity-by-isometry"],
        "commit": commit(),
    }


def _plain(key: str, value: Any) -> int | float | str:
    """Return ``value`` as JSON can hold it."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        try:
            value = value.item()
        except (ValueError, RuntimeError) as error:
            found = f"{key} of shape {tuple(value.shape)}"
            raise TypeError(refusal("one number", found, "publish each")) from error
    if isinstance(value, bool) or not isinstance(value, Real):
        found = f"{key} of type {type(value).__name__}"
        raise TypeError(refusal("a number or a string", found, "convert it first"))
    number = int(value) if isinstance(value, Integral) else float(value)
    if not np.isfinite(number):
        do = "publish it as text if it is meant to be on the page"
        raise ValueError(refusal("a finite number", f"{key} = {number}", do))
    return number


def _show(data: dict[str, Any], text: str) -> None:
    """Emit one output in a notebook; do nothing outside one."""
    if not style.in_a_kernel():
        return
    from IPython.display import display

    display(data | {"text/plain": text}, raw=True)
