"""Speed and memory of the empirical NTK, beside torch.func and neural-tangents.

``python benchmarks/empirical_ntk.py`` makes the peer's environment in ``.peers/ntk``
if it is missing, checks that all contestants find the same kernel of the same network
at the same inputs, measures each in a process of its own on one core, several rounds
interleaved, prints the table and writes ``benchmarks/reports/empirical_ntk.json``.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from empirical_ntk_contestant import OURS, PEERS

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(__file__).with_name("empirical_ntk_contestant.py")
PEER = ROOT / ".peers" / "ntk"
REQUIREMENTS = Path(__file__).with_name("empirical_ntk.requirements.txt")
REPORT = ROOT / "benchmarks" / "reports" / "empirical_ntk.json"
BASELINE = "torch.func, Jacobian contraction"
SIZES = (784, 512, 512, 512, 512, 10)
SMALL = (64, 48, 48, 48, 48, 10)
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}  # of the kernel's largest entry
ONE_CORE = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def peer_python() -> Path | None:
    """Make the peer's environment where it is missing; None if that fails."""
    python = PEER / "bin" / "python"
    stamp = PEER / "requirements.txt"
    if stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text():
        return python
    print(f"making {PEER.relative_to(ROOT)} ...", flush=True)
    commands = [
        [sys.executable, "-m", "venv", "--clear", str(PEER)],
        [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"the peer cannot be installed here: {reason}", file=sys.stderr)
            return None
    stamp.write_text(REQUIREMENTS.read_text())
    return python


def write_problem(path: Path, sizes: tuple[int, ...], count: int, dtype: str) -> None:
    """Write weights of a ReLU network (He's scale), biases and inputs."""
    draw = np.random.default_rng(0)
    arrays = {"inputs": draw.standard_normal((count, sizes[0]))}
    for index, (fan_in, out) in enumerate(pairwise(sizes)):
        scale = (2 / fan_in) ** 0.5
        arrays[f"weight{index}"] = scale * draw.standard_normal((out, fan_in))
        arrays[f"bias{index}"] = 0.1 * draw.standard_normal(out)
    np.savez(path, **{name: array.astype(dtype) for name, array in arrays.items()})


def measure(python: Path | str, name: str, problem: Path, *more: str):
    """Run one contestant in a process of its own, on one core; None if it fails."""
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [str(python), str(SCRIPT), name, str(problem), *more],
        capture_output=True,
        text=True,
        env={**os.environ, **ONE_CORE},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode != 0:
        errors = [x for x in done.stderr.splitlines() if re.match(r"[\w.]*Error", x)]
        reason = (errors or [f"exit {done.returncode}"])[-1]
        print(f"{name} fails: {reason[:300]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def same_kernel(contestants: dict, folder: Path, dtype: str) -> dict[str, float]:
    """Return each contestant's largest deviation from ours; refuse a wrong kernel."""
    problem = folder / "small.npz"
    write_problem(problem, SMALL, 8, dtype)
    kernels = {}
    for name, python in contestants.items():
        path = folder / "kernel.npy"
        if measure(python, name, problem, "--kernel", str(path), "--seconds", "0"):
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
            row = measure(python, name, problem, "--seconds", str(seconds))
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


def cpu_model() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def versions(peer: Path | None) -> dict[str, str]:
    """Return the versions of what was compared."""
    found = {"python": platform.python_version(), "torch": version("torch")}
    if peer is not None:
        ask = (
            "from importlib.metadata import version as v; "
            "print(v('neural-tangents'), v('jax'), v('scipy'))"
        )
        done = subprocess.run([str(peer), "-c", ask], capture_output=True, text=True)
        found |= dict(
            zip(("neural-tangents", "jax", "scipy"), done.stdout.split(), strict=True)
        )
    return found


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
    peer = peer_python()
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
        "versions": versions(peer),
    }
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
