"""The experiments of chapter 1: how plasticity is lost, and how it is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from isometry.core.profile import ByProfile
from isometry.core.seeding import generator
from isometry.lab.report import seed_scores
from isometry.lab.run import Plan, plan
from isometry.lab.store import load_results
from isometry.plasticity import Budget, Measurement, measure_plasticity, plasticity
from isometry.supervised.data.sets import load
from isometry.supervised.networks.mlp import as_module
from isometry.supervised.streams import Pixels, random_label, scaled
from isometry.supervised.trainer import network_of, train

BENCHMARK = "random_label_mnist"
LONGER = 5  # the long training that estimates the achievable loss, in budgets
LONG_TASKS = 4  # tasks are exchangeable, so a few tell the level of all
WIDTHS = (25, 100, 400)
NEW_TASK = 10_000  # numbers of tasks that no stream reaches

# Mean accuracy before the update over all updates, and its spread over 5 runs, in
# percent: Lillo & Cheney, ICLR 2026 (arXiv 2509.22562), at their learning rates.
PUBLISHED: dict[str, dict[str, float]] = {
    "relu": {"lr": 1e-4, "published": 20.03, "published_spread": 2.46},
    "leaky_relu": {"lr": 1e-3, "published": 91.53, "published_spread": 0.18},
}
SCALING_TASKS = 10  # of the control, with the inputs scaled in another way


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiments are that the chapter runs beside the benchmark.

    Attributes:
        seeds: Networks of each method on the stream.
        worn: After how many tasks a network's plasticity is measured.
        budgets: Steps that a measurement may take.
        tasks: New tasks of a measurement.
    """

    seeds: int
    worn: tuple[int, ...]
    budgets: tuple[int, ...]
    tasks: int


SIZES = ByProfile(
    smoke=Sizes(seeds=2, worn=(0, 2, 4), budgets=(40, 80, 160), tasks=2),
    laptop=Sizes(
        seeds=3, worn=(0, 5, 10, 25), budgets=(75, 150, 300, 600, 1200), tasks=3
    ),
    paper=Sizes(
        seeds=8,
        worn=(0, 5, 10, 25, 50),
        budgets=(300, 1000, 3000, 10_000, 30_000),
        tasks=5,
    ),
)


def worn_networks(
    data: str, profile: str, seed: int = 0, width: int | None = None
) -> tuple[Plan, Pixels, dict[int, nn.Sequential]]:
    """Return copies of one network after 0 and more tasks of Random-Label training.

    Args:
        data: Name of the data set.
        profile: Says how many tasks.
        seed: The stream's seed.
        width: Units a hidden layer; the profile's if not given.

    Returns:
        The plan, the data, and networks by the number of tasks they have learned.
    """
    changes = {"data": data} if width is None else {"data": data, "width": width}
    planned = plan(BENCHMARK, "adam", changes, profile)
    pixels = scaled(load(data), planned.settings.input_scaling)
    arguments = (planned.method, planned.method_settings, planned.settings, pixels)
    network = network_of(*arguments)
    worn = {0: as_module(network, network.stacked([seed], 0), 0)}
    counts = [count for count in SIZES.of(profile).worn if count > 0]
    if width is not None:  # only the new network is asked for
        return planned, pixels, worn

    def keep(done: int, parameters: Mapping[str, torch.Tensor]) -> None:
        if done in counts:
            worn[done] = as_module(network, dict(parameters), 0)

    train(planned.images, *arguments, [seed], observe=keep)
    return planned, pixels, worn


def _new_tasks(
    planned: Plan, pixels: Pixels, count: int, seed: int = 0
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return Random-Label tasks that the stream of that seed has not shown."""
    numbers = range(NEW_TASK, NEW_TASK + count)
    tasks = [random_label(pixels, planned.settings, seed, number) for number in numbers]
    return [(task.inputs, task.labels) for task in tasks]


def _measured(
    model: nn.Module, tasks: Any, budget: Budget, planned: Plan
) -> Measurement:
    """Return a network's plasticity on some tasks, trained as the stream trains."""
    settings = planned.settings
    return measure_plasticity(
        model,
        tasks,
        budget,
        generator=generator(0, "plasticity study"),
        batch_size=settings.batch_size,
        optimizer=partial(torch.optim.Adam, lr=settings.lr, fused=True),
    )


def budget_curves(
    planned: Plan, pixels: Pixels, worn: Mapping[int, nn.Module], sizes: Sizes
) -> pd.DataFrame:
    """Return plasticity against the budget for one network at several ages.

    Args:
        planned: Of :func:`worn_networks`.
        pixels: The data.
        worn: The network by the number of tasks it has learned.
        sizes: Say which budgets, and how many tasks.

    Returns:
        Columns ``learned`` (tasks before), ``steps``, ``plasticity``.
    """
    tasks = _new_tasks(planned, pixels, sizes.tasks)
    rows = [
        {
            "learned": learned,
            "steps": steps,
            "plasticity": _measured(model, tasks, Budget(steps), planned).plasticity,
        }
        for learned, model in worn.items()
        for steps in sizes.budgets
    ]
    return pd.DataFrame(rows)


def steps_and_flops(data: str, profile: str) -> pd.DataFrame:
    """Return the plasticity of new networks of three widths, by steps and by flops.

    The budget in floating-point operations is what the middle budget of the profile
    costs the network of the middle width.

    Args:
        data: Name of the data set.
        profile: Says how large the budget is.

    Returns:
        Columns ``width``, ``equal steps``, ``equal flops``, ``steps for the flops``.
    """
    sizes = SIZES.of(profile)
    steps = Budget(sizes.budgets[len(sizes.budgets) // 2])
    rows: list[dict[str, float]] = []
    flops = None
    for width in sorted(WIDTHS, key=lambda w: w != WIDTHS[1]):
        planned, pixels, worn = worn_networks(data, profile, width=width)
        tasks = _new_tasks(planned, pixels, sizes.tasks)
        by_steps = _measured(worn[0], tasks, steps, planned)
        flops = flops or Budget(by_steps.flops_a_step * by_steps.steps, "flops")
        by_flops = _measured(worn[0], tasks, flops, planned)
        rows.append(
            {
                "width": width,
                "equal steps": by_steps.plasticity,
                "equal flops": by_flops.plasticity,
                "steps for the flops": by_flops.steps,
            }
        )
    return pd.DataFrame(rows).sort_values("width", ignore_index=True)


def _losses(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric as a table, one row a seed and one column a task."""
    chosen = frame[frame["metric"] == metric]
    return chosen.pivot(index="seed", columns="task", values="value")


def achievable_losses(fresh: pd.DataFrame, long: pd.DataFrame) -> dict[str, Any]:
    """Return three estimates of the best achievable loss of each task.

    Args:
        fresh: Numbers of a new network for each task, with the same budget.
        long: New networks on some tasks with :data:`LONGER` times the budget.

    Returns:
        ``known minimum``: 0, since every labelling of distinct images can be memorised;
        ``long training``: the mean final loss; ``fresh network``: seeds by tasks.
    """
    return {
        "known minimum": 0.0,
        "long training": float(_losses(long, "final_loss").to_numpy().mean()),
        "fresh network": _losses(fresh, "final_loss"),
    }


def plasticity_by_estimate(
    run: pd.DataFrame, achievable: Mapping[str, Any], fifths: Sequence[str]
) -> pd.DataFrame:
    """Return plasticity under each estimate of the achievable loss.

    Args:
        run: Tidy numbers of one method.
        achievable: What :func:`achievable_losses` returned.
        fifths: Which parts of the stream, of ``first``, ``last``, ``all``.

    Returns:
        One row an estimate, one column a part: means over seeds.
    """
    initial, final = _losses(run, "initial_loss"), _losses(run, "final_loss")
    count = max(1, initial.shape[1] // 5)
    parts = {"all": slice(None), "first": slice(count), "last": slice(-count, None)}
    rows = {}
    for name, best in achievable.items():
        table = {}
        for part in fifths:
            chosen = parts[part]
            level = best if isinstance(best, float) else best.iloc[:, chosen]
            values = plasticity(
                torch.tensor(initial.iloc[:, chosen].to_numpy(copy=True)),
                torch.tensor(final.iloc[:, chosen].to_numpy(copy=True)),
                torch.tensor(np.array(level)),
            )
            table[part] = float(values.mean())
        rows[name] = table
    return pd.DataFrame(rows).T.rename_axis("achievable loss")


def control_runs(store: Path) -> dict[str, pd.DataFrame]:
    """Return our Random-Label MNIST at the published size, one run an activation.

    Args:
        store: The book's results.

    Returns:
        Activation -> tidy numbers.

    Raises:
        StoreError: If the store does not have the runs.

    Source: Lillo & Cheney, ICLR 2026; see :data:`PUBLISHED`.
    """
    runs = {}
    for activation, row in PUBLISHED.items():
        changes: dict[str, Any] = {"activation": activation, "lr": row["lr"]}
        if activation == "leaky_relu":
            changes["negative_slope"] = 0.8
        planned = plan(BENCHMARK, "adam", changes, "paper")
        runs[activation] = load_results(planned.path(store))
    return runs


def positive_control(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return our numbers beside the published ones.

    Args:
        runs: What :func:`control_runs` returns.

    Returns:
        One row an activation: ``lr``, ``published`` and its spread, ``ours`` (mean over
        seeds of the online accuracy over all tasks) with ``spread`` (standard deviation
        over seeds), all in percent, and ``seeds``.

    Source: Lillo & Cheney, ICLR 2026; see :data:`PUBLISHED`.
    """
    rows = []
    for activation, frame in runs.items():
        scores = 100 * seed_scores(frame, "online_accuracy")
        ours = {"ours": scores.mean(), "spread": scores.std(), "seeds": len(scores)}
        rows.append({"activation": activation, **PUBLISHED[activation], **ours})
    return pd.DataFrame(rows)


def other_scaling(store: Path) -> dict[str, float]:
    """Return leaky ReLU's online accuracy in the control's first tasks, by scaling.

    Args:
        store: The book's results.

    Returns:
        Scaling of the inputs -> percent over the tasks that both runs have, mean over
        seeds; and ``tasks``, how many these are.

    Raises:
        StoreError: If the store does not have the runs.
    """
    standard = control_runs(store)["leaky_relu"]
    changes = {"activation": "leaky_relu", "negative_slope": 0.8, "lr": 1e-3}
    changes |= {"input_scaling": "unit", "tasks": SCALING_TASKS}
    unit = load_results(plan(BENCHMARK, "adam", changes, "paper").path(store))
    frames = {"standard": standard[standard["task"] < SCALING_TASKS], "unit": unit}
    found = {
        name: float(100 * seed_scores(frame, "online_accuracy").mean())
        for name, frame in frames.items()
    }
    return {**found, "tasks": SCALING_TASKS}
