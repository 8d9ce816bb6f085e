"""Does AdamO keep its gain where the isometry step is taken only every k-th step?

AdamO is taken through two long streams with the setting that was chosen there, but for
its pull. *Seldom*: a pull of 1/8, one iteration of Newton and Schulz, every k-th step.
*Soft*: a k-th of that pull in every step, so that singular values relax as fast.
*None*: no pull, which is Adam at the same learning rate. Seldom costs a k-th of what
soft costs. Nothing is tuned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes

from isometry.core.profile import ByProfile
from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, paired_difference
from isometry.lab.plans import plan
from isometry.lab.report import BOOTSTRAP_SEED, seed_scores
from isometry.lab.store import TIDY, load_results
from isometry.supervised.data.sets import load
from isometry.supervised.streams import scaled
from isometry.supervised.trainer import train
from isometry_book.c5_adamo.cost import PERIODS_BENCHMARK
from isometry_book.study import Study
from isometry_book.style import stream_label

# Data -> the stream, and its tasks in the campaign.
STREAMS = {
    "mnist": ("permuted_mnist", 100),
    "cifar100": ("label_shuffled_cifar100", 60),
    "digits": ("permuted_mnist", 100),
}
# What was chosen for AdamO on both, and the pull that was.
CHOSEN: dict[str, Any] = {"lr": 3e-3, "isometry_head": False}
PULL = 0.125
PERIODS = (1, 4, 16, 64, 256)
NONE = "none"
MEASURE = "online_accuracy"
MARGIN = 0.005  # of online accuracy: the protocol's, for a method that is no worse
GAIN = 0.9  # the share of the gain that counts as keeping it

Standing = Literal["no worse", "worse", "open"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the study is.

    Attributes:
        profile: Of the stream, whose settings it starts from.
        seeds: Networks of each case.
        shorter: What the number of the campaign's tasks is divided by.
    """

    profile: str
    seeds: int
    shorter: int = 1


def cases() -> dict[str, dict[str, Any]]:
    """Return the settings of AdamO by the name of the case.

    Example:
        >>> cases()["seldom_4"]
        {'isometry_pull': 0.03125, 'isometry_every': 4}
    """
    found: dict[str, dict[str, Any]] = {NONE: {"isometry_pull": 0.0}}
    for k in PERIODS:
        found[f"soft_{k}"] = {"isometry_pull": PULL / k}
        if k > 1:
            found[f"seldom_{k}"] = {"isometry_pull": PULL / k, "isometry_every": k}
    return found


def stored_as(data: str) -> str:
    """Return the name of a stream's numbers in the store.

    Args:
        data: One of :data:`STREAMS`.

    Example:
        >>> stored_as("cifar100")
        'now_and_then_label_shuffled_cifar100'
    """
    return f"now_and_then_{STREAMS[data][0]}"


def _numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return the measures of every case, task by task."""
    stream, tasks = STREAMS[data]
    rows = []
    for name, own in cases().items():
        changes = {"data": data, "tasks": max(5, tasks // sizes.shorter)}
        planned = plan(stream, "adamo", {**changes, **CHOSEN, **own}, sizes.profile)
        pixels = scaled(load(data), planned.settings.input_scaling)
        way = planned.images, planned.method, planned.method_settings
        run = train(*way, planned.settings, pixels, list(range(sizes.seeds)))
        rows += [
            (stored_as(data), name, r["seed"], r["task"], r["metric"], r["value"])
            for r in run.records
            if r["metric"] in (MEASURE, "final_loss")
        ]
    return pd.DataFrame(rows, columns=TIDY)


def _levels(frame: pd.DataFrame, part: str = "all") -> pd.DataFrame:
    """Return the mean online accuracy: one row a seed, one column a case."""
    return pd.DataFrame(
        {
            name: seed_scores(frame[frame["method"] == name], MEASURE, part)
            for name in cases()
        }
    )


def standing(found: Interval) -> Standing:
    """Return how a case stands against another, by the protocol's margin.

    The rule, from before any of the numbers: *no worse* where the whole 95 % interval
    of the paired difference lies above minus :data:`MARGIN`, *worse* where all of it
    lies below, and otherwise the data do not tell.

    Args:
        found: The difference, seed by seed.
    """
    if found.low > -MARGIN:
        return "no worse"
    return "worse" if found.high < -MARGIN else "open"


def compared(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what each period does: against every step, against soft, and of the gain.

    Args:
        frame: Tidy numbers of one stream.

    Returns:
        Indexed by the period k: ``level`` and ``slope`` (means over seeds) of the case
        in which a pull of 1/8 acts every k steps; ``soft`` (its level);
        ``minus_soft``, an interval, and ``standing``, its reading; ``share``, an
        interval of the share of the gain of k = 1 over no pull that is kept.
    """
    levels = _levels(frame)
    slopes = _levels(frame, "last") - _levels(frame, "first")
    gain = levels["soft_1"] - levels[NONE]
    rows = {}
    for k in PERIODS:
        soft = f"soft_{k}"
        seldom = f"seldom_{k}" if k > 1 else soft
        draw = numpy_generator(BOOTSTRAP_SEED, "now and then", str(k))
        beside = paired_difference(levels[seldom], levels[soft], draw)
        kept = (levels[seldom] - levels[NONE]) / gain.mean()
        draw = numpy_generator(BOOTSTRAP_SEED, "now and then", "share", str(k))
        rows[k] = {
            "level": levels[seldom].mean(),
            "slope": slopes[seldom].mean(),
            "soft": levels[soft].mean(),
            "minus_soft": beside,
            "standing": standing(beside),
            "share": paired_difference(kept, 0 * kept, draw),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("every")


def longest_period(table: pd.DataFrame) -> int:
    """Return the largest k up to which every period keeps :data:`GAIN` of the gain.

    The rule, from before any of the numbers: the whole 95 % interval of the share that
    is kept lies above :data:`GAIN`.

    Args:
        table: From :func:`compared`.
    """
    last = 1
    for k in PERIODS[1:]:
        if not table.loc[k, "share"].low > GAIN:
            break
        last = k
    return last


def costs(store: Path) -> pd.DataFrame:
    """Return what a step costs over one without a pull, as measured on two networks.

    Args:
        store: The results store.

    Returns:
        Indexed by the period k; columns 0 and 1, the networks of the report.

    Raises:
        StoreError: If the store has no such study.
    """
    spent = load_results(store / PERIODS_BENCHMARK)
    spent = spent[spent["metric"] == "ratio"]
    every = spent["method"].str.removeprefix("every_").astype(int)
    return spent.assign(every=every).pivot(
        index="every", columns="task", values="value"
    )


def beside_costs(
    tables: Mapping[str, pd.DataFrame], spent: pd.DataFrame
) -> pd.DataFrame:
    """Return what each period costs, keeps, and is against a soft pull, to be shown.

    Args:
        tables: By data, from :func:`compared`.
        spent: From :func:`costs`.
    """
    columns: dict[str, pd.Series] = {
        "step, 100 wide": spent[0].map("{:.2f}".format),
        "step, 512 wide": spent[1].map("{:.2f}".format),
    }
    for data, table in tables.items():
        name = stream_label(STREAMS[data][0])
        columns[f"{name} keeps"] = table["share"].map(
            lambda one: f"{one.estimate:.2f} [{one.low:.2f}, {one.high:.2f}]"
        )
        columns[f"{name} against soft"] = table["standing"].where(table.index > 1, "")
    return pd.DataFrame(columns).rename_axis("every k steps")


def draw(ax: Axes, frame: pd.DataFrame) -> None:
    """Draw the level over the period, of seldom and of soft pulls, and without one.

    Args:
        ax: Where.
        frame: Tidy numbers of one stream.
    """
    levels = _levels(frame)
    drawn = {
        "1/8 every k steps": [f"seldom_{k}" if k > 1 else "soft_1" for k in PERIODS],
        "1/(8k) every step": [f"soft_{k}" for k in PERIODS],
    }
    for (label, names), mark in zip(drawn.items(), "os", strict=True):
        means, spread = levels[names].mean(), levels[names]
        ax.plot(PERIODS, means, marker=mark, markersize=4, label=label)
        ax.fill_between(PERIODS, spread.min(), spread.max(), alpha=0.2, linewidth=0)
    ax.axhline(levels[NONE].mean(), color="grey", linewidth=1.2, label="no pull")
    ax.set_xscale("log", base=2)
    ax.set_xticks(PERIODS, [str(k) for k in PERIODS])
    ax.set_xlabel("k")


LAPTOP = Sizes(profile="laptop", seeds=8)
NOW_AND_THEN = Study(
    name="now_and_then",
    sizes=ByProfile(
        smoke=Sizes(profile="smoke", seeds=2, shorter=20),
        laptop=LAPTOP,
        paper=replace(LAPTOP, profile="paper"),
    ),
    run=_numbers,
)
