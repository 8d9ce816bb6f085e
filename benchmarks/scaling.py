"""How time grows: with width, with seeds in a stack, with inputs of a kernel.

``python benchmarks/scaling.py`` times whole training steps of Adam and of AdamO in its
literal form over widths, of Adam over seeds, and the empirical NTK over numbers of
inputs, all on one core, in turn, round by round; the time of a size is the shortest of
its rounds. The exponent is the slope of the logarithms over the larger half of the
sizes, with its interval over rounds. What it should tend to follows from the products:
they grow with the square of the width where the batch stays, those of a Gram matrix
with its cube, a stack with its seeds, a kernel's entries with the square of the inputs.
Beside each time stands what the products alone would take at the rate of large ones.
Calls of kernels are counted, too: what a step asks of torch, views aside, on the path
that a GPU takes, where each call is a launch. All goes to
``benchmarks/reports/scaling.json``.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from contestants.processes import cpu_model
from methods_cost import contestant
from torch.utils._python_dispatch import TorchDispatchMode

from isometry.core.seeding import generator
from isometry.core.statistics import t_interval
from isometry.ntk import empirical_ntk
from isometry.supervised import training

REPORT = Path(__file__).parent / "reports" / "scaling.json"
WIDTHS, SEEDS = (64, 128, 256, 512, 1024, 2048), (1, 2, 4, 8, 16, 32, 64)
INPUTS = (16, 32, 64, 128, 256, 512, 1024)
BATCH, LEAST = 128, 0.1  # images; seconds of a measurement at least


@dataclass(frozen=True)
class Axis:
    """A quantity that grows along sizes.

    Attributes:
        title: What is timed.
        sizes: Along which.
        limit: What the exponent tends to by the products alone.
        make: ``size -> what is timed``.
        products: ``size -> multiply-adds`` of the products.
    """

    title: str
    sizes: tuple[int, ...]
    limit: float
    make: Callable[[int], Callable[[], object]]
    products: Callable[[int], float]


def step(method: str, width: int, members: int, batch: int) -> Callable[[], object]:
    """Return a training step of 784-widthx4-10 at a method's defaults."""
    network = {
        "settings": {"width": width, "depth": 4, "batch_size": batch},
        "members": members,
    }
    train, _ = contestant(method, network, {"lr": 1e-4})
    return lambda: train(1)


def layers(width: int) -> list[int]:
    """Return the numbers of weights of 784-widthx4-10, layer by layer."""
    return [a * b for a, b in pairwise((784, *[width] * 4, 10))]


def step_products(width: int, members: int, batch: int) -> float:
    """Return a step's multiply-adds; the images need no gradient."""
    sizes = layers(width)
    return members * batch * (3.0 * sum(sizes) - sizes[0])


def gram_products(width: int) -> float:
    """Return the multiply-adds of half a Gram matrix and its product, summed."""
    sizes = ((width, 784), *[(width, width)] * 3)
    return sum(1.5 * a * b * min(a, b) for a, b in sizes)


def kernel(count: int) -> Callable[[], object]:
    """Return the NTK of 784-512x4-10 on so many inputs, with all ten outputs."""
    draw = generator(0, "network")
    sizes = (784, *[512] * 4, 10)
    modules: list[torch.nn.Module] = []
    for a, b in pairwise(sizes):
        linear = torch.nn.Linear(a, b)
        with torch.no_grad():
            linear.weight.copy_(torch.randn(b, a, generator=draw) / a**0.5)
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1])
    inputs = torch.randn(count, 784, generator=draw)
    return lambda: empirical_ntk(model, inputs)


def kernel_products(count: int) -> float:
    """Return the multiply-adds of a kernel's Gram matrices, those of its passes aside.

    Of each layer half of two: inputs with inputs, and the backward signals of ten
    outputs with each other.
    """
    reads, writes = (784, *[512] * 4), (*[512] * 4, 10)
    return count**2 * (sum(reads) + 100.0 * sum(writes)) / 2


AXES = (
    Axis(
        title="a step of Adam over widths, 784-widthx4-10, batch 128",
        sizes=WIDTHS,
        limit=2,
        make=lambda width: step("adam", width, 1, BATCH),
        products=lambda width: step_products(width, 1, BATCH),
    ),
    Axis(
        title="a step of AdamO, literal, over widths, the same network",
        sizes=WIDTHS,
        limit=3,
        make=lambda width: step("adamo", width, 1, BATCH),
        products=lambda w: step_products(w, 1, BATCH) + gram_products(w),
    ),
    Axis(
        title="a step of Adam over seeds, 784-100x4-10, batch 50",
        sizes=SEEDS,
        limit=1,
        make=lambda seeds: step("adam", 100, seeds, 50),
        products=lambda seeds: step_products(100, seeds, 50),
    ),
    Axis(
        title="an empirical NTK over inputs, 784-512x4-10, ten outputs",
        sizes=INPUTS,
        limit=2,
        make=kernel,
        products=kernel_products,
    ),
)


class Calls(TorchDispatchMode):
    """Counts what is asked of torch's kernels, views aside."""

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += not func.is_view
        return func(*args, **kwargs or {})


def calls_of_a_step() -> int:
    """Return the calls of a step of Adam on 784-512x4-10, by autograd."""
    of_cpus = dict.fromkeys(("is_written", "takes_turns"), lambda *args: False)
    with patch.multiple(training, **of_cpus):
        network = {"settings": {"width": 512, "depth": 4, "batch_size": BATCH}}
        train, _ = contestant("adam", {**network, "members": 8}, {"lr": 1e-4})
        counts = []
        for steps in (1, 3):
            with Calls() as calls:
                train(steps)
            counts.append(calls.count)
    return (counts[1] - counts[0]) // 2


def seconds_of(timed: Callable[[], object], repeats: int) -> float:
    """Return the thread's processor seconds of one call."""
    start = time.thread_time()
    for _ in range(repeats):
        timed()
    return (time.thread_time() - start) / repeats


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Return the slope of the logarithms over the larger half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(seconds[half:]), 1)[0])


def measured(axis: Axis, rounds: int, rate: float) -> dict[str, Any]:
    """Return times, bounds and the exponent of one axis."""
    made = {size: axis.make(size) for size in axis.sizes}
    repeats = {}
    for size, timed in made.items():
        timed()  # the first call is another one
        repeats[size] = max(1, round(LEAST / max(seconds_of(timed, 1), 1e-6)))
    table = [
        [seconds_of(made[size], repeats[size]) for size in axis.sizes]
        for _ in range(rounds)
    ]
    slopes = t_interval([exponent(axis.sizes, row) for row in table])
    best = np.min(table, axis=0)
    return {
        "sizes": list(axis.sizes),
        "milliseconds": [1e3 * float(value) for value in best],
        "products_alone": [1e3 * axis.products(size) / rate for size in axis.sizes],
        "exponent": slopes.estimate,
        "exponent_interval": [slopes.low, slopes.high],
        "limit": axis.limit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=REPORT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    square = torch.randn(1024, 1024, generator=generator(0, "rate"))
    trials = [seconds_of(lambda: square @ square, 10) for _ in range(args.rounds)]
    rate = 1024**3 / min(trials)
    report: dict[str, Any] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": cpu_model(),
        "threads": 1,
        "rounds": args.rounds,
        "multiply_adds_a_second": rate,
        "calls_of_a_step": calls_of_a_step(),
        "axes": {},
    }
    for axis in AXES:
        row = measured(axis, args.rounds, rate)
        report["axes"][axis.title] = row
        low, high = row["exponent_interval"]
        print(
            f"\n{axis.title}: exponent {row['exponent']:.2f} [{low:.2f}, {high:.2f}],"
            f" limit {axis.limit:g}"
        )
        for size, own, bound in zip(
            row["sizes"], row["milliseconds"], row["products_alone"], strict=True
        ):
            print(f"  {size:6d} {own:10.3f} ms, products alone {bound:10.3f} ms")
    args.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
