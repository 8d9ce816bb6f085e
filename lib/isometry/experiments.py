"""Running, storing and reporting experiments: the names that most users want."""

import sys

from isometry.lab.choices import load_choices
from isometry.lab.performance_profiles import profiles
from isometry.lab.plans import plan
from isometry.lab.report import in_columns, report, summary
from isometry.lab.run import run
from isometry.lab.store import StoreError, load_records, load_results
from isometry.moved import Front
from isometry.sweep.file import read_sweep
from isometry.sweep.sweep import Failure, Outcome, sweep

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

# Modules of before stand under this name too, see ``isometry.moved``.
__path__: list[str] = []
sys.modules[__name__].__class__ = Front
