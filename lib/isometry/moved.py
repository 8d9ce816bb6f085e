"""Old paths of modules: they lead to today's module, with a warning.

``isometry.experiments.store`` is the very module ``isometry.lab.store``, so that
classes, and what a test replaces, are the same under both names.
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# The old room, and where its modules stand today.
MOVED = {
    f"isometry.{room}.{old}": f"isometry.{new}"
    for room, modules in {
        "core": {"checkpoint": "stream.run"},
        "experiments": {
            "choices": "lab.choices",
            "cluster": "sweep.cluster",
            "collect": "lab.collect",
            "comparison": "lab.comparison",
            "games_comparison": "lab.games_comparison",
            "jobs": "sweep.queue",
            "labels": "lab.labels",
            "ladders": "lab.ladders",
            "plans": "lab.plans",
            "profiles": "lab.performance_profiles",
            "provenance": "lab.provenance",
            "report": "lab.report",
            "returns": "lab.returns",
            "run": "lab.run",
            "search": "lab.search",
            "store": "lab.store",
            "sweep": "sweep.sweep",
            "sweep_course": "sweep.course",
            "sweep_file": "sweep.file",
            "sweep_progress": "sweep.progress",
            "sweep_report": "sweep.report",
            "units": "sweep.job",
            "workers": "sweep.crew",
        },
        "methods": {
            "architectures": "methods.networks.architectures",
            "binding": "stream.binding",
            "continual_backprop": "methods.resets.continual_backprop",
            "entry_adam": "methods.optimisers.entry_adam",
            "fire": "methods.switches.fire",
            "gradient_descent": "methods.optimisers.gradient_descent",
            "isometry": "methods.pulls.isometry",
            "muon": "methods.optimisers.muon",
            "penalties": "methods.pulls.penalties",
            "perturbation": "methods.rescaling.perturbation",
            "plain": "methods.optimisers.plain",
            "projections": "methods.rescaling.projections",
            "redo": "methods.resets.redo",
            "self_normalised_resets": "methods.resets.self_normalised_resets",
            "spectral": "methods.pulls.spectral",
            "upgd": "methods.optimisers.upgd",
        },
        "rl": {
            "advantage": "rl.ppo.advantage",
            "chip8": "rl.games.chip8",
            "draws": "rl.games.draws",
            "games.code_cache": "core.code_cache",
            "gridworld": "rl.tabular.gridworld",
            "improvement": "rl.tabular.improvement",
            "kernels": "rl.games.kernels",
            "minatar_asterix": "rl.games.minatar_asterix",
            "minatar_breakout": "rl.games.minatar_breakout",
            "minatar_freeway": "rl.games.minatar_freeway",
            "minatar_seaquest": "rl.games.minatar_seaquest",
            "minatar_space_invaders": "rl.games.minatar_space_invaders",
            "octax_games": "rl.games.octax_games",
            "octax_roms": "rl.games.octax_roms",
            "octax_rules": "rl.games.octax_rules",
            "pictures": "rl.games.pictures",
            "players": "rl.ppo.players",
            "ppo_gradient": "rl.ppo.fast.gradient",
            "ppo_loss": "rl.ppo.loss",
            "ppo_settings": "rl.ppo.settings",
            "ppo_update": "rl.ppo.update",
            "rollout": "rl.ppo.rollout",
            "written_chain": "rl.ppo.fast.written_chain",
            "written_step": "rl.ppo.fast.written_step",
        },
        "supervised": {
            "convolutional": "supervised.networks.convolutional",
            "convolutional_module": "supervised.networks.convolutional_module",
            "data_fetch": "supervised.data.download",
            "data_files": "supervised.data.files",
            "data_formats": "supervised.data.formats",
            "kinds": "supervised.networks.kinds",
            "transformer": "supervised.networks.transformer",
            "transformer_module": "supervised.networks.transformer_module",
        },
    }.items()
    for old, new in modules.items()
}


# Rooms that were one module: its names, and the module that has them today.
NAMES = {
    "isometry.methods.resets": (
        "isometry.methods.resets.units",
        ("by_unit", "replace_units_", "widths"),
    ),
    "isometry.rl.games": (
        "isometry.rl.games.registry",
        ("FULL_ACTIONS", "GAMES", "Game"),
    ),
}


class _OldPaths(MetaPathFinder, Loader):
    """Finds today's module under its old path, where nothing else is found."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        old, new = module.__name__, MOVED[module.__name__]
        _warn(old, new)
        # What stands here when this returns is what the import gives.
        sys.modules[old] = import_module(new)


def names_of(room: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` that finds the names of a room that was one module.

    Args:
        room: In :data:`NAMES`.
    """
    module, names = NAMES[room]

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        _warn(f"{room}.{name}", f"{module}.{name}")
        return getattr(import_module(module), name)

    return find


def _warn(old: str, new: str) -> None:
    """Warn whoever imports something under its old path."""
    line = f"{old} is called {new} today; import that instead"
    warnings.warn(line, DeprecationWarning, stacklevel=3)


class Front(ModuleType):
    """A module whose names stay its own when a module called alike is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in self.__dict__):
            super().__setattr__(name, value)


def install() -> None:
    """Let old paths be imported; the first call does it."""
    if not any(isinstance(finder, _OldPaths) for finder in sys.meta_path):
        sys.meta_path.append(_OldPaths())
