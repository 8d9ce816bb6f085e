"""Plasticity by Isometry: keep neural networks plastic by dynamical isometry.

The names that most users want; everything else is in the rooms, see ``book/api.md``.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from isometry.moved import install

if TYPE_CHECKING:
    from isometry.adamo import AdamO
    from isometry.attachment import attach
    from isometry.diagnostics import diagnose
    from isometry.maxmin import GroupSort, MaxMin
    from isometry.ntk import empirical_ntk

try:
    __version__ = version("plasticity-by-isometry")
except PackageNotFoundError:  # the source tree without an installation
    __version__ = "unknown"

install()

__all__ = [
    "AdamO",
    "GroupSort",
    "MaxMin",
    "__version__",
    "attach",
    "diagnose",
    "empirical_ntk",
]

# The rooms of these names. They open when a name is asked for, so that who wants one
# room does not wait for, or depend on, the others.
_ROOMS = {
    "AdamO": "adamo",
    "GroupSort": "maxmin",
    "MaxMin": "maxmin",
    "attach": "attachment",
    "diagnose": "diagnostics",
    "empirical_ntk": "ntk",
}


def __getattr__(name: str) -> Any:
    """Return one of the names above, or the room of one."""
    if name in _ROOMS:
        return getattr(import_module(f"isometry.{_ROOMS[name]}"), name)
    if name in _ROOMS.values():
        return import_module(f"isometry.{name}")
    raise AttributeError(f"module 'isometry' has no attribute {name!r}")
