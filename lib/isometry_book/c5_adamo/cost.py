"""What AdamO costs, and every other method, taken from the benchmarks' reports.

Times belong to the machine that a benchmark ran on, so they are measured there, once
and on purpose. These studies only bring the stored reports of
``benchmarks/adamo_step.py``, ``benchmarks/methods_cost.py`` and
``benchmarks/now_and_then.py`` into the results store.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from isometry.core.messages import refusal
from isometry.lab.store import TIDY

BENCHMARK = "adamo_cost"
METHODS_BENCHMARK, PERIODS_BENCHMARK = "method_cost", "period_cost"
REPORTS = Path("benchmarks") / "reports"
REPORT, METHODS_REPORT = REPORTS / "adamo_step.json", REPORTS / "methods_cost.json"
PERIODS_REPORT = REPORTS / "now_and_then.json"
COSTS = ("milliseconds", "time_ratio", "kept_ratio", "peak_ratio", "switch_steps")
# Names in the report: of the timed contestant, and of its learning curve.
SETTINGS = {
    "every step": ("AdamO", "literal"),
    "every 10": ("AdamO, every 10", "every 10"),
    "every auto": ("AdamO, auto", "auto"),
}


def _report_path(report: Path = REPORT) -> Path:
    """Return where a report stands, in this folder or one above it."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / report).is_file():
            return folder / report
    raise FileNotFoundError(
        refusal(
            f"{report} here or above", str(here), f"run benchmarks/{report.stem}.py"
        )
    )


def _cost_rows(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return a report as tidy numbers; the task is the network's place in it."""
    rows: list[tuple[str, str, int, int, str, float]] = []
    for task, network in enumerate(report["networks"].values()):
        for name, (timed, _) in SETTINGS.items():
            ratio = network["time"][timed]["ratio"]
            rows.append((BENCHMARK, name, 0, task, "time_ratio", ratio))
        memory = network["memory"]["ratio"]
        rows.append((BENCHMARK, "every step", 0, task, "memory_ratio", memory))
    curves = report["learning_curves"]["settings"]
    for name, (_, curve) in SETTINGS.items():
        low, high = curves[curve].get("interval", (0.0, 0.0))  # the literal one itself
        within = float(curves[curve].get("within_seed_noise", True))
        for metric, value in (
            ("curve_low", low),
            ("curve_high", high),
            ("within_seed_noise", within),
        ):
            rows.append((BENCHMARK, name, 0, 0, metric, value))
    return pd.DataFrame(rows, columns=TIDY)


def cost_numbers(sizes: None, data: str) -> pd.DataFrame:
    """Return what AdamO costs; FileNotFoundError if that has not been measured.

    Args:
        sizes: The report has one size.
        data: Not needed.
    """
    return _cost_rows(json.loads(_report_path().read_text()))


def method_cost_numbers(sizes: None, data: str) -> pd.DataFrame:
    """Return what each method costs; the task is the network's place in the report.

    Args:
        sizes: The report has one size.
        data: Not needed.

    Returns:
        Metrics ``milliseconds`` of a training step, and over Adam's ``time_ratio``,
        ``kept_ratio`` and ``peak_ratio`` of memory; ``switch_steps`` of Adam that what
        happens between two tasks takes.

    Raises:
        FileNotFoundError: If the benchmark has not been run.
    """
    report = json.loads(_report_path(METHODS_REPORT).read_text())
    rows = [
        (METHODS_BENCHMARK, method, 0, task, metric, found[metric])
        for task, network in enumerate(report["networks"].values())
        for method, found in network.items()
        for metric in COSTS
    ]
    return pd.DataFrame(rows, columns=TIDY)


def period_cost_numbers(sizes: None, data: str) -> pd.DataFrame:
    """Return what AdamO costs with an isometry step every k-th step.

    Args:
        sizes: The report has one size.
        data: Not needed.

    Returns:
        Methods ``every_k``; the task is the network's place in the report. Metrics
        ``milliseconds`` of a training step, and ``ratio`` over one without a pull.

    Raises:
        FileNotFoundError: If the benchmark has not been run.
    """
    report = json.loads(_report_path(PERIODS_REPORT).read_text())
    rows = [
        (PERIODS_BENCHMARK, f"every_{k}", 0, task, metric, found[metric])
        for task, network in enumerate(report["networks"].values())
        for k, found in network.items()
        for metric in ("milliseconds", "ratio")
    ]
    return pd.DataFrame(rows, columns=TIDY)
