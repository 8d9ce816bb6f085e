"""A method bound to somebody's model and optimiser, and what it carries along."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from isometry.adamo import AdamO
from isometry.attachment.function import Offset, model_function
from isometry.attachment.noticing import Steps, Unchanged
from isometry.attachment.optimisers import IsometryStep, follow_gradients
from isometry.attachment.penalty import penalty_of
from isometry.attachment.stack import Memory, ModelStack, stack_of
from isometry.attachment.watching import Watcher
from isometry.attachment.wiring import Wiring
from isometry.core.messages import refusal
from isometry.methods import METHODS, Method, State, Training

# What a method sees of one pass, and nobody else keeps.
NOTHING: dict[str, Any] = {"activations": (), "gradients": (), "inputs": None}


class Binding:
    """A method on a model: its hooks, what it sees, and what it carries along.

    Args:
        model: The network.
        optimizer: Holds its parameters, or None: the method brings its own.
        method: How the network is kept plastic.
        settings: The method's own.
        spared: Names of parameters to leave alone -> why.
        to_isometry: Whether marked parameters are kept from the method.
        beside: Whether AdamO's isometry step goes beside the optimiser's.
        lr: Learning rate, > 0.
        seed: Of what the method draws.
        group: Processes that train this model, or None.
    """

    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        method: Method,
        settings: Any,
        *,
        spared: Mapping[str, str],
        to_isometry: bool,
        beside: bool,
        lr: float,
        seed: int,
        group: Any,
    ) -> None:
        self.model, self.method, self._settings = model, method, settings
        self._spared, self.beside, self._to_isometry = spared, beside, to_isometry
        self._lr, self.seed, self.group = lr, seed, group
        self.task = self.begun = self.steps = 0
        self.carried: State = {}
        self.replaced: dict[str, int] = {}
        self.stack: ModelStack | None = None
        parts = [METHODS.get(name) for name in method.parts] or [method]
        # Whether a penalty looks at activations or inputs.
        self.looks = any(p.penalty and (p.watches or p.reads) for p in parts)
        self.watcher: Watcher | None = None
        self._open: list[Any] = []  # what is to be closed at the end
        self._own, self._quiet = optimizer is None, False
        if optimizer is not None:
            self._notice(optimizer)

    def _notice(self, optimizer: torch.optim.Optimizer) -> None:
        """Begin to notice the steps of the optimiser."""
        named = self.model.named_parameters()
        trained = [p for name, p in named if name not in self._spared]
        acts = self._own or self.beside or self.method.before_step is not None
        before = self._before_step if acts else None
        self.optimizer, self.taking = optimizer, Steps(optimizer, trained, before)
        self._open.append(self.taking)

    @torch.no_grad()
    def begin(self, wiring: Wiring) -> None:
        """Take the model as it is now for what it is before the first step."""
        stack = stack_of(
            self.model, wiring, self._spared, to_isometry=self._to_isometry
        )
        method = self.method
        if method.watches and not stack.structure.layers:
            self._refuse_units(stack)
        if method.watches or method.reads:
            self.watcher = Watcher(
                self.model,
                stack.points if method.watches else (),
                gradients=method.watches_gradients,
                history=self.looks,
                inputs=method.reads,
                group=self.group,
            )
            self._open.append(self.watcher)
        whole = stack.whole_views()
        function = model_function(self.model, whole, stack.points, self._unseen)
        stack.structure = replace(stack.structure, function=function)
        self.stack = stack
        if method.offset is not None:
            self._open.append(Offset(self.model, self._added))
        self.zero = next(iter(stack.parameters.values())).new_zeros(())
        if self._own:
            own = self._made_optimizer(stack)
            self._open.append(follow_gradients(own, stack))
            self._notice(own)
        self.memory: Any = Memory(self.optimizer, stack, self._own)
        if self.beside:
            pull = self._made_optimizer(stack)
            assert isinstance(pull, AdamO)
            self.pull = IsometryStep(pull, self.optimizer, stack)
            self._open.append(self.pull)
        self.unchanged = Unchanged(self.model)
        if method.start is not None:
            self.carried = method.start(self.training())
        self.penalty = None
        if method.penalty is not None:
            self.penalty = penalty_of(method, self.training(), stack)
        self.renew()

    def _refuse_units(self, stack: ModelStack) -> None:
        """Say why no layer has units to look at."""
        needed = f"a hidden layer with units of its own for {self.method.name}"
        weight = next(iter(stack.refused), None)
        found = "none" if weight is None else f"{weight}: {stack.refused[weight]}"
        raise ValueError(refusal(needed, found, "use a method that replaces no units"))

    def renew(self) -> None:
        """Make what the method sees in the steps of this task."""
        self.in_loss = self.training()
        self._before = self.training(optimizer=self.memory)
        self.after = self.training(optimizer=self.memory)

    def _made_optimizer(self, stack: ModelStack) -> torch.optim.Optimizer:
        """Return the method's optimiser over the views, each entry once."""
        training = self.training()
        once = {n: p for n, p in stack.parameters.items() if n not in stack.columns}
        roles = {name: stack.structure.roles[name] for name in once}
        structure = replace(stack.structure, roles=roles)
        training = replace(training, parameters=once, structure=structure)
        return self.method.optimizer(training)

    def training(self, **more: Any) -> Training:
        """Return what the method sees."""
        assert self.stack is not None
        return Training(
            structure=self.stack.structure,
            parameters=self.stack.parameters,
            seeds=[self.seed],
            settings=self._settings,
            lr=self._lr,
            task=self.task,
            step=self.begun,
            state=self.carried,
            gradient_of=self.stack.gradient,
            replaced=self._note_replaced,
            **more,
        )

    def _note_replaced(self, index: int, chosen: Tensor) -> None:
        """Count new units, and let norms forget what they know of the old ones."""
        assert self.stack is not None
        weight = self.stack.structure.layers[index].weight
        count = int(chosen.sum())
        self.replaced[weight] = self.replaced.get(weight, 0) + count
        for norm in self.stack.running.get(weight, ()):
            norm.running_mean.masked_fill_(chosen[0], 0)  # type: ignore[operator]
            norm.running_var.masked_fill_(chosen[0], 1)  # type: ignore[operator]

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        """Let the model run as it is, without being watched."""
        before, self._quiet = self._quiet, True
        if self.watcher is not None:
            self.watcher.quiet = True
        try:
            yield
        finally:
            self._quiet = before
            if self.watcher is not None:
                self.watcher.quiet = before

    def _added(self, inputs: Tensor) -> Tensor | None:
        """Return what the method adds to the model's outputs on a minibatch."""
        if self._quiet:
            return None
        assert self.method.offset is not None
        with torch.no_grad():
            return self.method.offset(self.training(inputs=inputs.unsqueeze(0)))

    def _before_step(self) -> None:
        """Let the method act on the gradients of a step."""
        if self.stack is None:
            return
        if self._own:
            self.stack.bind_gradients_()
        if self.beside:
            self.pull.bind_gradients_()
        if self.method.before_step is not None:
            self.method.before_step(self._before)

    def restart(self, stack: ModelStack) -> None:
        """Draw the network anew; what was learned and remembered is gone."""
        drawn = stack.structure.fresh(self.seed, self.task)
        for name, parameter in stack.parameters.items():
            if name in drawn:
                parameter.copy_(drawn[name].unsqueeze(0))
        for module in self.model.modules():
            if hasattr(module, "reset_running_stats"):
                module.reset_running_stats()  # type: ignore[operator]
        self.memory.clear()
        if self.beside:
            self.pull.clear()
        if self.method.start is not None:
            self.carried = self.method.start(self.training())

    def penalised(self, losses: Any) -> Tensor:
        """Return the penalty on what the passes since the last one have shown.

        Args:
            losses: The minibatch's loss, ``(1,)``.
        """
        assert self.penalty is not None
        now: dict[str, Any] = {"losses": losses}
        if self.looks and self.watcher is not None:
            now |= self.watcher.look_in_loss()
        # Frozen for methods; making a new one takes as long as their arithmetic.
        vars(self.in_loss).update(now)
        penalty = self.penalty(self.in_loss)
        vars(self.in_loss).update(NOTHING)
        return penalty

    def after_step(self) -> None:
        """Let the method act after a step, if one was taken."""
        watcher = self.watcher
        if not self.taking.taken():
            if watcher is not None:
                watcher.forget()
            return
        if self.method.after_step is not None:
            now: dict[str, Any] = {} if watcher is None else watcher.look()
            vars(self.after).update(now, step=self.steps)
            with torch.no_grad():
                self.method.after_step(self.after)
            vars(self.after).update(NOTHING)
        self.steps += 1

    def close(self) -> None:
        """Take every hook off the model and the optimiser."""
        for part in self._open:
            part.close()
