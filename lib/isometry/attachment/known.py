"""What is known of tensors, kept by the memory that they look at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from isometry.attachment.values import Units, Value, joined

STALE = "another view of its units was changed in place"


@dataclass
class _Memory:
    """What is known of the views of one storage."""

    views: dict[Any, Value] = field(default_factory=dict)
    lost: list[Value] = field(default_factory=list)  # before it was overwritten


class Known:
    """What is known of tensors, by the memory that they look at.

    Not by the Python object: autograd hands out other objects for the same view. A weak
    reference keeps a storage's address from being given out again, and lets its memory
    go.
    """

    def __init__(self) -> None:
        self._memories: dict[Any, _Memory] = {}
        self._held: list[Any] = []

    def of(self, tensor: Tensor) -> Value:
        """Return what is known of a tensor; None: it is a constant.

        Args:
            tensor: Any.
        """
        memory = self._memories.get(_memory(tensor))
        if memory is None:
            return None
        place = _place(tensor)
        if place in memory.views:
            return memory.views[place]
        for value in memory.lost:
            if isinstance(value, Units):
                value.refuse(STALE)
        return joined([*memory.lost, *memory.views.values()])

    def note(self, tensor: Tensor, value: Value) -> None:
        """Keep what is known of a new tensor, or of a new view.

        Args:
            tensor: Any.
            value: What is known.
        """
        key = _memory(tensor)
        if key not in self._memories:
            if value is None:
                return
            self._memories[key] = _Memory()
            self._held.append(_reference(tensor))
        self._memories[key].views[_place(tensor)] = value

    def overwrite(self, tensor: Tensor, value: Value) -> None:
        """Keep what is known of a tensor that was changed in place.

        Args:
            tensor: It.
            value: What is known of it now.
        """
        memory = self._memories.get(_memory(tensor))
        if memory is not None:
            own = memory.views.pop(_place(tensor), None)
            memory.lost += [v for v in memory.views.values() if v is not None]
            memory.lost += [own] if own is not None and memory.views else []
            memory.views.clear()
        self.note(tensor, value)


def _memory(tensor: Tensor) -> Any:
    """Return what two views of the same memory have in common."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse
        return id(tensor)


def _reference(tensor: Tensor) -> Any:
    """Return what keeps the key of a tensor's memory its own."""
    try:
        return StorageWeakRef(tensor.untyped_storage())
    except (NotImplementedError, RuntimeError):
        return tensor


def _place(tensor: Tensor) -> Any:
    """Return what tells views of the same memory apart."""
    try:
        layout = tensor.storage_offset(), tensor.shape, tensor.stride()
    except (NotImplementedError, RuntimeError):
        return tensor.dtype
    return (*layout, tensor.dtype)


def tensors_in(held: Any, depth: int = 8) -> Iterator[Tensor]:
    """Yield the tensors that something holds, through containers and objects.

    Args:
        held: A tensor, a container, what a model returned.
        depth: Through how many containers within one another.
    """
    if isinstance(held, Tensor):
        yield held
    if isinstance(held, Tensor | str | bytes | int | float | type) or depth == 0:
        return
    parts: Any = ()
    if isinstance(held, Mapping):
        parts = held.values()
    elif isinstance(held, list | tuple | set):
        parts = held
    elif is_dataclass(held):
        parts = [getattr(held, f.name, None) for f in fields(held)]
    elif type(held).__module__ not in ("builtins", "torch"):
        parts = getattr(held, "__dict__", {}).values()
    for part in parts:
        yield from tensors_in(part, depth - 1)
