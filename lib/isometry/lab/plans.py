"""What a run is: benchmark, method and all their settings, every one checked."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isometry.core.messages import refusal, unknown
from isometry.core.profile import PROFILES
from isometry.core.registry import Registry
from isometry.core.settings import as_dict, changed, keys, parsed, settings_hash
from isometry.lab.store import result_path
from isometry.methods import Architecture, Method
from isometry.methods import get as method_of
from isometry.methods.optimisers.gradient_descent import check_optimizer
from isometry.methods.pulls.isometry import strength_of_pull, strength_of_relaxation
from isometry.stream.benchmark import AnyBenchmark
from isometry.supervised.benchmarks import BENCHMARKS, Benchmark

if TYPE_CHECKING:
    from isometry.rl.continual_benchmarks import ContinualBenchmark
    from isometry.tracking import Learner

STRENGTH = "isometry_strength"
# Settings of a run that only some values of another have a use for, and what they are
# where there is none.
HEARD: dict[str, tuple[str, tuple[str, ...], Any]] = {
    "cnn_layout": ("network", ("cnn",), "columns"),
    "init_gain": ("init", ("orthogonal",), 1.0),
    "negative_slope": ("activation", ("leaky_relu", "smooth_leaky", "aid"), 0.01),
    "protect_shared": ("network", ("cnn",), True),
}
INSIDE = ("width", "activation", "negative_slope")  # of hidden layers alone
SPELLINGS = {  # of the strength, at the learning rate of the pull
    "isometry_pull": strength_of_pull,
    "relaxation_steps": strength_of_relaxation,
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be run: benchmark and method with all their settings.

    Attributes:
        benchmark: The stream.
        method: How the network is kept plastic, or what tracks the target.
        settings: Of the run.
        method_settings: Of the method.
    """

    benchmark: AnyBenchmark
    method: Any  # Method, or Learner on a tracking stream
    settings: Any  # SupervisedSettings, ContinualSettings or a tracking stream's
    method_settings: Any

    @property
    def tracks(self) -> bool:
        """Whether a learner tracks a target, example by example."""
        return not isinstance(self.method, Method)

    @property
    def images(self) -> Benchmark:
        """Return the benchmark of a run on images; ValueError if it is on games."""
        if isinstance(self.benchmark, Benchmark):
            return self.benchmark
        known = ", ".join(BENCHMARKS.names())
        needed = f"a benchmark on images, one of {known}"
        raise ValueError(refusal(needed, self.benchmark.name, "change benchmark"))

    @property
    def games(self) -> "ContinualBenchmark":
        """Return the benchmark of a run on games; ValueError if it is on images."""
        from isometry.rl.continual_benchmarks import CONTINUAL, ContinualBenchmark

        if isinstance(self.benchmark, ContinualBenchmark):
            return self.benchmark
        needed = f"a benchmark on games, one of {', '.join(CONTINUAL.names())}"
        raise ValueError(refusal(needed, self.benchmark.name, "change benchmark"))

    def hash(self) -> str:
        """Return the name of these settings in the store."""
        parts = (as_dict(self.settings), as_dict(self.method_settings))
        return settings_hash(self.benchmark.name, self.method.name, *parts)

    def path(self, store: Path) -> Path:
        """Return the file of these settings in a store."""
        return result_path(store, self.benchmark.name, self.method.name, self.hash())

    def architecture(self) -> dict[str, Any]:
        """Return the architecture as it is built, the method's changes included.

        On a tracking stream it is the stream's own, and nothing is returned.
        """
        if self.tracks:
            return {}
        asked = _asked_architecture(self.settings)
        return asdict(self.method.architecture(asked, self.method_settings))


def benchmark_of(name: str) -> AnyBenchmark:
    """Return the benchmark of that name: supervised, of games, or to be tracked.

    Args:
        name: As typed on the command line.

    Raises:
        KeyError: If it is not known; the nearest known one is named.
    """
    if name in BENCHMARKS.names():
        return BENCHMARKS.get(name)
    # Here, so that what runs on images does not depend on the other rooms.
    from isometry.rl.continual_benchmarks import CONTINUAL
    from isometry.tracking import TRACKING

    others: tuple[Registry[Any], ...] = (CONTINUAL, TRACKING)
    for registry in others:
        if name in registry.names():
            return registry.get(name)
    known = (*BENCHMARKS.names(), *(one for r in others for one in r.names()))
    raise KeyError(unknown("benchmark", name, known))


def _way_of(benchmark: AnyBenchmark, name: str) -> "Method | Learner":
    """Return the method of that name, or on a tracking stream the learner."""
    learner_of = getattr(benchmark, "learner", None)
    if learner_of is not None:
        return learner_of(name)
    try:
        return method_of(name)
    except KeyError:
        from isometry.tracking import LEARNERS

        if name not in LEARNERS.names():
            raise
    needed, found = f"a method for {benchmark.name}", f"{name}, a learner of targets"
    raise ValueError(refusal(needed, found, "see `isometry list methods`"))


def _asked_architecture(settings: Any) -> Architecture:
    """Return the architecture that a run's settings ask for, before any method."""
    names = {field.name for field in fields(Architecture)} & set(keys(settings))
    return Architecture(**{name: getattr(settings, name) for name in names})


def _check_heard(planned: Plan, changes: Mapping[str, Any]) -> None:
    """Refuse a setting that nothing hears: the method, or another setting, decides."""
    built = planned.architecture()
    for key in built.keys() & changes.keys() & set(keys(planned.settings)):
        asked = getattr(planned.settings, key)
        if asked != built[key]:
            name = planned.method.name
            needed = f"{key}={built[key]} for {name}, which sets it itself"
            do = f"leave {key} out"
            if hasattr(planned.method_settings, "maxmin_start") and key != "activation":
                do += ", or set maxmin_start=network as well"
            raise ValueError(refusal(needed, asked, do))
    settings = planned.settings
    known = {**as_dict(settings), **built}
    for key in HEARD.keys() & changes.keys() & set(keys(settings)):
        other, values, neutral = HEARD[key]
        usual = getattr(type(settings)(), key)
        if known[other] not in values and getattr(settings, key) not in (
            usual,
            neutral,
        ):
            needed = f"{other}={values[0]}, which alone has a {key}"
            raise ValueError(refusal(needed, known[other], f"leave {key} out"))
    for key in INSIDE if built["depth"] == 0 else ():
        found = getattr(settings, key)
        of_profiles = [planned.benchmark.settings(name) for name in PROFILES]
        if key in changes and found not in [getattr(p, key) for p in of_profiles]:
            needed = f"depth >= 1, where layers have {key}={found}"
            raise ValueError(refusal(needed, "depth=0", f"leave {key} out"))


def _as_strength(
    changes: Mapping[str, Any], settings: Any, method_settings: Any
) -> dict[str, Any]:
    """Return the changes with the strength spelled as a strength."""
    spelled = [key for key in (STRENGTH, *SPELLINGS) if key in changes]
    rest = {key: value for key, value in changes.items() if key not in SPELLINGS}
    if len(spelled) > 1:
        needed = f"{spelled[1]} or {spelled[0]}, which say the same"
        raise ValueError(refusal(needed, "both", "leave one out"))
    for key in spelled:
        if key != STRENGTH:
            lr = method_settings.isometry_lr or settings.lr
            value = parsed(str(changes[key]), float, key)
            rest[STRENGTH] = SPELLINGS[key](value, lr)
    return rest


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
        changes: Settings of the run or of the method by name; text is parsed. AdamO's
            strength may be given as ``isometry_pull``, the product of strength and
            learning rate, or as ``relaxation_steps``; the record has the strength.
        profile: smoke, laptop or paper.

    Raises:
        KeyError: For a name that is not known; the nearest known one is named.
        ValueError: For a value out of range, or one that the method overrides.
    """
    chosen = benchmark_of(benchmark)
    way = _way_of(chosen, method)
    settings, method_settings = chosen.settings(profile), way.settings
    run_keys, method_keys = keys(settings), keys(method_settings)
    defaults = {k: v for k, v in chosen.method_defaults.items() if k in method_keys}
    known = (*run_keys, *method_keys)
    if "isometry_lr" in method_keys:
        known = (*known, *SPELLINGS)
    changes = dict(changes or {})
    for key in changes:
        if key not in known:
            kind = f"setting of {benchmark} with {method}"
            raise KeyError(unknown(kind, key, known))

    def of_method(values: Mapping[str, Any]) -> Any:
        own = {k: v for k, v in values.items() if k in method_keys}
        return changed(way.settings, {**defaults, **own})

    settings = changed(settings, {k: v for k, v in changes.items() if k in run_keys})
    if SPELLINGS.keys() & changes.keys():
        changes = _as_strength(changes, settings, of_method(changes))
    settings = chosen.settings(profile, **{k: getattr(settings, k) for k in run_keys})
    planned = Plan(
        benchmark=chosen,
        method=way,
        settings=settings,
        method_settings=of_method(changes),
    )
    if isinstance(way, Method):
        _check_heard(planned, changes)
        check_optimizer(way, planned.method_settings, settings)
    return planned


def needs_images(planned: Plan) -> bool:
    """Return whether a run needs a data set, as those on games do not.

    Args:
        planned: Any plan.
    """
    return isinstance(planned.benchmark, Benchmark)


def command_of(record: Mapping[str, Any]) -> str:
    """Return the command that runs what a record of the store says, with its seeds.

    Args:
        record: From :func:`isometry.lab.store.load_records`.

    Raises:
        KeyError: If its benchmark or method is not known here.
    """
    usual = plan(record["benchmark"], record["method"])
    changes = [
        f"--set {key}={value}"
        for part, own in (
            (usual.settings, record["settings"]),
            (usual.method_settings, record["method_settings"]),
        )
        for key, value in own.items()
        if getattr(part, key) != value
    ]
    seeds = sorted({seed for run in record["runs"] for seed in run["seeds"]})
    in_a_row = seeds == list(range(seeds[0], seeds[-1] + 1))
    parts = [
        f"isometry run {record['benchmark']} --method {record['method']}",
        f"--seeds {seeds[0]}:{seeds[-1] + 1}"
        if in_a_row
        else f"--seeds {','.join(map(str, seeds))}",
        *changes,
    ]
    return " ".join(parts)
