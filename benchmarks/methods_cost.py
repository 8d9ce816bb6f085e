"""What each method costs: training steps and memory, as ratios to Adam's.

``python benchmarks/methods_cost.py`` trains every method's stack with the code of the
trainer, each at the settings that the stored comparison chose for Permuted MNIST, or at
its defaults where there is none. All methods take a task's steps in turn, for as many
tasks as there are rounds, so that what a method does every thousandth step is counted
as often as it happens (on the larger network, with a quarter of the steps, what comes
every thousandth does not). What a method does between two tasks is timed apart, as that
many steps of Adam. Processor time is that of the thread, so other work on the machine
disturbs it little. Memory is counted in bytes: what is kept from step to step
(weights, the optimiser's state, what the method carries along) and the most that a step
holds at once. All goes to ``benchmarks/reports/methods_cost.json``.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from contestants.peak_memory import peak_bytes
from contestants.processes import cpu_model
from torch import Tensor

from isometry.core.denormals import denormals_flushed
from isometry.core.seeding import generator
from isometry.lab.comparison import compared, with_choices
from isometry.lab.run import plan
from isometry.lab.store import load_records
from isometry.methods import names
from isometry.stream.binding import Bound
from isometry.stream.run import Run, on_device
from isometry.supervised.networks.kinds import network_of
from isometry.supervised.streams import Pixels
from isometry.supervised.training import train_task

HERE = Path(__file__).parent
REPORT, STORE = HERE / "reports" / "methods_cost.json", HERE.parent / "results"
BASELINE, CEILING = "adam", "fresh"
BENCHMARK = "permuted_mnist"  # whose choices are taken
NETWORKS: dict[str, dict[str, Any]] = {  # name -> (settings, members, steps a task)
    "784-100x4-10, batch 50, 8 seeds": {
        "settings": {"width": 100, "depth": 4, "batch_size": 50},
        "members": 8,
        "steps": 100,
    },
    "784-512x4-10, batch 128, 1 seed": {
        "settings": {"width": 512, "depth": 4, "batch_size": 128},
        "members": 1,
        "steps": 25,
    },
}
Steps = Callable[[int], None]
Switch = Callable[[], None]


def chosen_settings() -> dict[str, dict[str, Any]]:
    """Return each method's learning rate and own settings in the comparison."""
    records = with_choices(load_records(STORE), STORE)
    return {
        method: {"lr": record["settings"]["lr"], **record["method_settings"]}
        for method, record in compared(records, BENCHMARK).items()
    }


def minibatches(
    count: int, members: int, batch: int, round_: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield noise and labels, the same for every method."""
    draw = generator(0, "minibatches", round_)
    for _ in range(count):
        inputs = torch.randn(members, batch, 784, generator=draw)
        yield inputs, torch.randint(10, (members, batch), generator=draw)


def contestant(
    method: str, network: dict[str, Any], changes: dict[str, Any]
) -> tuple[Steps, Switch, Callable[[], int]]:
    """Return what trains a stack, goes on to a new task, and counts the bytes kept."""
    planned = plan(BENCHMARK, method, {**changes, **network["settings"]}, "laptop")
    settings, own = planned.settings, planned.method_settings
    nothing = torch.zeros(0, 784)
    labels = torch.zeros(0, dtype=torch.int64)
    pixels = Pixels(
        train_inputs=nothing,
        train_labels=labels,
        test_inputs=nothing,
        test_labels=labels,
        num_classes=10,
        image_shape=(1, 28, 28),
    )
    built = network_of(planned.method, own, settings, pixels)
    run = Run(seeds=list(range(network["members"])))
    run.parameters = on_device(built.stacked(run.seeds, 0), torch.device("cpu"))
    bound = Bound(
        method=planned.method,
        settings=own,
        structure=built.structure(),
        lr=settings.lr,
    )
    bound.start(run)
    optimizer = bound.optimizer(run)

    @denormals_flushed()
    def train(count: int) -> None:
        stream = minibatches(count, network["members"], settings.batch_size, run.steps)
        hooks = bound.hooks(run, optimizer)
        train_task(built, run.parameters, optimizer, hooks, stream, count)
        run.steps += count

    @denormals_flushed()
    def switch() -> None:
        run.task += 1
        size = network["steps"], network["members"], settings.batch_size
        bound.before_task(run, optimizer, partial(minibatches, *size, -run.task))

    def kept() -> int:
        return held([run.parameters, optimizer.state_dict()["state"], run.carried])

    return train, switch, kept


def held(values: Any) -> int:
    """Return the bytes of all tensors in nested dictionaries and lists."""
    if isinstance(values, Tensor):
        return values.numel() * values.element_size()
    if isinstance(values, dict):
        values = list(values.values())
    return sum(map(held, values)) if isinstance(values, list) else 0


def measured(
    network: dict[str, Any], choices: dict[str, dict[str, Any]], rounds: int
) -> dict[str, dict[str, float]]:
    """Return time and memory of every method on a network, also over Adam's."""
    methods = [method for method in names() if method != CEILING]
    made = {m: contestant(m, network, choices.get(m, {})) for m in methods}
    spent: dict[str, list[float]] = {method: [] for method in methods}
    between: dict[str, list[float]] = {method: [] for method in methods}
    for train, _, _ in made.values():
        train(2)
    for _ in range(rounds):
        for method, (train, switch, _) in made.items():
            start = time.thread_time()
            switch()
            between[method].append(time.thread_time() - start)
            start = time.thread_time()
            train(network["steps"])
            spent[method].append(time.thread_time() - start)
    kept = {method: count() for method, (*_, count) in made.items()}
    fresh = {m: contestant(m, network, choices.get(m, {})) for m in methods}
    peaks = {}
    step = sum(spent[BASELINE]) / (rounds * network["steps"])
    for method, (train, _, _) in fresh.items():
        train(2)
        peaks[method] = kept[method] + peak_bytes(partial(train, 1))
    result = {}
    for method in methods:
        ratios = [t / b for t, b in zip(spent[method], spent[BASELINE], strict=True)]
        result[method] = {
            "milliseconds": 1e3 * sum(spent[method]) / (rounds * network["steps"]),
            "time_ratio": sum(spent[method]) / sum(spent[BASELINE]),
            "median_ratio": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "switch_steps": statistics.median(between[method]) / step,
            "kept_bytes": kept[method],
            "kept_ratio": kept[method] / kept[BASELINE],
            "peak_bytes": peaks[method],
            "peak_ratio": peaks[method] / peaks[BASELINE],
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=Path, default=REPORT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    choices = chosen_settings()
    report: dict[str, Any] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": cpu_model(),
        "threads": 1,
        "rounds": args.rounds,
        "settings": choices,
        "networks": {},
    }
    for title, network in NETWORKS.items():
        rows = measured(network, choices, args.rounds)
        report["networks"][title] = rows
        print(f"\n{title}: time of a step, bytes kept and peak of a step, over Adam's")
        for method in sorted(rows, key=lambda name: rows[name]["time_ratio"]):
            row = rows[method]
            print(
                f"  {method:16s} {row['milliseconds']:8.3f} ms"
                f" {row['time_ratio']:6.2f}x"
                f" ({row['lowest']:.2f}-{row['highest']:.2f})"
                f" {row['kept_ratio']:6.3f}x {row['peak_ratio']:6.3f}x"
                f" {row['switch_steps']:8.1f} steps a switch"
            )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
