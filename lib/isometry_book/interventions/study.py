"""What of the lost plasticity comes back when one part of a worn network is put back.

Networks learn a stream of permuted images on which Adam loses plasticity. At some ages
Adam's are forked: each fork undergoes one intervention and learns the stream's next
task, whose images and minibatches are those that the network itself learns next. New
networks on the same task show how much could come back. Beside this, for three
methods, stand the kernels before the next task.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from isometry.core.messages import unknown
from isometry.core.profile import ByProfile
from isometry.lab.plans import Plan, plan
from isometry.lab.store import TIDY
from isometry.stream.run import Run
from isometry.supervised.data.sets import load
from isometry.supervised.diagnostics import stack_diagnostics
from isometry.supervised.streams import Pixels, scaled
from isometry_book.interventions import deaths, layers
from isometry_book.interventions.forks import INTERVENTIONS, dormant_units
from isometry_book.interventions.kernels import adam_scales, kernel_statistics
from isometry_book.interventions.runs import (
    Row,
    after_next,
    fresh_run,
    next_task,
    optimizer_of,
    perceptron_of,
    rows_of,
    rows_of_metrics,
    worn,
)
from isometry_book.study import Study

# Data set -> stream. The study is of one stream, so that each runs by itself.
STREAMS = {
    "cifar10": "permuted_cifar10",
    "mnist": "permuted_mnist",
    "digits": "permuted_mnist",
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the study of forks is.

    Attributes:
        profile: Of the stream, whose settings it starts from.
        seeds: Networks of each kind.
        ages: At which networks are forked, in tasks.
        looks: Ages at which kernels are taken. At age 0 Adam has no second moment yet,
            and no kernel of its own is recorded there.
        stream: What differs from the stream's settings.
    """

    profile: str
    seeds: int
    ages: tuple[int, ...]
    looks: tuple[int, ...]
    stream: Mapping[str, Any]


# Name in the store -> method and its settings. Only Adam's networks are intervened on.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "adam": ("adam", {}),
    "adamo": ("adamo", {"isometry_strength": 1.0, "isometry_head": False}),
    "maxmin": ("maxmin", {}),
}
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


def _fork_plan(case: str, sizes: Sizes, data: str) -> Plan:
    """Return what is trained: the stream's network and settings, and a method."""
    if data not in STREAMS:
        raise KeyError(unknown("data set", data, STREAMS))
    method, changes = CASES[case]
    stream = {"data": data, **sizes.stream, "tasks": max(sizes.looks) + 1}
    return plan(STREAMS[data], method, {**stream, **changes}, sizes.profile)


def _forked(planned: Plan, pixels: Pixels, run: Run, start: Run) -> list[Row]:
    """Return what each intervention, each learning rate and new networks do next."""
    benchmark = f"interventions_{planned.benchmark.name}"
    task = next_task(planned, pixels, run)
    new = fresh_run(planned, pixels, run.seeds, run.task)
    usual = planned.settings.lr
    jobs = [(name, run, name, usual) for name in INTERVENTIONS]
    jobs += [(f"rate_{lr:g}", run, "nothing", lr) for lr in RATES]
    jobs += [("fresh", new, "nothing", usual)]
    jobs += [(f"fresh_rate_{lr:g}", new, "nothing", lr) for lr in RATES]
    found: list[Row] = []
    done: dict[tuple[int, str, float], Run] = {}  # the usual rate may be in the grid
    for name, before, change, lr in jobs:
        key = (id(before), change, lr)
        if key not in done:
            arguments = (planned, pixels, before, start.parameters, task, change, lr)
            done[key] = after_next(*arguments)
        found += rows_of(benchmark, name, done[key])
    network = perceptron_of(planned, pixels)
    closed = dormant_units(network, run.parameters, task.inputs)
    share = torch.stack([c.double().mean(1) for c in closed]).mean(0)
    return found + rows_of_metrics(benchmark, "gates", run, {"dormant_fraction": share})


def _looked_at(planned: Plan, pixels: Pixels, run: Run) -> dict[str, Tensor]:
    """Return kernels, spectra and units of worn networks at their next task."""
    network, task = perceptron_of(planned, pixels), next_task(planned, pixels, run)
    inside = stack_diagnostics(network, run.parameters, task.inputs)
    found = {name: v for name, v in inside.items() if not name.startswith("ntk_")}
    scales = adam_scales(run.parameters, optimizer_of(planned, network, run))
    return found | kernel_statistics(network, run.parameters, task.inputs, scales)


def _case_rows(case: str, sizes: Sizes, data: str, pixels: Pixels) -> list[Row]:
    """Train one method's networks and return all their rows."""
    planned, seeds = _fork_plan(case, sizes, data), list(range(sizes.seeds))
    benchmark = f"worn_{planned.benchmark.name}"
    start = fresh_run(planned, pixels, seeds, 0)
    rows: list[Row] = []

    def look(run: Run) -> None:
        if run.task in sizes.looks:
            metrics = _looked_at(planned, pixels, run)
            rows.extend(rows_of_metrics(benchmark, case, run, metrics))
        if run.task in sizes.ages and case == "adam":
            rows.extend(_forked(planned, pixels, run, start))
        elif run.task in sizes.ages:
            new = fresh_run(planned, pixels, seeds, run.task)
            task = next_task(planned, pixels, run)
            learned = after_next(planned, pixels, new, start.parameters, task)
            rows.extend(rows_of(benchmark, f"{case}_fresh", learned))

    ages = sorted({*sizes.ages, *sizes.looks})
    return rows + rows_of(benchmark, case, worn(planned, pixels, seeds, ages, look))


def _numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return all tidy numbers of forks and of the worn networks themselves.

    Benchmarks ``interventions_<stream>``, see :func:`_forked`, and ``worn_<stream>``:
    for every method the measures of each task and, at the same task, what
    :func:`_looked_at` found before it; ``<method>_fresh`` are new networks of its kind.
    """
    settings = _fork_plan("adam", sizes, data).settings
    pixels = scaled(load(data), settings.input_scaling)
    rows = [row for case in CASES for row in _case_rows(case, sizes, data, pixels)]
    return pd.DataFrame(rows, columns=TIDY)


LAPTOP = Sizes(
    profile="laptop",
    seeds=8,
    ages=(0, 5, 10, 20, 40, 70, 100),
    looks=(0, 5, *range(10, 101, 10)),
    stream={"test_images": 1000},
)
SMOKE = Sizes(
    profile="smoke",
    seeds=2,
    ages=(0, 1, 2),
    looks=(0, 1, 2),
    stream=layers.SMALL,
)
FORKS = Study(
    name="interventions",
    sizes=ByProfile(
        smoke=SMOKE,
        laptop=LAPTOP,
        paper=replace(LAPTOP, profile="paper", stream={}),
    ),
    run=_numbers,
)
STUDIES = (FORKS, *layers.STUDIES, *deaths.STUDIES)
