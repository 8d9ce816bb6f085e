"""Speed of the supervised trainer, beside a JAX trainer and a plain PyTorch loop.

``python benchmarks/supervised_trainer.py`` makes the peer's environment under
``.peers`` if it is missing, checks that all contestants reach the same losses from the
same weights on the same minibatches, measures each in a process of its own on one core,
several rounds interleaved, and writes ``benchmarks/reports/supervised_trainer.json``.
The rate of large matrix products is measured in the same rounds: it is what a trainer
can reach at most.
"""

import argparse
import json
import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from contestants import supervised_trainer as contestants_of
from contestants.processes import ROOT, cpu_model, measure, peer_python, versions
from contestants.supervised_trainer import FUSED_LOOP, JAX, LOOP, OURS, SGEMM

SCRIPT = Path(contestants_of.__file__)
REPORT = ROOT / "benchmarks" / "reports" / "supervised_trainer.json"
# name -> (sizes, batch, seeds, steps measured, learning rate)
PROBLEMS = {
    "784-512x4-10, batch 128, 8 seeds": ((784, *[512] * 4, 10), 128, 8, 20, 1e-4),
    "784-100-100-10, batch 16, 5 seeds": ((784, 100, 100, 10), 16, 5, 1000, 1e-4),
}
CHECKED_STEPS = 20
TOLERANCE = 2e-3  # of the loss after CHECKED_STEPS steps in single precision
SGEMM_FLOPS = 2 * 1024**3


def write_problem(path: Path, sizes, batch: int, seeds: int, lr: float) -> None:
    """Write orthogonal weights, zero biases, Gaussian inputs and random labels."""
    draw = np.random.default_rng(0)
    inputs = draw.standard_normal((seeds, 8 * batch, sizes[0]))
    arrays = {"inputs": inputs.astype(np.float32)}
    arrays["labels"] = draw.integers(sizes[-1], size=(seeds, 8 * batch))
    for layer, (fan_in, out) in enumerate(pairwise(sizes)):
        square = np.linalg.qr(draw.standard_normal((seeds, max(fan_in, out), fan_in)))
        weight = square.Q[:, :out, :fan_in]
        arrays[f"weight{layer}"] = np.ascontiguousarray(weight, dtype=np.float32)
        arrays[f"bias{layer}"] = np.zeros((seeds, out), dtype=np.float32)
    np.savez(path, **arrays, batch=batch, lr=lr, sgd=False)


def step_flops(sizes, batch: int, seeds: int) -> int:
    """Return the operations of a training step: the inputs need no gradient."""
    products = [fan_in * out for fan_in, out in pairwise(sizes)]
    return 2 * batch * seeds * (3 * sum(products) - products[0])


def same_losses(contestants: dict, problem: Path) -> dict[str, float]:
    """Return the largest deviation of each from ours; refuse one that learns else."""
    losses = {}
    for name, python in contestants.items():
        row = measure(python, SCRIPT, name, problem, "--steps", str(CHECKED_STEPS))
        if row is not None and name != SGEMM:
            losses[name] = np.asarray(row["losses"])
    return deviations(losses)


def deviations(losses: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the largest deviation of each from ours; refuse one that learns else."""
    ours = losses[OURS]
    found = {
        name: float(np.abs(loss / ours - 1).max()) for name, loss in losses.items()
    }
    wrong = {name: e for name, e in found.items() if not e < TOLERANCE}
    if wrong:
        raise SystemExit(f"the losses differ, nothing was measured: {wrong}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    peer = peer_python("supervised_trainer")
    contestants = dict.fromkeys((SGEMM, OURS, LOOP, FUSED_LOOP), sys.executable)
    report = {
        "cpu": cpu_model(),
        "cores": 1,
        "versions": versions(sys.executable, "torch"),
        "problems": {},
    }
    if peer is not None:
        contestants[JAX] = peer
        report["versions"] |= versions(peer, "jax", "optax")
    for title, (sizes, batch, seeds, steps, lr) in PROBLEMS.items():
        with tempfile.TemporaryDirectory() as name:
            problem = Path(name) / "problem.npz"
            write_problem(problem, sizes, batch, seeds, lr)
            deviation = same_losses(contestants, problem)
            rounds: dict[str, list[float]] = {name: [] for name in contestants}
            for _ in range(args.rounds):
                for name, python in contestants.items():
                    row = measure(python, SCRIPT, name, problem, "--steps", str(steps))
                    if row is not None:
                        rounds[name].append(row["seconds"] / steps)
        rows = {}
        print(f"\n{title}")
        print(f"{'':48}{'ms a step':>11}{'times ours':>12}{'of sgemm':>10}")
        flops = step_flops(sizes, batch, seeds)
        rate = SGEMM_FLOPS / min(rounds[SGEMM])
        for name, seconds in rounds.items():
            if not seconds or name == SGEMM:
                continue
            ratios = [a / b for a, b in zip(seconds, rounds[OURS], strict=True)]
            rows[name] = {
                "seconds_a_step": min(seconds),
                "times_ours": statistics.median(ratios),
                "times_ours_range": [min(ratios), max(ratios)],
                "share_of_sgemm": flops / min(seconds) / rate,
                "deviation": deviation[name],
            }
            row = rows[name]
            print(
                f"{name:48}{1e3 * row['seconds_a_step']:11.3f}"
                f"{row['times_ours']:12.2f}{row['share_of_sgemm']:10.2f}"
            )
        report["problems"][title] = {
            "sgemm_gflops": rate / 1e9,
            "step_gflop": flops / 1e9,
            "steps": steps,
            "contestants": rows,
        }
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.report}")


if __name__ == "__main__":
    main()
