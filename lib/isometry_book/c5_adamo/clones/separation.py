"""Chapter 5: does the pull tell copies of a unit apart, and does training?

The criteria were written before the first run: under the pull alone the difference of
two nearly equal rows grows at the foretold rate to :data:`RATE_ERROR` in a wide and in
a square matrix, and by less than :data:`BOUNDED` in a tall one. In training, copies are
told apart when the cosine of their rows is below :data:`APART`; a method tells copies
apart if that holds for more than :data:`MOST` of them at the end, and leaves them
together if it holds for less than :data:`FEW`.
"""

import math
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from isometry.adamo import (
    isometry_gradient,
    singular_value_flow,
    strength_for_relaxation,
)
from isometry.core.denormals import denormals_flushed
from isometry.core.profile import ByProfile
from isometry.core.seeding import generator
from isometry.core.settings import changed
from isometry.core.stacking import Parameters
from isometry.methods import METHODS
from isometry.plasticity import cloned_fraction, duplicate_fraction
from isometry.stream.binding import Bound, Hooks
from isometry.stream.run import Run, on_device
from isometry.supervised.benchmarks import BENCHMARKS
from isometry.supervised.networks.mlp import MLP
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import Task
from isometry.supervised.trainer import network_of
from isometry.supervised.training import batches, stacked_tasks, train_task
from isometry_book.c5_adamo.continual import stream_pixels

RATE_ERROR, BOUNDED = 0.05, 10.0
APART, MOST, FEW = 0.9, 0.5, 0.1

SHAPES = {"wide": (24, 32), "square": (32, 32), "tall": (40, 32)}
PULL_RELAXATION = 200  # steps; a discrete step is near the flow
PULL_TIMES = 30  # relaxation times
PULL_EPS = 1e-6  # length of the difference at the start

RELAXATION = 50  # steps, in training: copies have time to part within a run
EPS = 1e-3  # length of the difference at the start, relative to the row
SGD_LR = 0.1
METHOD_NAMES = ("sgd", "adam", "adamo")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the training is.

    Attributes:
        seeds: Networks, trained as one stack.
        tasks: Of random labels.
        epochs: Of each task.
        records: Looks at each task, evenly spaced; divides the steps of a task.
    """

    seeds: int
    tasks: int = 4
    epochs: int = 40
    records: int = 8


SIZES = ByProfile(smoke=Sizes(seeds=2), laptop=Sizes(seeds=4), paper=Sizes(seeds=10))


def parted_by_the_pull(shape: str) -> pd.DataFrame:
    """Follow the difference of two nearly equal rows under the pull alone.

    Args:
        shape: One of :data:`SHAPES`.

    Returns:
        A row a step: ``time`` in relaxation times, ``distance`` of the rows over that
        at the start, and ``foretold``, the closed form for a small difference.

    Source: ours; the proposition on clones in chapter 5.
    """
    draw = generator(0, "clones", shape)
    rows, columns = SHAPES[shape]
    weight = torch.randn(rows, columns, generator=draw, dtype=torch.float64)
    weight /= columns**0.5
    apart = torch.randn(columns, generator=draw, dtype=torch.float64)
    apart *= PULL_EPS / apart.norm()
    weight[1] = weight[0]
    rate = 1 / (8 * PULL_RELAXATION)
    steps = torch.arange(PULL_TIMES * PULL_RELAXATION + 1)
    foretold = _foretold(weight, apart, rate, steps) / PULL_EPS
    weight[1] += apart
    distances = []
    for _ in steps:
        distances.append(float((weight[1] - weight[0]).norm()) / PULL_EPS)
        weight = weight - rate * isometry_gradient(weight)
    time = (steps / PULL_RELAXATION).numpy()
    return pd.DataFrame(
        {"time": time, "distance": distances, "foretold": foretold.numpy()}
    )


def _foretold(weight: Tensor, apart: Tensor, rate: float, steps: Tensor) -> Tensor:
    """Return the length of a small difference of two rows that are equal else."""
    _, sigma, right = torch.linalg.svd(weight, full_matrices=True)
    parts = right @ apart
    met = sigma > 1e-9
    along, rest = parts[: len(sigma)], parts[len(sigma) :]
    off = along[~met].square().sum() + rest.square().sum()
    sigma, along = sigma[met], along[met]
    flow = singular_value_flow(sigma, rate, steps.double().unsqueeze(1))
    within = (along * flow / sigma).square().sum(1)
    return (within + off * torch.exp(8 * rate * steps)).sqrt()


def growth_rate(parted: pd.DataFrame, low: float = 1e2, high: float = 1e4) -> float:
    """Return the growth of the distance, a relaxation time, while it is still small.

    Args:
        parted: From :func:`parted_by_the_pull`.
        low: Where to begin, distance over that at the start.
        high: Where to end.

    Returns:
        The slope of the logarithm between the two, NaN if it does not come so far.
    """
    part = parted[(parted["distance"] > low) & (parted["distance"] < high)]
    if len(part) < 2:
        return math.nan
    first, last = part.iloc[0], part.iloc[-1]
    rise = math.log(last["distance"] / first["distance"])
    return rise / float(last["time"] - first["time"])


def training_settings(sizes: Sizes, data: str) -> SupervisedSettings:
    """Return the network and the stream: random labels, two hidden layers of 64.

    Args:
        sizes: How long.
        data: A data set's name.
    """
    return BENCHMARKS.get("random_label_mnist").settings(
        "paper",
        data=data,
        width=64,
        depth=2,
        lr=1e-3,
        init="orthogonal",
        batch_size=32,
        images_per_task=256,
        tasks=sizes.tasks,
        epochs=sizes.epochs,
    )


def with_clones(
    network: MLP, parameters: Parameters, seeds: list[int], eps: float
) -> Parameters:
    """Return a copy in which the second half of every hidden layer repeats the first.

    Rows, biases and the columns that lead out are equal; then each copy's row is moved
    by ``eps`` of its length, at random.

    Args:
        network: The network.
        parameters: name -> ``(members, ...)``.
        seeds: One a member; they draw the directions.
        eps: Relative length of the difference, >= 0.

    Source: ours.
    """
    copy = {name: p.detach().clone() for name, p in parameters.items()}
    half = network.architecture.width // 2
    depth = network.architecture.depth
    following = [f"hidden.{i}.weight" for i in range(1, depth)] + ["head.weight"]
    for layer in range(depth):
        weight, bias = copy[f"hidden.{layer}.weight"], copy[f"hidden.{layer}.bias"]
        columns = copy[following[layer]]
        columns[..., half:] = columns[..., :half]
        bias[:, half:] = bias[:, :half]
        for member, seed in enumerate(seeds):
            rows = weight[member, :half]
            noise = torch.randn(rows.shape, generator=generator(seed, "clones", layer))
            noise *= eps * rows.norm(dim=1, keepdim=True) / noise.norm(dim=1)[:, None]
            weight[member, half:] = rows + noise
    return {name: p.requires_grad_() for name, p in copy.items()}


def _stepper(
    method: str, network: MLP, run: Run, lr: float
) -> tuple[torch.optim.Optimizer, Hooks | None]:
    """Return an optimiser of all members and what a method does beside it."""
    if method == "sgd":
        return torch.optim.SGD(run.parameters.values(), lr=SGD_LR), None
    chosen = METHODS.get(method)
    own: dict[str, Any] = {}
    if method == "adamo":
        own = {"isometry_strength": strength_for_relaxation(RELAXATION, lr)}
    settings = changed(chosen.settings, own)
    structure = network.structure()
    bound = Bound(method=chosen, settings=settings, structure=structure, lr=lr)
    bound.start(run)
    optimizer = bound.optimizer(run)
    return optimizer, bound.hooks(run, optimizer)


@torch.no_grad()
def _look(network: MLP, parameters: Parameters, task: Task) -> dict[str, Tensor]:
    """Return what the copies are like now, a number a member."""
    half, depth = network.architecture.width // 2, network.architecture.depth
    following = [f"hidden.{i}.weight" for i in range(1, depth)] + ["head.weight"]
    cosines, clones = [], []
    for layer in range(depth):
        weight, bias = (parameters[f"hidden.{layer}.{p}"] for p in ("weight", "bias"))
        first, second = weight[:, :half], weight[:, half:]
        cosines.append(torch.cosine_similarity(first, second, dim=-1))
        rows = torch.cat([weight, bias.unsqueeze(-1)], dim=-1)
        clones.append(cloned_fraction(rows, parameters[following[layer]], 0.01))
    hidden = network.hidden_activations(parameters, task.inputs)
    cosine = torch.cat(cosines, dim=1)
    return {
        "angle": (1 - cosine.double().square()).clamp(min=0).sqrt().median(1).values,
        "apart": (cosine < APART).double().mean(1),
        "cloned": torch.stack(clones).mean(0),
        "duplicate": torch.stack([duplicate_fraction(h) for h in hidden]).mean(0),
    }


@denormals_flushed()
def parted_in_training(sizes: Sizes, data: str, eps: float = EPS) -> pd.DataFrame:
    """Train networks of copies by gradient descent, Adam and AdamO, and look at them.

    Args:
        sizes: How large.
        data: A data set's name.
        eps: See :func:`with_clones`.

    Returns:
        A row a look, method and seed: ``step``, ``angle`` (median sine between the rows
        of two copies), ``apart`` (share below :data:`APART`), ``cloned`` and
        ``duplicate`` (fractions of units), ``accuracy`` since the last look.
    """
    settings = training_settings(sizes, data)
    pixels = stream_pixels(settings)
    adam = METHODS.get("adam")
    network = network_of(adam, adam.settings, settings, pixels)
    assert isinstance(network, MLP)
    seeds, cpu = list(range(sizes.seeds)), torch.device("cpu")
    start = with_clones(network, network.stacked(seeds), seeds, eps)
    make = BENCHMARKS.get("random_label_mnist").task
    tasks = [
        stacked_tasks([make(pixels, settings, seed, i) for seed in seeds], cpu)
        for i in range(sizes.tasks)
    ]
    chunk = settings.steps_per_task // sizes.records
    rows = []
    for method in METHOD_NAMES:
        own = {name: p.detach().clone() for name, p in start.items()}
        run = Run(seeds=seeds, parameters=on_device(own, cpu))
        optimizer, hooks = _stepper(method, network, run, settings.lr)
        unknown = torch.full((len(seeds),), math.nan)
        looks = [(0, _look(network, run.parameters, tasks[0]), unknown)]
        for index, task in enumerate(tasks):
            stream = batches(task, settings, seeds, index)
            for _ in range(sizes.records):
                part = islice(stream, chunk)
                seen = train_task(
                    network, run.parameters, optimizer, hooks, part, chunk
                )
                step = looks[-1][0] + chunk
                look = _look(network, run.parameters, task)
                looks.append((step, look, seen[1].mean(0)))
        for step, look, accuracy in looks:
            for member, seed in enumerate(seeds):
                found = {**look, "accuracy": accuracy}
                row = {name: float(values[member]) for name, values in found.items()}
                rows.append({"method": method, "seed": seed, "step": step, **row})
    return pd.DataFrame(rows)
