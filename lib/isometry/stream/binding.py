"""A method bound to a network: its optimiser, its state, its places in a step."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from isometry.core.stacking import Parameters
from isometry.methods.activations import as_samples
from isometry.methods.method import Method
from isometry.methods.structure import DRAWN, Structure
from isometry.methods.training import Batch, Training
from isometry.stream.run import Run

LARGE = 1e5  # no weight of a network that learns is


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Where a method intervenes in a step, as a trainer calls it.

    Attributes:
        penalty: ``(activations, losses) -> (members,)`` to add to the losses.
        add_gradient: Called without autograd before the optimiser's step: adds the
            penalty's gradient, where it stands for the penalty, and what else a method
            does there.
        after_step: Called without autograd after the optimiser's step, with the number
            of steps of this task taken before, and what was watched.
        watch: Whether it gets each hidden layer's activations on the step's minibatch,
            ``(members, samples, units)``, from before the step.
        watch_gradients: Whether it gets the loss's gradients by these as well.
        see: Takes the step's inputs and targets before its pass; None: nobody reads.
        measured: Gives the parameters that are measured, or None: those in training.
        offset: ``(inputs) -> what is added to the outputs``, or None: nothing is.
        draws: ``(steps of this task taken before) -> one generator a member``, where a
            pass in training draws what its units do.
    """

    penalty: Callable[..., Tensor] | None = None
    add_gradient: Callable[[], None] | None = None
    after_step: Callable[[int, Sequence[Tensor], Sequence[Tensor]], None] | None = None
    watch: bool = False
    watch_gradients: bool = False
    see: Callable[[Tensor, Tensor | None], None] | None = None
    measured: Callable[[], Parameters] | None = None
    offset: Callable[[Tensor], Tensor | None] | None = None
    draws: Callable[[int], list[torch.Generator]] | None = None

    @property
    def idle(self) -> bool:
        """Whether the method does nothing in a step."""
        acts = (self.penalty, self.add_gradient, self.after_step)
        return all(act is None for act in (*acts, self.see, self.offset, self.draws))

    def look(self, activations: Sequence[Tensor]) -> None:
        """Make the coming backward pass keep the gradients that the method asks for.

        Args:
            activations: Of the hidden layers, tensors that the loss is computed from.
        """
        if self.watch_gradients:
            for hidden in activations:
                hidden.retain_grad()

    @torch.no_grad()
    def act(self, step: int, activations: Sequence[Tensor]) -> None:
        """Let the method act after a step.

        Args:
            step: Steps of this task taken before.
            activations: Those of :meth:`look`, or the same without a history.
        """
        if self.after_step is None:
            return
        seen = [as_samples(h.detach()) for h in activations] if self.watch else ()
        gradients: Sequence[Tensor] = ()
        if self.watch_gradients:
            gradients = [as_samples(h.grad) for h in activations]  # type: ignore[arg-type]
        self.after_step(step, seen, gradients)


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A method with its settings on a network.

    Attributes:
        method: How the network is kept plastic.
        settings: The method's own.
        structure: The network, as far as the method acts on it.
        lr: Learning rate, > 0.
    """

    method: Method
    settings: Any
    structure: Structure
    lr: float

    def training(self, run: Run, **more: Any) -> Training:
        """Return what the method sees of a run.

        Args:
            run: Between two tasks, or before its first step.
            **more: Fields of :class:`Training` that not every place has.
        """
        return Training(
            structure=self.structure,
            parameters=run.parameters,
            seeds=run.seeds,
            settings=self.settings,
            lr=self.lr,
            task=run.task,
            step=run.steps,
            state=run.carried,
            **more,
        )

    @torch.no_grad()
    def start(self, run: Run) -> None:
        """Make what the method carries along, as it is before a network's first step.

        Args:
            run: Its parameters are new; ``carried`` is set.
        """
        run.carried = {}
        if self.method.start is not None:
            run.carried = self.method.start(self.training(run))

    @torch.no_grad()
    def optimizer(self, run: Run) -> torch.optim.Optimizer:
        """Return the method's optimiser over a run's parameters, with the run's state.

        An optimiser may refuse weights that are not finite, or too large. Those of a
        member that diverges are put aside meanwhile, so that the others can go on.

        Args:
            run: Its parameters and, if there is one, the optimiser's state.
        """
        parameters = run.parameters
        aside = {
            name: tensor.clone()
            for name, tensor in parameters.items()
            if not (tensor.abs() < LARGE).all()  # nor is NaN
        }
        for name in aside:
            parameters[name].zero_()
        optimizer = self.method.optimizer(self.training(run))
        for name, values in aside.items():
            parameters[name].copy_(values)
        if run.optimizer_state is not None:
            optimizer.load_state_dict(run.optimizer_state)
        return optimizer

    @torch.no_grad()
    def before_task(
        self,
        run: Run,
        optimizer: torch.optim.Optimizer,
        batches: Callable[[], Iterator[Batch]],
    ) -> None:
        """Let the method act at the start of a task that is not the network's first.

        Args:
            run: Between two tasks.
            optimizer: Holds its parameters.
            batches: Gives the task's minibatches of one pass, if somebody asks.
        """
        if self.method.before_task is not None:
            inputs, targets = next(batches())
            more: dict[str, Any] = {"inputs": inputs, "targets": targets}
            more |= {"optimizer": optimizer, "batches": batches}
            self.method.before_task(self.training(run, **more))

    def hooks(self, run: Run, optimizer: torch.optim.Optimizer) -> Hooks:
        """Return where the method intervenes in the steps of a run's next task.

        Args:
            run: Its parameters and what the method carries along.
            optimizer: Holds the run's parameters.
        """
        method, training = self.method, self.training(run)
        written, after = method.penalty_gradient_, method.after_step
        whole = replace(training, optimizer=optimizer)
        batch: dict[str, Any] = {}  # the step's

        def see(inputs: Tensor, targets: Tensor | None) -> None:
            batch.update(inputs=inputs, targets=targets)

        def penalty(
            activations: Sequence[Tensor] = (), losses: Tensor | None = None
        ) -> Tensor:
            seen = [as_samples(h) for h in activations] if method.watches else ()
            more: dict[str, Any] = {"activations": seen, "losses": losses, **batch}
            return method.penalty(replace(training, **more))  # type: ignore[misc]

        def after_step(
            step: int, seen: Sequence[Tensor], gradients: Sequence[Tensor] = ()
        ) -> None:
            more: dict[str, Any] = {"activations": seen, "gradients": gradients}
            after(replace(whole, step=training.step + step, **more, **batch))  # type: ignore[misc]

        def draws(step: int) -> list[torch.Generator]:
            return training.generators(self.structure.activation, training.step + step)

        @torch.no_grad()
        def offset(inputs: Tensor) -> Tensor | None:
            return method.offset(replace(training, inputs=inputs))  # type: ignore[misc]

        before = [act for act in (written, method.before_step) if act is not None]

        @torch.no_grad()
        def add_gradient() -> None:
            for act in before:
                act(whole)

        return Hooks(
            penalty=penalty if method.penalty and written is None else None,
            add_gradient=add_gradient if before else None,
            after_step=after_step if after else None,
            watch=method.watches,
            watch_gradients=method.watches_gradients,
            see=see if method.reads else None,
            measured=partial(method.measured, training) if method.measured else None,
            offset=offset if method.offset else None,
            draws=draws if self.structure.activation in DRAWN else None,
        )
