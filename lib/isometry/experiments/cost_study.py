"""What AdamO costs, taken from the report of ``benchmarks/adamo_step.py``.

Times belong to the machine that the benchmark ran on, so they are measured there, once
and on purpose. This study only brings the stored report into the results store.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from isometry.core.messages import refusal
from isometry.experiments.maxmin_training import TIDY

BENCHMARK = "adamo_cost"
REPORT = Path("benchmarks") / "reports" / "adamo_step.json"
# Names in the report: of the timed contestant, and of its learning curve.
SETTINGS = {
    "every step": ("AdamO", "literal"),
    "every 10": ("AdamO, every 10", "every 10"),
    "every auto": ("AdamO, auto", "auto"),
}


def report_path() -> Path:
    """Return where the report stands, in this folder or one above it.

    Raises:
        FileNotFoundError: If it is in none of them.

    Source: ours.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / REPORT).is_file():
            return folder / REPORT
    raise FileNotFoundError(
        refusal(f"{REPORT} here or above", str(here), "run benchmarks/adamo_step.py")
    )


def cost_rows(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return a report as tidy numbers; the task is the network's place in it.

    Args:
        report: As ``benchmarks/adamo_step.py`` writes it.

    Returns:
        Metrics ``time_ratio`` and, for the literal form, ``memory_ratio``, both over
        fused Adam's; ``curve_low``, ``curve_high`` and ``within_seed_noise`` (1 or 0)
        of the difference of the learning curve from that of the literal form.

    Raises:
        KeyError: If the report lacks one of them.

    Source: ours.
    """
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


def study(profile: str = "paper", data: str = "digits") -> pd.DataFrame:
    """Return the tidy numbers of the stored report.

    Args:
        profile: Not used: the report has one size.
        data: Not used.

    Raises:
        FileNotFoundError: If the benchmark has not been run.

    Source: ours.
    """
    return cost_rows(json.loads(report_path().read_text()))
