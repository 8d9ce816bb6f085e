"""Somebody's model as a function of the parameters that methods see."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from isometry.attachment.wiring import Point, View
from isometry.core.messages import refusal
from isometry.core.stacking import Parameters
from isometry.methods.structure import Function


def model_function(
    model: nn.Module,
    views: Mapping[str, View],
    points: Sequence[Point],
    unseen: Callable[[], AbstractContextManager[Any]],
) -> Function:
    """Return ``(parameters, inputs) -> outputs, hidden activations`` of a model.

    The model runs in its own mode; its buffers stay as they are. What is not among the
    parameters is the model's own.

    Args:
        model: The network, of one tensor.
        views: How each weight and vector lies in it.
        points: Where hidden activations are seen.
        unseen: Makes a context in which nobody looks at the model.
    """
    owned = dict(model.named_parameters())
    lying: dict[str, list[str]] = {}
    for name, view in views.items():
        lying.setdefault(view.parameter, []).append(name)

    def function(parameters: Parameters, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        given = {
            path: _whole(owned[path], [(views[n], parameters[n]) for n in names])
            for path, names in lying.items()
            if all(name in parameters for name in names)
        }
        given |= {name: buffer.clone() for name, buffer in model.named_buffers()}
        seen: list[list[Tensor]] = [[] for _ in points]
        handles = [
            model.get_submodule(point.module).register_forward_hook(_shows(point, kept))
            for point, kept in zip(points, seen, strict=True)
        ]
        try:
            with unseen():
                outputs = functional_call(model, given, (inputs.squeeze(0),))
        finally:
            for handle in handles:
                handle.remove()
        if not isinstance(outputs, Tensor):
            needed = "a model that returns one tensor, for a method that calls it"
            found = type(outputs).__name__
            raise ValueError(refusal(needed, found, "use another method"))
        return outputs.unsqueeze(0), [kept[-1] for kept in seen]

    return function


def _shows(point: Point, kept: list[Tensor]) -> Callable[[Any, Any, Tensor], None]:
    """Return a hook that keeps the activations of one layer."""

    def show(module: nn.Module, args: Any, output: Tensor) -> None:
        kept.append(point.activations(output))

    return show


def _whole(owner: nn.Parameter, parts: list[tuple[View, Tensor]]) -> Tensor:
    """Return a parameter that is made of its parts, differentiable by them."""
    for view, part in parts:
        if view.size is None and not view.member:
            return part[0].transpose(0, 1) if view.transposed else part[0]
    whole = owner.detach().clone()
    for view, part in parts:
        view.of(whole).copy_(part)
    return whole


class Offset:
    """Adds something to the outputs of a model, in training and elsewhere.

    Args:
        model: The network, of one tensor. A copy of it is as if nothing were attached.
        added: ``(inputs) -> (1, batch, ...)``, or None: nothing is added now.
    """

    def __init__(
        self, model: nn.Module, added: Callable[[Tensor], Tensor | None]
    ) -> None:
        self._handle = model.register_forward_hook(_Adds(added))

    def close(self) -> None:
        """Leave the outputs as they are."""
        self._handle.remove()


class _Adds:
    """A forward hook that adds something to the outputs; a copy of it adds nothing."""

    def __init__(self, added: Callable[[Tensor], Tensor | None] | None = None) -> None:
        self.added = added

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        more = None if self.added is None else self.added(args[0])
        return output if more is None else output + more.squeeze(0)

    def __deepcopy__(self, memo: Any) -> "_Adds":
        return _Adds()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Adds, ()
