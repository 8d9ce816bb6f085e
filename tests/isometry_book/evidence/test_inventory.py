"""What was run, counted from a small store by hand and from the committed one."""

from pathlib import Path

import pytest

from isometry.lab.run import plan, run
from isometry_book.evidence.inventory import TUNING, inventory, study_hours

RESULTS = Path(__file__).resolve().parents[3] / "results"
TINY = {"data": "digits", "tasks": 2}


def test_runs_of_a_store_are_counted_by_stream_and_size(tmp_path):
    own = {"profile": "smoke", "out": tmp_path}
    run("random_label_mnist", "adam", range(3), TINY, **own)
    run("random_label_mnist", "adamo", range(2), TINY, **own)
    run("random_label_mnist", "adam", range(2), {**TINY, "width": 5}, **own)
    run(
        "random_label_mnist",
        "adam",
        [100],
        {**TINY, "lr": 0.1},
        profile="smoke",
        out=tmp_path / TUNING,
    )
    table = inventory(tmp_path)
    assert len(table) == 2
    usual = table[~table["network"].str.endswith(" 5")].iloc[0]
    assert (usual["methods"], usual["seeds"]) == (2, 3)
    assert (usual["runs"], usual["tuning"], usual["tasks"]) == (5, 1, 2)
    settings = plan("random_label_mnist", "adam", TINY, "smoke").settings
    minibatches = -(-settings.images_per_task // settings.batch_size)
    assert usual["steps"] == settings.epochs * minibatches
    assert 0 < usual["hours"] < 0.1
    assert study_hours(tmp_path) == 0


@pytest.fixture(scope="module")
def stored():
    return inventory(RESULTS)


def test_the_long_streams_have_eight_seeds_and_searches(stored):
    for stream, tasks in (("permuted_mnist", 100), ("permuted_cifar10", 120)):
        chosen = (stored["stream"] == stream) & (stored["tasks"] == tasks)
        chosen &= stored["steps"] == 100
        (row,) = stored[chosen].to_dict("records")
        assert row["seeds"] == 8
        assert row["methods"] >= 10
        assert row["tuning"] >= 2 * 9 * row["methods"]


def test_short_perceptron_streams_of_all_methods_are_of_the_first_protocol(stored):
    assert study_hours(RESULTS) > 1
    many = stored[(stored["methods"] >= 24) & (stored["tuning"] == 0)]
    assert set(many["tasks"]) <= {10, 20, 30}
