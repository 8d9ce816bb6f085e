"""Chapter 6: what three further diagnostics see where Adam loses plasticity.

Networks learn random labels, task by task, with Adam and with AdamO. At the start of
some tasks, with the new task's data, the study looks at duplicate units, at the spread
of Lyapunov exponents and at the rank of the Hessian. Fresh networks are those before
the first task.

The criteria were written before the first run. The stream counts if Adam's accuracy in
the last third of the tasks is lower than in the first by :data:`FALL`. A diagnostic
*goes with the loss* if at the last look every network of Adam is worse than every fresh
one: more duplicates, a wider spread, a lower rank. AdamO *is spared* if at the last
look every network of AdamO is better than every one of Adam.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import Tensor, nn

from isometry.adamo import strength_for_relaxation
from isometry.core.profile import ByProfile
from isometry.core.seeding import generator
from isometry.core.settings import changed
from isometry.diagnostics import diagnose, hessian_spectrum
from isometry.lab.store import TIDY
from isometry.methods import METHODS
from isometry.supervised.benchmarks import BENCHMARKS
from isometry.supervised.networks.kinds import network_of
from isometry.supervised.networks.mlp import as_module
from isometry.supervised.streams import Task
from isometry.supervised.trainer import train
from isometry_book.c5_adamo import continual
from isometry_book.study import Study

FALL = 0.05
RELAXATION = 300  # steps, of AdamO
PROBES, STEPS = 4, 128
# Of the largest eigenvalue. On fresh networks the steps resolve it to a tenth.
RELATIVE = 0.1
ABSOLUTE = 0.1  # in nats per squared unit of parameter; no criterion hangs on it
WIDEST = 8.0  # spread of exponents where a direction is lost in double precision
BENCHMARK = "looks"
# Metric -> whether more of it is worse.
WORSE_HIGH: Mapping[str, bool] = {
    "duplicate": True,
    "exponent_spread": True,
    "hessian_rank": False,
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the study is.

    Attributes:
        stream: Seeds, tasks and network.
        looks: Before which tasks the networks are looked at, counted from 0.
    """

    stream: continual.Sizes
    looks: tuple[int, ...]


def look_inside(model: nn.Sequential, task: Task, seed: int) -> dict[str, float]:
    """Return what the diagnostics say of one network at the start of a task.

    Args:
        model: The network.
        task: What it is about to learn, of one member.
        seed: Draws the directions of the Hessian.

    Returns:
        ``duplicate`` and ``dead``: mean fractions over the hidden layers;
        ``exponent_spread`` of the whole network at the median input; ``hessian_rank``,
        its ``_error`` and ``_blur`` at :data:`RELATIVE`; ``hessian_above`` and its
        ``_blur``, the rank at :data:`ABSOLUTE`; ``hessian_largest``, the largest
        eigenvalue, in nats per squared unit of parameter.

    Source: :mod:`isometry.diagnostics`.
    """
    found = diagnose(model.double(), task.inputs.double(), ntk=False)
    whole, units = found.end_to_end, found.activations
    assert whole is not None
    spread = whole.largest_exponent.median - whole.smallest_exponent.median
    curved = hessian_spectrum(
        model.float(),
        task.inputs,
        task.labels,
        generator=generator(seed, "hessian"),
        probes=PROBES,
        steps=STEPS,
    )
    rank = curved.rank(RELATIVE, relative=True)
    above = curved.rank(ABSOLUTE)
    return {
        "duplicate": sum(a.duplicate_fraction for a in units) / len(units),
        "dead": sum(a.dead_fraction for a in units) / len(units),
        "exponent_spread": min(spread, WIDEST) if math.isfinite(spread) else WIDEST,
        "hessian_rank": rank.rank,
        "hessian_rank_error": rank.error,
        "hessian_rank_blur": rank.blur,
        "hessian_above": above.rank,
        "hessian_above_blur": above.blur,
        "hessian_largest": curved.largest,
    }


def _course(method: str, sizes: Sizes, data: str) -> pd.DataFrame:
    """Train a method's networks and look at them; the task counts tasks done."""
    settings = continual.stream_settings(sizes.stream, data)
    pixels, seeds = continual.stream_pixels(settings), list(range(sizes.stream.seeds))
    chosen = METHODS.get(method)
    own: dict[str, Any] = {}
    if method == "adamo":
        own["isometry_strength"] = strength_for_relaxation(RELAXATION, settings.lr)
    of_method = changed(chosen.settings, own)
    network = network_of(chosen, of_method, settings, pixels)
    benchmark = BENCHMARKS.get("random_label_mnist")
    rows: list[tuple[str, str, int, int, str, float]] = []

    def look(done: int, parameters: Mapping[str, Tensor]) -> None:
        if done not in sizes.looks:
            return
        for member, seed in enumerate(seeds):
            task = benchmark.task(pixels, settings, seed, done)
            model = as_module(network, dict(parameters), member)
            found = look_inside(model, task, seed)
            rows.extend((BENCHMARK, method, seed, done, *one) for one in found.items())

    look(0, network.stacked(seeds, 0))
    run = train(benchmark, chosen, of_method, settings, pixels, seeds, observe=look)
    kept = ("online_accuracy",)
    for record in run.records:
        if record["metric"] in kept:
            place = BENCHMARK, method, record["seed"], record["task"]
            rows.append((*place, record["metric"], record["value"]))
    return pd.DataFrame(rows, columns=TIDY)


def look_numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return all looks and accuracies, of Adam and of AdamO.

    Args:
        sizes: How large.
        data: A data set's name.

    Returns:
        Tidy numbers of the benchmark ``looks``; a look's task is how many were done.
    """
    frames = [_course(method, sizes, data) for method in ("adam", "adamo")]
    return pd.concat(frames, ignore_index=True)


def fall(numbers: pd.DataFrame, method: str) -> float:
    """Return by how much accuracy is lower in the last third of the tasks.

    Args:
        numbers: From :func:`look_numbers`.
        method: ``"adam"`` or ``"adamo"``.

    Source: ours.
    """
    rows = numbers[numbers["method"] == method]
    course = rows[rows["metric"] == "online_accuracy"].groupby("task")["value"].mean()
    third = max(1, len(course) // 3)
    return float(course.iloc[:third].mean() - course.iloc[-third:].mean())


def verdicts(numbers: pd.DataFrame) -> pd.DataFrame:
    """Say of each diagnostic whether it goes with the loss and whether AdamO is spared.

    Args:
        numbers: From :func:`look_numbers`.

    Returns:
        By metric: ``fresh``, ``adam`` and ``adamo`` (means, at the last look), and
        ``goes_with_the_loss`` and ``adamo_is_spared``, over all pairs of networks.

    Source: ours; the criteria stand at the top of this module.
    """
    found = {}
    for metric, high in WORSE_HIGH.items():
        rows = numbers[numbers["metric"] == metric]
        last = rows["task"].max()
        at = {
            name: rows[(rows["method"] == name) & (rows["task"] == last)]["value"]
            for name in ("adam", "adamo")
        }
        fresh = rows[(rows["task"] == 0) & (rows["method"] == "adam")]["value"]
        sign = 1 if high else -1
        found[metric] = {
            "fresh": fresh.mean(),
            "adam": at["adam"].mean(),
            "adamo": at["adamo"].mean(),
            "goes_with_the_loss": (sign * at["adam"]).min() > (sign * fresh).max(),
            "adamo_is_spared": (sign * at["adamo"]).max() < (sign * at["adam"]).min(),
        }
    return pd.DataFrame(found).T


LOOKS = Study(
    name="looks",
    sizes=ByProfile(
        smoke=Sizes(stream=continual.Sizes(seeds=2, tasks=3, epochs=5), looks=(0, 2)),
        laptop=Sizes(
            stream=continual.Sizes(seeds=3, tasks=16, epochs=20),
            looks=(0, 1, 2, 4, 8, 15),
        ),
        paper=Sizes(
            stream=continual.Sizes(seeds=8, tasks=31, epochs=20),
            looks=(0, 1, 2, 4, 8, 15, 30),
        ),
    ),
    run=look_numbers,
)
