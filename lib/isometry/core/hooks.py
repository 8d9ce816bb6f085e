"""What steps of optimisers share: closures, torch's own steps, hooks around them."""

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


class Outermost:
    """Tells hooks around an optimiser's step which call is the outermost.

    Some optimisers, TRAC among them, are made by inheritance from any other, whose step
    theirs calls; torch then runs the hooks around both. A step of them that raises may
    leave a call open: :meth:`clear` forgets it.
    """

    def __init__(self) -> None:
        self._open = 0

    def enter(self, optimizer: torch.optim.Optimizer) -> bool:
        """Note that a step begins; return whether it is in no other.

        Args:
            optimizer: Whose step.
        """
        if not _nests(type(optimizer)):
            self._open = 0
        self._open += 1
        return self._open == 1

    def leave(self) -> bool:
        """Note that a step ends; return whether none is left."""
        self._open = max(self._open - 1, 0)
        return self._open == 0

    def clear(self) -> None:
        """Forget steps that have begun."""
        self._open = 0


def _nests(kind: type) -> bool:
    """Return whether hooks are around more than one step of a class's ancestors."""
    own = (vars(one).get("step") for one in kind.__mro__)
    return sum(bool(getattr(step, "hooked", False)) for step in own) > 1
