"""What a look at a network found: numbers, as tables, text and pictures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from isometry.ntk import Conditioning

if TYPE_CHECKING:
    import pandas as pd

Rows = list[tuple[str, str, str, float]]  # part, name, metric, value


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
        >>> spread(torch.tensor([3.0, 1.0, 2.0]))
        Spread(minimum=1.0, median=2.0, maximum=3.0)
    """
    values = values.double()
    middle = torch.quantile(values, 0.5)
    return Spread(float(values.min()), float(middle), float(values.max()))


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
        ranks: Of the layer's features.

    Source: Sokar et al. 2023; Lu et al. 2020; see :mod:`isometry.plasticity`.
    """

    name: str
    function: str
    units: int
    rows: int
    dead_fraction: float
    dormant_fraction: Mapping[float, float]
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

    Source: arXiv 2606.09762, Sec. 4.1: ``D_l(x) W_l`` for a layer.
    """

    name: str
    by: str
    shape: tuple[int, int]
    inputs: int
    largest: Spread
    median: Spread
    smallest: Spread
    effective_rank: Spread


@dataclass(frozen=True, eq=False, repr=False)
class Diagnostics:
    """What :func:`isometry.diagnostics.diagnose` found.

    Printed, it is a few tables; in a notebook they are HTML, in a console that knows
    rich they are rich's.

    Attributes:
        model: The model's class.
        parameters: How many numbers it is made of; tied ones count once.
        inputs: How many inputs the activations were taken on.
        jacobian_inputs: How many the Jacobians were taken at, at most.
        ntk_shape: Inputs and outputs that the kernel was taken at, ``(n, m)``.
        weights: Every matrix and kernel, in the model's order.
        activations: Every call of an activation function, in the order of calls.
        features: Ranks of what the last linear layer sees; None if there is none.
        layer_jacobians: From the input of a layer to the activation behind it,
            ``D_l(x) W_l``.
        end_to_end: From the inputs to the outputs.
        ntk: The kernel's spectrum.
        left_out: What is missing, and why.

    Source: ours; the parts as said there.
    """

    model: str
    parameters: int
    inputs: int
    jacobian_inputs: int
    ntk_shape: tuple[int, int]
    weights: tuple[WeightSpectrum, ...]
    activations: tuple[ActivationHealth, ...]
    features: Ranks | None
    layer_jacobians: tuple[JacobianSpectrum, ...]
    end_to_end: JacobianSpectrum | None
    ntk: Conditioning | None
    left_out: Mapping[str, str]

    def to_dict(self, spectra: bool = False) -> dict[str, Any]:
        """Return everything as what strict JSON can hold.

        A number that is not finite becomes None.

        Args:
            spectra: Whether to list every singular value and eigenvalue as well.
        """
        return _plain(self, spectra)

    def to_frame(self) -> "pd.DataFrame":
        """Return one number a row, in the columns part, name, metric and value."""
        import pandas as pd

        rows: Rows = []
        for weight in self.weights:
            rows += _numbers("weight", weight.name, weight)
        for layer in self.activations:
            rows += _numbers("activation", layer.name, layer)
        if self.features is not None:
            rows += _numbers("features", "features", self.features)
        for jacobian in self.layer_jacobians:
            name = f"{jacobian.by} to {jacobian.name}"
            rows += _numbers("layer_jacobian", name, jacobian)
        if self.end_to_end is not None:
            rows += _numbers("end_to_end", "model", self.end_to_end)
        if self.ntk is not None:
            rows += _numbers("ntk", "model", self.ntk)
        return pd.DataFrame(rows, columns=["part", "name", "metric", "value"])

    def plot(self) -> Any:
        """Return a matplotlib figure: weights, Jacobians, activations, kernel."""
        from isometry.diagnostics.drawing import overview

        return overview(self)

    def __str__(self) -> str:
        """Return the tables as plain text, 110 columns wide."""
        from isometry.diagnostics.text import plain

        return plain(self)

    __repr__ = __str__

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """Yield the tables for rich."""
        from isometry.diagnostics.text import tables

        yield from tables(self)

    def _repr_html_(self) -> str:
        """Return the tables as HTML."""
        from isometry.diagnostics.text import markup

        return markup(self)


def _plain(value: Any, spectra: bool) -> Any:
    """Return a record as dicts, lists, strings and finite numbers."""
    if isinstance(value, Tensor):
        return _plain(value.tolist(), spectra)
    if hasattr(value, "__dataclass_fields__"):
        return {
            field.name: _plain(getattr(value, field.name), spectra)
            for field in fields(value)
            if spectra or not isinstance(getattr(value, field.name), Tensor)
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(item, spectra) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, spectra) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _numbers(part: str, name: str, record: Any) -> Rows:
    """Return the numbers of a record, one a row; those of records in it as well."""
    rows: Rows = []
    for field in fields(record):
        value, metric = getattr(record, field.name), field.name
        if isinstance(value, Spread):
            for end in fields(value):
                number = getattr(value, end.name)
                rows.append((part, name, f"{metric}_{end.name}", number))
        elif isinstance(value, Ranks):
            rows += _numbers(part, name, value)
        elif isinstance(value, Mapping):
            rows += [(part, name, f"{metric}({k:g})", v) for k, v in value.items()]
        elif isinstance(value, int | float):
            rows.append((part, name, metric, float(value)))
    return rows
