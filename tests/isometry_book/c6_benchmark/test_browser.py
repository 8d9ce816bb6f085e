"""The results browser: its rows are the tables', its commands run what is shown."""

import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from isometry.lab import store
from isometry.lab.plans import command_of, plan
from isometry.lab.store import load_records, result_files
from isometry_book.c6_benchmark import browser
from isometry_book.c6_benchmark.streams_tables import (
    all_numbers,
    loaded_streams,
    numbers,
)

RESULTS = Path(__file__).parents[3] / "results"


@pytest.fixture(scope="module")
def streams():
    return loaded_streams(RESULTS)


@pytest.mark.parametrize("folder", ["permuted_mnist", "continual_minatar"])
def test_the_command_of_a_record_runs_its_settings_and_seeds(folder):
    for record in load_records(RESULTS / folder):
        words = shlex.split(command_of(record))
        assert words[:3] == ["isometry", "run", record["benchmark"]]
        set_to = [b for a, b in pairwise(words) if a == "--set"]
        changes = dict(one.split("=", 1) for one in set_to)
        assert (
            plan(record["benchmark"], record["method"], changes).hash()
            == (record["hash"])
        )
        seeds = words[words.index("--seeds") + 1]
        trained = {seed for run in record["runs"] for seed in run["seeds"]}
        assert seeds == f"0:{max(trained) + 1}"


def test_seeds_that_are_no_range_are_listed():
    record = load_records(RESULTS / "permuted_mnist")[0]
    own = {**record, "runs": [{"seeds": [0]}, {"seeds": [5, 3]}]}
    assert "--seeds 0,3,5" in command_of(own)


def test_rows_are_the_numbers_of_the_tables(streams):
    stream = streams["permuted_mnist"]
    rows = {row["method"]: row for row in browser.stream_rows(stream)}
    assert len(rows) == len(stream.runs), "no two methods have one name"
    level = numbers(stream, "level")
    assert rows["AdamO"]["numbers"]["level"] == pytest.approx(
        level.loc["adamo", ["mean", "low", "high"]], abs=1e-5
    )
    assert rows["AdamO"]["family"] == "pulls to isometry"


def test_without_a_script_the_first_stream_is_a_table(streams):
    html = browser.results_browser(streams)
    assert html.count("<tr>") == 1 + len(next(iter(streams.values())).runs)
    assert "_" not in html.split("<tbody>")[1].split("</tbody>")[0]


def test_the_streams_and_their_numbers_read_each_file_once(monkeypatch):
    opened = []
    read_table = store.read_table
    monkeypatch.setattr(
        store, "read_table", lambda path: (opened.append(path), read_table(path))[1]
    )
    found = loaded_streams(RESULTS)
    assert len(opened) == len(set(opened)) > 100
    opened.clear()
    all_numbers(RESULTS, found)
    benchmarks = [one.runs["adam"]["benchmark"] for one in found.values()]
    assert {path.parent.name for path in opened} == set(benchmarks)
    assert len(opened) == sum(len(result_files(RESULTS / one)) for one in benchmarks)
