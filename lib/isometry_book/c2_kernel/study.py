"""The study of chapter 2: the kernel along a continual run.

Before every task, each seed's network is stopped and its kernel is taken at some of the
task's images. What is recorded beside the task's plasticity says what the kernel looked
like, which layers carried its extremes, and whether the weights or the gates D_l(x) had
moved it away from where it started.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from isometry.core.matrices import singular_values
from isometry.core.profile import ByProfile
from isometry.core.seeding import generator
from isometry.core.stacking import Parameters, member
from isometry.lab.run import Plan, plan
from isometry.lab.store import COLUMNS
from isometry.ntk import conditioning, empirical_ntk, layer_kernels, ntk_matrix
from isometry.plasticity import dead_fraction
from isometry.stream.checkpoint import restored
from isometry.supervised.data.sets import load
from isometry.supervised.streams import Pixels, scaled
from isometry.supervised.trainer import network_of, train
from isometry_book.c2_kernel import foretelling
from isometry_book.c2_kernel.law import gap_law
from isometry_book.c2_kernel.networks import (
    Gated,
    gates,
    linear_layers,
    perceptron,
    sample_networks,
)
from isometry_book.study import Study

STREAM = "random_label_mnist"
BENCHMARK = "kernel_random_label"
DECOMPOSITION = "kernel_decomposition"
GAP = "kernel_gap"
# What all methods share; 50 tasks of 1,200 steps on a paper-deep, narrow network.
COMMON = {"data": "mnist", "tasks": 50, "depth": 4, "init": "orthogonal"}
# Pull 8 eta lambda T of AdamO over one task: about 5, so the spectrum is held.
METHODS: dict[str, dict[str, Any]] = {
    "adam": {},
    "adamo": {"isometry_strength": 0.5},
    "fresh": {},
}
SMALL = {"data": "digits", "tasks": 4, "images_per_task": 160, "epochs": 20}
PROBES = 24  # images at which the kernel is taken, 240 directions with ten classes


def kernel_along_stream(
    method: str,
    seeds: list[int],
    changes: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Train a method through random-label tasks and return kernels beside plasticity.

    Args:
        method: One of ``METHODS``.
        seeds: One network each.
        changes: Settings that differ from ``COMMON``, by name.

    Returns:
        Columns ``benchmark, method, settings, seed, task, metric, value``: the
        trainer's metrics and those of :func:`_kernel_metrics` before each task.

    Source: ours; the claim is arXiv 2606.09762, Sec. 2.
    """
    planned = plan(STREAM, method, {**COMMON, **METHODS[method], **(changes or {})})
    settings = planned.settings
    pixels = scaled(load(settings.data), settings.input_scaling)
    network = network_of(planned.method, planned.method_settings, settings, pixels)
    start = network.stacked(seeds, 0)
    rows: list[dict[str, Any]] = []

    def measure(task: int, parameters: Parameters) -> None:
        for index, seed in enumerate(seeds):
            before, now = member(start, index), member(parameters, index)
            inputs = probes(planned, pixels, seed, task)
            found = _kernel_metrics(perceptron(now, "relu"), inputs)
            found |= parts_of_change(
                perceptron(before, "relu"), perceptron(now, "relu"), inputs
            )
            rows.extend(
                {"seed": seed, "task": task, "metric": name, "value": value}
                for name, value in found.items()
            )

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.pt"

        def between(done: int, total: int) -> None:
            if done == total:
                return
            if planned.method.restarts:
                measure(done, network.stacked(seeds, done))
            else:
                now = restored(checkpoint, torch.device("cpu")).parameters
                measure(done, {name: tensor.detach() for name, tensor in now.items()})

        measure(0, start)
        run = train(
            planned.images,
            planned.method,
            planned.method_settings,
            settings,
            pixels,
            seeds,
            checkpoint=checkpoint,
            progress=between,
        )
    frame = pd.DataFrame.from_records(run.records + rows)
    frame["benchmark"], frame["method"] = BENCHMARK, method
    frame["settings"] = planned.hash()
    return frame[COLUMNS]


def probes(planned: Plan, pixels: Pixels, seed: int, task: int) -> Tensor:
    """Return the task's first images, at which the kernel is taken.

    Args:
        planned: Names the stream.
        pixels: The data.
        seed: Of the stream.
        task: Which task.

    Returns:
        ``(PROBES, features)``, float64.
    """
    made = planned.images.task(pixels, planned.settings, seed, task)
    return made.inputs[:PROBES].double()


def _kernel_metrics(model: nn.Sequential, inputs: Tensor) -> dict[str, float]:
    """Return a kernel's numbers, and which layers carry its extremes."""
    terms = [ntk_matrix(term) for term in layer_kernels(model, inputs).values()]
    total = torch.stack(terms).sum(0)
    summary = conditioning(total)
    vectors = torch.linalg.eigh(total).eigenvectors
    low = max(1, len(total) // 20)
    found = {
        "ntk_condition_number": summary.condition_number,
        "ntk_robust_condition_number": summary.robust_condition_number,
        "ntk_effective_rank": summary.effective_rank / len(total),
        "ntk_trace": summary.trace,
        "weight_condition_number": _weight_condition(model),
        "dead_fraction": float(_dead_units(model, inputs)),
    }
    chosen = {"trace": vectors, "top": vectors[:, -1:], "low": vectors[:, :low]}
    for name, directions in chosen.items():
        parts = [float((directions * (term @ directions)).sum()) for term in terms]
        whole = max(sum(parts), 1e-300)
        found |= {f"{name}_share_{i}": part / whole for i, part in enumerate(parts)}
    return found


def _weight_condition(model: nn.Module) -> float:
    """Return the geometric mean over layers of largest over smallest singular value."""
    values = [singular_values(layer.weight.detach()) for layer in linear_layers(model)]
    logs = [torch.log(v[0] / v[-1].clamp_min(1e-12)) for v in values]
    return float(torch.stack(logs).mean().exp())


@torch.no_grad()
def _dead_units(model: nn.Sequential, inputs: Tensor) -> Tensor:
    """Return the fraction of hidden units that are open for none of the inputs.

    Source: definition.
    """
    return dead_fraction(gates(model, inputs))


def parts_of_change(
    before: nn.Sequential, now: nn.Sequential, inputs: Tensor
) -> dict[str, float]:
    """Return how much weights and gates have each added to the log condition number.

    The kernel with the weights of one network and the gates of the other is
    well defined (:class:`Gated`). Each part is the average of its two effects: with the
    other part as it was, and with the other part as it is. The two parts add up to the
    whole change.

    Args:
        before: The network at the start.
        now: The same network later.
        inputs: ``(n, features)``.

    Returns:
        ``weights_part`` and ``gates_part``, differences of natural logarithms of robust
        condition numbers.

    Source: ours; Shapley's value of a game of two players.
    """
    level = {
        (i, j): log(_gated_condition(weights, gates(opened, inputs), inputs))
        for i, weights in enumerate((before, now))
        for j, opened in enumerate((before, now))
    }
    weights = (level[1, 0] - level[0, 0] + level[1, 1] - level[0, 1]) / 2
    opened = (level[0, 1] - level[0, 0] + level[1, 1] - level[1, 0]) / 2
    return {"weights_part": weights, "gates_part": opened}


def _gated_condition(model: nn.Sequential, opened: Tensor, inputs: Tensor) -> float:
    """Return the robust condition number with the gates given."""
    joined = torch.cat([inputs, opened], dim=1)
    matrix = ntk_matrix(empirical_ntk(Gated(model), joined))
    # Where no path is open nothing can be learned; the floor keeps the number finite.
    return min(conditioning(matrix).robust_condition_number, 1e16)


def decomposition_errors(seeds: Sequence[int]) -> pd.DataFrame:
    """Return the relative error of the sum over layers, kind of network by kind.

    Args:
        seeds: Of weights and inputs.

    Returns:
        Tidy, method = kind of network, metric ``relative_error``: the largest
        difference between sum over layers and product of Jacobians, over the largest
        entry; float64.

    Source: ours; arXiv 2606.09762, Eq. 7-8.
    """
    rows = []
    for seed in seeds:
        draw = generator(seed, "kernel", "decomposition")
        for kind, (model, shape) in sample_networks(seed).items():
            model.double().eval()
            inputs = torch.randn(6, *shape, generator=draw, dtype=torch.float64)
            fast = empirical_ntk(model, inputs, method="layerwise")
            exact = empirical_ntk(model, inputs, method="jacobian")
            error = float((fast - exact).abs().max() / exact.abs().max())
            rows.append(
                (DECOMPOSITION, kind, "float64", seed, 0, "relative_error", error)
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _gap_numbers(
    seeds: Sequence[int], depths: Sequence[int] = (1, 2, 4, 8, 16, 32)
) -> pd.DataFrame:
    """Return condition numbers of kernels with orthogonal weights, tidy."""
    activations = ("identity", "relu", "leaky_relu", "maxmin", "tanh", "gelu")
    law = gap_law(depths, (64,), activations, seeds=len(seeds), count=PROBES)
    names = ["condition_number", "robust_condition_number"]
    frame = law.melt(["activation", "depth", "seed"], names, "metric", "value")
    frame = frame.rename(columns={"activation": "method", "depth": "task"})
    return frame.assign(benchmark=GAP, settings="width64")[COLUMNS]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the study is.

    Attributes:
        seeds: Networks of each kind.
        stream: What differs from :data:`COMMON`.
    """

    seeds: int
    stream: Mapping[str, Any]


def _numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return every stored number of chapter 2, tidy."""
    seeds, changes = list(range(sizes.seeds)), {**sizes.stream, "data": data}
    frames = [kernel_along_stream(method, seeds, changes) for method in METHODS]
    frames += [decomposition_errors(seeds), _gap_numbers(seeds)]
    return pd.concat(frames, ignore_index=True).drop(columns="settings")


KERNEL = Study(
    name="kernel",
    sizes=ByProfile(
        smoke=Sizes(seeds=2, stream=SMALL),
        laptop=Sizes(seeds=2, stream=SMALL),
        paper=Sizes(seeds=8, stream={}),
    ),
    run=_numbers,
)
STUDIES = (KERNEL, *foretelling.STUDIES)
