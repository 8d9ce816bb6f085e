"""Stacked networks as functions of their parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from isometry.core.messages import refusal, unknown
from isometry.core.seeding import Label, generator
from isometry.core.stacking import Parameters, stack, stacked_linear
from isometry.maxmin import MaxMin, group_sort
from isometry.methods import (
    ACTIVATIONS,
    Architecture,
    Layer,
    Role,
    Roles,
    Structure,
)

NORMALISATION_EPS = 1e-5  # added to the variance, torch's own


class CReLU(nn.Module):
    """``[relu(x), relu(-x)]`` along the last axis, as a module.

    Source: Shang et al. 2016.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(..., 2 * units)`` for ``(..., units)``."""
        return torch.cat([inputs.relu(), (-inputs).relu()], -1)


ACTIVATION_MODULES: dict[str, Callable[[float], nn.Module]] = {
    "relu": lambda slope: nn.ReLU(),
    "leaky_relu": nn.LeakyReLU,
    "tanh": lambda slope: nn.Tanh(),
    "gelu": lambda slope: nn.GELU(),
    "maxmin": lambda slope: MaxMin(),
    "crelu": lambda slope: CReLU(),
    "identity": lambda slope: nn.Identity(),
}


def activate(inputs: Tensor, architecture: Architecture) -> Tensor:
    """Return the activation of a hidden layer.

    Args:
        inputs: Pre-activations, ``(..., units)``.
        architecture: Names the activation.

    Returns:
        The same shape; for CReLU ``(..., 2 * units)``.

    Raises:
        KeyError: If the activation is not known.

    Source: definitions; MaxMin: Anil et al. 2019; CReLU: Shang et al. 2016.
    """
    match architecture.activation:
        case "relu":
            return functional.relu(inputs)
        case "leaky_relu":
            return functional.leaky_relu(inputs, architecture.negative_slope)
        case "tanh":
            return torch.tanh(inputs)
        case "gelu":
            return functional.gelu(inputs)
        case "maxmin":
            return group_sort(inputs, 2)
        case "crelu":
            return torch.cat([functional.relu(inputs), functional.relu(-inputs)], -1)
        case "identity":
            return inputs
        case name:
            raise KeyError(unknown("activation", name, ACTIVATIONS))


@dataclass(frozen=True, kw_only=True)
class MLP:
    """Sizes of a multilayer perceptron: inputs, hidden layers, classes.

    Attributes:
        architecture: Width, depth, activation, initialisation.
        in_features: Length of an input vector.
        num_classes: Length of the logits.

    Source: ours.
    """

    architecture: Architecture
    in_features: int
    num_classes: int

    def __post_init__(self) -> None:
        if self.architecture.activation == "maxmin" and self.architecture.width % 2:
            raise ValueError(
                refusal(
                    "an even width for maxmin",
                    self.architecture.width,
                    "change width or activation",
                )
            )

    @property
    def units(self) -> int:
        """Return the number of units of a hidden layer, see :class:`Architecture`."""
        width = self.architecture.width
        if self.architecture.units == "width":
            return width
        if self.architecture.units == "half":
            return max(1, width // 2)
        most = entries(self._shapes(width, 1))
        fits = (n for n in range(width, 1, -1) if entries(self._shapes(n)) <= most)
        return next(fits, 1)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter of one member, in forward order."""
        return self._shapes(self.units)

    def _shapes(
        self, units: int, outputs: int | None = None
    ) -> dict[str, tuple[int, ...]]:
        """Return the shapes for so many units and outputs of each unit."""
        if outputs is None:
            outputs = 2 if self.architecture.activation == "crelu" else 1
        fan_in = self.in_features
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.architecture.depth):
            shapes[f"hidden.{layer}.weight"] = (units, fan_in)
            if self.architecture.hidden_bias:
                shapes[f"hidden.{layer}.bias"] = (units,)
            if self.architecture.normalisation == "layer":
                shapes[f"hidden.{layer}.gain"] = (units,)
                shapes[f"hidden.{layer}.offset"] = (units,)
            fan_in = units * outputs
        shapes["head.weight"] = (self.num_classes, fan_in)
        shapes["head.bias"] = (self.num_classes,)
        return shapes

    def roles(self) -> Roles:
        """Return what each parameter is: a hidden weight, the head, or a vector."""
        return {name: role_of(name) for name in self.shapes()}

    def structure(self) -> Structure:
        """Return the network as methods see it."""
        shapes = self.shapes()

        def layer(name: str, *outgoing: str) -> Layer:
            own = {key: f"{name}.{key}" for key in ("weight", "bias", "gain", "offset")}
            own = {key: full for key, full in own.items() if full in shapes}
            return Layer(**own, outgoing=outgoing)

        depth = self.architecture.depth
        names = [*(f"hidden.{i}" for i in range(depth)), "head"]
        weights = [f"{name}.weight" for name in names]
        return Structure(
            roles=self.roles(),
            layers=tuple(layer(names[i], weights[i + 1]) for i in range(depth)),
            heads=(layer("head"),),
            activation=self.architecture.activation,
            spread={name: self._spread(name, shapes[name]) for name in weights},
            fresh=self.initial,
        )

    def _spread(self, name: str, shape: tuple[int, ...]) -> float:
        """Return the standard deviation of a freshly drawn entry of a weight."""
        if self.architecture.init == "default":
            return 1 / sqrt(3 * shape[-1])
        gain = self.architecture.init_gain if role_of(name) == "hidden" else 1.0
        return gain / sqrt(max(shape))

    def initial(self, seed: int, *labels: Label) -> Parameters:
        """Return one member's parameters, drawn from its own generators.

        Orthogonal weights have the gain on hidden layers and gain 1 on the head, and
        zero biases; ``default`` is what ``torch.nn.Linear`` draws. A normalisation
        starts with gains one and offsets zero.

        Args:
            seed: The member's seed.
            *labels: Which network of that seed, e.g. the task for a fresh one.

        Returns:
            name -> ``(out, in)`` or ``(out,)``, float32.
        """
        parameters = {}
        shapes = self.shapes()
        for name, shape in shapes.items():
            tensor = torch.zeros(shape)
            if name.endswith(("gain", "offset")):
                parameters[name] = tensor.fill_(name.endswith("gain"))
                continue
            draw = generator(seed, "init", name, *labels)
            if self.architecture.init == "default":
                bound = shapes[name.replace("bias", "weight")][-1] ** -0.5
                tensor.uniform_(-bound, bound, generator=draw)
            elif len(shape) == 2:
                hidden = name.startswith("hidden")
                gain = self.architecture.init_gain if hidden else 1.0
                torch.nn.init.orthogonal_(tensor, gain, generator=draw)
            parameters[name] = tensor
        return parameters

    def stacked(self, seeds: list[int], *labels: Label) -> Parameters:
        """Return the parameters of one member a seed, name -> ``(members, ...)``."""
        return stack([self.initial(seed, *labels) for seed in seeds])

    def forward(self, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the logits of every member on its own batch.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, in_features)``.

        Returns:
            ``(members, batch, num_classes)``.
        """
        return self.head(parameters, self.hidden_activations(parameters, inputs)[-1])

    def head(self, parameters: Parameters, hidden: Tensor) -> Tensor:
        """Return the logits, ``(members, batch, num_classes)``, of the last layer.

        Args:
            parameters: name -> ``(members, ...)``.
            hidden: The last hidden layer's activations, ``(members, batch, width)``.
        """
        return stacked_linear(
            hidden, parameters["head.weight"], parameters["head.bias"]
        )

    def hidden_activations(
        self, parameters: Parameters, inputs: Tensor
    ) -> list[Tensor]:
        """Return every hidden layer's activations, each ``(members, batch, width)``.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: ``(members, batch, in_features)``.
        """
        hidden, activations = inputs, []
        normalised = self.architecture.normalisation == "layer"
        for layer in range(self.architecture.depth):
            weight = parameters[f"hidden.{layer}.weight"]
            bias = parameters.get(f"hidden.{layer}.bias")
            hidden = stacked_linear(hidden, weight, bias)
            if normalised:
                gain = parameters[f"hidden.{layer}.gain"]
                hidden = normalise(hidden, gain, parameters[f"hidden.{layer}.offset"])
            hidden = activate(hidden, self.architecture)
            activations.append(hidden)
        return activations


def normalise(
    inputs: Tensor,  # (members, batch, units)
    gain: Tensor,  # (members, units)
    offset: Tensor,  # (members, units)
) -> Tensor:
    """Return LayerNorm of every sample by itself, with each member's gain and offset.

    Args:
        inputs: Pre-activations.
        gain: Factor of each unit.
        offset: Added to each unit.

    Returns:
        ``(members, batch, units)``.

    Source: Ba, Kiros & Hinton 2016.
    """
    units = inputs.shape[-1]
    standard = functional.layer_norm(inputs, (units,), eps=NORMALISATION_EPS)
    return torch.addcmul(offset.unsqueeze(1), standard, gain.unsqueeze(1))


def role_of(name: str) -> Role:
    """Return what the parameter of that name is.

    Args:
        name: As in :meth:`MLP.shapes`.

    Source: ours.
    """
    kind = name.rpartition(".")[2]
    if kind in ("gain", "offset"):
        return kind  # type: ignore[return-value]
    if kind == "bias":
        return "vector"
    return "head" if name.startswith("head") else "hidden"


def entries(shapes: dict[str, tuple[int, ...]]) -> int:
    """Return the number of entries of all parameters together.

    Args:
        shapes: Of one member.

    Source: ours.
    """
    return sum(map(prod, shapes.values()))


def as_module(network: MLP, parameters: Parameters, member: int) -> nn.Sequential:
    """Return one member as a module of its own, for whatever expects a module.

    Args:
        network: The network.
        parameters: name -> ``(members, ...)``.
        member: Which one.

    Returns:
        Linear layers, normalisations and activations in order; parameters are copies.

    Source: ours.
    """
    architecture = network.architecture
    own = {name: tensor[member].detach() for name, tensor in parameters.items()}
    layers: list[nn.Module] = []
    names = [f"hidden.{layer}" for layer in range(architecture.depth)]
    for name in [*names, "head"]:
        weight, bias = own[f"{name}.weight"], own.get(f"{name}.bias")
        out, fan_in = weight.shape
        # Nothing is drawn: torch's global generator stays as it is.
        linear = nn.utils.skip_init(
            nn.Linear, fan_in, out, bias=bias is not None, device=weight.device
        )
        state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        linear.load_state_dict(state)
        layers.append(linear)
        if f"{name}.gain" in own:
            norm = nn.LayerNorm(out, eps=NORMALISATION_EPS, device=weight.device)
            norm.load_state_dict(
                {"weight": own[f"{name}.gain"], "bias": own[f"{name}.offset"]}
            )
            layers.append(norm)
        if name != "head":
            make = ACTIVATION_MODULES[architecture.activation]
            layers.append(make(architecture.negative_slope))
    return nn.Sequential(*layers)
