"""What runs are called in tables, and which of them are compared with each other."""

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


def scales_of(records: list[Record]) -> dict[str, str]:
    """Return, by settings hash, what tells a run's experiment from others of its name.

    A benchmark may be run at several sizes, on several data sets or networks. Where a
    store has more than one, the text names the settings of :data:`SCALE` that differ.

    Args:
        records: Of a store, see :func:`isometry.lab.store.load_records`.

    Returns:
        E.g. ``tasks=50, epochs=400``; empty where a benchmark has one scale.
    """
    scales = {}
    for record in records:
        own = record["settings"]
        others = [
            r["settings"] for r in records if r["benchmark"] == record["benchmark"]
        ]
        differing = [
            key
            for key in SCALE
            if key in own and any(other.get(key) != own[key] for other in others)
        ]
        scales[record["hash"]] = ", ".join(f"{key}={own[key]}" for key in differing)
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
    labels = {}
    for record in records:
        own, family = flat[record["hash"]], families[record["hash"]]
        others = [flat[key] for key, other in families.items() if other == family]
        differing = [k for k in own if any(o.get(k) != own[k] for o in others)]
        shown = ", ".join(f"{key}={own[key]}" for key in differing)
        method = record["method"]
        labels[record["hash"]] = f"{method}({shown})" if shown else method
    return labels


def baselines_of(records: list[Record]) -> dict[str, str]:
    """Return, by settings hash, the hash of the baseline that a run is compared with.

    It is :data:`BASELINE` on the same benchmark under the same settings of the run, of
    which only the learning rate, which is tuned for each method, and :data:`REACH` may
    differ. Where several would do and none has the same learning rate, there is no
    comparison.

    Args:
        records: Of a store, see :func:`isometry.lab.store.load_records`.
    """
    settings = {record["hash"]: trained(record["settings"]) for record in records}
    shared = {
        name: {key: own[key] for key in own.keys() - {"lr", *REACH}}
        for name, own in settings.items()
    }
    found = {}
    for record in records:
        own = settings[record["hash"]]
        candidates = {
            other["hash"]: settings[other["hash"]].get("lr") == own.get("lr")
            for other in records
            if other["method"] == BASELINE
            and other["benchmark"] == record["benchmark"]
            and shared[other["hash"]] == shared[record["hash"]]
        }
        same = [key for key, same_lr in candidates.items() if same_lr]
        for choice in (same, list(candidates)):
            if len(choice) == 1 and record["hash"] not in choice:
                found[record["hash"]] = choice[0]
            if choice:
                break
    return found
