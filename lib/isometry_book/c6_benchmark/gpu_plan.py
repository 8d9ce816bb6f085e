"""What the supervised table would cost on GPUs at the paper's sizes, by three bounds.

Nothing here is run, and no GPU was measured: steps, products and bytes are counted, the
calls of a step were counted by ``benchmarks/scaling.py``, and a GPU's peaks are its
maker's. The games of the table are played by cores and are not in it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isometry.sweep.file import parsed_file, read_sweep
from isometry_book.c6_benchmark.full_table import (
    METHODS,
    PIXELS,
    SAME_STEP,
    SWEEPS,
    makespan,
    weights,
)

LAUNCH = 5e-6  # seconds from one call to the next where the call itself takes none
# Adam reads weights, gradients and two moments and writes all but the gradients; the
# gradients are written once before: numbers of four bytes each.
BYTES_A_WEIGHT = 4 * 8
PASSES = 6  # how often an activation is written or read in a step


@dataclass(frozen=True)
class Gpu:
    """A GPU by its maker's figures.

    Attributes:
        name: As one calls it.
        flops: Single-precision operations a second at most, without tensor cores.
        bytes_a_second: Of its memory at most.
    """

    name: str
    flops: float
    bytes_a_second: float


# Source: NVIDIA's data sheet of the H200 (SXM).
H200 = Gpu("H200", 67e12, 4.8e12)


@dataclass(frozen=True)
class Stack:
    """A run of a setting: some seeds, trained side by side.

    Attributes:
        benchmark: Its name.
        tuning: Whether settings are chosen by it.
        launches: Seconds that its calls take, however little each does.
        products: Seconds of its products at the GPU's peak.
        memory: Seconds of what is read and written at the GPU's peak.
    """

    benchmark: str
    tuning: bool
    launches: float
    products: float
    memory: float

    @property
    def seconds(self) -> float:
        """The largest of the three: what cannot be gone below."""
        return max(self.launches, self.products, self.memory)


def step_flops(inputs: int, settings: Any) -> float:
    """Return a step's operations of one network; the images need no gradient.

    Args:
        inputs: Pixels of an image.
        settings: Its width, depth and batch.
    """
    every = 3 * weights(inputs, settings) - inputs * settings.width
    return 2.0 * settings.batch_size * every


def step_bytes(inputs: int, settings: Any) -> float:
    """Return the bytes that a step of Adam on one network reads and writes.

    Args:
        inputs: Pixels of an image.
        settings: Its width, depth and batch.
    """
    activations = settings.batch_size * (inputs + settings.depth * settings.width)
    return BYTES_A_WEIGHT * weights(inputs, settings) + 4.0 * PASSES * activations


def stacks(root: Path, gpu: Gpu = H200) -> list[Stack]:
    """Return all runs of the supervised table at the paper's sizes.

    Args:
        root: The repository, for its sweep files and reports.
        gpu: Whose peaks bound them.

    Raises:
        OSError: If one of them is missing.
        KeyError: If the cost of a method was not measured.
    """
    reports = root / "benchmarks" / "reports"
    calls = json.loads((reports / "scaling.json").read_text())["calls_of_a_step"]
    costs = json.loads((reports / "methods_cost.json").read_text())
    found = []
    for file in SWEEPS:
        content = parsed_file(root / "sweeps" / file)
        (benchmark,) = content["benchmarks"]
        if benchmark == "continual_minatar":
            continue
        empty = {"profile": "paper", "benchmarks": {benchmark: {}}, "settings": {}}
        asked = read_sweep({**content, **empty})
        for search, place, seeds in _runs(asked):
            settings = search.plans[place].settings
            method = SAME_STEP.get(search.method, search.method)
            ratio = costs["networks"][METHODS][method]["median_ratio"]
            steps = settings.tasks * settings.steps_per_task
            pixels, times = PIXELS[settings.data], ratio * steps
            stack = Stack(
                benchmark=benchmark,
                tuning=seeds is asked.tune_seeds,
                launches=times * calls * LAUNCH,
                products=times * len(seeds) * step_flops(pixels, settings) / gpu.flops,
                memory=times
                * len(seeds)
                * step_bytes(pixels, settings)
                / gpu.bytes_a_second,
            )
            found.append(stack)
    return found


def _runs(asked: Any) -> Iterator[tuple[Any, int, Any]]:
    """Yield each run of a sweep: its search, the place of its setting, its seeds."""
    for search in asked.searches:
        if len(search.plans) > 1:
            for place in range(len(search.plans)):
                yield search, place, asked.tune_seeds
        yield search, 0, asked.report_seeds


def hours(runs: list[Stack], gpus: int, share: int = 1) -> float:
    """Return the hours from start to end, reported runs after all tuning.

    Args:
        runs: Of :func:`stacks`.
        gpus: At least 1.
        share: Runs that one GPU does at a time, each in a process of its own: their
            launches overlap, their products and bytes do not.
    """
    whole = 0.0
    for phase in (True, False):
        own = [one for one in runs if one.tuning is phase]
        busy = makespan([max(r.products, r.memory) for r in own], gpus)
        whole += max(busy, makespan([r.seconds for r in own], gpus * share))
    return whole / 3600
