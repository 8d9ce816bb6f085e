"""What a method may ask for of a new task, and what stands there if it is missing."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from isometry.attachment.watching import gathered
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
