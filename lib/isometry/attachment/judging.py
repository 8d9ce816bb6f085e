"""After the pass: which layers' units can be replaced, and why others' cannot."""

from dataclasses import dataclass, field, replace

from torch import Tensor

from isometry.attachment.operations.functions import NONLINEAR
from isometry.attachment.operations.readers import as_vector
from isometry.attachment.points import point_of
from isometry.attachment.tracing import Trace
from isometry.attachment.values import Expression, Norm, Reading, Source
from isometry.attachment.wiring import Point, View
from isometry.methods import Layer, Role, Roles


@dataclass
class Judged:
    """What was found of a model.

    Attributes:
        roles: name -> what it is.
        views: name -> how it lies in the model.
        layers: Whose units can be replaced, in the order of their activations.
        points: Where these are seen.
        heads: Output layers.
        inner: All other weights, and columns of weights that read one of several.
        refused: Weight -> why its units cannot be replaced.
        running: Weight -> norms that keep statistics of its units.
        activation: The nonlinearity.
    """

    roles: Roles = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    heads: list[Layer] = field(default_factory=list)
    inner: list[Layer] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    running: dict[str, tuple[str, ...]] = field(default_factory=dict)
    activation: str = "none"


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Decides about each weight after a pass.

    Attributes:
        trace: The pass.
        roles: Parameter -> what it is.
        owned: The parameters.
        batch: Samples of the example.
    """

    trace: Trace
    roles: Roles
    owned: dict[str, Tensor]
    batch: int

    @property
    def sources(self) -> list[Source]:
        """All weights, in the order of the model's parameters."""
        return [s for group in self.trace.sources.values() for s in group]

    def judged(self) -> Judged:
        """Return what was found."""
        found = Judged()
        self._name(found)
        biases = self._biases(found)
        hidden: list[tuple[int, Layer, Point, str]] = []
        for source in self.sources:
            parameter = source.view.parameter
            layer = Layer(weight=source.name, bias=biases.get(source))
            role = self.roles[parameter]
            if role == "head":
                found.heads.append(layer)
                continue
            verdict = self._verdict(source)
            if isinstance(verdict, str):
                if role != "embedding":
                    found.refused[source.name] = verdict
                if role == "hidden":
                    found.inner.append(layer)
                continue
            actives, point = verdict
            norm = _norms(source)[0] if _norms(source) else Norm(None, None, None)
            layer = replace(
                layer,
                gain=self._trained(norm.gain, "gain"),
                offset=self._trained(norm.offset, "offset"),
                outgoing=tuple(
                    self._outgoing(reading, found, biases)
                    for reading in source.readings
                ),
                places=max(1, actives[0].samples // self.batch),
            )
            if norm.running is not None:
                found.running[source.name] = (norm.running,)
            hidden.append((actives[0].number, layer, point, _kind(actives)))
        hidden.sort(key=lambda entry: entry[0])
        found.layers = [
            replace(layer, outgoing=tuple(dict.fromkeys(layer.outgoing)))
            for _, layer, _, _ in hidden
        ]
        found.points = [point for _, _, point, _ in hidden]
        kinds = {kind for _, _, _, kind in hidden}
        found.activation = kinds.pop() if len(kinds) == 1 else "mixed" * bool(kinds)
        found.activation = found.activation or "none"
        return found

    # --- names ------------------------------------------------------------------------

    def _name(self, found: Judged) -> None:
        """Name every matrix, and every parameter that holds none."""
        for parameter, role in self.roles.items():
            for source in self.trace.sources.get(parameter, ()):
                found.views[source.name] = source.view
                found.roles[source.name] = role
            if parameter not in self.trace.sources:
                found.views[parameter] = View(parameter=parameter)
                found.roles[parameter] = role

    def _biases(self, found: Judged) -> dict[Source, str]:
        """Return the name of the vector that is added to each weight's outputs.

        A vector that several weights or other operations use as well is no weight's
        own. One that several matrices of a parameter share out is named in parts.
        """
        lies: dict[str, dict[Source, View]] = {}
        for source in self.sources:
            own = {_bias(source, made) for made in source.called}
            view = own.pop() if len(own) == 1 else None
            if view is not None:
                lies.setdefault(view.parameter, {})[source] = view
        biases: dict[Source, str] = {}
        for parameter, parts in lies.items():
            ranges = {(view.start, view.size) for view in parts.values()}
            shared = len(ranges) < len(parts) or self.trace.uses.get(parameter)
            if shared or self.roles[parameter] != "vector":
                continue
            size = len(self.owned[parameter])
            if ranges == {(0, size)}:
                biases[next(iter(parts))] = parameter
            elif _fill(ranges, size):
                del found.views[parameter], found.roles[parameter]
                for number, (source, view) in enumerate(
                    sorted(parts.items(), key=lambda item: item[1].start)
                ):
                    name = f"{parameter}[{number}]"
                    found.views[name], found.roles[name] = view, "vector"
                    biases[source] = name
        return biases

    def _outgoing(
        self, reading: Reading, found: Judged, biases: dict[Source, str]
    ) -> str:
        """Return the name of what reads units: a weight, or columns of it."""
        reader = reading.reader
        if _all_columns(reading):
            return reader.name
        last = reading.start + reading.size
        name = f"{reader.name}[:, {reading.start}:{last}]"
        if name not in found.views:
            found.views[name] = replace(
                reader.view,
                axis=0 if reader.view.transposed else 1,
                start=reading.start,
                size=reading.size,
            )
            found.roles[name] = "spared"
            found.inner.append(Layer(weight=name, bias=biases.get(reader)))
        return name

    # --- verdicts ---------------------------------------------------------------------

    def _verdict(self, source: Source) -> str | tuple[list[Expression], Point]:
        """Return a layer's activations and where they are seen, or why it is none."""
        if source.refused is not None:
            return source.refused
        why = self._unusable(source)
        if why is not None:
            return f"its weight {why}"
        if not source.called:
            return "the example does not call it"
        if not source.readings:
            return "no weight reads its units"
        for reading in source.readings:
            why = self._unusable(reading.reader) or self._shared(source, reading)
            if why is not None:
                return f"{reading.reader.short}, which reads its units, {why}"
        norms = _norms(source)
        if len(norms) > 1 or len({r.segment.norms for r in source.readings}) > 1:
            return "there are several norms before its nonlinearity"
        for view in (norms[0].gain, norms[0].offset) if norms else ():
            if view is not None and not self._own(view, source):
                return f"{view.parameter} is not its own"
        actives = list(
            dict.fromkeys(e for r in source.readings for e in r.segment.active)
        )
        roots = [root for active in actives for root in active.roots]
        if len(set(roots)) < len(roots):
            return "its units are read after different nonlinearities"
        point = point_of(source, actives, self.trace.sights)
        if point is None:
            return "no module shows its activations, nor what they are computed from"
        return actives, point

    def _unusable(self, source: Source) -> str | None:
        """Return why a weight cannot be changed, or None."""
        if not self.owned[source.view.parameter].requires_grad:
            return "is frozen"
        if source.otherwise is not None:
            return f"is used by {source.otherwise} as well"
        return None

    def _shared(self, source: Source, reading: Reading) -> str | None:
        """Return what else the columns read that read a layer's units, or None."""
        if reading.reader.view.size is not None and not _all_columns(reading):
            return "is one of several matrices, of which some columns do"
        last = reading.start + reading.size
        for start, size, other in reading.reader.columns:
            if start >= last or start + size <= reading.start:
                continue
            if (start, size, other) != (reading.start, reading.size, source):
                return f"reads {other.short if other else 'other data'} there as well"
        return None

    def _trained(self, view: View | None, role: Role) -> str | None:
        """Return the name of a norm's vector, if it is trained."""
        if view is None or self.roles[view.parameter] != role:
            return None
        return view.parameter

    def _own(self, view: View, source: Source) -> bool:
        """Return whether a vector of a norm has one entry a unit, and is a layer's."""
        uses = self.trace.uses.get(view.parameter)
        whole = (view.start, view.size) == (0, source.units)
        return whole and uses == {("norm", source.short)}


def _all_columns(reading: Reading) -> bool:
    """Return whether all columns of a weight read these units."""
    return reading.start == 0 and reading.size == reading.reader.entries


def _norms(source: Source) -> list[Norm]:
    """Return the norms between a layer and its nonlinearity, each once."""
    return list(dict.fromkeys(n for r in source.readings for n in r.segment.norms))


def _kind(actives: list[Expression]) -> str:
    """Return the name of the nonlinearity; one made of several steps has none."""
    kinds = {active.kind for active in actives}
    plain = len(kinds) == 1 and kinds <= set(NONLINEAR)
    single = all(len(active.parents) == 1 for active in actives)
    return kinds.pop() if plain and single else "other"


def _bias(source: Source, made: Expression) -> View | None:
    """Return the vector that was added to a weight's outputs in one call."""
    view = as_vector(made.bias) if made.bias is not None else None
    if view is None or view.size is None:
        return None
    return replace(view, start=view.start + made.rows[source], size=source.units)


def _fill(ranges: set[tuple[int, int | None]], size: int) -> bool:
    """Return whether ranges follow one another and make up a whole."""
    end = 0
    for start, length in sorted(ranges, key=lambda pair: pair[0]):
        if start != end or length is None:
            return False
        end += length
    return end == size
