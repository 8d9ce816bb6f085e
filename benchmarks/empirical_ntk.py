"""Speed and memory of the empirical NTK, beside torch.func and neural-tangents.

``python benchmarks/empirical_ntk.py`` makes the peer's environment under ``.peers`` if
it is missing, checks that all contestants find the same kernel of the same network at
the same inputs, measures each in a process of its own on one core, several rounds
interleaved, prints the table and writes ``benchmarks/reports/empirical_ntk.json``.
"""

import argparse
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from contestants import empirical_ntk as contestants_of
from contestants.empirical_ntk import OURS, PEERS
from contestants.processes import ROOT, cpu_model, measure, peer_python, versions

SCRIPT = Path(contestants_of.__file__)
REPORT = ROOT / "benchmarks" / "reports" / "empirical_ntk.json"
BASELINE = "torch.func, Jacobian contraction"
SIZES = (784, 512, 512, 512, 512, 10)
SMALL = (64, 48, 48, 48, 48, 10)
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}  # of the kernel's largest entry


def write_problem(path: Path, sizes: tuple[int, ...], count: int, dtype: str) -> None:
    """Write weights of a ReLU network (He's scale), biases and inputs."""
    draw = np.random.default_rng(0)
    arrays = {"inputs": draw.standard_normal((count, sizes[0]))}
    for index, (fan_in, out) in enumerate(pairwise(sizes)):
        scale = (2 / fan_in) ** 0.5
        arrays[f"weight{index}"] = scale * draw.standard_normal((out, fan_in))
        arrays[f"bias{index}"] = 0.1 * draw.standard_normal(out)
    np.savez(path, **{name: array.astype(dtype) for name, array in arrays.items()})


def same_kernel(contestants: dict, folder: Path, dtype: str) -> dict[str, float]:
    """Return each contestant's largest deviation from ours; refuse a wrong kernel."""
    problem = folder / "small.npz"
    write_problem(problem, SMALL, 8, dtype)
    kernels = {}
    for name, python in contestants.items():
        path = folder / "kernel.npy"
        if measure(
            python, SCRIPT, name, problem, "--kernel", str(path), "--seconds", "0"
        ):
            kernels[name] = np.load(path)
    ours = kernels["layerwise"]
    found = {
        name: float(np.abs(kernel - ours).max() / np.abs(ours).max())
        for name, kernel in kernels.items()
    }
    wrong = {name: e for name, e in found.items() if not e < TOLERANCE[dtype]}
    if wrong:
        raise SystemExit(f"the kernels differ, nothing was measured: {wrong}")
    return found


def interleaved(contestants: dict, problem: Path, rounds: int, seconds: float) -> dict:
    """Return seconds and peak of each contestant: its best over the rounds.

    One whose single call is longer than ``seconds`` runs in the first round only.
    """
    rows: dict[str, list[dict]] = {}
    waiting = dict(contestants)
    for _ in range(rounds):
        for name, python in list(waiting.items()):
            row = measure(python, SCRIPT, name, problem, "--seconds", str(seconds))
            if row is not None:
                rows.setdefault(name, []).append(row)
            if row is None or row["seconds"] > seconds:
                del waiting[name]
    return {
        name: {
            "seconds": min(row["seconds"] for row in measured),
            "peak_mib": max(row["peak_mib"] for row in measured),
        }
        for name, measured in rows.items()
    }


def show(dtype: str, rows: dict, kernel_mib: float) -> None:
    """Print one table; ratios are to the layerwise form of the same run."""
    ours = rows["layerwise"]["seconds"]
    print(f"\n{dtype}; the kernel itself is {kernel_mib:.1f} MiB")
    print(f"{'':52}{'seconds':>10}{'times ours':>12}{'peak MiB':>10}")
    for name, row in sorted(rows.items(), key=lambda item: item[1]["seconds"]):
        seconds, peak = row["seconds"], row["peak_mib"]
        print(f"{name:52}{seconds:10.4f}{seconds / ours:12.1f}{peak:10.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per contestant")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    peer = peer_python("empirical_ntk")
    contestants = dict.fromkeys((*OURS, BASELINE), sys.executable)
    if peer is not None:
        contestants |= dict.fromkeys(PEERS, peer)
    size = args.inputs * SIZES[-1]
    report = {
        "network": "-".join(map(str, SIZES)) + " ReLU",
        "inputs": args.inputs,
        "kernel": f"{size} x {size}",
        "cpu": cpu_model(),
        "cores": 1,
        "versions": versions(sys.executable, "torch"),
    }
    if peer is not None:
        report["versions"] |= versions(peer, "neural-tangents", "jax", "scipy")
    for dtype in args.dtypes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            deviation = same_kernel(contestants, folder, dtype)
            problem = folder / "problem.npz"
            write_problem(problem, SIZES, args.inputs, dtype)
            rows = interleaved(contestants, problem, args.rounds, args.seconds)
        ours = rows["layerwise"]["seconds"]
        for name, row in rows.items():
            row["times_ours"] = row["seconds"] / ours
            row["deviation"] = deviation[name]
        kernel_mib = size**2 * np.dtype(dtype).itemsize / 2**20
        report[dtype] = {"kernel_mib": kernel_mib, "contestants": rows}
        show(dtype, rows, kernel_mib)
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.report}")


if __name__ == "__main__":
    main()
