"""The results store: whole files, nothing lost, nothing foreign taken for results."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isometry.core.settings import settings_hash
from isometry.lab import results_file
from isometry.lab.results_file import METADATA_KEY, SCHEMA, STORE_VERSION
from isometry.lab.store import (
    COLUMNS,
    LeftOut,
    StoreError,
    add_results,
    finished_seeds,
    load_records,
    load_results,
    load_usable,
    read_file,
    result_files,
    result_path,
    write_file,
)


def numbers(seeds, tasks=2, metrics=("a", "b"), scale=1.0):
    return pd.DataFrame(
        [
            {
                "benchmark": "bench",
                "method": "adam",
                "settings": "0123456789",
                "seed": seed,
                "task": task,
                "metric": metric,
                "value": scale * (seed + 0.1 * task + len(metric)),
            }
            for seed in seeds
            for task in range(tasks)
            for metric in metrics
        ]
    )


def record(seeds, version=1):
    return {
        "experiment_version": version,
        "benchmark": "bench",
        "method": "adam",
        "hash": "0123456789",
        "settings": {"lr": 1e-3},
        "method_settings": {},
        "runs": [{"seeds": list(seeds), "seconds": 1.5}],
    }


@pytest.fixture
def path(tmp_path):
    return result_path(tmp_path, "bench", "adam", "0123456789")


def test_a_file_is_named_after_what_it_holds(path, tmp_path):
    assert path == tmp_path / "bench" / "adam-0123456789.parquet"


def test_numbers_and_record_come_back_as_they_were_stored(path):
    add_results(path, numbers([0, 1]), record([0, 1]))
    frame, found = read_file(path)
    pd.testing.assert_frame_equal(frame, numbers([0, 1]), check_exact=True)
    assert found == {"store_version": STORE_VERSION, **record([0, 1])}
    assert list(frame.columns) == COLUMNS
    assert frame["seed"].dtype == "int64"
    assert frame["value"].dtype == "float64"


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e-320, -0.0])
def test_extreme_numbers_come_back_as_they_were_stored(path, value):
    frame = numbers([0], 1, ("a",)).assign(value=value)
    add_results(path, frame, record([0]))
    assert repr(read_file(path)[0]["value"][0]) == repr(frame["value"][0])


def test_seeds_are_added_and_every_run_keeps_its_entry(path):
    add_results(path, numbers([2]), record([2]))
    add_results(path, numbers([0, 1]), record([0, 1]))
    frame, found = read_file(path)
    pd.testing.assert_frame_equal(frame, numbers([0, 1, 2]))
    assert [run["seeds"] for run in found["runs"]] == [[2], [0, 1]]
    assert finished_seeds(path, 1) == {0, 1, 2}


def test_the_same_numbers_give_the_same_bytes_in_any_order(path, tmp_path):
    frame = numbers([0, 1, 2])
    write_file(path, frame, record([0]))
    other = tmp_path / "other.parquet"
    write_file(other, frame.sample(frac=1, random_state=0), record([0]))
    assert path.read_bytes() == other.read_bytes()
    write_file(other, frame.assign(value=1.0), record([0]))
    assert path.read_bytes() != other.read_bytes()


def test_nothing_but_results_is_left_behind(path):
    add_results(path, numbers([0]), record([0]))
    assert {p.suffix for p in path.parent.iterdir()} <= {".parquet", ".lock"}


def test_a_folder_is_read_as_a_whole_benchmark_by_benchmark_or_file_by_file(tmp_path):
    for benchmark, method, seeds in (("x", "adam", [0]), ("y", "adamo", [0, 1])):
        frame = numbers(seeds).assign(benchmark=benchmark, method=method)
        add_results(result_path(tmp_path, benchmark, method, "h"), frame, record(seeds))
    assert len(load_results(tmp_path)) == 4 + 8
    assert set(load_results(tmp_path / "y")["method"]) == {"adamo"}
    assert len(load_results(tmp_path / "x" / "adam-h.parquet")) == 4
    assert load_results(str(tmp_path)).columns.tolist() == COLUMNS
    assert [r["runs"][0]["seeds"] for r in load_records(tmp_path)] == [[0], [0, 1]]
    assert [file.parent.name for file in result_files(tmp_path)] == ["x", "y"]


def test_tidy_means_one_number_a_row(path):
    add_results(path, numbers([0, 1, 2], 4), record([0]))
    frame = load_results(path)
    keys = ["benchmark", "method", "settings", "seed", "task", "metric"]
    assert not frame.duplicated(keys).any()
    assert len(frame) == 3 * 4 * 2


# --- refusals -------------------------------------------------------------------------


def test_seeds_that_are_there_stand_and_only_new_ones_come(path):
    assert add_results(path, numbers([0, 1]), record([0, 1])) == {0, 1}
    before, _ = read_file(path)
    assert add_results(path, numbers([1, 2], scale=9), record([1, 2])) == {2}
    frame, found = read_file(path)
    pd.testing.assert_frame_equal(frame[frame["seed"] < 2], before)
    assert [run["seeds"] for run in found["runs"]] == [[0, 1], [2]]
    written = path.read_bytes()
    assert add_results(path, numbers([0, 2], scale=7), record([0, 2])) == set()
    assert path.read_bytes() == written


def test_results_of_another_experiment_are_refused_and_the_file_stays(path):
    add_results(path, numbers([0]), record([0], version=1))
    before = path.read_bytes()
    message = (
        r"needed experiment_version 2 in .*\.parquet, found 1; choose another --out"
    )
    with pytest.raises(StoreError, match=message):
        add_results(path, numbers([1]), record([1], version=2))
    with pytest.raises(StoreError, match=message):
        finished_seeds(path, 2)
    assert path.read_bytes() == before


def test_no_file_means_no_finished_seed(path):
    assert finished_seeds(path, 1) == set()


def truncated(path):
    add_results(path, numbers(range(50)), record([0]))
    path.write_bytes(path.read_bytes()[:-100])


def altered(path):
    add_results(path, numbers(range(50)), record([0]))
    content = bytearray(path.read_bytes())
    content[60:70] = bytes(10)
    path.write_bytes(content)


def foreign(path):
    path.parent.mkdir(parents=True)
    pd.DataFrame({"x": [1.0]}).to_parquet(path)


def without_record(path):
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pandas(numbers([0]), schema=SCHEMA), path)


def other_types(path):
    path.parent.mkdir(parents=True)
    table = pa.Table.from_pandas(numbers([0]).assign(value="1.0"), preserve_index=False)
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: b"{}"}), path)


def broken_record(path):
    path.parent.mkdir(parents=True)
    table = pa.Table.from_pandas(numbers([0]), schema=SCHEMA)
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: b"{"}), path)


def other_store_version(path):
    write_file(path, numbers([0]), {**record([0]), "store_version": 99})


def text(path):
    path.parent.mkdir(parents=True)
    path.write_text("seed,value\n0,1.0\n")


def empty(path):
    path.parent.mkdir(parents=True)
    path.touch()


def folder(path):
    path.mkdir(parents=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated, "needed a readable results file at"),
        (altered, "needed a readable results file at"),
        (text, "needed a readable results file at"),
        (empty, "needed a readable results file at"),
        (foreign, "needed results with columns benchmark, method.*found x double"),
        (without_record, "and no record; move the file out of the store"),
        (other_types, "value (large_)?string; move the file"),
        (broken_record, "needed store version 1 in .*found None"),
        (other_store_version, "needed store version 1 in .*found 99; run it again"),
    ],
)
def test_a_file_that_holds_no_results_is_refused_by_name(path, make, message):
    make(path)
    for call in (
        lambda: read_file(path),
        lambda: load_results(path.parent),
        lambda: finished_seeds(path, 1),
        lambda: add_results(path, numbers([77]), record([77])),
    ):
        with pytest.raises(StoreError, match=message) as refused:
            call()
        assert "adam-0123456789.parquet" in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "found"), [("nowhere", "no such folder"), ("empty", "none")]
)
def test_a_folder_without_results_is_refused_with_what_to_do(tmp_path, name, found):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        StoreError, match=rf"needed results under .*{name}, found {found}"
    ):
        load_results(tmp_path / name)
    with pytest.raises(StoreError, match="make some with `isometry run BENCHMARK"):
        load_records(tmp_path / name)


# --- several writers, and kills -------------------------------------------------------


def test_two_dozen_threads_lose_nothing(path):
    def write(seed):
        add_results(path, numbers([seed]), record([seed]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    frame, found = read_file(path)
    pd.testing.assert_frame_equal(frame, numbers(range(24)))
    assert sorted(run["seeds"][0] for run in found["runs"]) == list(range(24))


WRITER = """
import sys, json
import pandas as pd
from isometry.lab.store import add_results
from pathlib import Path

path, record = Path(sys.argv[1]), json.loads(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for seed in range(1, 30, 2):
    row = dict(benchmark="bench", method="adam", settings="0123456789", seed=seed,
               task=0, metric="a", value=float(seed))
    add_results(path, pd.DataFrame([row]), {**record, "runs": [{"seeds": [seed]}]})
"""


def test_two_processes_lose_nothing(path):
    command = [sys.executable, "-c", WRITER, str(path), json.dumps(record([]))]
    with subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        for seed in range(0, 30, 2):
            frame = numbers([seed], 1, ("a",)).assign(value=float(seed))
            add_results(path, frame, record([seed]))
        assert other.wait(60) == 0
    frame, found = read_file(path)
    assert frame["seed"].tolist() == list(range(30))
    assert frame["value"].tolist() == [float(seed) for seed in range(30)]
    assert len(found["runs"]) == 30


@pytest.mark.parametrize("altering", [0x55, 1, 128])
def test_no_altered_byte_changes_a_number_or_the_record_unnoticed(path, altering):
    add_results(path, numbers(range(20)), record([0]))
    content, (whole, told) = path.read_bytes(), read_file(path)
    places, refusals = range(0, len(content), 11), []
    for place in places:
        changed = bytearray(content)
        changed[place] ^= altering
        path.write_bytes(changed)
        try:
            frame, found = read_file(path)
        except StoreError as error:
            refusals.append(str(error))
        else:
            pd.testing.assert_frame_equal(frame, whole, check_exact=True)
            assert found == told
    assert len(refusals) > 0.5 * len(places)
    assert all(str(path) in line and "\n" not in line for line in refusals)


def as_of_before(path, text):
    """Write a file as it was before records had a checksum."""
    table = pa.Table.from_pandas(numbers([0]), schema=SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: text}), path)


def test_a_file_of_before_is_known_by_the_name_of_its_settings(tmp_path):
    path = tmp_path / "old.parquet"
    named = {**record([0]), "store_version": STORE_VERSION}
    for parts in ("bench", "adam", {"lr": 1e-3}, {}), ("bench", "adam", {"lr": 1e-3}):
        whole = {**named, "hash": settings_hash(*parts)}
        as_of_before(path, json.dumps(whole))
        assert read_file(path)[1] == whole
        altered = json.dumps(whole).replace("0.001", "0.003")
        as_of_before(path, altered)
        with pytest.raises(StoreError, match="is not what the hash says; move it away"):
            read_file(path)


def test_every_file_of_the_project_is_read():
    folder = Path(__file__).parents[2] / "results"
    for file in result_files(folder):
        record = read_file(file)[1]
        assert record["hash"] in file.name


def test_a_report_names_a_damaged_file_and_goes_on_without_it(tmp_path):
    for method in ("adam", "adamo", "redo"):
        path = result_path(tmp_path, "bench", method, "0123456789")
        add_results(path, numbers([0]).assign(method=method), record([0]))
    path.write_bytes(path.read_bytes()[:-9])
    (tmp_path / "bench" / "._adam-0123456789.parquet").write_bytes(b"of a Mac")
    (tmp_path / "._bench").mkdir()
    (tmp_path / "._bench" / "adam-0123456789.parquet").write_bytes(b"of a Mac")
    with pytest.warns(LeftOut, match=rf"left out: .*{path}.*; move it away") as said:
        found = load_usable(tmp_path)
    assert len(said) == 1
    assert set(found.frame["method"]) == {"adam", "adamo"}
    assert len(found.records) == 2
    with pytest.raises(StoreError, match=str(path)):
        load_results(tmp_path)  # a verdict is not passed on a part
    with pytest.raises(StoreError, match=str(path)):
        load_usable(path)


def test_a_kill_while_writing_leaves_the_old_file(path, monkeypatch):
    add_results(path, numbers([0]), record([0]))
    before = path.read_bytes()

    def half(path, content):
        path.with_suffix(".partial").write_bytes(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(results_file, "write_whole", half)
    with pytest.raises(KeyboardInterrupt):
        add_results(path, numbers([1]), record([1]))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert finished_seeds(path, 1) == {0}
    add_results(path, numbers([1]), record([1]))
    assert finished_seeds(path, 1) == {0, 1}
