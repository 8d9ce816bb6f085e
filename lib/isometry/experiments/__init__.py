"""Running, storing, reporting and judging experiments."""

from isometry.experiments.choices import load_choices
from isometry.experiments.profiles import profiles
from isometry.experiments.report import in_columns, report, summary
from isometry.experiments.run import plan, run
from isometry.experiments.store import StoreError, load_records, load_results
from isometry.experiments.sweep import Failure, Outcome, sweep
from isometry.experiments.sweep_file import read_sweep

__all__ = [
    "Failure",
    "Outcome",
    "StoreError",
    "in_columns",
    "load_choices",
    "load_records",
    "load_results",
    "plan",
    "profiles",
    "read_sweep",
    "report",
    "run",
    "summary",
    "sweep",
]
