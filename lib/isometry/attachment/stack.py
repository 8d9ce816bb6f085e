"""Somebody's model as the stack of one member that methods act on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn

from isometry.attachment.wiring import Point, View, Wiring
from isometry.core.messages import refusal
from isometry.core.stacking import Parameters
from isometry.methods import Layer, Structure

MATRICES = ("hidden", "head")
COUNTERS = {"isometry_count": 0, "isometry_due": 0.0}  # what AdamO's groups remember


@dataclass(kw_only=True, eq=False)
class ModelStack:
    """A model as a stack of one: every tensor is a view of the model's memory.

    Attributes:
        structure: What methods act on; parameters to leave alone are not in it.
        views: How each weight and vector lies in the model.
        owners: The model's parameter behind each of them.
        parameters: The views themselves, ``(1, ...)``, without autograd.
        points: Where activations are seen, one a hidden layer of the structure.
        refused: Weight of a layer whose units cannot be replaced -> why not.
        running: Weight of a layer -> its norms that keep running statistics.
        spared: Parameter of the model that is left alone -> why.
        columns: Columns of a weight, known by a name of their own -> that weight.
        marked: Names of weights that are kept from isometry by their attribute.
    """

    structure: Structure
    views: Mapping[str, View]
    owners: Mapping[str, nn.Parameter]
    parameters: Parameters
    points: tuple[Point, ...]
    refused: Mapping[str, str]
    running: Mapping[str, tuple[nn.Module, ...]]
    spared: Mapping[str, str]
    columns: Mapping[str, str]
    marked: frozenset[str]

    @cached_property
    def trained(self) -> list[nn.Parameter]:
        """The model's parameters behind the views, each once."""
        return list({id(owner): owner for owner in self.owners.values()}.values())

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of each view's parameter among them."""
        places = {id(owner): place for place, owner in enumerate(self.trained)}
        return {name: places[id(owner)] for name, owner in self.owners.items()}

    def whole_views(self) -> dict[str, View]:
        """Return the views that hold each entry of a parameter once."""
        return {n: view for n, view in self.views.items() if n not in self.columns}

    def differentiable(self) -> Parameters:
        """Return the views with autograd: a penalty of them reaches the parameters."""
        return {name: view.of(self.owners[name]) for name, view in self.views.items()}

    def gradient(self, name: str) -> Tensor:
        """Return the gradient of a weight or vector, a view; zero if it has none.

        Args:
            name: As the structure knows it.

        Raises:
            ValueError: If no parameter has a gradient.
        """
        owner, view = self.owners[name], self.views[name]
        if owner.grad is not None:
            return view.of(owner.grad)
        if all(other.grad is None for other in self.owners.values()):
            needed = "gradients in plastic.step()"
            do = "call zero_grad() after plastic.step(), not before"
            raise ValueError(refusal(needed, "none", do))
        return torch.zeros_like(self.parameters[name])

    def bind_gradients_(self) -> None:
        """Make each view's gradient a view of its parameter's gradient."""
        for name, view in self.views.items():
            gradient = self.owners[name].grad
            own = None if gradient is None else view.of(gradient)
            self.parameters[name].grad = own


def stack_of(
    model: nn.Module,
    wiring: Wiring,
    spared: Mapping[str, str],
    *,
    to_isometry: bool = False,
) -> ModelStack:
    """Return a model as a stack of one member.

    A parameter that the wiring does not know is spared by methods, but trained where
    a method brings its own optimiser.

    Args:
        model: The network.
        wiring: What its parameters and layers are.
        spared: Names of parameters that are to be left alone -> why.
        to_isometry: Whether weights whose attribute ``isometry`` is False are to be
            weights of no operator, like those of an embedding.
    """
    owned = dict(model.named_parameters())
    views = {n: v for n, v in wiring.views.items() if v.parameter not in spared}
    known = {view.parameter for view in wiring.views.values()}
    roles = {name: wiring.structure.roles.get(name, "spared") for name in views}
    for name in owned:
        if name not in known and name not in spared:
            views[name], roles[name] = View(parameter=name), "spared"
    owners = {name: owned[view.parameter] for name, view in views.items()}
    marked = set()
    for name, owner in owners.items() if to_isometry else ():
        if getattr(owner, "isometry", None) is False and roles[name] in MATRICES:
            roles[name] = "embedding"
            marked.add(name)
    structure, refused = _narrowed(replace(wiring.structure, roles=roles), spared)
    refused = {**wiring.refused, **refused}
    kept = {layer.weight for layer in structure.layers}
    points = zip(wiring.structure.layers, wiring.points, strict=True)
    return ModelStack(
        structure=structure,
        views=views,
        owners=owners,
        parameters={
            name: view.of(owners[name].detach()) for name, view in views.items()
        },
        points=tuple(point for layer, point in points if layer.weight in kept),
        refused=refused,
        running={
            weight: tuple(model.get_submodule(path) for path in paths)
            for weight, paths in wiring.running.items()
        },
        spared=spared,
        columns=_columns(views, roles),
        marked=frozenset(marked),
    )


def _columns(views: Mapping[str, View], roles: Mapping[str, str]) -> dict[str, str]:
    """Return the names of columns of weights that are there as a whole too."""
    whole = {v.parameter: name for name, v in views.items() if v.size is None}
    return {
        name: whole[view.parameter]
        for name, view in views.items()
        if view.size is not None and roles[name] == "spared" and view.parameter in whole
    }


def _narrowed(
    structure: Structure, spared: Mapping[str, str]
) -> tuple[Structure, dict[str, str]]:
    """Return a structure without what is spared, and why layers fell out.

    A hidden layer of which something is spared has no units to replace; what of it is
    trained is still a weight.
    """
    if not spared:
        return structure, {}
    trained = structure.roles

    def absent(names: Iterable[str | None]) -> str | None:
        return next((n for n in names if n is not None and n not in trained), None)

    def rest(layers: Iterable[Layer]) -> tuple[Layer, ...]:
        found = []
        for layer in layers:
            if layer.weight in trained:
                bias = layer.bias if layer.bias in trained else None
                found.append(replace(layer, bias=bias))
        return tuple(found)

    refused, layers, inner = {}, [], list(structure.inner)
    for layer in structure.layers:
        name = absent((layer.weight, *layer.vectors(), *layer.outgoing))
        if name is None:
            layers.append(layer)
        else:
            refused[layer.weight] = f"{name} is left alone"
            inner.append(layer)
    narrowed = replace(
        structure,
        layers=tuple(layers),
        inner=rest(inner),
        heads=rest(structure.heads),
    )
    return narrowed, refused


class Memory:
    """What a method sees of an optimiser: its state, as the views see it.

    Any tensor in the state of a parameter that has the parameter's shape, or that shape
    with neighbouring dimensions made one, counts as memory of its entries, whatever the
    optimiser is; also one that it keeps for all parameters under a name of its own.

    Args:
        optimizer: Holds the model's parameters, or the stack's views.
        stack: The model.
        own: Whether it holds the views.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, stack: ModelStack, own: bool
    ) -> None:
        self.optimizer = optimizer
        self._stack, self._own = stack, own
        self._names = {id(view): name for name, view in stack.parameters.items()}

    @property
    def state(self) -> "Memory":
        """The state by views, as an optimiser's own is by parameters."""
        return self

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The optimiser's groups, with the views in place of the parameters."""
        if self._own:
            return self.optimizer.param_groups
        views: dict[int, list[Tensor]] = {
            id(owner): [] for owner in self._stack.trained
        }
        for name, owner in self._stack.owners.items():
            views[id(owner)].append(self._stack.parameters[name])
        return [
            group
            | {"params": [v for p in group["params"] for v in views.get(id(p), ())]}
            for group in self.optimizer.param_groups
        ]

    def get(self, view: Tensor, default: Any = None) -> Any:
        """Return what is remembered of a view, key -> view or another tensor.

        Args:
            view: One of the stack's parameters.
            default: Returned where nothing is remembered.
        """
        stack, name = self._stack, self._names[id(view)]
        if self._own and name not in stack.columns:
            return self.optimizer.state.get(view, default)
        held: Tensor = stack.owners[name]
        if self._own:
            held = stack.parameters[stack.columns[name]]
        known = self._known(held)
        if not known:
            return default
        found = {}
        for key, value in known.items():
            if _merged(value, held):
                value = value.view(held.shape)
            same = value.shape == held.shape
            found[key] = self._part(name, value) if same else value
        return found

    def _known(self, held: Tensor) -> dict[str, Tensor]:
        """Return the tensors that the optimiser keeps for a parameter, by key."""
        state = self.optimizer.state
        parts = [state.get(held, {})]
        for key, kept in state.items():
            if not isinstance(key, Tensor) and isinstance(kept, Mapping):
                own = kept.get(held, {})
                parts.append(own if isinstance(own, Mapping) else {key: own})
        tensors = (item for part in parts for item in part.items())
        return {key: value for key, value in tensors if isinstance(value, Tensor)}

    def _part(self, name: str, memory: Tensor) -> Tensor:
        """Return the part of a memory that is a view's."""
        lies = self._stack.views[name]
        if self._own:  # in the order of the whole weight's view
            memory = memory.squeeze(0)
            if self._stack.views[self._stack.columns[name]].transposed:
                memory = memory.transpose(0, 1)
        return lies.of(memory)

    def clear(self) -> None:
        """Make the optimiser forget the model's parameters."""
        stack = self._stack
        held = stack.parameters.values() if self._own else stack.owners.values()
        named = [key for key in self.optimizer.state if not isinstance(key, Tensor)]
        for one in (*held, *named):
            self.optimizer.state.pop(one, None)
        for group in self.optimizer.param_groups:
            group.update(
                {key: value for key, value in COUNTERS.items() if key in group}
            )


def _merged(memory: Tensor, parameter: Tensor) -> bool:
    """Return whether a memory has a parameter's shape with neighbours made one."""
    shapes = memory.shape, parameter.shape
    if not memory.is_contiguous() or not 0 < memory.ndim < parameter.ndim:
        return False
    merged, whole = (list(accumulate(shape, mul)) for shape in shapes)
    return merged[-1] == whole[-1] and set(merged) <= set(whole)
