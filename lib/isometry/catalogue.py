"""What there is to run, by name: ``isometry list``, without loading it.

The registries are what counts. ``catalogue.json`` has what they hold, so that a list
does not wait for torch; ``python -m isometry.catalogue`` writes it and a test compares
it with them. A registry that is open already, as when a plug-in has added to it, is
read itself.
"""

import json
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from pathlib import Path

Rows = list[tuple[str, str]]  # a name and a line each
CATALOGUE = Path(__file__).with_name("catalogue.json")
# What is listed, and the registries that it stands in: module and name.
REGISTRIES = {
    "methods": {"isometry.methods": "METHODS"},
    "benchmarks": {
        "isometry.supervised": "BENCHMARKS",
        "isometry.rl.continual_benchmarks": "CONTINUAL",
    },
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


def _rows(what: str) -> Rows:
    """Return the rows of registries: of those that are open, else of the catalogue."""
    rows = []
    for module, name in REGISTRIES[what].items():
        is_open = module in sys.modules
        rows += _registered(module, name) if is_open else _catalogue()[module]
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
