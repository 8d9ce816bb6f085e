"""A method at work on somebody's model: what ``isometry.attach`` returns."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from isometry.attachment.batches import Missing, first_pass
from isometry.attachment.binding import Binding
from isometry.attachment.report import Report, report_of
from isometry.attachment.stack import ModelStack
from isometry.attachment.wiring import Wiring
from isometry.core.messages import refusal
from isometry.methods import State

Wire = Callable[[tuple[Any, ...], dict[str, Any]], Wiring]
_models: "WeakSet[nn.Module]" = WeakSet()  # those that something is attached to


class Attached:
    """A method on a model and an optimiser, as ``isometry.attach`` makes it."""

    def __init__(self, binding: Binding, wire: Wire, wiring: Wiring | None) -> None:
        self._binding = binding
        self._no_loss = Missing(
            f"the loss for {binding.method.name}",
            "penalty()",
            "call plastic.penalty(loss)",
        )
        self._loaded: dict[str, Any] | None = None
        self._first: Any = None
        self._live = True
        _models.add(binding.model)
        if wiring is not None:
            self.begin(wiring)
            return
        start = _Start(self, wire)
        self._first = binding.model.register_forward_pre_hook(start, with_kwargs=True)

    def begin(self, wiring: Wiring) -> None:
        """Let the method begin on the model as it is now.

        Args:
            wiring: What its parameters and layers are.
        """
        try:
            self._binding.begin(wiring)
            if self._loaded is not None:
                self._restore(self._loaded)
        except Exception:
            self.detach()
            raise
        if self._first is not None:
            self._first.remove()

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Take notice of the pass in which the method began, whose hooks come too late.

        Args:
            args: Of the model.
            kwargs: Of it.
        """
        if self._binding.watcher is not None:
            self._binding.watcher.enter(args, kwargs)

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What takes the steps: the optimiser given, or the method's own."""
        return self._binding.optimizer

    def _ready(self, asked: str) -> ModelStack:
        """Return the model as methods see it, or say that it is too early or late."""
        if not self._live:
            needed, do = "an attached method", "call isometry.attach again"
            raise ValueError(refusal(needed, f"{asked} after detach()", do))
        if self._binding.stack is None:
            needed = f"a forward pass of the model before {asked}"
            do = "call the model first, or pass inputs= to isometry.attach"
            raise ValueError(refusal(needed, "none since isometry.attach", do))
        return self._binding.stack

    def penalty(self, loss: Tensor | None = None) -> Tensor:
        """Return what the method adds to the loss, a scalar; 0 if it adds nothing.

        It is computed without autocast.

        Args:
            loss: The minibatch's, for methods whose penalty is a share of it.

        Raises:
            ValueError: Before the first forward pass, after :meth:`detach`, or if the
                method needs the loss and there is none.
        """
        self._ready("penalty()")
        binding = self._binding
        if binding.penalty is None:
            return binding.zero
        losses = self._no_loss if loss is None else loss.detach().view(1)
        kind = binding.zero.device.type
        if not torch.is_autocast_enabled(kind):
            return binding.penalised(losses)
        with torch.autocast(kind, enabled=False):
            return binding.penalised(losses)

    def step(self) -> None:
        """Let the method act after a step of the optimiser, and count it.

        Call it once after each ``optimizer.step()``, also with a GradScaler: a step
        that it leaves out is not counted, and nothing is done.

        Raises:
            ValueError: If there was no forward pass, no backward pass or no step since
                the last call, or the model was changed.
        """
        self._ready("step()")
        self._binding.unchanged.check()
        self._binding.after_step()

    @torch.no_grad()
    def new_task(self, batch: Any = None) -> None:
        """Let the method act at the start of a task that is not the first.

        A method whose every task starts from a new network draws one, and the optimiser
        forgets.

        Args:
            batch: The task's first minibatch, inputs or ``(inputs, targets)``, or an
                iterable of minibatches, such as a loader; some methods look at it.

        Raises:
            ValueError: If the method needs the minibatch and there is none.
        """
        stack = self._ready("new_task()")
        binding, method = self._binding, self._binding.method
        binding.unchanged.check()
        binding.task += 1
        binding.begun = binding.steps
        if method.restarts:
            binding.restart(stack)
        elif method.before_task is not None:
            seen = first_pass(batch, method.name, binding.group)
            method.before_task(binding.training(optimizer=binding.memory, **seen))
        binding.renew()

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Put what is to be measured in place of what is trained, inside the block.

        For most methods that is the same; hare_tortoise measures a slow copy.
        """
        stack, measured = self._ready("measured()"), self._binding.method.measured
        if measured is None:
            yield
            return
        kept = {name: p.clone() for name, p in stack.parameters.items()}
        with torch.no_grad():
            for name, value in measured(self._binding.training()).items():
                stack.parameters[name].copy_(value)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in kept.items():
                    stack.parameters[name].copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return what goes on after a restart: counts, and what the method carries.

        As in torch, tensors are not copied. The model and the optimiser have states of
        their own.
        """
        binding = self._binding
        if binding.stack is None and self._loaded is not None:
            return self._loaded
        begun = binding.beside and binding.stack is not None
        return {
            "method": binding.method.name,
            "seed": binding.seed,
            "task": binding.task,
            "begun": binding.begun,
            "steps": binding.steps,
            "carried": binding.carried,
            "replaced": dict(binding.replaced),
            "pull": binding.pull.state_dict() if begun else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken.

        Args:
            state: From :meth:`state_dict`, of the same method on such a model.

        Raises:
            ValueError: If it is that of another method or another model.
        """
        name = self._binding.method.name
        if state.get("method") != name:
            needed, found = f"a state of {name}", f"that of {state.get('method')!r}"
            raise ValueError(refusal(needed, found, "attach that method"))
        self._loaded = dict(state)
        if self._binding.stack is not None:
            self._restore(self._loaded)

    def _restore(self, state: dict[str, Any]) -> None:
        """Put a state in place."""
        binding = self._binding
        missing = sorted(set(binding.carried) - set(state["carried"]))
        if missing:
            needed = f"a state of this model, with {missing[0]!r}"
            raise ValueError(refusal(needed, "one without", "load that of this model"))
        binding.carried = _copied(state["carried"], binding.zero.device)
        binding.replaced = dict(state["replaced"])
        binding.seed, binding.task = state["seed"], state["task"]
        binding.begun, binding.steps = state["begun"], state["steps"]
        if binding.beside and state["pull"] is not None:
            binding.pull.load_state_dict(state["pull"])
        binding.renew()
        self._loaded = None

    def report(self) -> Report:
        """Return what the method treats, layer by layer and parameter by parameter."""
        stack, binding = self._ready("report()"), self._binding
        last = binding.watcher.last() if binding.watcher is not None else []
        return report_of(binding.method, stack, binding.replaced, last)

    def detach(self) -> None:
        """Take every hook off the model and the optimiser; the rest stays as it is.

        Layers that the method put into the model when it was attached stay there.
        """
        if not self._live:
            return
        self._live = False
        _models.discard(self._binding.model)
        if self._first is not None:
            self._first.remove()
        self._binding.close()


class _Start:
    """A hook on the whole model that wires it at its first training pass.

    Args:
        attached: Whom to begin, or None in a copy of the model.
        wire: ``(args, kwargs) -> Wiring``.
    """

    def __init__(
        self, attached: Attached | None = None, wire: Wire | None = None
    ) -> None:
        self.attached = attached
        self.wire = wire

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        attached = self.attached
        if attached is None or not module.training or not torch.is_grad_enabled():
            return
        self.attached = None  # so that the look at the model does not come back here
        self._look(attached, args, kwargs)

    @torch.compiler.disable
    def _look(self, attached: Attached, args: Any, kwargs: Any) -> None:
        """Wire the model, outside of a graph, and let the method begin."""
        try:
            wiring = self.wire(args, kwargs)  # type: ignore[misc]
        except Exception:
            attached.detach()
            raise
        attached.begin(wiring)
        attached.enter(args, kwargs)

    def __deepcopy__(self, memo: Any) -> "_Start":
        return _Start()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Start, ()


def is_attached(model: nn.Module) -> bool:
    """Return whether a method is attached to a model.

    Args:
        model: Any module.
    """
    return model in _models


def _copied(carried: State, device: torch.device) -> State:
    """Return copies of what a method carries, on a device."""
    return {
        name: _copied(value, device)
        if isinstance(value, dict)
        else value.detach().to(device, copy=True)
        for name, value in carried.items()
    }
