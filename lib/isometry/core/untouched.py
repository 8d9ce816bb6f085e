"""A look at a model that leaves no trace on it."""

import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from isometry.core.precision import exact_matmul

_CONTAINERS = (dict, list, set, deque)
_Restore = Callable[[], object]


@contextmanager
def untouched(model: nn.Module, *, evaluation: bool = True) -> Iterator[None]:
    """Look at a model inside the block, and put all back as it was.

    Restored, also after an error, are: each submodule's mode and its attributes (a
    counter that ``forward`` raises), what its lists, dicts, sets, arrays and random
    generators held, the values of parameters and buffers, each parameter's ``grad`` and
    ``requires_grad``, and the global random state of torch (on the CPU and on the
    model's devices), NumPy and Python. Inside the block gradients can be taken even
    where the caller switched them off; autocast, compilation and the fused attention
    kernels are off. It costs a copy of the model's tensors.

    The mode is set on each submodule by itself: ``train()`` and ``eval()`` may be
    overridden with something that changes weights.

    Args:
        model: Any module.
        evaluation: Whether the model is in evaluation mode inside the block.

    Example:
        >>> model = nn.Dropout()
        >>> with untouched(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    tensors = [*model.parameters(), *model.buffers()]
    devices = {t.device for t in tensors if t.device.type == "cuda"}
    kind = next((t.device.type for t in tensors), "cpu")
    gradients = [(p, p.grad, p.requires_grad) for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    restores = _snapshots([vars(module) for module in model.modules()])
    fused = torch.backends.mha.get_fastpath_enabled()
    numpy: Any = sys.modules.get("numpy")  # who has not imported it drew nothing
    drawn = random.getstate(), numpy and numpy.random.get_state()
    try:
        with (
            torch.random.fork_rng(sorted(devices, key=str)),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(kind, enabled=False),
            exact_matmul(torch.device(kind)),
            _uncompiled(),
        ):
            torch.backends.mha.set_fastpath_enabled(False)
            if evaluation:
                for module in model.modules():
                    module.training = False
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        random.setstate(drawn[0])
        if numpy:
            numpy.random.set_state(drawn[1])
        for parameter, gradient, required in gradients:
            parameter.requires_grad_(required)
            parameter.grad = gradient
        for restore in restores:
            restore()
        for module, training in modes:  # of TorchScript, it is no attribute in Python
            if module.training != training:
                module.training = training


def _uncompiled() -> AbstractContextManager[object]:
    """Return a context in which compiled parts run as they were written.

    Only where something may have been compiled: the import alone takes a second.
    """
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _snapshots(roots: list[Any]) -> list[_Restore]:
    """Return what puts back all that the roots hold, through containers in them."""
    restores: list[_Restore] = []
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        held = waiting.pop()
        if id(held) in seen:
            continue
        seen.add(id(held))
        restore = _snapshot(held)
        if restore is not None:
            restores.append(restore)
        if isinstance(held, dict):
            waiting += held.values()
        elif isinstance(held, list | tuple | set | deque):
            waiting += held
    return restores


def _snapshot(held: Any) -> _Restore | None:
    """Return what puts one thing back as it is now, or None if it cannot change."""
    if isinstance(held, Tensor):
        return None if held.is_meta or is_lazy(held) else _tensor(held)
    if isinstance(held, _CONTAINERS):
        return _container(held)
    if isinstance(held, torch.Generator):
        state = held.get_state()
        return partial(held.set_state, state)
    if isinstance(held, random.Random):
        drawn = held.getstate()
        return partial(held.setstate, drawn)
    numpy: Any = sys.modules.get("numpy")
    if numpy and isinstance(held, numpy.ndarray):
        values = held.copy()
        return partial(held.__setitem__, ..., values)
    if numpy and isinstance(held, numpy.random.Generator):
        numbers = held.bit_generator.state
        return partial(setattr, held.bit_generator, "state", numbers)
    return None


def _tensor(held: Tensor) -> _Restore:
    """Return what writes a tensor's value again, where it is another."""
    value = held.detach().clone()

    def restore() -> None:
        with torch.inference_mode(held.is_inference()), torch.no_grad():
            if held.shape != value.shape:
                held.data = value
            elif not torch.equal(held, value):
                held.copy_(value)

    return restore


def _container(held: Any) -> _Restore:
    """Return what fills a container again, where its members are others."""
    members = list(held.items() if isinstance(held, dict) else held)

    def identities(parts: list[Any]) -> list[Any]:
        pairs = isinstance(held, dict)
        return [(part[0], id(part[1])) if pairs else id(part) for part in parts]

    before = identities(members)

    def restore() -> None:
        if identities(list(held.items() if isinstance(held, dict) else held)) == before:
            return
        held.clear()
        if isinstance(held, dict | set):
            held.update(members)
        else:
            held.extend(members)

    return restore
