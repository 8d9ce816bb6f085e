"""What a run is: benchmark, method and all their settings, every one checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isometry.core.messages import unknown
from isometry.core.settings import as_dict, changed, keys, settings_hash
from isometry.experiments.store import result_path
from isometry.methods import Method
from isometry.methods import get as method_of
from isometry.rl.continual_benchmarks import CONTINUAL, ContinualBenchmark
from isometry.supervised.benchmarks import BENCHMARKS, Benchmark
from isometry.supervised.settings import SupervisedSettings


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be run: benchmark and method with all their settings.

    Attributes:
        benchmark: The stream.
        method: How the network is kept plastic.
        settings: Of the run.
        method_settings: Of the method.

    Source: ours.
    """

    benchmark: Any  # Benchmark or ContinualBenchmark
    method: Method
    settings: Any  # SupervisedSettings or ContinualSettings
    method_settings: Any

    def hash(self) -> str:
        """Return the name of these settings in the store."""
        parts = (as_dict(self.settings), as_dict(self.method_settings))
        return settings_hash(self.benchmark.name, self.method.name, *parts)

    def path(self, store: Path) -> Path:
        """Return the file of these settings in a store."""
        return result_path(store, self.benchmark.name, self.method.name, self.hash())


def benchmark_of(name: str) -> Benchmark | ContinualBenchmark:
    """Return the benchmark of that name, supervised or of games.

    Args:
        name: As typed on the command line.

    Raises:
        KeyError: If it is not known; the nearest known one is named.

    Source: ours.
    """
    if name in CONTINUAL.names():
        return CONTINUAL.get(name)
    if name in BENCHMARKS.names():
        return BENCHMARKS.get(name)
    known = (*BENCHMARKS.names(), *CONTINUAL.names())
    raise KeyError(unknown("benchmark", name, known))


def plan(
    benchmark: str,
    method: str,
    changes: Mapping[str, Any] | None = None,
    profile: str = "laptop",
) -> Plan:
    """Return what these names mean, every setting checked.

    Args:
        benchmark: Name of a benchmark.
        method: Name of a method.
        changes: Settings of the run or of the method by name; text is parsed.
        profile: smoke, laptop or paper.

    Raises:
        KeyError: For a name that is not known; the nearest known one is named.
        ValueError: For a value out of range.

    Source: ours.
    """
    chosen, way = benchmark_of(benchmark), method_of(method)
    settings, method_settings = chosen.settings(profile), way.settings
    run_keys, method_keys = keys(settings), keys(method_settings)
    defaults = {k: v for k, v in chosen.method_defaults.items() if k in method_keys}
    changes = dict(changes or {})
    for key in changes:
        if key not in run_keys and key not in method_keys:
            kind = f"setting of {benchmark} with {method}"
            raise KeyError(unknown(kind, key, (*run_keys, *method_keys)))
    settings = changed(settings, {k: v for k, v in changes.items() if k in run_keys})
    method_settings = changed(
        method_settings,
        {**defaults, **{k: v for k, v in changes.items() if k in method_keys}},
    )
    settings = chosen.settings(profile, **{k: getattr(settings, k) for k in run_keys})
    return Plan(
        benchmark=chosen,
        method=way,
        settings=settings,
        method_settings=method_settings,
    )


def needs_images(planned: Plan) -> bool:
    """Return whether a run needs a data set, as those on games do not.

    Args:
        planned: Any plan.

    Source: ours.
    """
    return isinstance(planned.settings, SupervisedSettings)
