"""Speed and memory of the empirical NTK, beside torch.func and neural-tangents.

``python benchmarks/empirical_ntk.py`` makes the peer's environment under ``.peers`` if
it is missing, checks that all contestants find the same kernel of the same network at
the same inputs, measures each in a process of its own on one core, prints the table
and writes ``benchmarks/reports/empirical_ntk.json``. Those in ``COMPARED`` are measured
in turn in every round, the others in the first. Where there are two cores, ours and
torch.func are measured with two threads as well, by the time that passes.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from contestants import empirical_ntk as contestants_of
from contestants.empirical_ntk import OURS, PEERS
from contestants.processes import (
    ROOT,
    answer,
    cpu_model,
    measure,
    peer_python,
    started,
    versions,
)

SCRIPT = Path(contestants_of.__file__)
REPORT = ROOT / "benchmarks" / "reports" / "empirical_ntk.json"
OURS_NAME, BASELINE = "layerwise", "torch.func, Jacobian contraction"
FASTEST_PEER = "neural-tangents, NTK-vector products"
COMPARED = (OURS_NAME, BASELINE, FASTEST_PEER)
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
    ours = kernels[OURS_NAME]
    found = {
        name: float(np.abs(kernel - ours).max() / np.abs(ours).max())
        for name, kernel in kernels.items()
    }
    wrong = {name: e for name, e in found.items() if not e < TOLERANCE[dtype]}
    if wrong:
        raise SystemExit(f"the kernels differ, nothing was measured: {wrong}")
    return found


def interleaved(
    contestants: dict, problem: Path, rounds: int, seconds: float, cores: int = 1
) -> dict:
    """Return the median and range of each contestant's seconds and ratios to ours.

    One that is not in ``COMPARED`` is measured in the first round only.
    """
    running, peaks = {}, {}
    for name, python in contestants.items():  # one after the other: each alone
        more = "--seconds", str(seconds)
        process = started(python, SCRIPT, name, str(problem), *more, cores=cores)
        first = answer(process, asked=False)
        if first is not None:
            running[name], peaks[name] = process, first["peak_mib"]
    times: dict[str, list[float]] = {name: [] for name in running}
    for turn in range(rounds):
        for name, process in running.items():
            if turn == 0 or name in COMPARED:
                times[name].append(answer(process)["seconds"])
    for process in running.values():
        process.communicate()
    return {
        name: {"peak_mib": peaks[name], **summary(found, times[OURS_NAME])}
        for name, found in times.items()
    }


def summary(measured: list[float], ours: list[float]) -> dict[str, float]:
    """Return the median of a contestant's seconds, and of their ratios to ours."""
    ratios = [took / own for took, own in zip(measured, ours, strict=False)]
    return {
        "seconds": statistics.median(measured),
        "rounds": len(measured),
        "times_ours": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
    }


def floor(problem: Path) -> float:
    """Return the milliseconds of the bare matrix products of the sum over layers.

    Forward and backward once, and half of each layer's Gram matrix of sensitivities, at
    the rate of torch's products of these sizes on one thread.
    """
    import torch

    torch.set_num_threads(1)
    held = np.load(problem)
    inputs = torch.from_numpy(held["inputs"])
    count = sum(name.startswith("weight") for name in held)
    weights = [torch.from_numpy(held[f"weight{i}"]) for i in range(count)]
    outputs = len(weights[-1])
    rows = inputs.new_ones(len(inputs) * outputs, 1)
    best = float("inf")
    for _ in range(20):
        begun = time.process_time()
        for weight in weights:
            inputs.new_ones(len(inputs), weight.shape[1]) @ weight.mT
        forward, total = time.process_time() - begun, 0.0
        for index, weight in enumerate(weights):
            said = rows.expand(-1, len(weight)).contiguous()
            begun = time.process_time()
            if index:
                said @ weight
            backward = time.process_time() - begun
            begun = time.process_time()
            said @ said.mT
            total += backward + (time.process_time() - begun) / 2
        best = min(best, forward + total)
    return 1e3 * best


def show(title: str, rows: dict) -> None:
    """Print one table; ratios are to the layerwise form of the same round."""
    print(f"\n{title}\n{'':52}{'seconds':>10}{'times ours':>12}{'peak MiB':>10}")
    for name, row in sorted(rows.items(), key=lambda item: item[1]["seconds"]):
        seconds, ratio, peak = row["seconds"], row["times_ours"], row["peak_mib"]
        print(f"{name:52}{seconds:10.4f}{ratio:12.1f}{peak:10.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="a round, at least")
    parser.add_argument("--compared", action="store_true", help="leave others out")
    parser.add_argument("--cores", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    peer = peer_python("empirical_ntk")
    contestants = dict.fromkeys((*OURS, BASELINE), sys.executable)
    if peer is not None:
        contestants |= dict.fromkeys(PEERS, peer)
    if args.compared:
        contestants = {n: p for n, p in contestants.items() if n in COMPARED}
    size = args.inputs * SIZES[-1]
    report = {
        "network": "-".join(map(str, SIZES)) + " ReLU",
        "inputs": args.inputs,
        "kernel": f"{size} x {size}",
        "cpu": cpu_model(),
        "versions": versions(sys.executable, "torch"),
    }
    if peer is not None:
        report["versions"] |= versions(peer, "neural-tangents", "jax", "scipy")
    if args.report.exists():  # what is not asked for stays
        known = json.loads(args.report.read_text())
        if all(known.get(key) == value for key, value in report.items()):
            report = known
    for dtype in args.dtypes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            deviation = same_kernel(contestants, folder, dtype)
            problem = folder / "problem.npz"
            write_problem(problem, SIZES, args.inputs, dtype)
            for cores in args.cores:
                shown = contestants
                if cores > 1:
                    shown = dict.fromkeys((OURS_NAME, BASELINE), sys.executable)
                rows = interleaved(shown, problem, args.rounds, args.seconds, cores)
                for name, row in rows.items():
                    row["deviation"] = deviation[name]
                show(f"{dtype}, threads: {cores}", rows)
                report.setdefault(f"{dtype}, threads: {cores}", {}).update(rows)
            report[f"{dtype}, bare products, ms"] = floor(problem)
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.report}")


if __name__ == "__main__":
    main()
