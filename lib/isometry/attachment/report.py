"""What a method treats of somebody's model, and what it has done so far."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from isometry.attachment.stack import ModelStack
from isometry.methods import Method
from isometry.plasticity.units import relative_activity

DORMANT = 0.1  # a unit is dormant up to this share of its layer's mean activity


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """A hidden layer.

    Attributes:
        layer: Its weight's name.
        units: How many it has.
        replaced: How many were replaced so far.
        dormant: Share of its units that were dormant in the last minibatch, in [0, 1];
            None: not seen, or not this method's matter.
        note: Why its units are not replaced; empty if they may be.
    """

    layer: str
    units: int
    replaced: int
    dormant: float | None
    note: str


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """A parameter, or a part of one that is a weight of its own.

    Attributes:
        name: Its name.
        shape: Its shape.
        role: What it is: hidden, head, embedding, vector, gain, offset, spared.
        note: Why it is left alone; empty if it is not.
    """

    name: str
    shape: tuple[int, ...]
    role: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a method treats; printed, two tables.

    Attributes:
        method: Its name.
        layers: Hidden layers, those with units to replace first.
        parameters: All of the model's.
    """

    method: str
    layers: tuple[LayerRow, ...]
    parameters: tuple[ParameterRow, ...]

    def records(self) -> list[dict[str, Any]]:
        """Return all rows as dictionaries, for a data frame."""
        rows: Sequence[Any] = (*self.layers, *self.parameters)
        return [{"method": self.method, **asdict(row)} for row in rows]

    def __str__(self) -> str:
        layers = [
            (
                row.layer,
                str(row.units),
                str(row.replaced),
                "-" if row.dormant is None else f"{row.dormant:.2f}",
                row.note,
            )
            for row in self.layers
        ]
        parameters = [
            (row.name, "x".join(map(str, row.shape)), row.role, row.note)
            for row in self.parameters
        ]
        tables: list[list[tuple[str, ...]]] = [
            [("layer", "units", "replaced", "dormant", "units stay because"), *layers],
            [("parameter", "shape", "role", "left alone because"), *parameters],
        ]
        text = "\n\n".join(_columns(table) for table in tables if len(table) > 1)
        return f"{self.method}\n{text}"


def _note(stack: ModelStack, name: str) -> str:
    """Return why a parameter is left alone, or an empty text."""
    if name in stack.marked:
        return "its attribute isometry is False"
    spared = stack.structure.roles[name] == "spared"
    return "methods have no rule for it" if spared else ""


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows in columns, one a line."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def report_of(
    method: Method,
    stack: ModelStack,
    replaced: Mapping[str, int],
    activations: Sequence[Tensor],
) -> Report:
    """Return what a method treats of a model.

    Args:
        method: What is attached.
        stack: The model.
        replaced: Weight of a layer -> how many of its units were replaced.
        activations: The latest ones, one ``(1, samples, units)`` a layer, or none.
    """
    structure, parameters = stack.structure, stack.parameters
    layers = []
    for index, layer in enumerate(structure.layers):
        dormant = None
        if activations:
            activity = activations[index].abs().mean(1)
            dormant = float((relative_activity(activity) <= DORMANT).double().mean())
        units, done = parameters[layer.weight].shape[1], replaced.get(layer.weight, 0)
        layers.append(
            LayerRow(
                layer=layer.weight,
                units=units,
                replaced=done,
                dormant=dormant,
                note="" if method.watches else f"{method.name} replaces none",
            )
        )
    for weight, why in stack.refused.items():
        if weight in parameters:
            units = parameters[weight].shape[1]
            layers.append(
                LayerRow(layer=weight, units=units, replaced=0, dormant=None, note=why)
            )
    rows = [
        ParameterRow(
            name=name,
            shape=tuple(view.shape[1:]),
            role=structure.roles[name],
            note=_note(stack, name),
        )
        for name, view in parameters.items()
    ]
    rows += [
        ParameterRow(name=name, shape=(), role="spared", note=why)
        for name, why in stack.spared.items()
    ]
    return Report(method=method.name, layers=tuple(layers), parameters=tuple(rows))
