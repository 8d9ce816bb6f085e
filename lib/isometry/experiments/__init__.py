"""Running, storing, reporting and judging experiments."""

from isometry.experiments.report import report, summary
from isometry.experiments.run import plan, run
from isometry.experiments.store import StoreError, load_records, load_results

__all__ = [
    "StoreError",
    "load_records",
    "load_results",
    "plan",
    "report",
    "run",
    "summary",
]
