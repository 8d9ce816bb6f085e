"""Minibatches as methods see them: of all processes, of a new task, or missing."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from isometry.core.messages import refusal
from isometry.methods.training import Batch


class Missing:
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


def first_pass(batch: Any, method: str, group: Any) -> dict[str, Any]:
    """Return what a method sees of a new task's data, of all processes.

    Args:
        batch: One minibatch, inputs or ``(inputs, targets)``, or an iterable of them;
            None: there is none.
        method: Who asks, for the message.
        group: Processes whose minibatches are put together, or None.
    """
    if batch is None:
        needed = f"the new task's first minibatch for {method}"
        do = "call plastic.new_task((inputs, targets))"
        none = Missing(needed, "new_task() without one", do)
        return {"inputs": none, "targets": none, "batches": none}
    first = batch[0] if isinstance(batch, tuple | list) and batch else batch
    alone = isinstance(batch, Tensor) or isinstance(first, Tensor)

    def batches() -> Iterator[Batch]:
        for one in (batch,) if alone else batch:
            pair = (one,) if isinstance(one, Tensor) else one
            found = gathered([part.unsqueeze(0) for part in pair], group)
            yield found[0], found[1] if len(found) > 1 else None

    inputs, targets = next(batches())
    return {"inputs": inputs, "targets": targets, "batches": batches}


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
    sizes = torch.tensor([t.shape[1] for t in tensors], device=tensors[0].device)
    ends = torch.stack([sizes, -sizes])
    torch.distributed.all_reduce(ends, torch.distributed.ReduceOp.MAX, group)
    if not torch.equal(ends[0], -ends[1]):
        needed = "minibatches of one size in all processes"
        found = f"{-int(ends[1, 0])} to {int(ends[0, 0])} samples"
        raise ValueError(refusal(needed, found, "drop the last one, or pad it"))
    joined = []
    for tensor in tensors:
        members = torch.distributed.get_world_size(group)
        parts = [torch.empty_like(tensor) for _ in range(members)]
        torch.distributed.all_gather(parts, tensor.contiguous(), group)
        joined.append(torch.cat(parts, 1))
    return joined
