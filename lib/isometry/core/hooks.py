"""What the steps of optimisers share: their closures, and torch's own without hooks."""

from collections.abc import Callable
from typing import Any

import torch


def unhooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return an optimiser's own step, without torch's wrapper that runs the hooks.

    torch wraps the ``step`` of every optimiser class that has an instance. Calling the
    wrapped one from a subclass would run the pre- and post-hooks twice.

    Args:
        step: Of a class, e.g. ``torch.optim.Adam.step``.
    """
    return step.__wrapped__ if getattr(step, "hooked", False) else step  # type: ignore[attr-defined]


def loss_of(closure: Callable[[], Any] | None) -> Any:
    """Return what an optimiser's closure returns, with gradients recorded, or None.

    Args:
        closure: Computes the loss and its gradients anew, or None.
    """
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
