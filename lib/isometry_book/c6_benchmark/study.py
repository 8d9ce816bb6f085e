"""Chapter 6: how isometric a residual network is, at its start and after many tasks.

A residual block adds to its stream, so its Jacobian is the identity plus something. The
study trains transformers through Permuted CIFAR-10 and looks at the singular values of
the stream's Jacobian: of each block, and of all blocks in a row, from the embedding to
what the head reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from isometry.core.matrices import singular_values
from isometry.core.profile import ByProfile
from isometry.diagnostics.jacobians import jacobian
from isometry.lab.run import plan
from isometry.lab.store import TIDY
from isometry.supervised.data.sets import load
from isometry.supervised.networks.kinds import network_of
from isometry.supervised.networks.mlp import as_module
from isometry.supervised.networks.transformer_module import Block
from isometry.supervised.streams import permuted, scaled
from isometry.supervised.trainer import train
from isometry_book.c6_benchmark.gradual import GRADUAL
from isometry_book.c6_benchmark.looks import LOOKS
from isometry_book.c6_benchmark.now_and_then import NOW_AND_THEN
from isometry_book.study import Study

BENCHMARK, DRIFT = "permuted_cifar10", "residual_drift"
PROBES = 4  # inputs that Jacobians are taken at
STREAM = {
    "network": "transformer",
    "depth": 4,
    "width": 128,
    "epochs": 4,
    "batch_size": 20,
    "test_images": 500,
    "lr": 1e-3,
}
# Name in the store -> method and its changes of the stream's settings.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "adam": ("adam", {}),
    "adam_default_init": ("adam", {"init": "default"}),
    "adamo": ("adamo", {"isometry_strength": 1.0}),
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the study is.

    Attributes:
        seeds: Transformers of each kind.
        looks: After which tasks the stream of a transformer is looked at.
        images_per_task: Of the stream.
    """

    seeds: int
    looks: tuple[int, ...]
    images_per_task: int


def _spread_around_one(values: Tensor) -> Tensor:
    """Return the root mean square distance of singular values from one.

    Example:
        >>> _spread_around_one(torch.tensor([1.0, 1.5, 0.5, 1.0])).item()
        0.3535533845424652
    """
    return (values - 1).square().mean(-1).sqrt()


def _stream_spreads(model: nn.Sequential, inputs: Tensor) -> dict[str, float]:
    """Return how far the Jacobians of a transformer's stream are from isometries."""
    blocks = [part for part in model if isinstance(part, Block)]
    with torch.no_grad():
        stream = model[0](inputs)
    found = []
    start = stream
    for block in blocks:
        source = start.detach().requires_grad_()
        end = block(source)
        found.append(singular_values(jacobian(end.flatten(1), source)))
        start = end
    source = stream.detach().requires_grad_()
    trunk = singular_values(jacobian(nn.Sequential(*blocks)(source).flatten(1), source))
    return {
        "block_spread": float(_spread_around_one(torch.stack(found)).mean()),
        "trunk_spread": float(_spread_around_one(trunk).mean()),
        "trunk_largest": float(trunk.amax(-1).mean()),
        "trunk_median": float(trunk.median(-1).values.mean()),
    }


def _drift(case: str, sizes: Sizes, data: str) -> pd.DataFrame:
    """Train a case's transformers and look at their streams; the task counts tasks."""
    (method, changes), tasks = CASES[case], max(sizes.looks)
    stream = {"images_per_task": sizes.images_per_task, "tasks": tasks, **STREAM}
    planned = plan(BENCHMARK, method, {"data": data, **stream, **changes}, "paper")
    pixels = scaled(load(data), planned.settings.input_scaling)
    arguments = (planned.method, planned.method_settings, planned.settings, pixels)
    network = network_of(*arguments)
    seeds = list(range(sizes.seeds))
    rows: list[tuple[str, str, int, int, str, float]] = []

    def look(done: int, parameters: Mapping[str, Tensor]) -> None:
        if done not in sizes.looks:
            return
        for member, seed in enumerate(seeds):
            task = permuted(pixels, planned.settings, seed, max(0, done - 1))
            model = as_module(network, dict(parameters), member).double()
            found = _stream_spreads(model, task.inputs[:PROBES].double())
            rows.extend((DRIFT, case, seed, done, *one) for one in found.items())

    look(0, network.stacked(seeds, 0))
    train(planned.images, *arguments, seeds, observe=look)
    return pd.DataFrame(rows, columns=TIDY)


def _numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return how far the stream's Jacobians are from isometries, over tasks.

    Source: the remark is of the discussion of arXiv 2606.09762, as readers report it.
    """
    frames = [_drift(case, sizes, data) for case in CASES]
    return pd.concat(frames, ignore_index=True)


RESIDUAL = Study(
    name="residual",
    sizes=ByProfile(
        smoke=Sizes(seeds=2, looks=(0, 1, 2), images_per_task=60),
        laptop=Sizes(seeds=4, looks=(0, 1, 2, 4, 8, 16), images_per_task=300),
        paper=Sizes(seeds=8, looks=(0, 1, 2, 4, 8, 16, 32, 64), images_per_task=1000),
    ),
    run=_numbers,
)
STUDIES = (RESIDUAL, GRADUAL, LOOKS, NOW_AND_THEN)
