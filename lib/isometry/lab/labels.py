"""What runs are called in tables, and which of them are compared with each other."""

from collections.abc import Hashable, Iterable
from typing import Any

from isometry.lab.store import Record

BASELINE = "adam"
# Settings that say which experiment a run belongs to: methods are compared within one.
SCALE = (
    "data",
    "tasks",
    "images_per_task",
    "epochs",
    "batch_size",
    "reshuffle",
    "network",
    "width",
    "depth",
    "games",
    "cycles",
    "env_steps",
    "num_envs",
    "minibatches",
    "steps_per_task",
    "noise",
    "flip",
)
# Settings that change what is recorded and not what is trained.
NEUTRAL = ("diagnose_every", "test_images")
# What methods leave alone, which is nothing to one that acts on nothing.
REACH = ("protect_heads", "protect_value_head", "protect_shared")


def trained(settings: Record) -> Record:
    """Return the settings of a run without those that do not change its training.

    Args:
        settings: By name.
    """
    return {key: value for key, value in settings.items() if key not in NEUTRAL}


def _varying(settings: list[Record], keys: Iterable[str]) -> set[str]:
    """Return which of the keys do not have one value, or none, in all settings.

    One look at each: all are alike if all are like the first one.
    """
    first = settings[0]
    return {
        key
        for key in keys
        if any(other.get(key) != first.get(key) for other in settings)
    }


def _grouped(items: Iterable[tuple[Hashable, Any]]) -> dict[Hashable, list[Any]]:
    """Return what stands under each key, in the order of the items."""
    groups: dict[Hashable, list[Any]] = {}
    for key, item in items:
        groups.setdefault(key, []).append(item)
    return groups


def scales_of(records: list[Record]) -> dict[str, str]:
    """Return, by settings hash, what tells a run's experiment from others of its name.

    A benchmark may be run at several sizes, on several data sets or networks. Where a
    store has more than one, the text names the settings of :data:`SCALE` that differ.

    Args:
        records: Of a store, see :func:`isometry.lab.store.load_records`.

    Returns:
        E.g. ``tasks=50, epochs=400``; empty where a benchmark has one scale.
    """
    groups = _grouped((r["benchmark"], r["settings"]) for r in records)
    varying = {name: _varying(group, SCALE) for name, group in groups.items()}
    scales = {}
    for record in records:
        own, differing = record["settings"], varying[record["benchmark"]]
        named = [key for key in SCALE if key in own and key in differing]
        scales[record["hash"]] = ", ".join(f"{key}={own[key]}" for key in named)
    return scales


def labels_of(records: list[Record]) -> dict[str, str]:
    """Return a label for every settings hash: the method, with settings where needed.

    Where a store has several settings of one method on one benchmark at one scale, the
    label names what differs between them: ``adamo(isometry_strength=1.0)``.

    Args:
        records: Of a store, see :func:`isometry.lab.store.load_records`.
    """
    flat = {
        r["hash"]: trained({**r["settings"], **r["method_settings"]}) for r in records
    }
    scales = scales_of(records)
    families = {
        r["hash"]: (r["benchmark"], r["method"], scales[r["hash"]]) for r in records
    }
    groups = _grouped((family, flat[key]) for key, family in families.items())
    varying = {
        family: _varying(group, {key for own in group for key in own})
        for family, group in groups.items()
    }
    labels = {}
    for record in records:
        own, differing = flat[record["hash"]], varying[families[record["hash"]]]
        shown = ", ".join(f"{key}={own[key]}" for key in own if key in differing)
        method = record["method"]
        labels[record["hash"]] = f"{method}({shown})" if shown else method
    return labels


def _hashable(value: Any) -> Hashable:
    """Return what is equal where two values of JSON are equal."""
    if isinstance(value, dict):
        return frozenset((key, _hashable(one)) for key, one in value.items())
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def baselines_of(records: list[Record]) -> dict[str, str]:
    """Return, by settings hash, the hash of the baseline that a run is compared with.

    It is :data:`BASELINE` on the same benchmark under the same settings of the run, of
    which only the learning rate, which is tuned for each method, and :data:`REACH` may
    differ. Where several would do and none has the same learning rate, there is no
    comparison.

    Args:
        records: Of a store, see :func:`isometry.lab.store.load_records`.
    """
    # By hash: the same settings, and the same settings but for what may differ.
    close, near = {}, {}
    for record in records:
        own, name = trained(record["settings"]), record["hash"]
        shared = {key: own[key] for key in own.keys() - {"lr", *REACH}}
        near[name] = record["benchmark"], _hashable(shared)
        close[name] = *near[name], _hashable(own.get("lr"))
    baselines = [r["hash"] for r in records if r["method"] == BASELINE]
    candidates = _grouped(
        (key, name)
        for name in dict.fromkeys(baselines)
        for key in (near[name], close[name])
    )
    found = {}
    for name in near:
        choice = candidates.get(close[name]) or candidates.get(near[name], [])
        if len(choice) == 1 and name not in choice:
            found[name] = choice[0]
    return found
