"""The committed runs keep their names, whatever settings have come since."""

from pathlib import Path

import pytest

from isometry.lab.plans import benchmark_of, plan
from isometry.lab.store import load_records
from isometry.rl.continual_benchmarks import CONTINUAL
from isometry.supervised.benchmarks import BENCHMARKS

STORE = Path(__file__).parents[2] / "results"
NAMES = (*BENCHMARKS.names(), *CONTINUAL.names())
STORED = [name for name in NAMES if (STORE / name).is_dir()]


def test_runs_of_images_and_of_games_are_stored():
    assert "permuted_mnist" in STORED
    assert "continual_minatar" in STORED


@pytest.mark.parametrize("benchmark", STORED)
def test_the_settings_of_a_stored_run_have_the_name_of_its_file(benchmark):
    usual = benchmark_of(benchmark).settings("paper")
    for record in load_records(STORE / benchmark):
        # What differs from the profile; a method may set the rest itself.
        changes = {
            key: value
            for key, value in record["settings"].items()
            if value != getattr(usual, key)
        }
        changes |= record["method_settings"]
        named = plan(benchmark, record["method"], changes, "paper")
        assert named.hash() == record["hash"], (record["method"], record["hash"])
