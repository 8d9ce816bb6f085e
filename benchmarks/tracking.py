"""What a step of the tracking streams costs, beside its multiply-adds and the machine.

``python benchmarks/tracking.py`` takes each learner through steps of the nonlinear
stream at its full width, on one core, and prints processor time a step, the
multiply-adds of the step without those of decays and Adam's moments, and how many a
second that makes; beside them what the same core reaches in large products in single
precision. A plain PyTorch loop, ``torch.nn`` and ``torch.optim`` at batch 1, must make
the same squared errors for SGD and Adam and is timed too. Then each learner of the
linear stream. All goes to ``benchmarks/reports/tracking.json``.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from contestants.processes import cpu_model, versions
from torch import nn

from isometry.core.denormals import denormals_flushed
from isometry.tracking import TRACKING
from isometry.tracking.linear import linear_begin, linear_task
from isometry.tracking.network import (
    network_begin,
    network_examples,
    student,
    take_steps,
)

REPORT = Path(__file__).parent / "reports" / "tracking.json"
STREAM = TRACKING.get("nonlinear_tracking")
SETTINGS = STREAM.settings("paper")
LINEAR = TRACKING.get("linear_tracking")
BLOCKS = 20  # of a measurement, 500 steps each
BOX = 5 * SETTINGS.tasks * SETTINGS.steps_per_task  # steps of a learner: five seeds
PEERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


def multiply_adds() -> int:
    """Return those of a step of SGD: forward, backward, and both weights changed."""
    hidden = SETTINGS.inputs * SETTINGS.width
    head = SETTINGS.width * SETTINGS.outputs
    return 2 * hidden + 3 * head


def seconds(act: Callable[[], object], rounds: int) -> float:
    """Return the median processor time of an act, the first one not counted."""
    found = []
    for _ in range(rounds + 1):
        started = time.thread_time()
        act()
        found.append(time.thread_time() - started)
    return statistics.median(found[1:])


def drawn() -> list:
    """Return examples of a stretch of the nonlinear stream, in blocks."""
    return [network_examples(SETTINGS, 0, block) for block in range(BLOCKS)]


def products_a_second() -> float:
    """Return multiply-adds a second of large products in single precision."""
    side = 1024
    a, b = torch.randn(side, side), torch.randn(side, side)
    return side**3 / seconds(lambda: torch.mm(a, b), 10)


def of_peer(name: str, blocks: list, lr: float) -> tuple[float, torch.Tensor]:
    """Return seconds a step of a plain PyTorch loop, and its squared errors."""
    own = student(SETTINGS, 0)
    sizes = SETTINGS.inputs, SETTINGS.width, SETTINGS.outputs
    net = nn.Sequential(nn.Linear(*sizes[:2]), nn.ReLU(), nn.Linear(*sizes[1:]))
    names = "hidden.weight", "hidden.bias", "head.weight", "head.bias"
    with torch.no_grad():
        for parameter, key in zip(net.parameters(), names, strict=True):
            parameter.copy_(own[key])
    optimizer, errors = PEERS[name](net.parameters(), lr=lr), []
    started = time.thread_time()
    for inputs, targets in blocks:
        for x, y in zip(inputs, targets, strict=True):
            optimizer.zero_grad()
            loss = 0.5 * (net(x) - y).square().sum()
            loss.backward()
            optimizer.step()
            errors.append(loss.detach())
    spent = time.thread_time() - started
    return spent / len(errors), 2 * torch.stack(errors)


def of_learner(learner, blocks: list, rounds: int) -> tuple[float, torch.Tensor]:
    """Return seconds a step, examples not counted, and the first squared errors."""
    rule = STREAM.rule(learner, learner.settings)
    state, taken, kept = network_begin(rule, SETTINGS, 0), 0, []

    def act() -> None:
        nonlocal taken
        for inputs, targets in blocks:
            kept.append(take_steps(rule, state, taken, inputs, targets))
            taken += len(inputs)

    with denormals_flushed():
        spent = seconds(act, rounds)
    steps = sum(len(inputs) for inputs, _ in blocks)
    return spent / steps, torch.cat(kept[: len(blocks)]).sum(1)


def of_network(blocks: list, rounds: int, examples: float) -> dict[str, dict]:
    """Measure the learners of the nonlinear stream, and a peer where there is one."""
    found = {}
    for name in STREAM.learner_names():
        learner = STREAM.learner(name)
        spent, errors = of_learner(learner, blocks, rounds)
        row = {"microseconds": 1e6 * spent, "box_seconds": BOX * (spent + examples)}
        row["multiply_adds_a_second"] = multiply_adds() / spent
        beside = ""
        if name in PEERS:
            other, expected = of_peer(name, blocks[:2], learner.settings.lr)
            # Rounding grows with the steps; the first block is held, to a thousandth.
            first = len(blocks[0][0])
            ours, theirs = errors[:first], expected[:first]
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
            row["peer_times_ours"] = other / spent
            beside = f", PyTorch {other / spent:.0f} times ours"
        found[name] = row
        print(
            f"{name:12}{row['microseconds']:8.2f} us a step,"
            f"{row['multiply_adds_a_second'] / 1e9:6.1f} G multiply-adds a second,"
            f"{row['box_seconds']:7.0f} s for five seeds{beside}"
        )
    return found


def of_linear(rounds: int) -> dict[str, float]:
    """Return seconds of ten seeds of the linear stream, examples included."""
    settings, found = LINEAR.settings("paper"), {}
    for name in LINEAR.learner_names():
        learner = LINEAR.learner(name)
        rule = LINEAR.rule(learner, learner.settings)
        state = linear_begin(rule, settings, 0)
        act = partial(linear_task, rule, settings, 0, 0, state)
        spent = seconds(act, rounds)
        found[name] = 10 * settings.tasks * spent
        print(f"{name:20}{found[name]:6.2f} s for ten seeds")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    examples = seconds(drawn, args.rounds) / (BLOCKS * SETTINGS.fast_every)
    peak = products_a_second()
    print(
        f"{multiply_adds():,} multiply-adds a step; this core makes"
        f" {peak / 1e9:.0f} G a second in large products;"
        f" an example takes {1e6 * examples:.2f} us"
    )
    report = {
        "multiply_adds": multiply_adds(),
        "large_products_multiply_adds_a_second": peak,
        "example_microseconds": 1e6 * examples,
        "nonlinear": of_network(drawn(), args.rounds, examples),
        "linear_seconds": of_linear(args.rounds),
        "cpu": cpu_model(),
        "cores": 1,
        "versions": versions(sys.executable, "torch", "numba"),
    }
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.report}")


if __name__ == "__main__":
    main()
