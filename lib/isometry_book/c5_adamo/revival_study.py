"""Chapter 5: units are killed, training goes on, and those that come back are counted.

Half of the units of every hidden layer of a network that Adam has trained are killed in
one of three ways. Then the network learns further tasks under each of
:data:`CONTENDERS`, from the same weights, with a new optimiser.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from isometry.adamo import strength_for_relaxation
from isometry.adamo.revival import never_fires, revival_steps
from isometry.core.denormals import denormals_flushed
from isometry.core.settings import changed
from isometry.core.stacking import Parameters
from isometry.lab.store import TIDY
from isometry.methods import METHODS
from isometry.stream.binding import Bound
from isometry.stream.run import Run, on_device
from isometry.supervised.benchmarks import BENCHMARKS
from isometry.supervised.networks.mlp import MLP
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import Pixels, Task
from isometry.supervised.trainer import network_of
from isometry.supervised.training import (
    batches,
    stacked_tasks,
    train_task,
)
from isometry_book.c5_adamo.continual import stream_pixels
from isometry_book.c5_adamo.revival_units import KILLS, firing, killed

RELAXATION = 300  # steps; sets the strength of AdamO and of the coupled form
REDO_PERIOD = 100  # steps


def _pull(lr: float) -> dict[str, float]:
    """Return the strength with that relaxation time."""
    return {"isometry_strength": strength_for_relaxation(RELAXATION, lr)}


# Method -> learning rate -> what is changed of its settings.
SETTINGS: Mapping[str, Callable[[float], dict[str, Any]]] = MappingProxyType(
    {
        "adam": lambda lr: {},
        "adamo": _pull,
        "adam_isometry": _pull,
        "redo": lambda lr: {"redo_every": REDO_PERIOD},
    }
)
CONTENDERS = tuple(SETTINGS)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is.

    Attributes:
        seeds: Networks, trained as one stack.
        before: Tasks that Adam learns before the killing.
        after: Tasks afterwards.
        epochs: Of each task.
        records: Counts in each task, evenly spaced; divides the steps of a task.
    """

    seeds: int
    before: int
    after: int
    epochs: int
    records: int = 4


def _revival_settings(sizes: Sizes, data: str) -> SupervisedSettings:
    """Return the network and the stream: random labels, inputs between 0 and 1."""
    return BENCHMARKS.get("random_label_mnist").settings(
        "paper",
        data=data,
        width=64,
        depth=2,
        lr=1e-3,
        init="orthogonal",
        input_scaling="unit",
        batch_size=32,
        images_per_task=256,
        epochs=sizes.epochs,
    )


@denormals_flushed()
def after_killing(
    method: str,
    network: MLP,
    start: Parameters,
    tasks: list[Task],
    settings: SupervisedSettings,
    first_task: int,
    records: int,
) -> pd.DataFrame:
    """Train on after the killing and count which of the killed units fire.

    Args:
        method: One of :data:`CONTENDERS`.
        network: The network.
        start: With the killed units; stays as it is.
        tasks: Stacked tasks, in order.
        settings: Epochs and batch size.
        first_task: The number of the first of them in its stream.
        records: Counts in each task.

    Returns:
        A row a count, member, layer and killed unit: step, member, layer, unit, fires;
        and the online accuracy since the last count in ``accuracy``.
    """
    chosen = METHODS.get(method)
    own = changed(chosen.settings, SETTINGS[method](settings.lr))
    seeds = list(range(len(tasks[0].labels)))
    own_start = {name: p.detach().clone() for name, p in start.items()}
    run = Run(seeds=seeds, parameters=on_device(own_start, torch.device("cpu")))
    structure = network.structure()
    bound = Bound(method=chosen, settings=own, structure=structure, lr=settings.lr)
    bound.start(run)
    optimizer, parameters = bound.optimizer(run), run.parameters
    per_task = settings.epochs * -(-settings.images_per_task // settings.batch_size)
    chunk, frames = per_task // records, []
    for index, task in enumerate(tasks, start=first_task):
        stream = batches(task, settings, seeds, index)
        for _ in range(records):
            part, hooks = islice(stream, chunk), bound.hooks(run, optimizer)
            seen = train_task(network, parameters, optimizer, hooks, part, chunk)
            run.steps += chunk
            fires = firing(network, parameters, task.inputs)
            member, layer, unit = torch.meshgrid(
                *(torch.arange(n) for n in fires.shape), indexing="ij"
            )
            columns = {"member": member, "layer": layer, "unit": unit, "fires": fires}
            frame = pd.DataFrame({k: v.flatten().numpy() for k, v in columns.items()})
            accuracy = seen[1].mean(0)[member.flatten()].numpy()
            frames.append(frame.assign(step=run.steps, accuracy=accuracy))
    return pd.concat(frames, ignore_index=True)


def foretold(
    network: MLP, start: Parameters, inputs: Tensor, rate: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Return what the theory says of the killed units of the first layer.

    Args:
        network: The network.
        start: With the killed units.
        inputs: ``(members, n, features)``.
        rate: eta_iso * lambda.
        steps: How many steps follow.

    Returns:
        Whether the unit would fire within these steps if the isometry step acted
        alone, and whether it can never fire; both ``(members, half)``.

    Source: :mod:`isometry.adamo.revival`.
    """
    half = network.architecture.width // 2
    weight, bias = (start[f"hidden.0.{part}"].detach() for part in ("weight", "bias"))
    promised, barred = [], []
    for layer in zip(weight, bias, inputs, strict=True):
        promised.append(revival_steps(*layer, rate, longest=steps)[:half] <= steps)
        barred.append(never_fires(*layer)[:half])
    return torch.stack(promised), torch.stack(barred)


@denormals_flushed()
def trained_before(
    network: MLP, pixels: Pixels, settings: SupervisedSettings, sizes: Sizes
) -> tuple[Parameters, list[Task]]:
    """Return networks after some tasks with Adam, and the tasks that follow.

    Args:
        network: The network.
        pixels: The data.
        settings: Of a task.
        sizes: How many seeds and tasks.
    """
    seeds = list(range(sizes.seeds))
    make = BENCHMARKS.get("random_label_mnist").task
    tasks = [
        stacked_tasks(
            [make(pixels, settings, seed, index) for seed in seeds], torch.device("cpu")
        )
        for index in range(sizes.before + sizes.after)
    ]
    parameters = on_device(network.stacked(seeds), torch.device("cpu"))
    optimizer = torch.optim.Adam(parameters.values(), lr=settings.lr, fused=True)
    per_task = settings.epochs * -(-settings.images_per_task // settings.batch_size)
    for index, task in enumerate(tasks[: sizes.before]):
        stream = batches(task, settings, seeds, index)
        train_task(network, parameters, optimizer, None, stream, per_task)
    return parameters, tasks[sizes.before :]


def revival_numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return all tidy numbers on revival; the task is the step after the killing.

    Benchmarks ``revival_<kill>``, methods :data:`CONTENDERS`. Metrics: ``fires``, the
    share of the killed units that fire on some image, also by layer, and
    ``online_accuracy``. At step 0, for AdamO and the first layer: ``promised`` and
    ``barred``, the shares of which the theory says so, and among both kinds
    ``fires_promised``, ``fires_not_promised`` and ``fires_barred`` at the end.

    Args:
        sizes: How large.
        data: A data set's name.
    """
    settings = _revival_settings(sizes, data)
    pixels = stream_pixels(settings)
    adam = METHODS.get("adam")
    network = network_of(adam, adam.settings, settings, pixels)
    assert isinstance(network, MLP)
    trained, tasks = trained_before(network, pixels, settings, sizes)
    rows = []
    for kill in KILLS:
        start = killed(network, trained, tasks[0].inputs, kill)
        for method in CONTENDERS:
            counted = after_killing(
                method, network, start, tasks, settings, sizes.before, sizes.records
            )
            place = (f"revival_{kill}", method)
            for (seed, step), part in counted.groupby(["member", "step"]):
                found = {"fires": part["fires"], "online_accuracy": part["accuracy"]}
                for layer, own in part.groupby("layer"):
                    found[f"fires_layer_{layer + 1}"] = own["fires"]
                rows += [
                    (*place, seed, step, metric, float(values.mean()))
                    for metric, values in found.items()
                ]
            if method != "adamo":
                continue
            last = int(counted["step"].max())
            rate = 1 / (8 * RELAXATION)
            promised, barred = foretold(network, start, tasks[0].inputs, rate, last)
            end = counted[(counted["step"] == last) & (counted["layer"] == 0)]
            fires = torch.tensor(end["fires"].to_numpy()).view(promised.shape)
            for seed in range(sizes.seeds):
                groups = {
                    "promised": promised[seed],
                    "not_promised": ~promised[seed],
                    "barred": barred[seed],
                }
                for name, group in groups.items():
                    share = float(group.double().mean())
                    rows.append((*place, seed, 0, name, share))
                    if share > 0:
                        back = float(fires[seed][group].double().mean())
                        rows.append((*place, seed, 0, f"fires_{name}", back))
    return pd.DataFrame(rows, columns=TIDY)
