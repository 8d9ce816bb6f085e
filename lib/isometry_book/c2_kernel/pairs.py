"""Pairs of networks for which a rank of the kernel foretells the wrong thing.

Three pairs have the same rank, and one of the two does not train; in a fourth the whole
kernel is the same, and Adam trains one of the two. In two more the rank falls and what
is learned does not.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from isometry.core.matrices import effective_rank
from isometry.core.seeding import generator
from isometry_book.c2_kernel.learning import Scaled
from isometry_book.c2_kernel.networks import linear_layers, network

DIRECTIONS = 16  # inputs of a linear model, and directions of its kernel
TINY = 1e-2  # singular value of a direction that gradient descent does not learn
KEPT = 7  # directions whose singular value is one, where the others' are tiny
ASKED = 4  # directions that a task asks for, where it does not ask for all


def half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over inputs of half the squared error, ``()``.

    Args:
        outputs: ``(n, m)``.
        targets: ``(n, m)``.
    """
    return (outputs - targets).square().sum(1).mean() / 2


def _behind_sigmoid(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return half the squared error behind a sigmoid, which saturates."""
    return half_square(torch.sigmoid(outputs), targets)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A network with its task.

    Attributes:
        model: In float64.
        inputs: ``(n, features)``.
        targets: ``(n, m)``.
        loss: Of outputs and targets.
    """

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    loss: Callable[[Tensor, Tensor], Tensor] = half_square


Pair = tuple[Contestant, Contestant]


def _rotation(seed: int) -> Tensor:
    """Return a random rotation of the directions."""
    empty = torch.empty(DIRECTIONS, DIRECTIONS, dtype=torch.float64)
    draw = generator(seed, "kernel", "counterexample", "rotation")
    return nn.init.orthogonal_(empty, generator=draw)


def _linear(spectrum: Tensor, seed: int, rotated: bool, span: int = DIRECTIONS):
    """Return a linear model at zero whose kernel has the squared spectrum.

    Its parameters lie along the kernel's eigenvectors, or across them where rotated.
    The task has no preferred direction among the first ``span``.
    """
    model = nn.Linear(DIRECTIONS, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    inputs = torch.diag(spectrum)
    targets = torch.zeros(DIRECTIONS, 1, dtype=torch.float64)
    draw = generator(seed, "kernel", "counterexample", "signs")
    signs = torch.randint(2, (span, 1), generator=draw).double()
    targets[:span] = 2 * signs - 1
    if rotated:
        inputs = inputs @ _rotation(seed)
    return Contestant(model=model, inputs=inputs, targets=targets)


def _scale(seed: int) -> Pair:
    """The same network, and the same task, with a tenth of its outputs."""
    draw = generator(seed, "kernel", "counterexample", "scale")
    model = network([8, 32, 32, 4], "relu", seed=seed, gain=2**0.5)
    inputs = torch.randn(6, 8, generator=draw, dtype=torch.float64)
    step = torch.randn(6, 4, generator=draw, dtype=torch.float64) / 10
    found = []
    for factor in (1.0, 0.1):
        one = Scaled(model, factor)
        targets = one(inputs).detach() + factor * step
        found.append(Contestant(model=one, inputs=inputs, targets=targets))
    return found[0], found[1]


def geometric(rank: float) -> Tensor:
    """Return a geometric spectrum of singular values of that effective rank.

    Args:
        rank: Of the squares, between 1 and ``DIRECTIONS``.

    Returns:
        ``(DIRECTIONS,)``, descending from one, float64.

    Example:
        >>> float(effective_rank(geometric(4.0).square()).round(decimals=6))
        4.0
    """
    powers = torch.arange(DIRECTIONS, dtype=torch.float64)

    def miss(ratio: float) -> float:
        return float(effective_rank(ratio**powers)) - rank

    return brentq(miss, 1e-6, 1.0) ** (powers / 2)


def _lost(kept: int) -> Tensor:
    """Return singular values of which so many are one, the others tiny."""
    values = torch.full((DIRECTIONS,), TINY, dtype=torch.float64)
    values[:kept] = 1
    return values


def _eigenvalues(seed: int) -> Pair:
    """Equal effective rank: spread evenly, or most directions all but lost."""
    lost = _lost(KEPT)
    even = geometric(float(effective_rank(lost.square())))
    return _linear(even, seed, rotated=True), _linear(lost, seed, rotated=True)


def _saturation(seed: int) -> Pair:
    """One kernel: the second's outputs are shifted to where the loss is flat."""
    draw = generator(seed, "kernel", "counterexample", "saturation")
    inputs = torch.randn(8, 8, generator=draw, dtype=torch.float64)
    targets = torch.zeros(8, 2, dtype=torch.float64)
    found = []
    for shift in (0.0, 10.0):
        model = network([8, 32, 2], "relu", seed=seed, gain=2**0.5)
        with torch.no_grad():
            linear_layers(model)[-1].bias.add_(shift)
        one = Contestant(model=model, inputs=inputs, targets=targets)
        found.append(replace(one, loss=_behind_sigmoid))
    return found[0], found[1]


def _rotated(seed: int) -> Pair:
    """One kernel of gradient descent, whose axes are the parameters', or are not."""
    lost = _lost(KEPT)
    return _linear(lost, seed, rotated=False), _linear(lost, seed, rotated=True)


def _axes(seed: int) -> Pair:
    """The rank falls, along the axes on which Adam has a rate for each."""
    flat = _lost(DIRECTIONS)
    return _linear(flat, seed, rotated=False), _linear(_lost(KEPT), seed, rotated=False)


def _task(seed: int) -> Pair:
    """The rank falls, and the task asks for what is left."""
    first = _linear(_lost(DIRECTIONS), seed, rotated=True, span=ASKED)
    return first, _linear(_lost(ASKED), seed, rotated=True, span=ASKED)


PAIRS: dict[str, Callable[[int], Pair]] = {
    "scale": _scale,
    "eigenvalues": _eigenvalues,
    "saturation": _saturation,
    "rotated": _rotated,
    "axes": _axes,
    "task": _task,
}
