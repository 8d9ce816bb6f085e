"""Random generators that depend on what is drawn, never on what was drawn before.

Each draw of the project has its own generator, made from a seed and labels such as
``("order", task, epoch)``. A run that starts again at task 7 therefore draws what the
uninterrupted run drew, and a method that draws more cannot shift another's stream.
"""

import hashlib
from collections.abc import Iterable, Sequence
from numbers import Integral
from operator import index
from typing import TYPE_CHECKING

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.core.settings import WHOLE_NUMBERS

if TYPE_CHECKING:  # a report needs numpy alone, and torch's import is long
    import numpy as np
    import torch

Label = str | int
MOST_SEEDS = 10_000  # in one command


def derived_seed(seed: int, *labels: Label) -> int:
    """Return a 63-bit seed that is a fixed function of ``seed`` and ``labels``.

    Args:
        seed: The run's seed, any integer.
        *labels: What is drawn; strings and integers, order matters.

    Raises:
        TypeError: If a label is neither a string nor an integer.

    Source: ours; BLAKE2b, so that neither platform nor Python's hash seed matters.

    Example:
        >>> derived_seed(0, "order", 3) == derived_seed(0, "order", 3)
        True
        >>> derived_seed(0, "order", 3) == derived_seed(0, "order", 4)
        False
    """
    for label in (seed, *labels):
        if not isinstance(label, str | Integral):
            raise TypeError(
                f"needed str or int labels, found {label!r} "
                f"({type(label).__name__}); convert it first"
            )
    text = "\x1f".join(
        f"{type(x).__name__[0]}{x}" if isinstance(x, str) else f"i{int(x)}"
        for x in (seed, *labels)
    )
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(
    seed: int, *labels: Label, device: "torch.device | str" = "cpu"
) -> "torch.Generator":
    """Return a torch generator for this seed and these labels.

    Args:
        seed: The run's seed.
        *labels: What is drawn, see :func:`derived_seed`.
        device: Where it draws. Streams differ between devices, so whatever must agree
            between CPU and GPU is drawn on the CPU and moved.

    Example:
        >>> import torch
        >>> torch.randperm(4, generator=generator(0, "order", 0)).shape
        torch.Size([4])
    """
    import torch

    return torch.Generator(device=device).manual_seed(derived_seed(seed, *labels))


def numpy_generator(seed: int, *labels: Label) -> "np.random.Generator":
    """Return a numpy generator for this seed and these labels.

    Args:
        seed: The run's seed.
        *labels: What is drawn, see :func:`derived_seed`.
    """
    with extra("bench"):
        import numpy as np

    return np.random.default_rng(derived_seed(seed, *labels))


def parsed_seeds(text: str) -> list[int]:
    """Return the seeds that ``a:b`` (b excluded) or ``a,b,c`` stands for.

    Args:
        text: As typed.

    Raises:
        ValueError: If it is neither, or names no seed, too many, or a seed twice.

    Example:
        >>> parsed_seeds("0:3"), parsed_seeds("4,7")
        ([0, 1, 2], [4, 7])
    """
    seeds: Sequence[int] = ()
    try:
        if ":" in text:
            first, last = text.split(":")
            seeds = range(int(first), int(last))
        else:
            seeds = [int(part) for part in text.split(",")]
    except ValueError:
        pass
    # A range is not made into numbers before it is known to be of a sane length, which
    # Python itself cannot tell of one beyond 64 bits.
    length = seeds.stop - seeds.start if isinstance(seeds, range) else len(seeds)
    if not 0 < length <= MOST_SEEDS or len(set(seeds)) != length:
        needed = f"1 to {MOST_SEEDS} different seeds, a:b or a,b,c"
        raise ValueError(refusal(needed, repr(text), "pass e.g. 0:8"))
    return checked_seeds(seeds)


def checked_seeds(seeds: Iterable[int]) -> list[int]:
    """Return seeds as a list, known to be distinct and at least one, of 64 bits.

    Args:
        seeds: Whole numbers, numpy's too.

    Raises:
        TypeError: If one is no whole number.
        ValueError: If there is none, one comes twice, or one is beyond 64 bits.

    Example:
        >>> checked_seeds(range(3))
        [0, 1, 2]
    """
    try:
        found = [index(seed) for seed in seeds]
    except TypeError as error:
        needed = "a list of whole numbers for seeds"
        raise TypeError(refusal(needed, seeds, "pass e.g. range(3)")) from error
    if not found or len(set(found)) != len(found):
        raise ValueError(refusal("distinct seeds, at least one", found, "change them"))
    for seed in found:
        if seed not in WHOLE_NUMBERS:
            needed = "seeds of 64 bits, which results files hold"
            raise ValueError(refusal(needed, seed, "choose smaller ones"))
    return found
