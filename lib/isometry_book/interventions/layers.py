"""In which layers is what Adam loses: in the head, or in the hidden ones?

Decay of the head alone does nothing for a network whose pixels are permuted, and was
found to do much where the labels of the same images are shuffled. Here the head of a
worn network, or all of its hidden layers, are put back to their start, and the network
learns the next task, on three streams, at the learning rate of the other forks. A
second study puts the head back before every task, from the first on: what does not cure
may prevent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from isometry.core.messages import unknown
from isometry.core.profile import ByProfile
from isometry.core.statistics import Interval
from isometry.lab.plans import Plan, plan
from isometry.lab.store import TIDY
from isometry.stream.run import Run
from isometry.supervised.data.sets import load
from isometry.supervised.streams import scaled
from isometry_book.interventions.report import share_returned
from isometry_book.interventions.runs import (
    Row,
    after_next,
    fresh_run,
    next_task,
    rows_of,
    worn,
)
from isometry_book.study import Study

# Data set -> stream. The study is of one stream, so that each runs by itself.
STREAMS = {
    "cifar100": "label_shuffled_cifar100",
    "cifar10": "permuted_cifar10",
    "mnist": "permuted_mnist",
    "digits": "permuted_mnist",
}
PUT_BACK = (
    *("nothing", "optimizer", "head", "head_optimizer", "hidden", "hidden_optimizer"),
    *("spectrum_optimizer", "scale_optimizer", "gates_optimizer"),
)
ASKED = ("head_optimizer", "hidden_optimizer")
EACH_TASK = ("nothing", "optimizer", "head", "head_optimizer")
HALF = 0.5  # of what was lost
SMALL = {  # of the stream at profile smoke, for the other forks as well
    "images_per_task": 60,
    "batch_size": 20,
    "width": 12,
    "depth": 2,
    "test_images": 40,
}

Answer = Literal["yes", "no", "undecided", "nothing is lost"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the study of layers is.

    Attributes:
        profile: Of the stream, whose settings it starts from.
        seeds: Networks.
        ages: At which networks are forked, in tasks.
        stream: What differs from the stream's settings.
    """

    profile: str
    seeds: int
    ages: tuple[int, ...]
    stream: Mapping[str, Any]


def _layers_plan(sizes: Sizes, data: str) -> Plan:
    """Return what is trained: the stream's network and settings, with Adam."""
    if data not in STREAMS:
        raise KeyError(unknown("data set", data, STREAMS))
    stream = {"data": data, **sizes.stream, "tasks": max(sizes.ages) + 1}
    return plan(STREAMS[data], "adam", stream, sizes.profile)


def _numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return the tidy numbers of all forks, benchmark ``layers_<stream>``."""
    planned, seeds = _layers_plan(sizes, data), list(range(sizes.seeds))
    pixels = scaled(load(data), planned.settings.input_scaling)
    benchmark = f"layers_{planned.benchmark.name}"
    start = fresh_run(planned, pixels, seeds, 0).parameters
    rows: list[Row] = []

    def fork(run: Run) -> None:
        task = next_task(planned, pixels, run)
        new = fresh_run(planned, pixels, seeds, run.task)
        rows.extend(
            rows_of(benchmark, "fresh", after_next(planned, pixels, new, start, task))
        )
        for name in PUT_BACK:
            done = after_next(planned, pixels, run, start, task, name)
            rows.extend(rows_of(benchmark, name, done))

    worn(planned, pixels, seeds, sizes.ages, fork)
    return pd.DataFrame(rows, columns=TIDY)


def _each_numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return the tidy numbers of whole streams, benchmark ``each_task_<stream>``.

    Each of :data:`EACH_TASK` is done before every task; ``fresh`` are new networks.
    """
    planned, seeds = _layers_plan(sizes, data), list(range(sizes.seeds))
    pixels = scaled(load(data), planned.settings.input_scaling)
    benchmark = f"each_task_{planned.benchmark.name}"
    first = fresh_run(planned, pixels, seeds, 0)
    start = first.parameters
    rows: list[Row] = []
    for name in EACH_TASK:
        run = first
        for _ in range(max(sizes.ages)):
            task = next_task(planned, pixels, run)
            run = after_next(planned, pixels, run, start, task, name)
            rows.extend(rows_of(benchmark, name, run))
    for place in range(max(sizes.ages)):
        new = fresh_run(planned, pixels, seeds, place)
        task = next_task(planned, pixels, new)
        done = after_next(planned, pixels, new, start, task)
        rows.extend(rows_of(benchmark, "fresh", done))
    return pd.DataFrame(rows, columns=TIDY)


def answers(frame: pd.DataFrame) -> dict[str, tuple[Answer, Interval | None]]:
    """Return whether what is lost is in the head, and whether in the hidden layers.

    The rule, from before the runs: at the largest age, by online accuracy in the next
    task, *yes* where the share of the loss that comes back with these layers and new
    moments has its whole 95 % interval above a half, *no* where it lies below, and
    otherwise *undecided*. Both may be true, and neither. Nothing is asked where new
    networks are not ahead by more than 0.01 with the whole interval.

    Args:
        frame: Tidy, of a benchmark ``layers_<stream>``.

    Returns:
        One of :data:`ASKED` -> the answer, and the share if anything was lost.
    """
    age = int(frame["task"].max())
    return {name: _answer(share_returned(frame, name, age)) for name in ASKED}


def prevented(frame: pd.DataFrame) -> dict[str, tuple[Answer, Interval | None]]:
    """Return which loss does not come about if something is done before every task.

    The rule, from before the runs, is that of :func:`answers`, for the mean online
    accuracy over the last fifth of the tasks, with the head put back, with and without
    new moments, and with new moments alone.

    Args:
        frame: Tidy, of a benchmark ``each_task_<stream>``.

    Returns:
        One of :data:`EACH_TASK` without the first -> the answer, and the share.
    """
    tasks = frame["task"].max() + 1
    late = frame[frame["task"] >= tasks - max(1, tasks // 5)]
    keys = ["benchmark", "method", "seed", "metric"]
    means = late.groupby(keys, as_index=False)["value"].mean().assign(task=tasks)
    return {name: _answer(share_returned(means, name, tasks)) for name in EACH_TASK[1:]}


def _answer(share: Interval | None) -> tuple[Answer, Interval | None]:
    """Return on which side of a half a share lies, and the share."""
    if share is None:
        return "nothing is lost", None
    if share.low > HALF:
        return "yes", share
    return ("no" if share.high < HALF else "undecided"), share


LAPTOP = Sizes(
    profile="laptop",
    seeds=8,
    ages=(5, 10, 20, 40, 60),
    stream={"test_images": 1000},
)
SMOKE = Sizes(
    profile="smoke",
    seeds=2,
    ages=(1, 2),
    stream=SMALL,
)
LAYERS = Study(
    name="layers",
    sizes=ByProfile(
        smoke=SMOKE, laptop=LAPTOP, paper=replace(LAPTOP, profile="paper", stream={})
    ),
    run=_numbers,
)
EACH = replace(LAYERS, name="each_task", run=_each_numbers)
STUDIES = (LAYERS, EACH)
