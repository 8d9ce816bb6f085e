"""What there is to run, by name: ``isometry list``, without loading it.

The registries are what counts. ``catalogue.json`` has what they hold, so that a list
does not wait for torch; ``python -m isometry.catalogue`` writes it and a test compares
it with them. A registry is read itself if it is open already, as when a plug-in has
added to it, and if its room has been edited since.
"""

import json
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from pathlib import Path

Rows = list[tuple[str, str]]  # a name and a line each
CATALOGUE = Path(__file__).with_name("catalogue.json")
CHECKOUT_SECONDS = 60  # within which files are laid down together, in any order
# What is listed, and the registries that it stands in: module and name.
REGISTRIES = {
    "methods": {"isometry.methods": "METHODS"},
    "benchmarks": {
        "isometry.supervised": "BENCHMARKS",
        "isometry.rl.continual_benchmarks": "CONTINUAL",
        "isometry.tracking.benchmarks": "TRACKING",
    },
    "learners": {"isometry.tracking": "LEARNERS"},
    "games": {"isometry.rl.games.registry": "GAMES"},
}


def _registered(module: str, name: str) -> Rows:
    """Return the rows of a registry."""
    rows = []
    for one in getattr(import_module(module), name):
        source = getattr(one, "source", "")
        rows.append((one.name, f"{one.summary} ({source})" if source else one.summary))
    return rows


@cache
def _catalogue() -> dict[str, Rows]:
    """Return the rows of each module's registry, as they were written."""
    held = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    return {module: [(name, line) for name, line in held[module]] for module in held}


def _edited(module: str) -> bool:
    """Return whether a file of a module's room is newer than the catalogue."""
    room = CATALOGUE.parent.joinpath(*module.split(".")[1:])
    files = (room if room.is_dir() else room.parent).rglob("*.py")
    written_at = CATALOGUE.stat().st_mtime + CHECKOUT_SECONDS
    return any(file.stat().st_mtime > written_at for file in files)


def _rows(what: str) -> Rows:
    """Return the rows of registries, of the catalogue where it is sure to hold."""
    rows = []
    for module, name in REGISTRIES[what].items():
        if module in sys.modules or _edited(module):
            rows += _registered(module, name)
        else:
            rows += _catalogue()[module]
    return rows


# What can be listed; plug-ins, such as the book, add to it.
LISTINGS: dict[str, Callable[[], Rows]] = {w: partial(_rows, w) for w in REGISTRIES}


def listing(what: str) -> list[str]:
    """Return the lines of ``isometry list``, names padded to one column.

    Args:
        what: A name in :data:`LISTINGS`.
    """
    rows = LISTINGS[what]()
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {line}" for name, line in rows]


def written() -> str:
    """Return what the catalogue should hold, read from all registries."""
    found = {
        module: _registered(module, name)
        for registries in REGISTRIES.values()
        for module, name in registries.items()
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    CATALOGUE.write_text(written(), encoding="utf-8")
