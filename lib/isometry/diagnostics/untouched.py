"""A look at a model that leaves no trace on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from isometry.core.precision import exact_matmul


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put the model in evaluation mode inside the block, and all back as it was.

    Restored, also after an error, are: each submodule's mode and its attributes (a
    counter that ``forward`` raises), the buffers' values, each parameter's ``grad`` and
    ``requires_grad``, and torch's global random state on the CPU and on the model's
    devices. Inside the block gradients can be taken even where the caller switched
    them off; autocast and the fused attention kernels are off.

    The mode is set on each submodule by itself: ``train()`` and ``eval()`` may be
    overridden with something that changes weights.

    Args:
        model: Any module.

    Example:
        >>> model = nn.Dropout()
        >>> with untouched(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    attributes = [(module, dict(vars(module))) for module in model.modules()]
    tables = [
        (table, dict(table))
        for module in model.modules()
        for table in (module._parameters, module._buffers)
    ]
    values = {b: b.detach().clone() for b in model.buffers()}
    gradients = [(p, p.grad, p.requires_grad) for p in model.parameters()]
    tensors = [*model.parameters(), *model.buffers()]
    devices = {t.device for t in tensors if t.device.type == "cuda"}
    kind = next((t.device.type for t in tensors), "cpu")
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        with (
            torch.random.fork_rng(sorted(devices, key=str)),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(kind, enabled=False),
            exact_matmul(torch.device(kind)),
        ):
            torch.backends.mha.set_fastpath_enabled(False)
            for module in model.modules():
                module.training = False
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for parameter, gradient, required in gradients:
            parameter.requires_grad_(required)
            parameter.grad = gradient
        for module, before in attributes:
            _restore(vars(module), before)
        for table, named in tables:
            _restore(table, named)
        with torch.no_grad():
            for buffer, value in values.items():
                if not _same(buffer, value):
                    buffer.copy_(value)


def _restore(now: Any, before: dict[str, Any]) -> None:
    """Make ``now`` hold what it held before, key by key."""
    for key in now.keys() - before.keys():
        del now[key]
    for key, value in before.items():
        if now.get(key, ...) is not value:
            now[key] = value


def _same(buffer: Tensor, value: Tensor) -> bool:
    """Return whether a buffer still holds its value; one with NaN is written again."""
    return buffer.shape == value.shape and bool(torch.equal(buffer, value))
