"""What is known of a tensor while a model runs: whose units lie in it, and how."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from isometry.attachment.wiring import View

_NUMBERS = count()
INPUT = "the model's input"


@dataclass(eq=False)
class Source:
    """One weight of the model: a matrix or kernel, or one of several in a parameter.

    Attributes:
        name: Of the weight, e.g. ``attn.in_proj_weight[0]``.
        view: How it lies in its parameter.
        shape: Of the part of the parameter; transposed, if the view is.
        refused: Why its units cannot be replaced, or None.
        called: What it returned, one expression a call.
        readings: Who reads its units.
        columns: What it reads itself: first column, how many, whose units or None.
        otherwise: What else uses its parameter, or None.
    """

    name: str
    view: View
    shape: tuple[int, ...]
    refused: str | None = None
    called: list["Expression"] = field(default_factory=list)
    readings: list["Reading"] = field(default_factory=list)
    columns: list[tuple[int, int, "Source | None"]] = field(default_factory=list)
    otherwise: str | None = None

    @property
    def short(self) -> str:
        """Its name as it is said in a sentence."""
        return self.name.removesuffix(".weight")

    @property
    def units(self) -> int:
        """How many outputs it has."""
        return self.shape[1 if self.view.transposed else 0]

    @property
    def entries(self) -> int:
        """How many columns it has, a kernel's entries not counted."""
        return self.shape[0 if self.view.transposed else 1]

    def refuse(self, why: str) -> None:
        """Refuse its units; the first reason stays.

        Args:
            why: A clause.
        """
        if self.refused is None:
            self.refused = why


@dataclass(eq=False)
class Expression:
    """How a tensor was computed from a layer's outputs; views make no new one.

    Attributes:
        op: The operation, or None: what a weight returned, or nothing to compute again.
        arguments: Of the operation, with the expressions in place of tensors.
        keywords: The same.
        parents: Those it was computed from.
        kind: Name of the operation.
        samples: Entries of each unit.
        layout: For a pool: number of dimensions, and the one of the units.
        rows: For a weight's outputs: each weight's first one.
        bias: For these: the vector that was added to them.
        number: Counts all expressions in the order of the pass.
        roots: The calls of weights that it was computed from.
    """

    op: Any = None
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    parents: tuple["Expression", ...] = ()
    kind: str = ""
    samples: int = 1
    layout: tuple[int, int] | None = None
    rows: dict[Source, int] = field(default_factory=dict)
    bias: "Held | None" = None
    number: int = field(default_factory=lambda: next(_NUMBERS))
    roots: frozenset["Expression"] = frozenset()

    def __post_init__(self) -> None:
        own = (parent.roots for parent in self.parents)
        self.roots = frozenset().union(*own) if self.parents else frozenset((self,))


@dataclass(frozen=True)
class Norm:
    """A norm between a layer and its nonlinearity.

    Attributes:
        gain: Where its factor of each unit lies, or None.
        offset: Where what it adds to each unit lies, or None.
        running: Path of the norm, if it keeps statistics.
    """

    gain: View | None
    offset: View | None
    running: str | None


@dataclass(frozen=True)
class Segment:
    """Neighbouring units of one layer along a dimension.

    Attributes:
        source: The layer, or None: no layer's units.
        start: The first of its units here.
        size: How many.
        active: After which nonlinearities, one for each call; empty: before any.
        norms: Norms on the way.
    """

    source: Source | None
    start: int
    size: int
    active: tuple[Expression, ...] = ()
    norms: tuple[Norm, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether these are all units of the layer."""
        source = self.source
        return source is not None and self.start == 0 and self.size == source.units


@dataclass(frozen=True)
class Units:
    """Units along a dimension, of size ``before * (all units) * after``.

    Attributes:
        dim: The dimension, counted from the front.
        segments: Whose units, in order.
        expression: What the tensor is, up to views.
        before: How often all of them follow one another.
        after: Neighbouring entries of a unit.
    """

    dim: int
    segments: tuple[Segment, ...]
    expression: Expression
    before: int = 1
    after: int = 1

    @property
    def size(self) -> int:
        """Number of units."""
        return sum(segment.size for segment in self.segments)

    @property
    def active(self) -> bool:
        """Whether a nonlinearity has acted on one of them."""
        return any(segment.active for segment in self.segments)

    @property
    def sources(self) -> list[Source]:
        """The layers, each once."""
        found = [s.source for s in self.segments if s.source is not None]
        return list(dict.fromkeys(found))

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' names."""
        return tuple(source.short for source in self.sources)

    def aside(self) -> "Data":
        """Return what is known of a second result, such as the places of maxima."""
        return Data(self.names, tuple(self.sources))

    def refuse(self, why: str) -> "Data":
        """Refuse the layers, and return what is known of what follows.

        Args:
            why: A clause.
        """
        for source in self.sources:
            source.refuse(why)
        return Data(self.names)


@dataclass(frozen=True)
class Axis:
    """A dimension of a parameter, or a range of it."""

    raw: int
    start: int
    size: int


@dataclass(frozen=True)
class Held:
    """A view of a parameter.

    Attributes:
        name: Of the parameter.
        axes: What each dimension is of it; None: it was inserted.
        member: Indices that were selected of leading dimensions.
    """

    name: str
    axes: tuple[Axis | None, ...]
    member: tuple[int, ...] = ()


@dataclass(frozen=True)
class Made:
    """Computed from parameters alone."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Data:
    """Depends on the model's inputs, in other ways than through known units.

    Attributes:
        of: Names of layers whose units went into it, those that are known.
        told: Layers of whose units it tells something; whoever uses it, refuses them.
    """

    of: tuple[str, ...] = ()
    told: tuple[Source, ...] = ()

    def refuse(self) -> None:
        """Refuse the layers that it tells of."""
        for source in self.told:
            source.refuse("what is computed beside them is used as well")


@dataclass(frozen=True)
class Drawn:
    """Made of random numbers and constants alone, such as a mask of dropout."""


Value = Units | Held | Made | Data | Drawn | None  # None: a constant


@dataclass(frozen=True)
class Reading:
    """A weight reads units of a layer.

    Attributes:
        reader: The weight.
        start: First of the columns.
        size: How many columns.
        segment: What it reads there.
    """

    reader: Source
    start: int
    size: int
    segment: Segment


def joined(values: Iterable[Value]) -> Data:
    """Return what follows from tensors by an operation that is not looked into.

    Args:
        values: What is known of the tensors.
    """
    found: list[str] = []
    for value in values:
        if isinstance(value, Data):
            found += value.of
        elif isinstance(value, Units):
            found += value.names
    return Data(tuple(dict.fromkeys(found)))


def those_of(names: Iterable[str]) -> str:
    """Return names as a sentence says them; no more than two.

    Args:
        names: Of layers.

    Example:
        >>> those_of(["a", "b", "c"]), those_of(["a"]), those_of([])
        ('those of a, b and others', 'those of a', 'other data')
    """
    names = list(names)
    if not names:
        return "other data"
    if names == [INPUT]:
        return INPUT
    names = [name for name in names if name != INPUT]
    return f"those of {', '.join(names[:2])}{' and others' if len(names) > 2 else ''}"
