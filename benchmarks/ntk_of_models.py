"""The empirical NTK of ResNet-18 and of GPT-2 small's blocks, beside torch.func.

``python benchmarks/ntk_of_models.py`` makes an environment with transformers under
``.peers`` if it is missing, draws the models at random, checks that both contestants
find the kernel that torch.func finds in double precision, measures them in turn on one
core, each in a process of its own, prints the table and writes
``benchmarks/reports/ntk_of_models.json``. neural-tangents has no part in it: it takes
functions of JAX, and these are modules of torch.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from contestants.processes import (
    HERE,
    ROOT,
    answer,
    cpu_model,
    peer_python,
    started,
    versions,
)

SCRIPT = HERE / "ntk_of_models.py"
REPORT = ROOT / "benchmarks" / "reports" / "ntk_of_models.json"
CASES = (
    "ResNet-18, 32 inputs of 32 x 32",
    "GPT-2 small's blocks, 4 inputs of 16 tokens",
    "GPT-2 small's blocks, 4 inputs of 64 tokens",
)
OURS, BASELINE = "ours", "torch.func, Jacobian contraction in chunks"
REFERENCE = "torch.func in double precision"
TOLERANCE = {OURS: 1e-5, BASELINE: 1e-3}  # of the largest entry, in single precision

COMPARE = (  # in the environment that has torch
    "import sys, torch; *found, true = (torch.load(p) for p in sys.argv[1:]); "
    "n = len(true); "
    "print(*(float((k[:n, :n] - true).abs().max() / true.abs().max()) for k in found))"
)


def compared(python: Path, case: str, rounds: int) -> dict:
    """Return both contestants' rows of one model; refuse a wrong kernel.

    Right is that of torch.func in double precision, at two of the inputs.
    """
    with tempfile.TemporaryDirectory() as folder:
        running, rows, paths = {}, {}, []
        for name in (REFERENCE, OURS, BASELINE):  # one after the other: each alone
            paths.append(f"{folder}/{len(paths)}.pt")
            running[name] = started(python, SCRIPT, name, case, paths[-1])
            rows[name] = answer(running[name], asked=False)
            if name == REFERENCE:
                running.pop(name).communicate()
        asked = [str(python), "-c", COMPARE, *paths[1:], paths[0]]
        said = subprocess.run(asked, capture_output=True, text=True, check=True)
    del rows[REFERENCE]
    for name, error in zip(rows, map(float, said.stdout.split()), strict=True):
        rows[name]["error"] = error
        if not error < TOLERANCE[name]:
            raise SystemExit(f"{name}: the kernel of {case} is off by {error:.1e}")
    times: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, process in running.items():
            times[name].append(answer(process)["seconds"])
    for process in running.values():
        process.communicate()
    ratios = [b / a for a, b in zip(times[OURS], times[BASELINE], strict=True)]
    for name, row in rows.items():
        row["seconds"] = statistics.median(times[name])
    spread = {"ratio": statistics.median(ratios), "lowest": min(ratios)}
    return {**rows, **spread, "highest": max(ratios), "rounds": rounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="of cases, to leave out all others")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args()
    python = peer_python("ntk_of_models")
    if python is None:
        raise SystemExit("without its models nothing is measured")
    known = json.loads(args.report.read_text())["cases"] if args.report.exists() else {}
    for case in CASES:
        if any(part in case for part in args.parts or [""]):
            row = known[case] = compared(python, case, args.rounds)
            print(f"{case}: {row['ratio']:.1f} x")
            for name in (OURS, BASELINE):
                seconds, peak = row[name]["seconds"], row[name]["peak_mib"]
                error = row[name]["error"]
                print(f"  {name:44}{seconds:9.2f} s{peak:9.0f} MiB, off by {error:.0e}")
            report = {
                "cpu": cpu_model(),
                "cores": 1,
                "versions": versions(python, "torch", "transformers"),
                "cases": {case: known[case] for case in CASES if case in known},
            }
            args.report.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
