"""Bringing results together: what is new comes, what is there stays as it is."""

import pandas as pd
import pytest

from isometry.lab.choosing import tuning_store
from isometry.lab.collect import collect
from isometry.lab.store import StoreError, read_file, result_path, write_file

NAME = ("bench", "adam", "0123456789")


def stored(store, seeds, scale=1.0):
    rows = [
        (*NAME, seed, task, "accuracy", scale * (seed + 0.1 * task))
        for seed in seeds
        for task in range(2)
    ]
    columns = ["benchmark", "method", "settings", "seed", "task", "metric", "value"]
    record = {
        "experiment_version": 1,
        "benchmark": "bench",
        "method": "adam",
        "hash": "0123456789",
        "settings": {"lr": 1e-3},
        "method_settings": {},
        "runs": [{"seeds": list(seeds), "seconds": 1.5}],
    }
    path = result_path(store, *NAME)
    write_file(path, pd.DataFrame(rows, columns=columns), record)
    return path


@pytest.mark.parametrize("place", [lambda store: store, tuning_store])
def test_a_store_with_one_kind_of_results_is_collected(tmp_path, place):
    source, out = tmp_path / "theirs", tmp_path / "ours"
    path = stored(place(source), [0, 1])
    found = collect(source, out)
    assert (found.seeds, len(found.files)) == (2, 1)
    assert str(found) == "2 runs in 1 files and 0 choices are new"
    frame, record = read_file(out / path.relative_to(source))
    pd.testing.assert_frame_equal(frame, read_file(path)[0])
    assert [run["seeds"] for run in record["runs"]] == [[0, 1]]
    assert collect(source, out).seeds == 0


def test_seeds_that_are_new_come_and_the_others_stay(tmp_path):
    source, out = tmp_path / "theirs", tmp_path / "ours"
    stored(source, [0, 1, 2])
    kept = stored(out, [1])
    assert collect(source, out).seeds == 2
    frame, record = read_file(kept)
    assert sorted(frame["seed"].unique()) == [0, 1, 2]
    assert [run["seeds"] for run in record["runs"]] == [[1], [0, 2]]


def test_other_numbers_of_a_seed_are_refused_and_nothing_is_lost(tmp_path):
    source, out = tmp_path / "theirs", tmp_path / "ours"
    stored(source, [0], scale=2.0)
    kept = stored(out, [0])
    before = kept.read_bytes()
    with pytest.raises(StoreError, match="found others for seed 0; move one"):
        collect(source, out)
    assert kept.read_bytes() == before


def test_a_store_of_nothing_and_a_store_into_itself_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"needed results under .*, found none"):
        collect(tmp_path / "empty", tmp_path / "ours")
    stored(tmp_path, [0])
    with pytest.raises(StoreError, match="needed two different stores"):
        collect(tmp_path, tmp_path)
