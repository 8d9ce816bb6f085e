"""Which method wakes units that died by themselves: streams, sizes and contenders.

Adam learns a stream until many of its units are dead: silent on every input of the next
task. Each contender then goes on from the same networks. On permuted images the inputs
change with every task; with random labels they stay, and more units die.
"""

from typing import Any

import pandas as pd

from isometry.core.checkpoint import Run
from isometry.core.messages import unknown
from isometry.lab.plans import Plan, plan
from isometry.lab.store import TIDY
from isometry.supervised.data.sets import load
from isometry.supervised.streams import scaled
from isometry_book.interventions.deaths import contender_rows
from isometry_book.interventions.runs import Row, worn

# What changes from task to task -> data set -> stream.
STREAMS = {
    "permuted": {
        "cifar10": "permuted_cifar10",
        "mnist": "permuted_mnist",
        "digits": "permuted_mnist",
    },
    "random_label": {
        "cifar10": "random_label_cifar10",
        "mnist": "random_label_mnist",
        "digits": "random_label_mnist",
    },
}
SMALL = {
    "images_per_task": 40,
    "batch_size": 20,
    "epochs": 10,
    "width": 12,
    "depth": 2,
    "test_images": 40,
    "lr": 2e-2,
}
# Profile -> seeds, tasks before by stream, tasks afterwards, and changes of the stream.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {
        "seeds": 2,
        "before": {"permuted": 3, "random_label": 3},
        "further": (1, 2),
        "stream": SMALL,
    },
    "laptop": {
        "seeds": 8,
        "before": {"permuted": 100, "random_label": 40},
        "further": (1, 3, 10),
        "stream": {"test_images": 1000},
    },
    "paper": {
        "seeds": 8,
        "before": {"permuted": 100, "random_label": 40},
        "further": (1, 3, 10),
        "stream": {},
    },
}
# Name in the store -> method and its settings.
CONTENDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "adam": ("adam", {}),
    "adamo_1": ("adamo", {"isometry_strength": 1.0, "isometry_head": False}),
    "adamo_10": ("adamo", {"isometry_strength": 10.0, "isometry_head": False}),
    "redo": ("redo", {"redo_every": 100}),
    "l2_init": ("l2_init", {}),
}


def _death_plan(contender: str, kind: str, profile: str, data: str) -> Plan:
    """Return what is trained: the stream's network and settings, and a method."""
    if profile not in SIZES:
        raise KeyError(unknown("profile", profile, SIZES))
    if data not in STREAMS[kind]:
        raise KeyError(unknown("data set", data, STREAMS[kind]))
    size, (method, changes) = SIZES[profile], CONTENDERS[contender]
    stream = {"data": data, **size["stream"], "tasks": size["before"][kind] + 1}
    return plan(STREAMS[kind][data], method, {**stream, **changes}, profile)


def deaths(kind: str, profile: str, data: str, seeds: list[int]) -> list[Row]:
    """Return all rows of some seeds, see :func:`contender_rows`.

    Args:
        kind: Of the stream, permuted or random_label.
        profile: smoke, laptop or paper.
        data: cifar10, mnist or digits.
        seeds: One network each.

    Raises:
        KeyError: If profile or data are not known.
    """
    adam = _death_plan("adam", kind, profile, data)
    pixels = scaled(load(data), adam.settings.input_scaling)
    size, rows = SIZES[profile], list[Row]()

    def hand_over(run: Run) -> None:
        for name in CONTENDERS:
            planned = _death_plan(name, kind, profile, data)
            rows.extend(contender_rows(name, planned, pixels, run, size["further"]))

    worn(adam, pixels, seeds, [size["before"][kind]], hand_over)
    return rows


def study(
    profile: str = "laptop", data: str = "cifar10", kind: str = "permuted"
) -> pd.DataFrame:
    """Return all tidy numbers on units that died by themselves.

    Args:
        profile: smoke, laptop or paper.
        data: cifar10 or mnist, or digits for a quick look.
        kind: Of the stream, permuted or random_label.

    Raises:
        KeyError: If profile or data are not known.

    Source: ours; the claim is that of arXiv 2606.09762, Sec. 4.3, on dormant units.
    """
    if profile not in SIZES:
        raise KeyError(unknown("profile", profile, SIZES))
    rows = deaths(kind, profile, data, list(range(SIZES[profile]["seeds"])))
    return pd.DataFrame(rows, columns=TIDY)


def random_label_study(profile: str = "laptop", data: str = "cifar10") -> pd.DataFrame:
    """Return :func:`study` on the stream of random labels.

    Args:
        profile: smoke, laptop or paper.
        data: cifar10 or mnist, or digits for a quick look.

    Raises:
        KeyError: If profile or data are not known.
    """
    return study(profile, data, "random_label")
