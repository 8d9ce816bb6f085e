"""What the protocol's page says of results that were run again."""

import json
from pathlib import Path

import pytest

from isometry.lab.plans import command_of
from isometry.lab.store import load_records

ROOT = Path(__file__).resolve().parents[2]
ROWS = json.loads((ROOT / "benchmarks" / "reports" / "again.json").read_text())


@pytest.fixture(scope="module")
def commands():
    records = load_records(ROOT / "results")
    return {command_of(r) for r in records if "study" not in r["settings"]}


def test_eight_results_agree_three_of_them_bit_for_bit(commands):
    rows = ROWS["results"]
    assert len(rows) == 8
    assert all(row["agrees"] for row in rows)
    own = [row for row in rows if row["own_processor"]]
    assert len(own) >= 3
    assert all(row["same_bits"] == row["numbers"] > 0 for row in own)
    for row in rows:
        mean, low, high = row["difference"]
        assert low <= 0 <= high or abs(mean) <= 0.005
        assert row["command"] in commands


def test_redo_on_random_labels_moved_by_a_twentieth():
    (row,) = [
        r
        for r in ROWS["results"]
        if "random_label_cifar10 --method redo" in r["command"]
    ]
    assert row["difference"][0] == pytest.approx(0.05, abs=0.01)
    assert not row["own_processor"]
