"""Sweeps: fair choices, nothing done twice, nothing lost, the same numbers anywhere."""

import dataclasses
import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from isometry.lab.choices import load_choices, search_table
from isometry.lab.run import run
from isometry.lab.run import run as run_package
from isometry.lab.search import Sweep
from isometry.lab.store import (
    COLUMNS,
    StoreError,
    load_records,
    load_results,
    result_files,
)
from isometry.supervised import BENCHMARKS
from isometry.sweep import job
from isometry.sweep.crew import processes
from isometry.sweep.job import Job, _parts, stacks_of
from isometry.sweep.sweep import sweep

run_module = sys.modules[run_package.__module__]
SMALL = {
    "data": "digits",
    "tasks": 3,
    "images_per_task": 40,
    "epochs": 1,
    "batch_size": 16,
    "width": 8,
    "depth": 1,
}
SEARCH = {
    "continued": False,
    "profile": "smoke",
    "tune_seeds": "5:8",
    "report_seeds": "0:3",
    "settings": SMALL,
    "benchmarks": {"permuted_mnist": {}},
    "methods": {"adam": {"lr": [1e-7, 1e-2]}, "fresh": {"lr": [1e-2, 1e-7]}},
}
GRID = {key: value for key, value in SEARCH.items() if key != "tune_seeds"}


def swept(out, content=SEARCH, workers=0, **changes):
    return sweep({**content, **changes}, out=out, workers=workers, device="cpu")


@pytest.fixture
def trainings(monkeypatch):
    """Return a list of (lr, seeds) of every training started in this process."""
    started, original = [], run_module.train

    def counted(*arguments, **keywords):
        started.append((arguments[3].lr, arguments[5]))
        return original(*arguments, **keywords)

    monkeypatch.setattr(run_module, "train", counted)
    return started


# --- search and choice ----------------------------------------------------------------


def test_the_best_setting_on_the_tuning_seeds_is_reported_on_fresh_ones(tmp_path):
    outcome = swept(tmp_path)
    assert outcome.failures == ()
    tuning, reported = load_results(tmp_path / "tuning"), load_results(tmp_path)
    assert set(tuning["seed"]) == {5, 6, 7}
    assert set(reported["seed"]) == {0, 1, 2}
    lr = {
        r["hash"]: r["settings"]["lr"]
        for r in (*load_records(tmp_path), *load_records(tmp_path / "tuning"))
    }
    accuracy = tuning[tuning["metric"] == "online_accuracy"]
    for method in ("adam", "fresh"):
        own = accuracy[accuracy["method"] == method]
        scores = {
            lr[key]: scipy.stats.trim_mean(part.groupby("seed")["value"].mean(), 0.25)
            for key, part in own.groupby("settings")
        }
        best = max(scores, key=scores.get)
        (chosen,) = reported[reported["method"] == method]["settings"].unique()
        assert best == lr[chosen] == 1e-2
        (record,) = (c for c in outcome.choices if c["method"] == method)
        assert record["chosen"] == {"lr": best}
        for candidate in record["candidates"]:
            expected = scores[candidate["values"]["lr"]]
            assert candidate["score"] == pytest.approx(expected)


def test_a_choice_stands_beside_its_results_with_how_it_was_made(tmp_path):
    outcome = swept(tmp_path)
    files = {path.stem for path in result_files(tmp_path)}
    records = load_choices(tmp_path)
    names = {f"{r['method']}-{r['hash']}" for r in records}
    assert names == files == {path.stem for path in outcome.files}
    record = records[0]
    assert record["tune_seeds"] == [5, 6, 7]
    assert record["report_seeds"] == [0, 1, 2]
    assert record["metric"] == "online_accuracy"
    assert record["budgets"] == {"adam": 2, "fresh": 2}
    assert set(record["provenance"]) == {"commit", "versions", "device"}
    table = search_table(tmp_path)
    assert table["searched"].tolist() == [2, 2]
    assert table["chosen"].tolist() == ["lr=0.01", "lr=0.01"]
    alone = search_table(result_files(tmp_path)[0])
    assert alone["method"].tolist() == ["adam"]


def test_without_tuning_seeds_every_combination_is_reported(tmp_path):
    outcome = swept(tmp_path, GRID)
    assert outcome.choices == ()
    assert load_choices(tmp_path) == []
    assert not (tmp_path / "tuning").exists()
    found = {(r["method"], r["settings"]["lr"]) for r in load_records(tmp_path)}
    assert found == {(m, lr) for m in ("adam", "fresh") for lr in (1e-7, 1e-2)}
    assert len(outcome.files) == 4


def test_a_search_space_of_one_point_is_not_searched(tmp_path, trainings):
    outcome = swept(tmp_path, methods={"adam": {"lr": 1e-2}, "fresh": {"lr": 1e-3}})
    assert trainings == [(1e-2, [0, 1, 2]), (1e-3, [0, 1, 2])]
    assert [c["candidates"][0]["score"] for c in outcome.choices] == [None, None]


def test_a_metric_that_a_benchmark_does_not_record_is_refused(tmp_path):
    benchmarks = {"random_label_mnist": {}}
    with pytest.raises(KeyError, match="metric of random_label_mnist 'test_accuracy'"):
        swept(tmp_path, benchmarks=benchmarks, metric="test_accuracy")


def test_each_case_has_a_choice_of_its_own(tmp_path):
    settings = {**SMALL, "width": [4, 8]}
    outcome = swept(tmp_path, settings=settings, methods={"adam": {"lr": [0.1, 0.01]}})
    assert [c["settings"]["width"] for c in outcome.choices] == [4, 8]


# --- the same numbers, and nothing twice ----------------------------------------------


def test_a_sweep_has_the_numbers_of_single_runs(tmp_path):
    swept(tmp_path / "sweep", GRID)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for method in ("adam", "fresh"):
        for lr in (1e-7, 1e-2):
            run(
                "permuted_mnist",
                method,
                range(3),
                {**SMALL, "lr": lr},
                profile="smoke",
                out=tmp_path / "runs",
                device="cpu",
            )
    torch.set_num_threads(threads)
    pd.testing.assert_frame_equal(
        load_results(tmp_path / "sweep"),
        load_results(tmp_path / "runs"),
        check_exact=True,
    )


def test_stacks_that_are_split_end_in_one_file_with_the_same_numbers(
    tmp_path, trainings
):
    content = {**GRID, "methods": {"adam": {"lr": 1e-2}}}
    swept(tmp_path / "whole", content)
    swept(tmp_path / "split", content, members=2)
    assert [seeds for _, seeds in trainings] == [[0, 1, 2], [0, 1], [2]]
    whole, split = load_results(tmp_path / "whole"), load_results(tmp_path / "split")
    pd.testing.assert_frame_equal(whole[COLUMNS[:-1]], split[COLUMNS[:-1]])
    # float32 kernels round the last entries of a tensor their own way, see test_run.
    np.testing.assert_allclose(split["value"], whole["value"], rtol=2e-6)
    (one,), (two,) = load_records(tmp_path / "whole"), load_records(tmp_path / "split")
    assert [entry["seeds"] for entry in two.pop("runs")] == [[0, 1], [2]]
    one.pop("runs")
    assert one == two


def test_what_is_there_is_not_run_again(tmp_path, trainings):
    swept(tmp_path)
    files = [*result_files(tmp_path), *tmp_path.glob("**/*.choice.json")]
    before = {path: path.read_bytes() for path in files}
    count = len(trainings)
    assert count == 4 + 2
    again = swept(tmp_path)
    assert len(trainings) == count
    assert {path: path.read_bytes() for path in files} == before
    assert again == swept(tmp_path)
    swept(tmp_path, report_seeds="0:4")
    assert trainings[count:] == [(1e-2, [3]), (1e-2, [3])]


@pytest.mark.parametrize(
    ("members", "candidates", "workers", "stacks"),
    [
        (0, 1, 1, 1),
        (0, 1, 2, 2),
        (0, 3, 2, 1),  # enough to do: stacks stay whole
        (0, 3, 8, 3),
        (0, 0, 8, 8),
        (4, 1, 8, 2),
        (3, 9, 8, 3),
        (99, 1, 8, 1),
    ],
)
def test_seeds_are_split_only_as_far_as_workers_would_idle(
    members, candidates, workers, stacks
):
    asked = Sweep(
        searches=(),
        profile="smoke",
        metric="online_accuracy",
        tune_seeds=(),
        report_seeds=tuple(range(8)),
        members=members,
    )
    assert stacks_of(asked, "report", candidates, workers) == stacks


@given(st.integers(1, 40), st.integers(1, 50))
def test_parts_hold_every_seed_once_and_differ_by_one_at_most(seeds, count):
    found = _parts(range(seeds), count)
    assert [seed for part in found for seed in part] == list(range(seeds))
    assert len(found) == min(seeds, count)
    sizes = {len(part) for part in found}
    assert max(sizes) - min(sizes) <= 1


# --- failures -------------------------------------------------------------------------


@pytest.fixture
def failing(monkeypatch):
    """Let runs with a learning rate of 1e-2 and seed 1 or 5 fail ``times`` times."""
    tries = []

    def fail(times, error=RuntimeError("no\nmemory")):  # noqa: B008
        def broken(benchmark, method, seeds, settings, **keywords):
            if method == "adam" and settings["lr"] == 1e-2 and {1, 5} & set(seeds):
                tries.append(seeds)
                if len(tries) <= times:
                    raise error
            return run(benchmark, method, seeds, settings, **keywords)

        monkeypatch.setattr(job, "run", broken)
        return tries

    return fail


def test_a_run_that_fails_once_is_tried_again(tmp_path, failing):
    tries = failing(1)
    outcome = swept(tmp_path / "failing", GRID)
    assert tries == [(0, 1, 2)] * 2
    assert outcome.failures == ()
    swept(tmp_path / "whole", GRID)
    pd.testing.assert_frame_equal(
        load_results(tmp_path / "failing"), load_results(tmp_path / "whole")
    )


def test_a_run_that_fails_twice_is_counted_and_the_others_go_on(tmp_path, failing):
    tries = failing(99)
    outcome = swept(tmp_path, GRID, members=1)
    assert tries == [(1,)] * 2
    (failure,) = outcome.failures
    assert failure.name == "report permuted_mnist adam lr=0.01 seeds 1"
    assert failure.reason == "RuntimeError: no memory"
    assert "Traceback" in failure.log.read_text()
    seeds = load_results(tmp_path).groupby("settings")["seed"].nunique()
    assert sorted(seeds) == [2, 3, 3, 3]
    failing(0)
    assert swept(tmp_path, GRID, members=1).failures == ()


def test_a_full_disk_ends_a_sweep_that_goes_on_later(tmp_path, failing):
    tries = failing(99, OSError(errno.ENOSPC, "No space left on device", "a.parquet"))
    with pytest.raises(OSError, match="No space left on device"):
        swept(tmp_path / "full", GRID)
    assert len(tries) == 1, "nothing is tried that cannot be stored"
    failing(0)
    for store in ("full", "whole"):
        assert swept(tmp_path / store, GRID).failures == ()
    pd.testing.assert_frame_equal(
        load_results(tmp_path / "full"), load_results(tmp_path / "whole")
    )


def test_another_error_of_the_system_is_said_with_its_file(tmp_path, failing):
    failing(99, PermissionError(errno.EACCES, "Permission denied", "a.parquet"))
    (failure,) = swept(tmp_path, GRID, members=1).failures
    assert failure.reason == "PermissionError: Permission denied: a.parquet"


def test_a_method_whose_search_has_a_hole_is_not_chosen_for(tmp_path, failing):
    failing(99)
    outcome = swept(tmp_path)
    assert [c["method"] for c in outcome.choices] == ["fresh"]
    assert [f.name for f in outcome.failures] == [
        "tune permuted_mnist adam lr=0.01 seeds 5,6,7"
    ]
    assert set(load_results(tmp_path)["method"]) == {"fresh"}


def test_divergence_is_a_result_and_is_not_chosen(tmp_path):
    outcome = swept(tmp_path, methods={"adam": {"lr": [1e30, 1e-2]}})
    assert outcome.failures == ()
    (record,) = outcome.choices
    assert record["chosen"] == {"lr": 1e-2}


# --- stores that do not fit -----------------------------------------------------------


def test_seeds_are_not_reported_after_tuning_or_tuned_on_after_a_report(tmp_path):
    swept(tmp_path)
    with pytest.raises(StoreError, match="needed tune_seeds that are not reported in"):
        swept(tmp_path, tune_seeds="2:5", report_seeds="10:12")
    with pytest.raises(StoreError, match="needed report_seeds that are not tuned on"):
        swept(tmp_path, tune_seeds="20:22", report_seeds="7:9")


def test_results_of_another_version_are_refused_before_any_training(
    tmp_path, monkeypatch, trainings
):
    swept(tmp_path)
    newer = dataclasses.replace(BENCHMARKS.get("permuted_mnist"), experiment_version=2)
    monkeypatch.setitem(BENCHMARKS._entries, "permuted_mnist", newer)
    count = len(trainings)
    with pytest.raises(StoreError, match="needed experiment_version 2"):
        swept(tmp_path, report_seeds="0:4")
    assert len(trainings) == count


def test_a_second_sweep_on_one_store_is_refused(tmp_path, trainings):
    (tmp_path / ".work").mkdir()
    with FileLock(tmp_path / ".work" / "sweep.lock"):  # noqa: SIM117
        with pytest.raises(StoreError, match="that no other sweep writes to"):
            swept(tmp_path)
    assert trainings == []
    assert swept(tmp_path).failures == ()


@pytest.mark.filterwarnings("ignore::isometry.lab.work.Waiting")  # one of them may
def test_a_run_beside_a_sweep_loses_nothing_and_trains_nothing_twice(
    tmp_path, trainings
):
    content = {**GRID, "methods": {"adam": {"lr": 1e-2}}}
    settings = {**SMALL, "lr": 1e-2}

    def single():
        return run(
            "permuted_mnist",
            "adam",
            range(3),
            settings,
            profile="smoke",
            out=tmp_path,
            device="cpu",
        )

    with ThreadPoolExecutor(2) as pool:
        beside = pool.submit(single)
        swept(tmp_path, content)
    assert trainings == [(1e-2, [0, 1, 2])]
    pd.testing.assert_frame_equal(load_results(tmp_path), beside.result())


@pytest.mark.parametrize(
    ("content", "version"), [("{}", None), ("no json", None), ('{"a": 1}', None)]
)
def test_a_choice_that_cannot_be_read_is_refused_by_name(tmp_path, content, version):
    swept(tmp_path)
    file = next(tmp_path.glob("**/*.choice.json"))
    file.write_text(content)
    with pytest.raises(StoreError, match=f"a choice of version 1 in .*{file.name}"):
        load_choices(tmp_path)


# --- processes ------------------------------------------------------------------------

LONGER = {
    **GRID,
    "settings": {**SMALL, "tasks": 16, "images_per_task": 320, "epochs": 10},
    "methods": {"adamo": {"lr": [1e-2, 1e-3]}},
}


def wait_for_checkpoint(folder, alive):
    deadline = time.monotonic() + 60
    while not list(folder.glob(".work/**/checkpoint.pt")):
        assert alive(), "it ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return the numbers of the longer sweep, done in one go in this process."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert swept(folder, LONGER, members=3).failures == ()
    return load_results(folder)


def test_a_killed_worker_is_replaced_and_its_run_goes_on(tmp_path, uninterrupted):
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(swept, tmp_path, LONGER, 2, members=3)
        wait_for_checkpoint(tmp_path, lambda: not done.done())
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        assert done.result().failures == ()
    pd.testing.assert_frame_equal(
        load_results(tmp_path), uninterrupted, check_exact=True
    )
    entries = [e for record in load_records(tmp_path) for e in record["runs"]]
    assert all(entry["device"].endswith(", 1 thread") for entry in entries)
    assert multiprocessing.active_children() == []


def test_a_worker_is_deaf_to_the_keyboard_from_its_first_instruction(tmp_path):
    one = Job(
        phase="report",
        benchmark="permuted_mnist",
        method="adam",
        settings=SMALL,
        profile="smoke",
        seeds=(0,),
        store=str(tmp_path),
        device="cpu",
        metric="online_accuracy",
        label="",
        cost=1.0,
    )
    with processes(1, "cpu") as crew:
        done = crew.submit(0, one)
        while not done.done():
            for worker in multiprocessing.active_children():
                os.kill(worker.pid, signal.SIGINT)
            time.sleep(0.01)
        assert 0 <= done.result() <= 1
    assert multiprocessing.active_children() == []
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def written(content, file):
    """Write the contents of a sweep file as TOML: what JSON and TOML share."""
    lines = [
        f"{k} = {json.dumps(v)}" for k, v in content.items() if type(v) is not dict
    ]
    for table in ("settings", "benchmarks", "methods"):
        tables = {table: content[table]}
        if table != "settings":
            tables = {f"{table}.{key}": value for key, value in content[table].items()}
        for name, values in tables.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_sweep_takes_its_workers_along_and_goes_on(
    tmp_path, uninterrupted, how
):
    file = written({**LONGER, "members": 3}, tmp_path / "sweep.toml")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "isometry", "sweep", str(file), f"--out={out}"]
    with subprocess.Popen(
        [*command, "--workers=2", "--device=cpu"],
        env={**os.environ, "ISOMETRY_PROGRESS": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal's interrupt goes to all of a group
        # Where the tests run in a shell's background, interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        wait_for_checkpoint(out, lambda: process.poll() is None)
        if how == signal.SIGINT:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        _, said = process.communicate(timeout=60)  # until the last worker has ended
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert said == "isometry: stopped; the same command goes on\n"
    assert list(out.glob(".work/**/checkpoint.pt"))
    assert swept(out, LONGER, members=3).failures == ()
    pd.testing.assert_frame_equal(load_results(out), uninterrupted, check_exact=True)
