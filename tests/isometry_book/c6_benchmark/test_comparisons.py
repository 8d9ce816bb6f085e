"""Chapter 6 shows the stored runs of one size, whatever else the store holds."""

import pandas as pd
import pytest

from isometry.core.settings import as_dict
from isometry.lab.run import plan
from isometry.lab.store import COLUMNS, StoreError, write_file
from isometry_book.c6_benchmark.comparisons import stored_grid

BENCHMARK = "random_label_mnist"


def stored(store, profile, value, **changes):
    planned = plan(BENCHMARK, "adam", changes, profile)
    rows = [
        (BENCHMARK, "adam", planned.hash(), seed, task, "online_accuracy", value)
        for seed in range(3)
        for task in range(2)
    ]
    record = {
        "benchmark": BENCHMARK,
        "method": "adam",
        "hash": planned.hash(),
        "settings": as_dict(planned.settings),
        "method_settings": as_dict(planned.method_settings),
        "runs": [{"seeds": [0, 1, 2], "status": {}}],
    }
    write_file(planned.path(store), pd.DataFrame(rows, columns=COLUMNS), record)


def test_only_runs_of_the_profile_and_data_are_shown(tmp_path):
    stored(tmp_path, "paper", 0.1)
    stored(tmp_path, "laptop", 0.5)
    stored(tmp_path, "laptop", 0.7, lr=0.01)
    stored(tmp_path, "laptop", 0.9, data="digits")
    table = stored_grid(tmp_path, BENCHMARK)
    assert table["mean"].tolist() == pytest.approx([0.5])
    assert table["method"].tolist() == ["adam"]
    assert stored_grid(tmp_path, BENCHMARK, "paper")["mean"].tolist() == [
        pytest.approx(0.1)
    ]
    assert stored_grid(tmp_path, BENCHMARK, "smoke").empty


def test_a_benchmark_that_was_never_run_is_refused(tmp_path):
    with pytest.raises(StoreError, match="needed results under"):
        stored_grid(tmp_path, BENCHMARK)
