"""Units that died by themselves, and which method wakes them.

Adam learns a stream until some of its units are dead: silent on every input of the
next task. The same networks, with Adam's memory, are then handed to each contender for
some more tasks of the stream, and those units that are alive at the end are counted.
"""

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from isometry.core.checkpoint import Run
from isometry.core.messages import unknown
from isometry.core.precision import exact_matmul
from isometry.core.stacking import Parameters
from isometry.experiments.interventions import copied
from isometry.experiments.interventions_runs import (
    CPU,
    Row,
    fresh_run,
    next_task,
    optimizer_of,
    perceptron_of,
    rows_of_metrics,
    worn,
)
from isometry.experiments.interventions_study import STREAMS
from isometry.experiments.maxmin_training import TIDY
from isometry.experiments.plans import Plan, plan
from isometry.methods.binding import hooks
from isometry.plasticity import dormancy_scores
from isometry.supervised.data import load
from isometry.supervised.networks import MLP
from isometry.supervised.streams import Pixels, scaled
from isometry.supervised.trainer import one_task

SIZES: dict[str, dict[str, Any]] = {
    "smoke": {
        "seeds": 2,
        "before": 3,
        "further": (1, 2),
        "stream": {
            "images_per_task": 40,
            "batch_size": 20,
            "epochs": 10,
            "width": 12,
            "depth": 2,
            "test_images": 40,
            "lr": 2e-2,
        },
    },
    "laptop": {
        "seeds": 8,
        "before": 100,
        "further": (1, 3, 10),
        "stream": {"test_images": 1000},
    },
    "paper": {"seeds": 8, "before": 100, "further": (1, 3, 10), "stream": {}},
}
# Name in the store -> method and its settings.
CONTENDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "adam": ("adam", {}),
    "adamo_1": ("adamo", {"isometry_strength": 1.0, "isometry_head": False}),
    "adamo_10": ("adamo", {"isometry_strength": 10.0, "isometry_head": False}),
    "redo": ("redo", {"redo_every": 100}),
    "l2_init": ("l2_init", {}),
}


def death_plan(contender: str, profile: str, data: str) -> Plan:
    """Return what is trained: the stream's network and settings, and a method.

    Args:
        contender: One of :data:`CONTENDERS`.
        profile: smoke, laptop or paper.
        data: One of :data:`STREAMS`.

    Raises:
        KeyError: If profile or data are not known.

    Source: ours.
    """
    if profile not in SIZES:
        raise KeyError(unknown("profile", profile, SIZES))
    if data not in STREAMS:
        raise KeyError(unknown("data set", data, STREAMS))
    size, (method, changes) = SIZES[profile], CONTENDERS[contender]
    tasks = size["before"] + 1
    stream = {"data": data, **size["stream"], "tasks": tasks, **changes}
    return plan(STREAMS[data], method, stream, profile)


def dead(network: MLP, parameters: Parameters, inputs: Tensor) -> Tensor:
    """Return which units are silent on every input, ``(members, all hidden units)``.

    Args:
        network: A perceptron.
        parameters: name -> ``(members, ...)``.
        inputs: ``(members, n, features)``.

    Source: dormancy with threshold 0, Sokar et al. 2023, Definition 3.1.
    """
    with torch.no_grad():
        hidden = network.hidden_activations(parameters, inputs)
    return torch.cat([dormancy_scores(h) <= 0 for h in hidden], 1)


def handed_over(
    planned: Plan, pixels: Pixels, run: Run
) -> tuple[Run, torch.optim.Optimizer]:
    """Return a run of another method from where Adam's run stands.

    Adam's moments and its count of steps go along. What the method carries from the
    start of a network, such as the weights that L2 Init pulls to, is made from the
    networks that Adam's training began with.

    Args:
        planned: Of the other method.
        pixels: The data.
        run: Adam's, with its optimiser's state; stays as it is.

    Source: ours.
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


def contender_rows(
    contender: str, profile: str, data: str, pixels: Pixels, run: Run
) -> list[Row]:
    """Let a contender learn further tasks and count which dead units live again.

    Args:
        contender: One of :data:`CONTENDERS`.
        profile: smoke, laptop or paper.
        data: One of :data:`STREAMS`.
        pixels: The data.
        run: Adam's, worn.

    Returns:
        Rows of benchmark ``deaths_<stream>``; the task is the number of further tasks.
        At 0: ``dead_fraction``, of all hidden units on the next task's inputs. Later,
        of the units that were dead then: ``alive``, the share that fires on some of the
        same inputs, ``alive_on_last`` on some inputs of the task just learned;
        ``died``, the share of the other units that is dead on the first inputs; and
        ``online_accuracy`` of the task. A seed without dead units has no ``alive``.

    Source: ours.
    """
    planned = death_plan(contender, profile, data)
    benchmark = f"deaths_{planned.benchmark.name}"
    network, further = perceptron_of(planned, pixels), SIZES[profile]["further"]
    taken, optimizer = handed_over(planned, pixels, run)
    task = next_task(planned, pixels, taken)
    inputs = task.inputs
    before = dead(network, taken.parameters, inputs)
    zero = Run(seeds=taken.seeds, task=0)
    rows = rows_of_metrics(
        benchmark, contender, zero, {"dead_fraction": before.double().mean(1)}
    )
    methods = planned.method, planned.method_settings
    for done in range(1, max(further) + 1):
        intervene = hooks(taken, network.structure(), *methods, optimizer)
        with exact_matmul(CPU):
            one_task(taken, network, task, planned.settings, optimizer, intervene)
        rows += [
            (benchmark, contender, r["seed"], done, r["metric"], r["value"])
            for r in taken.records
            if r["metric"] == "online_accuracy" and r["task"] == taken.task - 1
        ]
        if done in further:
            now = dead(network, taken.parameters, inputs)
            last = dead(network, taken.parameters, task.inputs)
            found = {
                "alive": share_of(~now, before),
                "alive_on_last": share_of(~last, before),
                "died": share_of(now, ~before),
            }
            place = Run(seeds=taken.seeds, task=done)
            rows += rows_of_metrics(benchmark, contender, place, found)
        task = next_task(planned, pixels, taken)
    return rows


def share_of(what: Tensor, units: Tensor) -> Tensor:
    """Return which share of a member's units something holds for, ``(members,)``.

    Args:
        what: ``(members, units)``, boolean.
        units: The same shape: which units count.

    Returns:
        Between 0 and 1; NaN for a member without such units.

    Source: definition.

    Example:
        >>> share_of(torch.tensor([[True, True]]), torch.tensor([[True, False]]))
        tensor([1.], dtype=torch.float64)
    """
    return (what & units).sum(1).double() / units.sum(1)


def deaths(profile: str, data: str, seeds: list[int]) -> list[Row]:
    """Return all rows of the study for some seeds, see :func:`contender_rows`.

    Args:
        profile: smoke, laptop or paper.
        data: One of :data:`STREAMS`.
        seeds: One network each.

    Source: ours.
    """
    planned = death_plan("adam", profile, data)
    pixels = scaled(load(data), planned.settings.input_scaling)
    rows: list[Row] = []

    def hand_over(run: Run) -> None:
        for contender in CONTENDERS:
            rows.extend(contender_rows(contender, profile, data, pixels, run))

    worn(planned, pixels, seeds, [SIZES[profile]["before"]], hand_over)
    return rows


def study(profile: str = "laptop", data: str = "cifar10") -> pd.DataFrame:
    """Return all tidy numbers on units that died by themselves.

    Args:
        profile: smoke, laptop or paper.
        data: cifar10 or mnist, or digits for a quick look.

    Raises:
        KeyError: If profile or data are not known.

    Source: ours; the claim is that of arXiv 2606.09762, Sec. 4, on dormant units.
    """
    if profile not in SIZES:
        raise KeyError(unknown("profile", profile, SIZES))
    rows = deaths(profile, data, list(range(SIZES[profile]["seeds"])))
    return pd.DataFrame(rows, columns=TIDY)
