"""How far a small step of training gets on a task: ``optimization_readiness``.

It needs what a look by ``diagnose`` does without: targets, a loss and random
minibatches. So it is a function of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from isometry.core.messages import refusal
from isometry.core.untouched import untouched
from isometry.diagnostics.call import Call, itself
from isometry.diagnostics.checks import (
    check_caps,
    check_model,
    checked_inputs,
    checked_outputs,
)
from isometry.ntk.arguments import Inputs, Pick
from isometry.ntk.checks import trainable_parameters
from isometry.ntk.preconditioned import check_scales

CHUNK = 1024  # observations whose graph is held at a time
BATCHES, BATCH_SIZE = 128, 4  # arXiv 2605.09044, second hand
LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """What :func:`optimization_readiness` found.

    Attributes:
        loss: L over all observations, in the loss's unit, > 0.
        gradient_norm: ``||g_L||``, in the loss's unit per unit of parameter.
        relative_decrease: ``||g_L||^2 / L``, >= 0. Times a small learning rate it is
            the share of the loss that one step on all observations removes. Its unit is
            the loss's per squared unit of parameter: one over that of the learning
            rate.
        batch_agreement: ``||g_L||^2 / E_B ||g_B||^2``, dimensionless, >= 0; 1 where
            every minibatch has the whole gradient, and where all gradients are zero.
        readiness: The product of the two, in the unit of ``relative_decrease``.

    Source: arXiv 2605.09044, second hand; the names of the factors are ours.
    """

    loss: float
    gradient_norm: float
    relative_decrease: float
    batch_agreement: float
    readiness: float


def optimization_readiness(
    model: nn.Module,
    inputs: Inputs,  # (n, ...)
    targets: Tensor,  # (n, ...)
    *,
    generator: torch.Generator,
    loss: LossFunction = functional.cross_entropy,
    batches: int = BATCHES,
    batch_size: int = BATCH_SIZE,
    outputs: Pick | None = None,
    scales: Mapping[str, Tensor] | None = None,
) -> Readiness:
    """Return ``(||g_L||^2 / L) (||g_L||^2 / E_B ||g_B||^2)`` of a model on a task.

    g_L is the gradient of the loss L over all observations by the trainable parameters,
    g_B that of a minibatch. The expectation is a mean over minibatches that are drawn
    independently of each other, each without replacement from the same observations.
    Then g_L is the mean of g_B over all minibatches, so that the second factor is at
    most 1 by Jensen's inequality, where the expectation is exact; from finitely many
    minibatches it may come out above.

    The readiness has a unit, one over that of the learning rate: it says how far a
    small step gets, and is larger for a network whose outputs move more in a step. With
    J the outputs' Jacobian and r the loss's gradient by the outputs, ``||g_L||^2 = r^T
    J J^T r``: the kernel along the one direction that the task asks for.

    The model is looked at in evaluation mode and left as it was.

    Args:
        model: Any module; its frozen parameters take no part.
        inputs: Observations of the task, as for ``isometry.diagnose``.
        targets: Theirs, ``(n, ...)``, as the loss takes them.
        generator: Draws the minibatches, on the CPU.
        loss: Maps outputs ``(c, ...)`` and targets ``(c, ...)`` to the mean of the
            observations' losses, a scalar.
        batches: How many minibatches, >= 1; the paper's are 128.
        batch_size: Observations in one, 1 to n; the paper's are 4.
        outputs: Makes one tensor ``(c, ...)`` of what the model returns.
        scales: The diagonal D of ``isometry.ntk.preconditioned``, by name:
            each squared norm is ``g^T D g`` then, and the learning rate is that of the
            optimiser that takes the step ``D g``, e.g. Adam's.

    Raises:
        TypeError: If model, inputs or outputs are of the wrong type.
        ValueError: If these cannot be looked at (``isometry.diagnose``), targets
            are not one for each input, batches or batch_size are out of range, no
            parameter is trainable, the loss is no mean over observations, not finite,
            or not above 0, or the scales do not fit the parameters.

    Source: arXiv 2605.09044, second hand (there 10,000 observations of a validation
        set); ``scales`` is ours.

    Example:
        >>> model, mse = nn.Linear(1, 1, bias=False), functional.mse_loss
        >>> nn.init.zeros_(model.weight).item()
        0.0
        >>> optimization_readiness(
        ...     model, torch.ones(4, 1), torch.ones(4, 1), loss=mse,
        ...     generator=torch.Generator(),
        ... ).readiness
        4.0
    """
    check_caps(batches=batches, batch_size=batch_size)
    model = check_model(model)
    arguments = checked_inputs(inputs, model)
    count = len(arguments.main)
    if len(targets) != count:
        needed, do = f"{count} targets, one for each input", "pass those of the inputs"
        raise ValueError(refusal(needed, len(targets), do))
    if batch_size > count:
        needed = f"1 <= batch_size <= {count}, the observations"
        raise ValueError(refusal(needed, batch_size, "change batch_size"))
    if scales is not None:
        check_scales(model, scales)
    call = Call(model=model, arguments=arguments, pick=outputs or itself)
    with untouched(model):
        checked_outputs(call, arguments.main[:1])
        ours = _Objective(call=call, targets=targets, loss=loss, scales=scales)
        ours.check()
        whole, level = ours.gradient(torch.arange(count))
        if not level > 0:
            do = "take a task that is not learned yet"
            raise ValueError(refusal("a loss above 0", f"{level:.3g}", do))
        draws = (torch.randperm(count, generator=generator) for _ in range(batches))
        parts = (ours.gradient(order[:batch_size])[0] for order in draws)
        noisy = sum(ours.square(part) for part in parts) / batches
        square, plain = ours.square(whole), ours.square(whole, plain=True)
    decrease = square / level
    agreement = square / noisy if noisy > 0 else 1.0
    return Readiness(
        loss=level,
        gradient_norm=plain**0.5,
        relative_decrease=decrease,
        batch_agreement=agreement,
        readiness=decrease * agreement,
    )


@dataclass(frozen=True, kw_only=True)
class _Objective:
    """A model's loss on observations of a task, with its gradient."""

    call: Call
    targets: Tensor
    loss: LossFunction
    scales: Mapping[str, Tensor] | None

    def value(self, index: Tensor) -> Tensor:
        """Return the loss on some observations, ``()``; index is ``(c,)``."""
        arguments = self.call.arguments
        said = arguments.at(index.to(arguments.main.device)).call(self.call.model)
        wanted = self.targets[index.to(self.targets.device)]
        return self.loss(self.call.pick(said), wanted)

    def check(self) -> None:
        """Refuse a loss that is no mean over observations.

        Source: ours; else the mean of minibatches' gradients is not the whole one.
        """
        count = min(3, len(self.targets))
        index = torch.arange(count)
        with torch.no_grad():
            whole = self.value(index)
            if whole.ndim > 0:
                needed, found = "a loss that is a scalar", str(tuple(whole.shape))
                raise ValueError(refusal(needed, found, "take its mean"))
            alone = torch.stack([self.value(index[i : i + 1]) for i in range(count)])
        if not bool(whole.isfinite() & alone.isfinite().all()):
            do = "look at the weights' scale and the targets"
            raise ValueError(refusal("a finite loss", f"{float(whole):.3g}", do))
        tolerance = 1e3 * torch.finfo(whole.dtype).eps
        if not torch.allclose(whole, alone.mean(), rtol=tolerance, atol=tolerance):
            found = f"{float(whole):.3g}, and {float(alone.mean()):.3g} one by one"
            needed = "a loss that is the mean over observations"
            raise ValueError(refusal(needed, found, 'pass e.g. reduction="mean"'))

    def gradient(self, index: Tensor) -> tuple[dict[str, Tensor], float]:
        """Return the gradient of the loss on observations, by name, and the loss."""
        own = trainable_parameters(self.call.model)
        found = {name: torch.zeros_like(p) for name, p in own.items()}
        level = 0.0
        for part in index.split(CHUNK):
            share = len(part) / len(index)
            value = self.value(part) * share
            gradients = torch.autograd.grad(
                value, list(own.values()), materialize_grads=True
            )
            level += float(value.detach())
            for name, gradient in zip(own, gradients, strict=True):
                found[name] += gradient
        return found, level

    def square(self, gradient: Mapping[str, Tensor], plain: bool = False) -> float:
        """Return the squared norm, by the scales if there are some and not plain."""
        squares = {name: g.detach().double().square() for name, g in gradient.items()}
        if self.scales is not None and not plain:
            squares = {name: s * self.scales[name] for name, s in squares.items()}
        return float(sum(s.sum() for s in squares.values()))
