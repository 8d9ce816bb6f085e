"""Large members of a stack, trained one after the other.

What one member's step reads and writes, its weights, gradients and moments, fits into
the last cache where that of a whole stack does not. So each member takes a block of
steps by itself, and each layer is updated as soon as its gradient is there; gradients
share one memory. All numbers are those of the stack, bit for bit.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeGuard

import torch
from torch import Tensor

from isometry.core.bare_step import FusedCall, fused_calls
from isometry.core.stacking import Parameters
from isometry.stream.binding import Hooks
from isometry.supervised.networks.mlp import MLP
from isometry.supervised.online import Steps, Stream, Train
from isometry.supervised.written_step import is_written, written_pass

BLOCK = 64  # steps that a member takes by itself
# Weights of a member from which on it pays; below, one call for all members does.
LARGE = 500_000
LANES = 16  # numbers that Adam's kernel takes at once; the last few round otherwise


def takes_turns(network: Any, parameters: Parameters, hooks: Hooks) -> TypeGuard[MLP]:
    """Return whether the members of a stack are to be trained one after the other.

    They are where they are large, :func:`isometry.supervised.written_step.is_written`
    knows the network, and the method does nothing in a step.

    Args:
        network: Of any kind.
        parameters: name -> ``(members, ...)``.
        hooks: Where the method intervenes.
    """
    if not hooks.idle:
        return False
    sizes = [p[0].numel() for p in parameters.values() if p.ndim > 2]
    if sum(sizes) < LARGE or any(size % LANES for size in sizes):
        return False
    members = next(iter(parameters.values())).shape[0]
    return members > 1 and is_written(network, parameters)


def train_in_turn(
    network: MLP,
    parameters: Parameters,
    optimizer: torch.optim.Optimizer,
    stream: Stream,
    steps: int,
    ordinary: Train,
) -> Steps:
    """Train on minibatches and return what each step saw before its update.

    Args:
        network: One for which :func:`takes_turns` holds.
        parameters: Leaf tensors that the optimiser holds.
        optimizer: A fused Adam or AdamW takes turns, any other ordinary steps.
        stream: Minibatches ``(members, batch, features)`` and labels.
        steps: How many there are.
        ordinary: Takes ordinary steps.

    Returns:
        Loss in nats and accuracy in [0, 1], each ``(steps, members)``.
    """
    seen = [ordinary(parameters, optimizer, islice(stream, 1), 1)]
    calls = fused_calls(optimizer)
    if calls is None:
        seen.append(ordinary(parameters, optimizer, stream, steps - 1))
    else:
        optimizer.zero_grad(set_to_none=True)  # of all members: memory
        seen += _in_blocks(network, parameters, calls, stream)
    losses, hits = zip(*seen, strict=True)
    return torch.cat(losses), torch.cat(hits)


@torch.no_grad()
def _in_blocks(
    network: MLP, parameters: Parameters, calls: list[FusedCall], stream: Stream
) -> Iterator[Steps]:
    """Yield what the steps of each block saw, ``(steps, members)``."""
    names = {id(p): name for name, p in parameters.items()}
    members = next(iter(parameters.values())).shape[0]
    while block := list(islice(stream, BLOCK)):
        losses, hits = (torch.empty(len(block), members) for _ in range(2))
        for member in range(members):
            held = [
                _Held(names[id(p)], call, place, member)
                for call in calls
                for place, p in enumerate(call.parameters)
            ]
            seen = _one_member(network, {h.name: h for h in held}, block, member)
            losses[:, member], hits[:, member] = seen
        for call in calls:
            torch._foreach_add_(call.steps, len(block))
        yield losses, hits


class _Held:
    """A parameter of one member, with its moments.

    A bias is the member's row of a copy of the stack, which is updated as a whole: so
    few numbers cost nothing, and they are rounded as in the stack.
    """

    def __init__(self, name: str, call: FusedCall, place: int, member: int) -> None:
        self.name, self.call, one = name, call, slice(member, member + 1)
        lists = (call.parameters, call.means, call.squares)
        self.stacks = [tensors[place].detach()[one] for tensors in lists]
        self.step = call.steps[place].clone()
        self.own = self.stacks[0]
        self.back: list[tuple[Tensor, Tensor]] = []
        if self.own.ndim < 3:
            rows = self.stacks
            self.stacks = [tensors[place].detach().clone() for tensors in lists]
            self.own = self.stacks[0][one]
            self.back = [
                (row, s[one]) for row, s in zip(rows, self.stacks, strict=True)
            ]
            self.gradients = torch.zeros_like(self.stacks[0])
            self.row = self.gradients[one]

    def update(self) -> None:
        """Take Adam's step."""
        gradient = self.own.grad
        assert gradient is not None  # made by the pass
        if self.back:
            self.row.copy_(gradient)
            gradient = self.gradients
        self.step += 1
        weights, means, squares = self.stacks
        self.call([weights], [gradient], [means], [squares], [self.step])

    def put_back(self) -> None:
        """Write what was changed in a copy into the run's own tensors."""
        for row, changed in self.back:
            row.copy_(changed)


def _one_member(
    network: MLP,
    held: dict[str, _Held],
    block: list[tuple[Tensor, Tensor]],
    member: int,
) -> Steps:
    """Train one member on a block of minibatches; return what its steps saw."""
    own = {name: h.own for name, h in held.items()}
    largest = max(p.numel() for p in own.values())

    def update(layer: str) -> None:
        for kind in ("weight", "bias"):
            if f"{layer}.{kind}" in held:
                held[f"{layer}.{kind}"].update()

    one_pass = written_pass(
        network, own, shared=next(iter(own.values())).new_empty(largest), then=update
    )
    losses, hits = (torch.empty(len(block)) for _ in range(2))
    for step, (inputs, labels) in enumerate(block):
        one = slice(member, member + 1)
        logits, loss, _ = one_pass(inputs[one], labels[one])
        losses[step] = loss[0]
        hits[step] = (logits.argmax(-1) == labels[one]).float().mean()
    for h in held.values():
        h.put_back()
    return losses, hits
