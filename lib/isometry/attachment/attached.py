"""A method at work on somebody's model: what :func:`isometry.attach` returns."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from isometry.adamo import AdamO
from isometry.attachment.beside import IsometryStep
from isometry.attachment.function import Offset, model_function
from isometry.attachment.noticing import Steps, Unchanged
from isometry.attachment.own import follow_gradients
from isometry.attachment.penalty import penalty_of
from isometry.attachment.report import Report, report_of
from isometry.attachment.stack import Memory, ModelStack, stack_of
from isometry.attachment.watching import Watcher, gathered
from isometry.attachment.wiring import Wiring
from isometry.core.messages import refusal
from isometry.methods import METHODS, Method, State, Training
from isometry.methods.training import Batch

Wire = Callable[[tuple[Any, ...], dict[str, Any]], Wiring]
_models: "WeakSet[nn.Module]" = WeakSet()  # those that something is attached to


class _Missing:
    """Stands for what a method may ask for and the caller has not given.

    Args:
        needed: What it is.
        found: How the call looked.
        do: How it is given.
    """

    def __init__(self, needed: str, found: str, do: str) -> None:
        self._said = refusal(needed, found, do)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise ValueError(self._said)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__torch_function__":
            raise AttributeError(name)
        return self._refuse()

    __call__ = __getitem__ = __len__ = __iter__ = _refuse


class Attached:
    """A method on a model and an optimiser; made by :func:`isometry.attach`.

    Attributes:
        optimizer: Takes the steps: the one that was given, or the method's own.
    """

    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        method: Method,
        settings: Any,
        *,
        wiring: Wiring | None,
        wire: Wire,
        spared: Mapping[str, str],
        to_isometry: bool,
        beside: bool,
        lr: float,
        seed: int,
        process_group: Any,
    ) -> None:
        self._model, self._method, self._settings = model, method, settings
        self._wire, self._spared, self._beside = wire, spared, beside
        self._to_isometry = to_isometry
        self._lr, self._seed, self._group = lr, seed, process_group
        self._task = self._begun = self._steps = 0
        self._carried: State = {}
        self._replaced: dict[str, int] = {}
        self._loaded: dict[str, Any] | None = None
        self._stack: ModelStack | None = None
        parts = [METHODS.get(name) for name in method.parts] or [method]
        # Whether a penalty looks at activations or inputs.
        self._looks = any(p.penalty and (p.watches or p.reads) for p in parts)
        self._watcher: Watcher | None = None
        self._no_loss = _Missing(
            f"the loss for {method.name}", "penalty()", "call plastic.penalty(loss)"
        )
        self._open: list[Any] = []  # what is to be closed at the end
        self._own, self._quiet = optimizer is None, False
        _models.add(model)
        if optimizer is not None:
            self._notice(optimizer)
        if wiring is not None:
            self._begin(wiring)
        else:
            self._first = model.register_forward_pre_hook(
                _Start(self), with_kwargs=True
            )

    def _notice(self, optimizer: torch.optim.Optimizer) -> None:
        """Begin to notice the steps of the optimiser."""
        named = self._model.named_parameters()
        trained = [p for name, p in named if name not in self._spared]
        acts = self._own or self._beside or self._method.before_step is not None
        before = self._before_step if acts else None
        self.optimizer, self._taking = optimizer, Steps(optimizer, trained, before)
        self._open.append(self._taking)

    @torch.no_grad()
    def _begin(self, wiring: Wiring) -> None:
        """Take the model as it is now for what it is before the first step."""
        stack = stack_of(
            self._model, wiring, self._spared, to_isometry=self._to_isometry
        )
        method = self._method
        if method.watches and not stack.structure.layers:
            self._refuse_units(stack)
        if method.watches or method.reads:
            self._watcher = Watcher(
                self._model,
                stack.points if method.watches else (),
                gradients=method.watches_gradients,
                history=self._looks,
                inputs=method.reads,
                group=self._group,
            )
            self._open.append(self._watcher)
        whole = stack.whole_views()
        function = model_function(self._model, whole, stack.points, self._unseen)
        stack.structure = replace(stack.structure, function=function)
        self._stack = stack
        if method.offset is not None:
            self._open.append(Offset(self._model, self._added))
        self._zero = next(iter(stack.parameters.values())).new_zeros(())
        if self._own:
            own = self._made_optimizer(stack)
            self._open.append(follow_gradients(own, stack))
            self._notice(own)
        self._memory: Any = Memory(self.optimizer, stack, self._own)
        if self._beside:
            pull = self._made_optimizer(stack)
            assert isinstance(pull, AdamO)
            self._pull = IsometryStep(pull, self.optimizer, stack)
            self._open.append(self._pull)
        self._unchanged = Unchanged(self._model)
        if method.start is not None:
            self._carried = method.start(self._training())
        self._penalty = None
        if method.penalty is not None:
            self._penalty = penalty_of(method, self._training(), stack)
        self._renew()
        if self._loaded is not None:
            self._restore(self._loaded)

    def _refuse_units(self, stack: ModelStack) -> None:
        """Say why no layer has units to look at."""
        needed = f"a hidden layer with units of its own for {self._method.name}"
        weight = next(iter(stack.refused), None)
        found = "none" if weight is None else f"{weight}: {stack.refused[weight]}"
        raise ValueError(refusal(needed, found, "use a method that replaces no units"))

    def _renew(self) -> None:
        """Make what the method sees in the steps of this task."""
        self._in_loss = self._training()
        self._before = self._training(optimizer=self._memory)
        self._after = self._training(optimizer=self._memory)

    def _made_optimizer(self, stack: ModelStack) -> torch.optim.Optimizer:
        """Return the method's optimiser over the views, each entry once."""
        training = self._training()
        once = {n: p for n, p in stack.parameters.items() if n not in stack.columns}
        roles = {name: stack.structure.roles[name] for name in once}
        structure = replace(stack.structure, roles=roles)
        training = replace(training, parameters=once, structure=structure)
        return self._method.optimizer(training)

    def _ready(self, asked: str) -> ModelStack:
        """Return the model as methods see it, or say that it is too early or late."""
        if self._model not in _models:
            needed, do = "an attached method", "call isometry.attach again"
            raise ValueError(refusal(needed, f"{asked} after detach()", do))
        if self._stack is None:
            needed = f"a forward pass of the model before {asked}"
            do = "call the model first, or pass inputs= to isometry.attach"
            raise ValueError(refusal(needed, "none since isometry.attach", do))
        return self._stack

    def _training(self, **more: Any) -> Training:
        """Return what the method sees."""
        assert self._stack is not None
        return Training(
            structure=self._stack.structure,
            parameters=self._stack.parameters,
            seeds=[self._seed],
            settings=self._settings,
            lr=self._lr,
            task=self._task,
            step=self._begun,
            state=self._carried,
            gradient_of=self._stack.gradient,
            replaced=self._note_replaced,
            **more,
        )

    def _note_replaced(self, index: int, chosen: Tensor) -> None:
        """Count new units, and let norms forget what they know of the old ones."""
        assert self._stack is not None
        weight = self._stack.structure.layers[index].weight
        count = int(chosen.sum())
        self._replaced[weight] = self._replaced.get(weight, 0) + count
        for norm in self._stack.running.get(weight, ()):
            norm.running_mean.masked_fill_(chosen[0], 0)  # type: ignore[operator]
            norm.running_var.masked_fill_(chosen[0], 1)  # type: ignore[operator]

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        """Let the model run as it is, without being watched."""
        before, self._quiet = self._quiet, True
        if self._watcher is not None:
            self._watcher.quiet = True
        try:
            yield
        finally:
            self._quiet = before
            if self._watcher is not None:
                self._watcher.quiet = before

    def _added(self, inputs: Tensor) -> Tensor | None:
        """Return what the method adds to the model's outputs on a minibatch."""
        if self._quiet:
            return None
        assert self._method.offset is not None
        with torch.no_grad():
            return self._method.offset(self._training(inputs=inputs.unsqueeze(0)))

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
        if self._penalty is None:
            return self._zero
        now: dict[str, Any] = {}
        if self._looks and self._watcher is not None:
            now = self._watcher.look_in_loss()
        now["losses"] = self._no_loss if loss is None else loss.detach().view(1)
        vars(self._in_loss).update(now)
        kind = self._zero.device.type
        if not torch.is_autocast_enabled(kind):
            return self._penalty(self._in_loss)
        with torch.autocast(kind, enabled=False):
            return self._penalty(self._in_loss)

    def _before_step(self) -> None:
        """Let the method act on the gradients of a step."""
        if self._stack is None:
            return
        if self._own or self._beside:
            self._stack.bind_gradients_()
        if self._method.before_step is not None:
            self._method.before_step(self._before)

    def step(self) -> None:
        """Let the method act after a step of the optimiser, and count it.

        Call it once after each ``optimizer.step()``, also with a GradScaler: a step
        that it leaves out is not counted, and nothing is done.

        Raises:
            ValueError: If there was no forward pass, no backward pass or no step since
                the last call, or the model was changed.
        """
        self._ready("step()")
        self._unchanged.check()
        watcher = self._watcher
        if not self._taking.taken():
            if watcher is not None:
                watcher.forget()
            return
        if self._method.after_step is not None:
            now: dict[str, Any] = {} if watcher is None else watcher.look()
            # Frozen for methods; making a new one takes as long as their arithmetic.
            vars(self._after).update(now, step=self._steps)
            with torch.no_grad():
                self._method.after_step(self._after)
        self._steps += 1

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
        self._unchanged.check()
        self._task += 1
        self._begun = self._steps
        if self._method.restarts:
            self._restart(stack)
        elif self._method.before_task is not None:
            more = {"optimizer": self._memory} | self._first_pass(batch)
            self._method.before_task(self._training(**more))
        self._renew()

    def _first_pass(self, batch: Any) -> dict[str, Any]:
        """Return what a method sees of a new task's data, of all processes."""
        if batch is None:
            needed = f"the new task's first minibatch for {self._method.name}"
            do = "call plastic.new_task((inputs, targets))"
            none = _Missing(needed, "new_task() without one", do)
            return {"inputs": none, "targets": none, "batches": none}
        first = batch[0] if isinstance(batch, tuple | list) and batch else batch
        alone = isinstance(batch, Tensor) or isinstance(first, Tensor)

        def batches() -> Iterator[Batch]:
            for one in (batch,) if alone else batch:
                pair = (one,) if isinstance(one, Tensor) else one
                found = gathered([part.unsqueeze(0) for part in pair], self._group)
                yield found[0], found[1] if len(found) > 1 else None

        inputs, targets = next(batches())
        return {"inputs": inputs, "targets": targets, "batches": batches}

    def _restart(self, stack: ModelStack) -> None:
        """Draw the network anew; what was learned and remembered is gone."""
        drawn = stack.structure.fresh(self._seed, self._task)
        for name, parameter in stack.parameters.items():
            if name in drawn:
                parameter.copy_(drawn[name].unsqueeze(0))
        for module in self._model.modules():
            if hasattr(module, "reset_running_stats"):
                module.reset_running_stats()  # type: ignore[operator]
        self._memory.clear()
        if self._beside:
            self._pull.clear()
        if self._method.start is not None:
            self._carried = self._method.start(self._training())

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Put what is to be measured in place of what is trained, inside the block.

        For most methods that is the same; hare_tortoise measures a slow copy.
        """
        stack, method = self._ready("measured()"), self._method
        if method.measured is None:
            yield
            return
        kept = {name: p.clone() for name, p in stack.parameters.items()}
        with torch.no_grad():
            for name, value in method.measured(self._training()).items():
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
        if self._stack is None and self._loaded is not None:
            return self._loaded
        counts = {"task": self._task, "begun": self._begun, "steps": self._steps}
        pull = self._pull.state_dict() if self._beside and self._stack else None
        return {
            "method": self._method.name,
            "seed": self._seed,
            **counts,
            "carried": self._carried,
            "replaced": dict(self._replaced),
            "pull": pull,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken.

        Args:
            state: From :meth:`state_dict`, of the same method on such a model.

        Raises:
            ValueError: If it is that of another method or another model.
        """
        if state.get("method") != self._method.name:
            found = f"that of {state.get('method')!r}"
            needed = f"a state of {self._method.name}"
            raise ValueError(refusal(needed, found, "attach that method"))
        self._loaded = dict(state)
        if self._stack is not None:
            self._restore(self._loaded)

    def _restore(self, state: dict[str, Any]) -> None:
        """Put a state in place."""
        missing = sorted(set(self._carried) - set(state["carried"]))
        if missing:
            needed = f"a state of this model, with {missing[0]!r}"
            raise ValueError(refusal(needed, "one without", "load that of this model"))
        self._carried = _copied(state["carried"], self._zero.device)
        self._replaced = dict(state["replaced"])
        self._seed, self._task = state["seed"], state["task"]
        self._begun, self._steps = state["begun"], state["steps"]
        if self._beside and state["pull"] is not None:
            self._pull.load_state_dict(state["pull"])
        self._renew()
        self._loaded = None

    def report(self) -> Report:
        """Return what the method treats, layer by layer and parameter by parameter."""
        stack = self._ready("report()")
        last = self._watcher.last() if self._watcher is not None else []
        return report_of(self._method, stack, self._replaced, last)

    def detach(self) -> None:
        """Take every hook off the model and the optimiser; the rest stays as it is.

        Layers that the method put into the model when it was attached stay there.
        """
        if self._model not in _models:
            return
        _models.discard(self._model)
        if self._stack is None:
            self._first.remove()
        for part in self._open:
            part.close()


class _Start:
    """A hook on the whole model that wires it at its first training pass.

    Args:
        attached: Whom to begin, or None in a copy of the model.
    """

    def __init__(self, attached: Attached | None = None) -> None:
        self.attached = attached

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        attached, self.attached = self.attached, None
        if attached is None:
            return
        if not module.training or not torch.is_grad_enabled():
            self.attached = attached
            return
        if torch.compiler.is_compiling():
            needed = "inputs= for a model that is compiled"
            do = "pass a minibatch to isometry.attach, before torch.compile"
            raise ValueError(refusal(needed, "none", do))
        attached._begin(attached._wire(args, kwargs))
        attached._first.remove()

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
