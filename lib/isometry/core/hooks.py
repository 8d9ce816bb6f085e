"""Steps of torch's optimisers without the hooks that torch wraps around them."""

from collections.abc import Callable
from typing import Any


def unhooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return an optimiser's own step, without torch's wrapper that runs the hooks.

    torch wraps the ``step`` of every optimiser class that has an instance. Calling the
    wrapped one from a subclass would run the pre- and post-hooks twice.

    Args:
        step: Of a class, e.g. ``torch.optim.Adam.step``.
    """
    return step.__wrapped__ if getattr(step, "hooked", False) else step  # type: ignore[attr-defined]
