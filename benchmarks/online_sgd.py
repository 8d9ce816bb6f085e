"""Speed of plain SGD on one image at a time, beside a PyTorch loop and a JAX scan.

``python benchmarks/online_sgd.py`` checks that all contestants reach the same losses
from the same weights on the same images, measures each in a process of its own on one
core, all in turn in several rounds, and writes a report,
``benchmarks/reports/online_sgd.json``. The peer's environment is that of
``supervised_trainer.py``. What the core can do at most is measured in the same rounds:
multiply-adds in a product of large matrices, and bytes where as many numbers as the
weights are changed in place.
"""

import argparse
import json
import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from contestants.processes import (
    ROOT,
    answer,
    cpu_model,
    peer_python,
    started,
    versions,
)
from contestants.supervised_trainer import AXPY, JAX, LOOP, OURS, SGEMM
from supervised_trainer import CHECKED_STEPS, SCRIPT, SGEMM_FLOPS, deviations

REPORT = ROOT / "benchmarks" / "reports" / "online_sgd.json"
SIZES = (784, 100, 100, 100, 10)
LR, IMAGES, STEPS, SGEMM_STEPS = 3e-3, 2000, 1000, 20
# name -> (share of pixels that are not zero, seeds); of MNIST's, divided by 255, 19 %.
PROBLEMS = {
    "81 % of the pixels zero, 4 seeds": (0.19, 4),
    "no pixel zero, 4 seeds": (1.0, 4),
    "81 % of the pixels zero, 1 seed": (0.19, 1),
}
AIMS = {LOOP: 5.0, JAX: 1.5}  # times ours, set before the first measurement


def write_problem(path: Path, share: float, seeds: int) -> dict[str, np.ndarray]:
    """Write He weights, zero biases, pixels in [0, 1), random labels; return them."""
    draw = np.random.default_rng(0)
    size = seeds, IMAGES, SIZES[0]
    inputs = draw.random(size) * (draw.random(size) < share)
    arrays = {"inputs": inputs.astype(np.float32)}
    arrays["labels"] = draw.integers(SIZES[-1], size=(seeds, IMAGES))
    for layer, (fan_in, out) in enumerate(pairwise(SIZES)):
        weight = draw.standard_normal((seeds, out, fan_in)) * np.sqrt(2 / fan_in)
        arrays[f"weight{layer}"] = weight.astype(np.float32)
        arrays[f"bias{layer}"] = np.zeros((seeds, out), dtype=np.float32)
    np.savez(path, **arrays, batch=1, lr=LR, sgd=True)
    return arrays


def work(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Return a step's multiply-adds and bytes of weights, whole and without zeros.

    Each layer is passed forwards, changed, and but for the first passed backwards. A
    pass reads a weight and the change writes it too. Counted at the start of training.
    """
    read, found = arrays["inputs"][0], dict.fromkeys(("whole", "nonzero"), 0.0)
    bytes_moved = 0.0
    for layer, (fan_in, out) in enumerate(pairwise(SIZES)):
        passes, on = 2 + (layer > 0), (read != 0).sum(1).mean()
        found["whole"] += passes * fan_in * out
        found["nonzero"] += passes * on * out
        bytes_moved += 4 * (passes + 1) * on * out
        read = np.maximum(read @ arrays[f"weight{layer}"][0].T, 0)
    return {**found, "bytes": bytes_moved}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    peer = peer_python("supervised_trainer")
    contestants = dict.fromkeys((SGEMM, AXPY, OURS, LOOP), sys.executable)
    report = {
        "cpu": cpu_model(),
        "cores": 1,
        "steps": STEPS,
        "versions": versions(sys.executable, "torch", "numba"),
        "problems": {},
    }
    if peer is not None:
        contestants[JAX] = peer
        report["versions"] |= versions(peer, "jax", "optax")
    for title, (share, seeds) in PROBLEMS.items():
        with tempfile.TemporaryDirectory() as name:
            problem = Path(name) / "problem.npz"
            arrays = write_problem(problem, share, seeds)
            deviation, rounds = measured(contestants, problem, args.rounds)
        for name in (OURS, LOOP, JAX):
            rounds[name] = [seconds / seeds for seconds in rounds.get(name, ())]
        report["problems"][title] = summary(title, rounds, work(arrays), deviation)
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.report}")


def measured(
    contestants: dict, problem: Path, rounds: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return deviations from our losses, and seconds a step, of all in turn."""
    running, losses = {}, {}
    for name, python in contestants.items():
        steps = {SGEMM: SGEMM_STEPS}.get(name, STEPS)
        numbers = "--steps", str(steps), "--checked", str(CHECKED_STEPS)
        running[name] = started(python, SCRIPT, name, str(problem), *numbers), steps
        first = answer(running[name][0], asked=False)
        if first is None:
            del running[name]
        elif name not in (SGEMM, AXPY):
            losses[name] = np.asarray(first["losses"])
    found = deviations(losses)
    seconds: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, (contestant, steps) in running.items():
            seconds[name].append(answer(contestant)["seconds"] / steps)
    for contestant, _ in running.values():
        contestant.communicate()
    return found, seconds


def summary(title: str, rounds: dict, counted: dict, deviation: dict) -> dict:
    """Print a problem's table and return what the report keeps of it."""
    macs_a_second = SGEMM_FLOPS / 2 / min(rounds[SGEMM])
    weights = sum(fan_in * out for fan_in, out in pairwise(SIZES))
    bytes_a_second = 3 * 4 * weights / min(rounds[AXPY])
    bounds = {
        "multiply-adds": counted["nonzero"] / macs_a_second,
        "bytes": counted["bytes"] / bytes_a_second,
    }
    rows = {}
    print(f"\n{title}")
    print(f"{'':48}{'us a step, a seed':>18}{'times ours':>12}{'aim':>12}")
    for name, seconds in rounds.items():
        if not seconds or name in (SGEMM, AXPY):
            continue
        ratios = [a / b for a, b in zip(seconds, rounds[OURS], strict=True)]
        rows[name] = {
            "seconds_a_step": min(seconds),
            "times_ours": statistics.median(ratios),
            "times_ours_range": [min(ratios), max(ratios)],
            "deviation": deviation[name],
        }
        times, aim = rows[name]["times_ours"], AIMS.get(name)
        said = f"{aim} {'met' if times >= aim else 'missed'}" if aim else ""
        print(f"{name:48}{1e6 * min(seconds):18.1f}{times:12.2f}{said:>12}")
    print(f"multiply-adds {counted['whole']:,.0f}, not zero {counted['nonzero']:,.0f}")
    for name, rate in (("multiply-adds", macs_a_second), ("bytes", bytes_a_second)):
        print(f"{name} at {rate / 1e9:.0f} G a second: {1e6 * bounds[name]:.1f} us")
    return {
        "multiply_adds": counted,
        "sgemm_multiply_adds_a_second": macs_a_second,
        "axpy_bytes_a_second": bytes_a_second,
        "seconds_at_these_rates": bounds,
        "contestants": rows,
    }


if __name__ == "__main__":
    main()
