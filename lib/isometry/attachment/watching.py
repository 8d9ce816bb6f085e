"""Seeing the activations of hidden layers while somebody's model trains."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, overload
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from isometry.attachment.batches import gathered
from isometry.attachment.eyes import Door, Eye
from isometry.attachment.wiring import Point
from isometry.core.messages import refusal


class _Call(NamedTuple):
    """What one call of a layer showed.

    Args:
        kept: The module's output, or the activations where they were computed of it;
            with its history where a penalty asks for it.
        seen: The same where the model has it, without history.
        version: How often this had been written when it was seen.
    """

    kept: Tensor
    seen: Tensor
    version: int


class Shown(Sequence[Tensor]):
    """Activations of each layer, put together when somebody looks at them.

    Args:
        make: Gives them.
    """

    def __init__(self, make: Callable[[], list[Tensor]]) -> None:
        self._make = make
        self._made: list[Tensor] | None = None

    def _all(self) -> list[Tensor]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        return self._all()[index]


_watchers: "WeakValueDictionary[int, Watcher]" = WeakValueDictionary()


class Watcher:
    """Keeps what hidden layers show from one optimiser step to the next.

    A forward pass counts if the model is in training mode and gradients are on. All
    passes since the last step count, and all calls of a layer that is used twice; their
    samples stand one after the other.

    Args:
        model: The network.
        points: One a hidden layer.
        gradients: Whether the loss's gradients by the activations are kept as well.
        history: Whether a penalty is to reach the parameters through activations.
        inputs: Whether the model's inputs are kept as well.
        group: Processes whose samples are put together, or None.

    Raises:
        ValueError: If gradients are asked for and a layer's activations are no module's
            output.
    """

    def __init__(
        self,
        model: nn.Module,
        points: Sequence[Point],
        *,
        gradients: bool = False,
        history: bool = False,
        inputs: bool = False,
        group: Any = None,
    ) -> None:
        self.model, self.quiet = model, False
        self._points, self._group = tuple(points), group
        self._gradients, self._history = gradients, history
        self._inputs: list[Any] = []
        # What the penalty before, and the last one, had seen of each point and inputs.
        self._counted = self._counted_before = [0] * (len(points) + 1)
        self._seen: list[list[_Call]] = [[] for _ in points]
        self._felt: list[dict[int, Tensor]] = [{} for _ in points]
        self._stale = False  # what is kept belongs to a step that was taken
        self._copied = set(range(len(points)))  # at first all, until it is learned
        self._learned = False
        some = next(model.parameters())
        self._key, self._mark = id(self), some.new_zeros(())
        _watchers[self._key] = self
        hidden = next((p.module for p in points if p.function is not None), None)
        if gradients and hidden is not None:
            needed = "activations that a module returns, to take gradients by them"
            do = "make the nonlinearity a module, or use a method that asks for none"
            raise ValueError(refusal(needed, f"those after {hidden!r}", do))
        self._handles = [
            model.get_submodule(point.module).register_forward_hook(Eye(self, index))
            for index, point in enumerate(points)
        ]
        self._asked = inputs
        if inputs:
            door = model.register_forward_pre_hook(Door(self), with_kwargs=True)
            self._handles.append(door)

    def attentive(self) -> bool:
        """Return whether a pass counts that goes on now."""
        return self.model.training and not self.quiet and torch.is_grad_enabled()

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep what goes into the model.

        Args:
            args: Of the forward pass.
            kwargs: Of it.
        """
        if not self._asked:
            return
        if self._stale:
            self.forget()
        alone = len(args) == 1 and isinstance(args[0], Tensor) and not kwargs
        self._inputs.append(args[0] if alone else None)

    def see(self, index: int, output: Tensor) -> None:
        """Keep what one point shows.

        Args:
            index: Which point.
            output: Of its module.
        """
        if self._stale:
            self.forget()
        seen = output if self._history else output.detach()
        function = self._points[index].function
        if function is not None:
            seen = function(seen)
        calls = self._seen[index]
        if self._gradients and output.requires_grad:
            self._feel(index, len(calls), output)
        kept = seen.clone() if index in self._copied else seen
        calls.append(_Call(kept, seen.detach(), seen._version))

    def see_in_graph(self, index: int, output: Tensor) -> None:
        """Let a compiled pass keep what one point shows.

        Args:
            index: Which point.
            output: Of its module.
        """
        if self._gradients or self._history:
            self._see_outside(index, output)
            return
        function = self._points[index].function
        seen = output.detach()
        _show(
            seen if function is None else function(seen), self._mark, self._key, index
        )

    @torch.compiler.disable
    def _see_outside(self, index: int, output: Tensor) -> None:
        """Break a compiled graph, which would hide what a gradient goes through."""
        self.see(index, output)

    def keep(self, index: int, activations: Tensor) -> None:
        """Keep a copy of what was seen in a compiled pass, whose memory is its own.

        Args:
            index: Which point.
            activations: What was seen there.
        """
        if self._stale:
            self.forget()
        copy = activations.clone()
        self._seen[index].append(_Call(copy, copy, copy._version))

    def _feel(self, index: int, call: int, output: Tensor) -> None:
        """Keep the gradient that will reach an output."""
        point, felt = self._points[index], self._felt[index]

        def keep(gradient: Tensor) -> None:
            felt[call] = point.lying(gradient)

        output.register_hook(keep)

    def look(self) -> dict[str, Any]:
        """Return what was seen since the last step: activations and their gradients.

        Each is ``(1, samples, units)`` a layer, of all processes; with the model's
        inputs, ``(1, batch, ...)``, if they are asked for.

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
        if self._history:  # that of this step has served
            for calls in self._seen:
                calls[:] = [call._replace(kept=call.kept.detach()) for call in calls]
        shown: dict[str, Any] = {}
        if self._points:
            shown["activations"] = Shown(lambda: gathered(self.last(), self._group))
        if self._gradients:
            shown["gradients"] = Shown(lambda: gathered(self._gradient(), self._group))
        if self._asked:
            (shown["inputs"],) = gathered([self._entered(0)], self._group)
        return shown

    def look_in_loss(self) -> dict[str, Any]:
        """Return what the passes have shown that no penalty has seen, with its history.

        Asked again it is the same.

        Raises:
            ValueError: If there was no pass in this step.
        """
        now = [*map(len, self._seen), len(self._inputs)]
        if self._stale or not any(now):
            needed = "a forward pass in training mode before plastic.penalty()"
            raise ValueError(refusal(needed, "none", "call the model first"))
        if now != self._counted:
            self._counted_before, self._counted = self._counted, now
        begun = self._counted_before
        shown: dict[str, Any] = {}
        if self._points:
            shown["activations"] = self._activations(begun)
        if self._asked:
            shown["inputs"] = self._entered(begun[-1])
        return shown

    def _entered(self, begun: int) -> Tensor:
        """Return the inputs of the passes from one on, ``(1, batch, ...)``."""
        inputs = self._inputs[begun:]
        if not inputs or any(one is None for one in inputs):
            needed = "a model called with one tensor, for a method that looks at it"
            raise ValueError(refusal(needed, "other arguments", "use another method"))
        return _joined([one.unsqueeze(0) for one in inputs])

    def last(self) -> list[Tensor]:
        """Return the latest activations of each layer, as far as there are any."""
        if not all(self._seen):
            return []
        found = self._activations([0] * len(self._seen))
        return [hidden.detach() for hidden in found] if self._history else found

    def _activations(self, begun: Sequence[int]) -> list[Tensor]:
        """Return the activations of each layer's calls from one on."""
        found = []
        for point, calls, first in zip(self._points, self._seen, begun, strict=False):
            parts = [point.lying(call.kept) for call in calls[first:]]
            found.append(_joined(parts))
        return found

    def _gradient(self) -> list[Tensor]:
        """Return the loss's gradients by the activations, of the same shapes."""
        found = []
        for point, calls, felt in zip(
            self._points, self._seen, self._felt, strict=True
        ):
            none = (torch.zeros_like(point.lying(call.kept)) for call in calls)
            found.append(_joined([felt.get(i, zero) for i, zero in enumerate(none)]))
        return found

    def _find_changed(self) -> None:
        """Learn at the first step which layers' activations the model overwrites."""
        changed = {
            index
            for index, calls in enumerate(self._seen)
            for call in calls
            if call.seen._version != call.version
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
        self._inputs.clear()
        self._counted = self._counted_before = [0] * len(self._counted)
        self._stale = False

    def close(self) -> None:
        """Take the hooks off the model."""
        self.forget()
        for handle in self._handles:
            handle.remove()


# A compiled graph keeps an operation only if it changes something: the mark.
@torch.library.custom_op("isometry::show", mutates_args={"mark"})
def _show(seen: Tensor, mark: Tensor, watcher: int, index: int) -> None:
    """Show a watcher what one point has seen, from inside a compiled graph."""
    if watcher in _watchers:
        _watchers[watcher].keep(index, seen)


@_show.register_fake
def _(seen: Tensor, mark: Tensor, watcher: int, index: int) -> None:
    """Change nothing that a compiler has to know of."""


def _joined(parts: list[Tensor]) -> Tensor:
    """Return the samples of several calls one after the other."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
