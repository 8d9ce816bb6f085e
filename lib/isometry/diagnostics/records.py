"""What is known of one weight, one layer, one Jacobian: numbers, and no more."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Spread:
    """A number over a sample of inputs.

    Attributes:
        minimum: Over the inputs.
        median: Over the inputs.
        maximum: Over the inputs.
    """

    minimum: float
    median: float
    maximum: float


def spread(values: Tensor) -> Spread:
    """Return the range and the median of a number over inputs.

    Args:
        values: ``(n,)``, one value an input.

    Example:
        >>> import torch
        >>> spread(torch.tensor([3.0, 1.0, 2.0]))
        Spread(minimum=1.0, median=2.0, maximum=3.0)
    """
    ordered = values.double().sort().values  # a quantile of infinities would be NaN
    count = len(ordered)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return Spread(float(ordered[0]), float(middle), float(ordered[-1]))


@dataclass(frozen=True, eq=False)
class WeightSpectrum:
    """The singular values of one weight, as a matrix ``(out, in)``.

    Attributes:
        name: The parameter's name; all its names where it is tied.
        kind: ``"matrix"``, ``"kernel"`` (of a convolution, flattened to
            ``(out, in * k * k)``), ``"grouped kernel"`` or ``"embedding"``.
        shape: Of the parameter.
        largest: Largest singular value, dimensionless, like the next two.
        median: Median singular value.
        smallest: Smallest singular value.
        condition_number: Largest over smallest, >= 1; the smallest is taken as no less
            than what rounding can tell from zero. Infinite for a zero matrix.
        effective_rank: exp of the entropy of the singular values' shares.
        stable_rank: ``||W||_F^2 / ||W||_2^2``.
        gram_deviation: ``||Gram - I||_F`` of the smaller Gram matrix.
        operator_norm: Of a kernel, the largest singular value of the convolution
            itself, at the size of its feature map and with circular padding; None
            where that is not cheap (stride, groups, other than two dimensions, large).
        singular_values: ``(k,)``, descending, on the CPU.

    Source: arXiv 2606.09762, Eq. 16 (Gram deviation); Roy & Vetterli 2007; Rudelson &
        Vershynin 2007; Sedghi, Gupta & Long 2019 (operator norm).
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    largest: float
    median: float
    smallest: float
    condition_number: float
    effective_rank: float
    stable_rank: float
    gram_deviation: float
    operator_norm: float | None
    singular_values: Tensor


@dataclass(frozen=True)
class Ranks:
    """The ranks of a layer's features; names as in :mod:`isometry.plasticity`.

    Attributes:
        feature_effective_rank: exp of the entropy, features centred.
        effective_rank: The same, not centred.
        stable_rank: Sum of squared singular values over the largest square.
        srank: Fewest singular values that make up 99 % of their sum.
        threshold_rank: Singular values above 1 % of the largest.

    Source: Roy & Vetterli 2007; Rudelson & Vershynin 2007; Kumar et al. 2021; see
        :mod:`isometry.plasticity`.
    """

    feature_effective_rank: float
    effective_rank: float
    stable_rank: float
    srank: int
    threshold_rank: int


@dataclass(frozen=True)
class ActivationHealth:
    """How many units of one activation layer do something, and how differently.

    Attributes:
        name: The module that was at work; with the function's name where the module
            does more than this activation.
        function: The activation function.
        units: Features, or channels of a convolution.
        rows: Inputs times places (of a feature map, of a sequence).
        dead_fraction: Units that are zero on every row, between 0 and 1.
        dormant_fraction: Threshold to the fraction of units whose dormancy score is at
            most that.
        duplicate_fraction: Units whose activations only repeat another's, up to a
            factor; see :func:`isometry.plasticity.duplicate_fraction`.
        ranks: Of the layer's features.

    Source: Sokar et al. 2023; Lu et al. 2020; Joudaki et al. 2026 (duplicates); see
        :mod:`isometry.plasticity`.
    """

    name: str
    function: str
    units: int
    rows: int
    dead_fraction: float
    dormant_fraction: Mapping[float, float]
    duplicate_fraction: float
    ranks: Ranks


@dataclass(frozen=True)
class JacobianSpectrum:
    """The singular values of a Jacobian over a sample of inputs.

    Attributes:
        name: What is differentiated: an activation layer, or the outputs.
        by: By what: the input of the named weight's layer, or the inputs.
        shape: ``(rows, columns)`` for one input.
        inputs: How many it was taken at; fewer where it is large.
        largest: Largest singular value of an input's Jacobian, over the inputs.
        median: Its median singular value, over the inputs.
        smallest: Its smallest singular value, over the inputs.
        effective_rank: Of its singular values, over the inputs.
        depth: Linear maps that lie between the two, the most on any way: 1 for a layer.
        largest_exponent: Finite-time Lyapunov exponent: the logarithm of the largest
            singular value over the depth, over the inputs. All exponents of an isometry
            are zero.
        smallest_exponent: The same of the smallest; minus infinity where it is zero.
        mean_exponent: The mean over all singular values of an input.

    Source: arXiv 2606.09762, Sec. 4.1: ``D_l(x) W_l`` for a layer; Storm et al. 2024
        (exponents).
    """

    name: str
    by: str
    shape: tuple[int, int]
    inputs: int
    largest: Spread
    median: Spread
    smallest: Spread
    effective_rank: Spread
    depth: int
    largest_exponent: Spread
    smallest_exponent: Spread
    mean_exponent: Spread
