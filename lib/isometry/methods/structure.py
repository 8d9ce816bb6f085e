"""What a method sees of a network, whatever the network is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.stacking import Parameters

Role = Literal["hidden", "head", "embedding", "vector", "gain", "offset", "spared"]
Roles = dict[str, Role]  # parameter name -> what it is in the network
State = dict[str, Any]  # name -> (members, ...), or another such dictionary
Function = Callable[[Parameters, Tensor], tuple[Tensor, list[Tensor]]]

ACTIVATIONS = (
    *("relu", "leaky_relu", "tanh", "gelu", "maxmin", "crelu", "identity", "sine"),
    *("smooth_leaky", "fourier", "aid"),
)
PAIRED = ("maxmin", "crelu", "fourier")  # an output is not one unit's own
DOUBLED = ("crelu", "fourier")  # a unit has two outputs
DRAWN = ("aid",)  # in training every pass draws anew what a unit does


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a method may change of a network before it is built.

    Attributes:
        network: The kind of network.
        width: Units of a hidden layer, of the first one where they taper.
        depth: Hidden layers; the head is not counted.
        activation: One of :data:`ACTIVATIONS`.
        negative_slope: Slope of ``leaky_relu`` for negative inputs, and of the others
            that have one.
        init: ``orthogonal``, ``kaiming``, ``kaiming_uniform`` or torch's own
            ``default``.
        init_gain: Factor on the hidden layers' orthogonal weights.
        normalisation: ``layer``: LayerNorm with gain and offset before every
            nonlinearity; ``bare_layer``: the same without gain and offset; ``none``.
        hidden_bias: Whether hidden layers have a bias of their own.
        units: How many units a hidden layer has: ``width``, ``half`` of it, or as many
            as keep the number of ``parameters`` of a network with one output a unit.
        taper: Units of a hidden layer as a share of those of the one before, in (0, 1],
            rounded; of a perceptron.
        alpha: Start of the learned share of its input that each hidden unit lets round
            a nonlinearity, see ``isometry.methods.linearity``; None: there is none.
    """

    network: str
    width: int
    depth: int
    activation: str
    negative_slope: float
    init: str
    init_gain: float
    normalisation: str = "none"
    hidden_bias: bool = True
    units: str = "width"
    taper: float = 1.0
    alpha: float | None = None

    @property
    def normalised(self) -> bool:
        """Whether a LayerNorm stands before every nonlinearity."""
        return self.normalisation != "none"

    @property
    def norm_vectors(self) -> tuple[str, ...]:
        """The kinds of parameters that each of these LayerNorms has."""
        return ("gain", "offset") if self.normalisation == "layer" else ()

    @property
    def unit_vectors(self) -> tuple[str, ...]:
        """The kinds of parameters, beside biases, with one entry a hidden unit."""
        return (*self.norm_vectors, *(() if self.alpha is None else ("alpha",)))


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The names of one layer's parameters.

    Attributes:
        weight: ``(members, out, in, ...)``.
        bias: ``(members, out)``, if there is one.
        gain: Of the normalisation that follows, if there is one.
        offset: Of that normalisation.
        outgoing: The weights that read this layer's units. Their inputs are in the
            order of the units: a weight ``(members, out, in, ...)`` has, for each unit,
            equally many neighbouring entries of ``in, ...``.
        places: At how many places of an image its units act; the activations have so
            many samples an image. A channel is a unit, and its map has the places.
    """

    weight: str
    bias: str | None = None
    gain: str | None = None
    offset: str | None = None
    outgoing: tuple[str, ...] = ()
    places: int = 1

    def vectors(self) -> list[str]:
        """Return the names of the layer's parameters with one entry a unit."""
        return [n for n in (self.bias, self.gain, self.offset) if n is not None]


@dataclass(frozen=True, kw_only=True)
class Structure:
    """A network as methods see it: names and roles, no class of network.

    Attributes:
        roles: What each parameter is; ``spared``: methods leave it alone.
        layers: The hidden layers, in the order of their activations.
        heads: The output layers.
        inner: Layers without units of their own, such as attention's projections.
        function: ``(parameters, inputs) -> outputs, hidden activations``: the network
            itself, for other parameters or inputs than the step's, in games the actor
            with both parts' layers; the activations are ``(members, samples, units)``.
            None: it is not at hand.
        activation: The nonlinearity of the hidden layers.
        spread: Standard deviation of a freshly drawn entry of each weight.
        fresh: ``(seed, *labels) -> Parameters``: a newly initialised member.
    """

    roles: Roles
    layers: tuple[Layer, ...]
    heads: tuple[Layer, ...]
    activation: str
    spread: dict[str, float]
    fresh: Callable[..., Parameters]
    inner: tuple[Layer, ...] = ()
    function: Function | None = field(default=None, compare=False)

    def named(self, *roles: Role) -> list[str]:
        """Return the names of the parameters that have one of these roles."""
        return [name for name, role in self.roles.items() if role in roles]

    def bias_of(self, weight: str) -> str | None:
        """Return the name of the bias that is added to a weight's outputs."""
        for layer in (*self.layers, *self.inner, *self.heads):
            if layer.weight == weight:
                return layer.bias
        return None


def one_output_a_unit(structure: Structure, method: str) -> None:
    """Refuse a network in which an output of a hidden layer is not one unit's own.

    Args:
        structure: The network.
        method: Who asks, for the message.

    Raises:
        ValueError: If there is no hidden layer, or the activation pairs units, or a
            unit's outputs.
    """
    if not structure.layers:
        needed = f"a hidden layer with units of its own for {method}"
        raise ValueError(refusal(needed, "none", "use a method that replaces no units"))
    if structure.activation in PAIRED:
        raise ValueError(
            refusal(
                f"one output a unit for {method}, which judges each unit by its own",
                structure.activation,
                "change method or activation",
            )
        )


def function_of(structure: Structure, method: str) -> Function:
    """Return the network as a function, or refuse where it is not at hand.

    Args:
        structure: The network.
        method: Who asks, for the message.

    Raises:
        ValueError: If there is none.
    """
    if structure.function is None:
        needed = f"the network as a function for {method}"
        raise ValueError(refusal(needed, "none", "use a benchmark of the library"))
    return structure.function


def last_layers(structure: Structure) -> list[int]:
    """Return the places of the hidden layers that the heads read.

    Where none is read directly, as in a transformer, it is the last one.

    Args:
        structure: The network.

    Raises:
        ValueError: If there is no hidden layer.
    """
    if not structure.layers:
        do = "use another network or method"
        raise ValueError(refusal("a hidden layer, whose features are used", "none", do))
    heads = {head.weight for head in structure.heads}
    found = [i for i, la in enumerate(structure.layers) if heads & set(la.outgoing)]
    return found or [len(structure.layers) - 1]


def acted_on(names: list[str], method: str) -> list[str]:
    """Return names of weights, or refuse a network that has none of them.

    Args:
        names: Of the weights that a method acts on.
        method: Who asks, for the message.

    Raises:
        ValueError: If there are none.
    """
    if not names:
        needed = f"a hidden weight for {method}"
        raise ValueError(refusal(needed, "none", "use another network or method"))
    return names


def read_unit_by_unit(
    layer: Layer, read: str, parameters: Parameters, method: str
) -> None:
    """Refuse a weight that reads several entries of each unit, such as whole maps.

    Args:
        layer: The hidden layer.
        read: Name of the weight that reads its units.
        parameters: name -> ``(members, ...)``.
        method: Who asks, for the message.

    Raises:
        ValueError: If it reads more entries than there are units.
    """
    entries = parameters[read].flatten(2).shape[2]
    if entries != parameters[layer.weight].shape[1]:
        needed = f"features that are read unit by unit for {method}"
        found = f"{layer.weight}, whose maps {read} reads"
        raise ValueError(refusal(needed, found, "use another network or method"))


def per_member(numbers: Tensor, like: Tensor) -> Tensor:
    """Return one number a member, shaped to be multiplied with a stacked tensor.

    Args:
        numbers: ``(members,)``.
        like: ``(members, ...)``.

    Returns:
        ``(members, 1, ...)``.
    """
    return numbers.view(-1, *[1] * (like.ndim - 1))
