"""Every parameter of a model, with its names and its operator."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn
from torch.nn.parameter import is_lazy

from isometry.weights.operators import Operator, by_shape, marked
from isometry.weights.rules import (
    MATRIX,
    PARAMETRISED,
    UNKNOWN,
    Place,
    experts,
    rule_of,
)

# Bare parameters by what their names say, in this order.
NAMES: tuple[tuple[str, Operator], ...] = (
    ("a_log|log_a|time_decay", Operator(kind="decay", why="decays of a state space")),
    ("bias|_table$", Operator(kind="table", why="a bias or a table")),
    (
        "tok|pos|embed|cls|class|dist|mask|regist|quer|latent|prompt|freq",
        Operator(kind="token", why="a token or position, added and not multiplied"),
    ),
    (
        "gamma|beta|alpha|scale|lambda|gain|temperature",
        Operator(kind="scale", why="a scale of each channel"),
    ),
)
ADAPTER = Operator(kind="adapter", why="a part of an adapter of a layer, no operator")
WHOLE = ("modules_to_save", "ln_tuning_layers")  # peft's: layers in another's place
LORA = re.compile(r"(^|[._])lora_")
DERIVED = re.compile(r"(.+)_(g|v|orig)$")  # torch's older weight and spectral norms
LINEAR = re.compile(r"Linear|Dense")


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One parameter of a model.

    Args:
        names: All its dotted names; the first is that of ``named_parameters``.
        place: Where it lives, under its first name.
        operator: What it is.
        index: Its place among ``model.parameters()``.
    """

    names: tuple[str, ...]
    place: Place
    operator: Operator
    index: int

    @property
    def name(self) -> str:
        """All names, as in ``lm_head.weight = tokens.weight``."""
        return " = ".join(self.names)


def operator_of(place: Place, member_dims: int = 0) -> Operator:
    """Return what a parameter is.

    By its own attribute ``isometry``; as a part of an adapter; by the registry of
    module types; by its name. In
    a stacked network, whose members are counted by leading dimensions, modules are not
    torch's: there the shape decides of what is not known.

    Args:
        place: Where it lives.
        member_dims: Number of leading member dimensions.

    Example:
        >>> layer = nn.LSTM(2, 3)
        >>> operator_of(Place(path="rnn", key="weight_hh_l0", module=layer, parent=None,
        ...                   weight=layer.weight_hh_l0)).parts
        4
    """
    weight, kind = place.weight, type(place.module).__name__
    found = marked(weight, member_dims) or _adapter(place) or rule_of(place)
    if found is None and kind.endswith("Experts"):
        found = experts(place)
    if not is_lazy(weight):
        shape = by_shape(weight, member_dims)
        if shape.why and (found is None or not found.why):
            return shape
        if found is None and member_dims > 0:
            return shape
    return found or _by_name(place)


def _adapter(place: Place) -> Operator | None:
    """Return that a matrix or vector belongs to an adapter, or None.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> place = Place(path="query.lora_A.default", key="weight", module=layer,
        ...               parent=None, weight=layer.weight)
        >>> _adapter(place).kind
        'adapter'
    """
    named = LORA.search(f"{place.path}.{place.key}")
    return ADAPTER if place.adapter or named else None


def adapters_of(modules: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """Return where the adapters of a model lie: what peft's layers declare as theirs.

    Args:
        modules: Of the model, by their dotted names.

    Returns:
        Beginnings of dotted names, each with a dot at its end.
    """
    return tuple(
        f"{path}.{name}.".removeprefix(".")
        for path, module in modules.items()
        for name in getattr(module, "adapter_layer_names", ())
        if name not in WHOLE
    )


def _by_name(place: Place) -> Operator:
    """Return what the name of a bare parameter of two and more dimensions says."""
    key = place.key.lower()
    derived = DERIVED.match(place.key)
    if derived and hasattr(place.module, derived[1]):
        return PARAMETRISED
    if is_lazy(place.weight) and key == "bias":  # no shape yet
        return Operator(kind="vector", why="a vector")
    if LINEAR.search(type(place.module).__name__) and key == "weight":
        return MATRIX if is_lazy(place.weight) or place.weight.ndim == 2 else UNKNOWN
    for pattern, operator in NAMES:
        if re.search(pattern, key):
            return operator
    return UNKNOWN


def weights_of(model: nn.Module, member_dims: int = 0) -> list[Weight]:
    """Return every parameter of a model once, in the order of ``model.parameters()``.

    A tied weight is what its most restrictive use says: shared with a table it is a
    table. Uses that pack it differently are none.

    Args:
        model: Any module, also one with lazy layers.
        member_dims: Number of leading member dimensions of a stacked network.

    Example:
        >>> model = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 3))
        >>> [(w.name, w.operator.kind) for w in weights_of(model)]
        [('0.weight', 'table'), ('1.weight', 'matrix'), ('1.bias', 'vector')]
    """
    modules = dict(model.named_modules())
    adapters = adapters_of(modules)
    found: dict[int, Weight] = {}
    for path, module in modules.items():
        # Not by named_parameters(), which some modules make their own, as torchrl's.
        own = [(k, w) for k, w in module._parameters.items() if w is not None]
        for key, weight in own:
            name = f"{path}.{key}" if path else key
            place = Place(
                path=path,
                key=key,
                module=module,
                parent=modules.get(path.rpartition(".")[0]) if path else None,
                weight=weight,
                adapter=f"{name}.".startswith(adapters),
            )
            operator = operator_of(place, member_dims)
            known = found.get(id(weight))
            if known is None:
                found[id(weight)] = Weight(
                    names=(name,), place=place, operator=operator, index=len(found)
                )
                continue
            found[id(weight)] = replace(
                known,
                names=(*known.names, name),
                operator=_tied(known.operator, operator),
            )
    return list(found.values())


def _tied(first: Operator, second: Operator) -> Operator:
    """Return what a parameter with two uses is."""
    if first.why or second.why:
        return first if first.why else second
    if first == second:
        return first
    return Operator(kind="unknown", why="tied, with uses of different kinds")
