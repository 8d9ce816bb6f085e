"""Seeing the activations of hidden layers while somebody's model trains."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed
from torch import Tensor, nn

from isometry.attachment.wiring import Point
from isometry.core.messages import refusal


class _Eye:
    """A forward hook that shows one module's output; a copy of it sees nothing.

    So a copied or unpickled model is not watched by whom the first was attached to.

    Args:
        watcher: Whom it shows what it sees, or None.
        index: Which point it is.
    """

    def __init__(self, watcher: "Watcher | None" = None, index: int = 0) -> None:
        self.watcher = watcher
        self.index = index

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        watcher = self.watcher
        if watcher is None or not watcher.model.training:
            return
        if torch.is_grad_enabled():
            watcher.see(self.index, output)

    def __deepcopy__(self, memo: Any) -> "_Eye":
        return _Eye()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Eye, ()


class _Call(NamedTuple):
    """What one call of a layer showed.

    Args:
        kept: The activations.
        seen: The same, where the model has them.
        version: How often these had been written when they were seen.
    """

    kept: Tensor
    seen: Tensor
    version: int


class Watcher:
    """Keeps what hidden layers show from one optimiser step to the next.

    A forward pass counts if the model is in training mode and gradients are on. All
    passes since the last step count, and all calls of a layer that is used twice; their
    samples stand one after the other.

    Args:
        model: The network.
        points: One a hidden layer.
        gradients: Whether the loss's gradients by the activations are kept as well.

    Raises:
        ValueError: If gradients are asked for and a layer's activations are no module's
            output.
    """

    def __init__(
        self, model: nn.Module, points: Sequence[Point], gradients: bool
    ) -> None:
        self.model = model
        self._points = tuple(points)
        self._gradients = gradients
        self._seen: list[list[_Call]] = [[] for _ in points]
        self._felt: list[dict[int, Tensor]] = [{} for _ in points]
        self._stale = False  # what is kept belongs to a step that was taken
        self._copied = set(range(len(points)))
        self._learned = False
        hidden = next((p.module for p in points if p.function is not None), None)
        if gradients and hidden is not None:
            needed = "activations that a module returns, to take gradients by them"
            do = "make the nonlinearity a module, or use a method that asks for none"
            raise ValueError(refusal(needed, f"those after {hidden!r}", do))
        self._handles = [
            model.get_submodule(point.module).register_forward_hook(_Eye(self, index))
            for index, point in enumerate(points)
        ]

    def see(self, index: int, output: Tensor) -> None:
        """Keep what one point shows.

        Args:
            index: Which point.
            output: Of its module.
        """
        if self._stale:
            self.forget()
        seen = self._points[index].activations(output.detach())
        kept = seen.clone() if index in self._copied else seen
        calls = self._seen[index]
        if self._gradients and output.requires_grad:
            self._feel(index, len(calls), output)
        calls.append(_Call(kept, seen, seen._version))

    def _feel(self, index: int, call: int, output: Tensor) -> None:
        """Keep the gradient that will reach an output."""
        point, felt = self._points[index], self._felt[index]

        def keep(gradient: Tensor) -> None:
            felt[call] = point.activations(gradient)

        output.register_hook(keep)

    def activations(self) -> list[Tensor]:
        """Return what was seen since the last step, ``(1, samples, units)`` a layer.

        Raises:
            ValueError: If a layer has shown nothing, or its activations were changed in
                place after they were seen.
        """
        self._stale = True
        for point, calls in zip(self._points, self._seen, strict=True):
            if not calls:
                raise ValueError(
                    refusal(
                        "a forward pass in training mode since the last step",
                        f"no activations of {point.module!r}",
                        "call the model; attach before torch.compile, not after",
                    )
                )
        self._find_changed()
        return [_joined([call.kept for call in calls]) for calls in self._seen]

    def last(self) -> list[Tensor]:
        """Return the latest activations of each layer, as far as there are any."""
        if not all(self._seen):
            return []
        return [_joined([call.kept for call in calls]) for calls in self._seen]

    def gradients(self) -> list[Tensor]:
        """Return the loss's gradients by the activations, of the same shapes."""
        if not self._gradients:
            return []
        found = []
        for calls, felt in zip(self._seen, self._felt, strict=True):
            none = (torch.zeros_like(call.kept) for call in calls)
            parts = [felt.get(i, zero) for i, zero in enumerate(none)]
            found.append(_joined(parts))
        return found

    def _find_changed(self) -> None:
        """Learn at the first step which layers' activations the model overwrites."""
        changed = {
            index
            for index, calls in enumerate(self._seen)
            if any(call.seen._version != call.version for call in calls)
        }
        late = changed - self._copied
        if late:
            path = self._points[min(late)].module
            needed = "activations that are overwritten in every pass or in none"
            found = f"those of {path!r}, overwritten in this one"
            raise ValueError(
                refusal(needed, found, "pass inplace=False to what follows")
            )
        if not self._learned:
            self._copied, self._learned = changed, True

    def forget(self) -> None:
        """Drop what was seen; what comes is of a new step."""
        for calls, felt in zip(self._seen, self._felt, strict=True):
            calls.clear()
            felt.clear()
        self._stale = False

    def close(self) -> None:
        """Take the hooks off the model."""
        self.forget()
        for handle in self._handles:
            handle.remove()


def _joined(parts: list[Tensor]) -> Tensor:
    """Return the samples of several calls one after the other."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def gathered(tensors: list[Tensor], group: Any) -> list[Tensor]:
    """Return samples of all processes, in their order, so that all decide alike.

    Args:
        tensors: Each ``(1, samples, units)``, of one shape in all processes.
        group: The processes, or None: only this one.

    Raises:
        ValueError: If the processes have seen different numbers of samples.
    """
    if group is None or not tensors:
        return tensors
    members = torch.distributed.get_world_size(group)
    sizes = torch.tensor([tensor.shape[1] for tensor in tensors])
    sizes = sizes.to(tensors[0].device)
    least, most = sizes.clone(), sizes
    torch.distributed.all_reduce(least, torch.distributed.ReduceOp.MIN, group)
    torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX, group)
    if not torch.equal(least, most):
        needed = "minibatches of one size in all processes"
        found = f"{int(least[0])} to {int(most[0])} samples of the first layer"
        raise ValueError(refusal(needed, found, "drop the last one, or pad it"))
    found_all = []
    for tensor in tensors:
        parts = [torch.empty_like(tensor) for _ in range(members)]
        torch.distributed.all_gather(parts, tensor.contiguous(), group)
        found_all.append(torch.cat(parts, 1))
    return found_all
