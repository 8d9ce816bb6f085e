"""What a look at a network found: numbers, as tables, text and pictures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from torch import Tensor

from isometry.core.extras import extra
from isometry.diagnostics.records import (
    ActivationHealth,
    JacobianSpectrum,
    Ranks,
    Spread,
    WeightSpectrum,
)
from isometry.ntk import Conditioning

if TYPE_CHECKING:
    import pandas as pd

Rows = list[tuple[str, str, str, float]]  # part, name, metric, value


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
        with extra("bench"):
            import pandas as pd

        return pd.DataFrame(numbers(self), columns=["part", "name", "metric", "value"])

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


def numbers(found: Diagnostics) -> Rows:
    """Return every number as part, name, metric and value.

    Args:
        found: What a look found.
    """
    rows: Rows = []
    for weight in found.weights:
        rows += _numbers("weight", weight.name, weight)
    for layer in found.activations:
        rows += _numbers("activation", layer.name, layer)
    if found.features is not None:
        rows += _numbers("features", "features", found.features)
    for jacobian in found.layer_jacobians:
        name = f"{jacobian.by} to {jacobian.name}"
        rows += _numbers("layer_jacobian", name, jacobian)
    if found.end_to_end is not None:
        rows += _numbers("end_to_end", "model", found.end_to_end)
    if found.ntk is not None:
        rows += _numbers("ntk", "model", found.ntk)
    return rows


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
