"""Results that are there twice, or under another's name, are named and left out."""

import shutil

import pandas as pd
import pytest

from isometry.lab.run import run
from isometry.lab.store import (
    LeftOut,
    StoreError,
    load,
    load_records,
    load_results,
    load_usable,
)

TINY = {"data": "digits", "tasks": 1, "images_per_task": 50, "width": 2}


@pytest.fixture
def store(tmp_path):
    for method in ("adam", "adamo"):
        small(method, tmp_path)
    return tmp_path


def small(method, out):
    return run("permuted_mnist", method, [0], TINY, profile="smoke", out=out)


def file_of(store, method):
    (found,) = store.glob(f"permuted_mnist/{method}-*.parquet")
    return found


@pytest.mark.parametrize(
    "copy", ["permuted_mnist/z {}", "permuted_mnist/{} (1)", "saved/permuted_mnist/{}"]
)
def test_a_copy_does_not_count_a_seed_twice(store, copy):
    whole = load_results(store)
    first = file_of(store, "adamo")
    second = store / f"{copy.format(first.stem)}.parquet"
    second.parent.mkdir(exist_ok=True, parents=True)
    shutil.copy(first, second)
    with pytest.warns(
        LeftOut, match="needed other results in .*found those of .*again"
    ):
        usable = load_usable(store)
    columns = list(whole.columns)
    pd.testing.assert_frame_equal(
        usable.frame.sort_values(columns, ignore_index=True),
        whole.sort_values(columns, ignore_index=True),
    )
    for strict in (load, load_records):
        with pytest.raises(StoreError, match="; move one of them away"):
            strict(store)


def test_results_under_anothers_name_are_not_taken_for_its_own(store):
    adam, adamo = file_of(store, "adam"), file_of(store, "adamo")
    shutil.copy(adam, adamo)
    with pytest.warns(LeftOut, match="needed other results in .*adamo-"):
        assert set(load_usable(store).frame["method"]) == {"adam"}
    line = "needed the results that .*adamo-.* has its name from, found those of adam,"
    with pytest.raises(StoreError, match=line):
        small("adamo", store)
    assert adamo.read_bytes() == adam.read_bytes()
