"""Actor and critic, stacked, as functions of their parameters."""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor

from isometry.core.seeding import Label
from isometry.core.stacking import Parameters, stacked_linear
from isometry.methods import Structure
from isometry.methods.activations import activate, as_samples, normalise
from isometry.methods.initialisation import (
    Shapes,
    layer_of,
    spread_of,
)
from isometry.methods.stacked_network import StackedNetwork
from isometry.rl.screen_cnn import (
    Layout,
    features_of,
    screen_activations,
    screen_shapes,
)
from isometry.rl.sparse_boards import board_linear

Part = Literal["actor", "critic"]
PARTS: tuple[Part, ...] = ("actor", "critic")


class _Placed(torch.autograd.Function):
    """The columns of a weight that read given channels, with a scattered gradient."""

    @staticmethod
    def forward(context: Any, weight: Tensor, channels: Tensor, count: int) -> Tensor:
        members, units, fan_in = weight.shape
        index = channels[:, None, None, :].expand(-1, units, fan_in // count, -1)
        context.save_for_backward(index)
        context.shape, context.count = weight.shape, count
        by_channel = weight.view(members, units, -1, count)
        return by_channel.gather(3, index).flatten(2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (index,) = context.saved_tensors
        whole = gradient.new_zeros(*index.shape[:3], context.count)
        whole.scatter_(3, index, gradient.reshape(index.shape))
        return whole.view(context.shape), None, None


@dataclass(frozen=True, kw_only=True)
class ActorCritic(StackedNetwork):
    """Sizes of an agent's networks.

    Actor and critic are MLPs of the same size and share nothing, unless ``shared``
    convolutions stand before both.

    Attributes:
        architecture: Width, depth, activation, initialisation.
        observation: Shape of what the agent sees; the last axis holds the channels.
        num_actions: Length of the logits.
        policy_gain: Gain of the policy's head, if the initialisation is orthogonal.
        value_gain: Gain of the value's head.
        shared: Layout of the convolutions before both, or None.

    Source: :data:`isometry.rl.protocols.AUTHORS_CODE`; Andrychowicz et al., ICLR 2021,
        for the small gain of the policy's head.
    """

    observation: tuple[int, ...]
    num_actions: int
    policy_gain: float = 0.01
    value_gain: float = 1.0
    shared: Layout | None = None

    def _shapes(self, units: int, outputs: int) -> Shapes:
        """Return the shapes for so many units and outputs of each unit."""
        shapes: Shapes = {}
        features = prod(self.observation)
        if self.shared is not None:
            shapes, features = screen_shapes(
                self.observation, self.shared, self.architecture, outputs
            )
        for part in PARTS:
            fan_in = features
            for layer in range(self.architecture.depth):
                name = f"hidden.{part}.{layer}"
                shapes[f"{name}.weight"] = (units, fan_in)
                if self.architecture.hidden_bias:
                    shapes[f"{name}.bias"] = (units,)
                for kind in self.architecture.unit_vectors:
                    shapes[f"{name}.{kind}"] = (units,)
                fan_in = units * outputs
            count = self.num_actions if part == "actor" else 1
            shapes[f"head.{part}.weight"] = (count, fan_in)
            shapes[f"head.{part}.bias"] = (count,)
        return shapes

    def structure(self) -> Structure:
        """Return the networks as methods see them: shared layers, actor, critic."""
        shapes, depth = self.shapes(), self.architecture.depth
        shared = [n[: -len(".weight")] for n in shapes if n.endswith(".weight")]
        shared = [name for name in shared if name.startswith("hidden.shared")]
        chains = {p: [f"hidden.{p}.{i}" for i in range(depth)] for p in PARTS}
        layers = []
        for i, name in enumerate(shared):
            after = shared[i + 1 : i + 2] or [chain[0] for chain in chains.values()]
            maps = features_of(self.observation, self.shared)[i]  # type: ignore[arg-type]
            outgoing = [f"{following}.weight" for following in after]
            layers.append(layer_of(name, shapes, outgoing, maps[1] * maps[2]))
        for part, chain in chains.items():
            for name, after_it in zip(chain, [*chain[1:], f"head.{part}"], strict=True):
                layers.append(layer_of(name, shapes, [f"{after_it}.weight"]))
        weights = [name for name in shapes if name.endswith(".weight")]
        spread = {n: spread_of(n, shapes[n], self.architecture) for n in weights}
        if self.architecture.init == "orthogonal":
            spread["head.actor.weight"] *= self.policy_gain
            spread["head.critic.weight"] *= self.value_gain
        return Structure(
            roles=self.roles(),
            layers=tuple(layers),
            heads=tuple(layer_of(f"head.{part}", shapes) for part in PARTS),
            activation=self.architecture.activation,
            spread=spread,
            fresh=self.initial,
            function=self.function,
        )

    def initial(self, seed: int, *labels: Label) -> Parameters:
        """Return one member's parameters, see :func:`fresh_member`, heads with gains.

        Args:
            seed: The member's seed.
            *labels: Which network of that seed, e.g. the visit for a fresh one.

        Returns:
            name -> ``(out, in)`` or ``(out,)``, float32.
        """
        own = super().initial(seed, *labels)
        if self.architecture.init == "orthogonal":
            own["head.actor.weight"] *= self.policy_gain
            own["head.critic.weight"] *= self.value_gain
        return own

    def placed(self, parameters: Parameters, channels: Tensor | None) -> Parameters:
        """Return the parameters for boards that leave out channels that stay empty.

        The result reads a board of few channels as the parameters read the padded and
        permuted board: what multiplies zeros is left out, which is most of the work.

        Args:
            parameters: name -> ``(members, ...)``.
            channels: ``(members, c)``: where each channel of a board stands among those
                of ``observation``. None: boards are whole.

        Returns:
            The same parameters, first weights ``(members, units, places * c)``;
            differentiable.
        """
        if channels is None:
            return parameters
        names = [f"hidden.{part}.0.weight" for part in PARTS]
        count = self.observation[-1]
        found = {n: _Placed.apply(parameters[n], channels, count) for n in names}
        return {**parameters, **found}

    def whole(self, boards: Tensor, channels: Tensor | None) -> Tensor:
        """Return boards with the channels that stay empty, see :meth:`placed`.

        Args:
            boards: ``(members, batch, places * c)``.
            channels: ``(members, c)``, or None: they are whole.

        Returns:
            ``(members, batch, features)`` of the same type.
        """
        if channels is None:
            return boards
        *places, count = self.observation
        small = boards.unflatten(-1, (prod(places), -1))
        found = small.new_zeros(*small.shape[:-1], count)
        index = channels[:, None, None, :].expand_as(small)
        return found.scatter_(-1, index, small).flatten(2)

    def function(
        self, parameters: Parameters, inputs: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the actor's logits and all activations, see :class:`Structure`.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: As for :meth:`logits`, whole.
        """
        logits, _, activations = self.watched(parameters, inputs)
        return logits, [as_samples(hidden) for hidden in activations]

    def logits(self, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the actor's logits, ``(members, batch, num_actions)``.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: Boards or screens of each member, flat, ``(members, batch,
                features)``, of any type.
        """
        return self._outputs(parameters, inputs, ("actor",))[0][0]

    def values(self, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return the critic's values, ``(members, batch)``, in units of return.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: As for :meth:`logits`.
        """
        return self._outputs(parameters, inputs, ("critic",))[0][0].squeeze(-1)

    def watched(
        self, parameters: Parameters, inputs: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return logits, values and every hidden layer's activations, from one pass.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: As for :meth:`logits`.

        Returns:
            ``(members, batch, num_actions)``, ``(members, batch)``, and in the order of
            the structure's layers ``(members, batch, units)``, maps as maps.
        """
        (logits, values), activations = self._outputs(parameters, inputs, PARTS)
        return logits, values.squeeze(-1), activations

    def features(self, parameters: Parameters, inputs: Tensor) -> Tensor:
        """Return what actor and critic read, ``(members, batch, features)``.

        Args:
            parameters: name -> ``(members, ...)``.
            inputs: As for :meth:`logits`.
        """
        features, _ = self._features(parameters, inputs)
        return features.to(parameters["head.actor.weight"].dtype)

    def _features(
        self, parameters: Parameters, inputs: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return what both parts read, and the shared layers' activations."""
        if self.shared is None:
            return inputs, []
        screens = inputs.unflatten(2, self.observation)
        return screen_activations(parameters, screens, self.shared, self.architecture)

    def _outputs(
        self, parameters: Parameters, inputs: Tensor, parts: tuple[Part, ...]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the outputs of some parts, and all hidden activations."""
        features, activations = self._features(parameters, inputs)
        first = _first_layers(parameters, features, parts)
        outputs = []
        for part, hidden in zip(parts, first, strict=True):
            output, found = self._part(parameters, part, hidden)
            outputs.append(output)
            activations = [*activations, *found]
        return outputs, activations

    def _part(
        self, parameters: Parameters, part: Part, hidden: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return a part's outputs and activations from its first pre-activations."""
        found: list[Tensor] = []
        for layer in range(self.architecture.depth):
            name = f"hidden.{part}.{layer}"
            if layer:
                bias = parameters.get(f"{name}.bias")
                hidden = stacked_linear(hidden, parameters[f"{name}.weight"], bias)
            if self.architecture.normalised:
                gain = parameters.get(f"{name}.gain")
                hidden = normalise(hidden, gain, parameters.get(f"{name}.offset"))
            alpha = parameters.get(f"{name}.alpha")
            hidden = activate(hidden, self.architecture, alpha=alpha)
            found.append(hidden)
        head = f"head.{part}"
        weight, bias = parameters[f"{head}.weight"], parameters[f"{head}.bias"]
        return stacked_linear(hidden, weight, bias), found


def _first_layers(
    parameters: Parameters, inputs: Tensor, parts: tuple[Part, ...]
) -> list[Tensor]:
    """Return the first pre-activations of some parts, ``(members, batch, units)`` each.

    On a CPU, boards of zeros and ones are read by :func:`board_linear`, for all parts
    at once.
    """
    names = [f"hidden.{part}.0" for part in parts]
    weights = [parameters[f"{name}.weight"] for name in names]
    found = [parameters.get(f"{name}.bias") for name in names]
    biases = [bias for bias in found if bias is not None]
    if inputs.dtype == torch.bool and inputs.device.type == "cpu":
        weight = torch.cat(weights, 1) if len(weights) > 1 else weights[0]
        bias = torch.cat(biases, 1) if biases else None
        return list(board_linear(inputs, weight, bias).split(weights[0].shape[1], -1))
    inputs = inputs.to(weights[0].dtype)
    return [
        stacked_linear(inputs, weight, bias)
        for weight, bias in zip(weights, found, strict=True)
    ]
