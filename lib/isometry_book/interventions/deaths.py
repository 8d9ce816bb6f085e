"""Which method wakes units that died by themselves.

Adam learns a stream until many of its units are dead: silent on every input of the next
task. Each contender then gets the same networks, with Adam's memory, learns some more
tasks of the stream, and those units are counted that are alive at the end. On permuted
images the inputs change with every task; with random labels they stay, and more units
die.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from isometry.core.messages import unknown
from isometry.core.precision import exact_matmul
from isometry.core.profile import ByProfile
from isometry.core.stacking import Parameters
from isometry.lab.plans import Plan, plan
from isometry.lab.store import TIDY
from isometry.plasticity import dormancy_scores
from isometry.stream.run import Run
from isometry.supervised.data.sets import load
from isometry.supervised.networks.mlp import MLP
from isometry.supervised.streams import Pixels, scaled
from isometry.supervised.trainer import one_task
from isometry_book.interventions.forks import copied
from isometry_book.interventions.runs import (
    CPU,
    Row,
    bound_to,
    fresh_run,
    next_task,
    optimizer_of,
    perceptron_of,
    rows_of_metrics,
    worn,
)
from isometry_book.study import Study

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
# Name in the store -> method and its settings.
CONTENDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "adam": ("adam", {}),
    "adamo_1": ("adamo", {"isometry_strength": 1.0, "isometry_head": False}),
    "adamo_10": ("adamo", {"isometry_strength": 10.0, "isometry_head": False}),
    "redo": ("redo", {"redo_every": 100}),
    "l2_init": ("l2_init", {}),
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large a study of deaths is.

    Attributes:
        profile: Of the stream, whose settings it starts from.
        kind: Of the stream, a key of :data:`STREAMS`.
        seeds: Networks.
        before: Tasks that Adam learns.
        further: After how many more tasks units are counted.
        stream: What differs from the stream's settings.
    """

    profile: str
    kind: str
    seeds: int
    before: int
    further: tuple[int, ...]
    stream: Mapping[str, Any]


def _death_plan(contender: str, sizes: Sizes, data: str) -> Plan:
    """Return what is trained: the stream's network and settings, and a method."""
    streams, (method, changes) = STREAMS[sizes.kind], CONTENDERS[contender]
    if data not in streams:
        raise KeyError(unknown("data set", data, streams))
    stream = {"data": data, **sizes.stream, "tasks": sizes.before + 1}
    return plan(streams[data], method, {**stream, **changes}, sizes.profile)


def _deaths_of(planned: Plan) -> str:
    """Return the benchmark's name in the store, ``deaths_<stream>``."""
    return f"deaths_{planned.benchmark.name}"


def _dead(network: MLP, parameters: Parameters, inputs: Tensor) -> Tensor:
    """Return which units are silent on every input, ``(members, all hidden units)``.

    Source: dormancy with threshold 0, Sokar et al. 2023, Definition 3.1.
    """
    with torch.no_grad():
        hidden = network.hidden_activations(parameters, inputs)
    return torch.cat([dormancy_scores(h) <= 0 for h in hidden], 1)


def _handed_over(
    planned: Plan, pixels: Pixels, run: Run
) -> tuple[Run, torch.optim.Optimizer]:
    """Return a run of another method from where Adam's run stands.

    Adam's moments and its count of steps go along. What the method carries from the
    start of a network, such as the weights that L2 Init pulls to, is made from the
    networks that Adam's training began with.
    """
    network, taken = perceptron_of(planned, pixels), copied(run)
    taken.carried = fresh_run(planned, pixels, run.seeds, 0).carried
    # Adam holds the parameters in the network's order; others may sort them.
    state, taken.optimizer_state = taken.optimizer_state, None
    assert state is not None
    optimizer = optimizer_of(planned, network, taken)
    for index, parameter in enumerate(taken.parameters.values()):
        optimizer.state[parameter] = dict(state["state"][index])
    return taken, optimizer


def _contender_rows(
    contender: str, planned: Plan, pixels: Pixels, run: Run, further: Sequence[int]
) -> list[Row]:
    """Let a contender learn further tasks and count which dead units live again."""
    benchmark, network = _deaths_of(planned), perceptron_of(planned, pixels)
    taken, optimizer = _handed_over(planned, pixels, run)
    task = next_task(planned, pixels, taken)
    inputs = task.inputs
    before = _dead(network, taken.parameters, inputs)
    zero = Run(seeds=taken.seeds, task=0)
    rows = rows_of_metrics(
        benchmark, contender, zero, {"dead_fraction": before.double().mean(1)}
    )
    bound = bound_to(planned, network)
    for done in range(1, max(further) + 1):
        hooks = bound.hooks(taken, optimizer)
        with exact_matmul(CPU):
            one_task(taken, network, task, planned.settings, optimizer, hooks)
        rows += [
            (benchmark, contender, r["seed"], done, r["metric"], r["value"])
            for r in taken.records
            if r["metric"] == "online_accuracy" and r["task"] == taken.task - 1
        ]
        if done in further:
            now = _dead(network, taken.parameters, inputs)
            last = _dead(network, taken.parameters, task.inputs)
            found = {
                "alive": _share_of(~now, before),
                "alive_on_last": _share_of(~last, before),
                "died": _share_of(now, ~before),
            }
            place = Run(seeds=taken.seeds, task=done)
            rows += rows_of_metrics(benchmark, contender, place, found)
        task = next_task(planned, pixels, taken)
    return rows


def _share_of(what: Tensor, units: Tensor) -> Tensor:
    """Return which share of a member's units something holds for, ``(members,)``.

    Source: definition.

    Example:
        >>> _share_of(torch.tensor([[True, True]]), torch.tensor([[True, False]]))
        tensor([1.], dtype=torch.float64)
    """
    return (what & units).sum(1).double() / units.sum(1)


def _numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return the tidy numbers of every contender, see :func:`_contender_rows`."""
    adam = _death_plan("adam", sizes, data)
    pixels = scaled(load(data), adam.settings.input_scaling)
    rows: list[Row] = []

    def hand_over(run: Run) -> None:
        for name in CONTENDERS:
            planned = _death_plan(name, sizes, data)
            rows.extend(_contender_rows(name, planned, pixels, run, sizes.further))

    worn(adam, pixels, list(range(sizes.seeds)), [sizes.before], hand_over)
    return pd.DataFrame(rows, columns=TIDY)


def _sizes_of(kind: str, before: int) -> ByProfile[Sizes]:
    """Return the sizes on a kind of stream; on a laptop Adam learns so many tasks."""
    laptop = Sizes(
        profile="laptop",
        kind=kind,
        seeds=8,
        before=before,
        further=(1, 3, 10),
        stream={"test_images": 1000},
    )
    return ByProfile(
        smoke=Sizes(
            profile="smoke", kind=kind, seeds=2, before=3, further=(1, 2), stream=SMALL
        ),
        laptop=laptop,
        paper=replace(laptop, profile="paper", stream={}),
    )


DEATHS = Study(name="natural_deaths", sizes=_sizes_of("permuted", 100), run=_numbers)
RANDOM_LABEL_DEATHS = Study(
    name="natural_deaths_random_label",
    sizes=_sizes_of("random_label", 40),
    run=_numbers,
)
STUDIES = (DEATHS, RANDOM_LABEL_DEATHS)
