"""Small stacked trainers of chapter 4: seeds side by side, weights held orthogonal.

The chapter's networks are plain stacks of layers, and its questions need their weights
exactly orthogonal in every step, so the loop is written out here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from isometry.core.messages import unknown
from isometry.core.seeding import generator
from isometry.maxmin import group_sort, newton_schulz

Batch = tuple[Tensor, Tensor]  # inputs (seeds, n, d), targets (seeds, n, ...)
Loss = Callable[[Tensor, Tensor], Tensor]  # outputs, targets -> (seeds,)


@dataclass(frozen=True, kw_only=True)
class Family:
    """What stands between the weights, and how the weights begin and stay.

    Attributes:
        activation: Maps ``(seeds, n, units)`` to the same shape.
        gain: Every singular value of the initial weights if ``orthogonal``, else the
            root of ``fan_in`` times the variance of their Gaussian entries.
        orthogonal: Whether the weights begin semi-orthogonal.
        held: Whether three Newton-Schulz steps after each update keep them so.
        normalised: Whether LayerNorm, with gain and bias, stands before the
            activation.
    """

    activation: Callable[[Tensor], Tensor]
    gain: float = 1.0
    orthogonal: bool = True
    held: bool = True
    normalised: bool = False


FAMILIES: dict[str, Family] = {
    "maxmin": Family(activation=group_sort),
    "relu_orthogonal": Family(activation=torch.relu),
    "relu": Family(activation=torch.relu, gain=2**0.5, orthogonal=False, held=False),
    "relu_layernorm": Family(
        activation=torch.relu,
        gain=2**0.5,
        orthogonal=False,
        held=False,
        normalised=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack of networks with the same sizes.

    Attributes:
        family: What stands between the weights.
        weights: One ``(seeds, out, in)`` per layer.
        biases: One ``(seeds, 1, out)`` per layer.
        gains: One ``(seeds, 1, out)`` per hidden layer if normalised, else none.
    """

    family: Family
    weights: list[Tensor]
    biases: list[Tensor]
    gains: list[Tensor]

    def parameters(self) -> list[Tensor]:
        """Return all trainable tensors."""
        return [*self.weights, *self.biases, *self.gains]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the outputs ``(seeds, n, out)`` for inputs ``(seeds, n, in)``."""
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(
            zip(self.weights, self.biases, strict=True)
        ):
            x = torch.baddbmm(bias, x, weight.mT)
            if layer == last:
                break
            if self.gains:
                x = functional.layer_norm(x, x.shape[-1:]) * self.gains[layer]
            x = self.family.activation(x)
        return x


def draw_stack(name: str, sizes: Sequence[int], seeds: int) -> Stack:
    """Return one network per seed, as a stack, in float32.

    Args:
        name: A key of :data:`FAMILIES`.
        sizes: Units of every layer, from the inputs to the outputs.
        seeds: How many.

    Raises:
        KeyError: If the name is not known.

    Source: ours; Gaussian weights of gain sqrt 2 are He et al., ICCV 2015.
    """
    if name not in FAMILIES:
        raise KeyError(unknown("family", name, FAMILIES))
    family = FAMILIES[name]
    weights: list[Tensor] = []
    for layer, (fan_in, out) in enumerate(pairwise(sizes)):
        weight = torch.empty(seeds, out, fan_in)
        for seed in range(seeds):
            draws = generator(seed, "weights", name, layer)
            if family.orthogonal:
                torch.nn.init.orthogonal_(weight[seed], generator=draws)
            else:
                torch.nn.init.normal_(weight[seed], std=fan_in**-0.5, generator=draws)
        weights.append((weight * family.gain).requires_grad_())
    shapes = [(seeds, 1, out) for out in sizes[1:]]
    biases = [torch.zeros(shape, requires_grad=True) for shape in shapes]
    gains = []
    if family.normalised:
        gains = [torch.ones(shape, requires_grad=True) for shape in shapes[:-1]]
    return Stack(family=family, weights=weights, biases=biases, gains=gains)


def _hold(weights: Sequence[Tensor], iterations: int = 3) -> None:
    """Bring weights back to the nearest semi-orthogonal ones, in place.

    Source: Bjorck & Bowie, SIAM J. Numer. Anal. 1971.
    """
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for weight in weights:
        by_shape.setdefault(weight.shape, []).append(weight)
    with torch.no_grad():
        for group in by_shape.values():
            projected = newton_schulz(torch.stack(group), iterations)
            torch._foreach_copy_(group, list(projected.unbind()))


def train(
    stack: Stack,
    batch: Callable[[int], Batch],
    loss: Loss,
    *,
    steps: int,
    lr: float,
    decay: bool = False,
) -> Tensor:
    """Train in place with Adam and return the losses before every step.

    Args:
        stack: Is changed.
        batch: Step to a batch for every seed.
        loss: One number per seed.
        steps: How many.
        lr: Adam's learning rate.
        decay: Whether the rate falls to zero along half a cosine.

    Returns:
        ``(steps, seeds)``.
    """
    optimizer = torch.optim.Adam(stack.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for step in range(steps):
        inputs, targets = batch(step)
        each = loss(stack(inputs), targets)
        optimizer.zero_grad()
        each.sum().backward()
        optimizer.step()
        if decay:
            schedule.step()
        if stack.family.held:
            _hold(stack.weights)
        losses.append(each.detach())
    return torch.stack(losses)
