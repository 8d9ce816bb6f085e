"""What a name or a command costs: which libraries it loads, and which it leaves."""

import subprocess
import sys

import pytest

HEAVY = {
    "IPython",
    "distributed",
    "gymnasium",
    "matplotlib",
    "numba",
    "pandas",
    "pooch",
    "pyarrow",
    "requests",
    "rich",
    "scipy",
    "sklearn",
    "torch._dynamo",
}
NAMES = """
from isometry import AdamO, GroupSort, MaxMin, diagnose, empirical_ntk
import isometry.methods
"""
LISTS = """
from isometry.cli import main
for what in "methods", "benchmarks", "claims":
    try:
        main(["list", what])
    except SystemExit:
        pass
"""


@pytest.mark.parametrize("code", [NAMES, LISTS], ids=["names", "lists"])
def test_what_needs_torch_alone_loads_nothing_else_that_is_heavy(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(done.stdout.splitlines()[-1].split())
    assert "isometry.methods" in modules
    assert modules & HEAVY == set()
