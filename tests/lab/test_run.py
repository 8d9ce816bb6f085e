"""Runs: what is there is kept, what was stopped goes on, and numbers stay the same."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from isometry.lab.run import chosen_device, missing_seeds, plan, run
from isometry.lab.run import run as run_package
from isometry.lab.store import (
    COLUMNS,
    StoreError,
    load_records,
    load_results,
    read_file,
)
from isometry.stream.checkpoint import restored
from isometry.supervised import BENCHMARKS
from isometry.supervised.data import download
from isometry.supervised.data.sets import DataError

# The package has a function of the same name, which hides the module.
module = sys.modules[run_package.__module__]
SMALL = {
    "data": "digits",
    "tasks": 3,
    "images_per_task": 40,
    "epochs": 1,
    "batch_size": 16,
    "width": 8,
    "depth": 1,
}


def small(method="adam", seeds=(0,), out=None, **changes):
    settings = {**SMALL, **changes}
    return run(
        "permuted_mnist",
        method,
        seeds,
        settings,
        profile="smoke",
        out=out,
        device="cpu",
    )


def planned(method="adam", **changes):
    return plan("permuted_mnist", method, {**SMALL, **changes}, "smoke")


# --- plans ----------------------------------------------------------------------------


def test_a_plan_starts_from_the_profile_and_changes_what_is_asked():
    made = plan("permuted_mnist", "adamo", {"lr": "0.5", "isometry_every": "3"})
    laptop = BENCHMARKS.get("permuted_mnist").profiles.laptop
    assert made.settings == dataclasses.replace(laptop, lr=0.5)
    assert made.method_settings.isometry_every == 3
    assert made.method_settings.isometry_strength == 1e-3


def test_a_plans_name_depends_on_every_setting_and_on_nothing_else():
    names = {
        planned().hash(),
        planned("adamw").hash(),
        planned(lr=0.5).hash(),
        planned(beta1=0.5).hash(),
        plan("label_shuffled_cifar100", "adam", SMALL, "smoke").hash(),
        plan("permuted_mnist", "adam", {"data": "digits"}, "smoke").hash(),
    }
    assert len(names) == 6
    assert planned(lr="0.5").hash() == planned(lr=0.5).hash()
    swapped = dict(reversed(SMALL.items()))
    assert plan("permuted_mnist", "adam", swapped, "smoke").hash() == planned().hash()
    # Profiles are where settings start, not a setting.
    assert plan("permuted_mnist", "adam", {**SMALL, "lr": 1e-3}, "paper").hash() == (
        plan("permuted_mnist", "adam", {**SMALL, "lr": 1e-3}, "laptop").hash()
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("permuted_mnst", "adam"), KeyError, "did you mean 'permuted_mnist'"),
        (("permuted_mnist", "adma"), KeyError, "did you mean 'adam'"),
        (
            ("permuted_mnist", "adam", {"isometry_strength": "1"}),
            KeyError,
            "unknown setting of permuted_mnist with adam 'isometry_strength'; ",
        ),
        (
            ("permuted_mnist", "adamo", {"isometry_strenght": "1"}),
            KeyError,
            "did you mean 'isometry_strength'",
        ),
        (("permuted_mnist", "adam", {"widht": "1"}), KeyError, "you mean 'width'"),
        (("permuted_mnist", "adam", {"width": "0"}), ValueError, "needed width >= 1"),
        (
            ("permuted_mnist", "adam", {"width": "w"}),
            ValueError,
            "a whole number for w",
        ),
        (("permuted_mnist", "adam", {"data": "cifar10"}), ValueError, "needed data of"),
        (("permuted_mnist", "adam", {}, "huge"), ValueError, "needed a profile of smo"),
        (
            ("permuted_mnist", "adamo", {"isometry_lr": 0}),
            ValueError,
            "isometry_lr > 0",
        ),
    ],
)
def test_plans_that_cannot_be_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        plan(*arguments)


# --- devices --------------------------------------------------------------------------


def test_a_device_is_what_its_name_says(monkeypatch):
    assert chosen_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert chosen_device("auto") == torch.device("cuda")
    assert chosen_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize("name", ["tpu", "", "cuda:x", "mps", "meta", "cpu cpu"])
def test_other_devices_are_refused(name):
    with pytest.raises(ValueError, match="needed a device auto, cpu or cuda, found"):
        chosen_device(name)


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch, name, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    message = (
        f"needed a CUDA device for {name}, found {count} of them; use --device cpu"
    )
    with pytest.raises(ValueError, match=message):
        chosen_device(name)


# --- runs -----------------------------------------------------------------------------


def test_a_run_returns_and_stores_its_numbers_and_cleans_up(tmp_path):
    frame = small(seeds=[1, 0], out=tmp_path)
    assert frame.columns.tolist() == COLUMNS
    assert set(frame["seed"]) == {0, 1}
    assert len(frame) == 2 * 3 * 6
    assert frame["value"].notna().all()
    pd.testing.assert_frame_equal(load_results(tmp_path), frame)
    assert [p.name for p in tmp_path.glob("**/*.pt")] == []
    assert planned().path(tmp_path).is_file()


def test_the_record_says_how_the_numbers_came_about(tmp_path):
    small("adamo", [0, 1], tmp_path, isometry_strength=0.1)
    (found,) = load_records(tmp_path)
    assert found["benchmark"] == "permuted_mnist"
    assert found["method"] == "adamo"
    assert found["experiment_version"] == 1
    assert found["settings"]["images_per_task"] == 40
    assert found["method_settings"]["isometry_strength"] == 0.1
    assert found["hash"] == planned("adamo", isometry_strength=0.1).hash()
    (entry,) = found["runs"]
    assert entry["seeds"] == [0, 1]
    assert entry["status"] == {"0": "finished", "1": "finished"}
    assert entry["seconds"] > 0
    assert entry["core_seconds"] > 0
    assert set(entry) >= {"commit", "versions", "device"}


@pytest.fixture
def trainings(monkeypatch):
    """Return a list of the seeds of every training that is started."""
    started, original = [], module.train

    def counted(*arguments, **keywords):
        started.append(arguments[5])
        return original(*arguments, **keywords)

    monkeypatch.setattr(module, "train", counted)
    return started


def test_finished_seeds_are_not_run_again_and_new_ones_are_added(tmp_path, trainings):
    first = small(seeds=[0, 2], out=tmp_path)
    again = small(seeds=[2, 0], out=tmp_path)
    pd.testing.assert_frame_equal(first, again)
    more = small(seeds=range(4), out=tmp_path)
    assert trainings == [[0, 2], [1, 3]]
    kept = more[more["seed"].isin([0, 2])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first)
    assert set(small(seeds=[3], out=tmp_path)["seed"]) == {3}
    (found,) = load_records(tmp_path)
    assert [entry["seeds"] for entry in found["runs"]] == [[0, 2], [1, 3]]


def test_other_settings_are_another_file(tmp_path, trainings):
    small(out=tmp_path)
    small(out=tmp_path, lr=0.5)
    assert trainings == [[0], [0]]
    assert len(load_records(tmp_path)) == 2


@pytest.mark.parametrize("method", ["adam", "adamo", "fresh"])
def test_numbers_are_the_same_whether_seeds_are_run_together_or_apart(tmp_path, method):
    together = small(method, range(3), tmp_path / "together")
    for seed in range(3):
        small(method, [seed], tmp_path / "apart")
    apart = load_results(tmp_path / "apart")
    keys = COLUMNS[:-1]
    pd.testing.assert_frame_equal(together[keys], apart[keys])
    # float32 and fused kernels, which round the last entries of a tensor their own way;
    # tests/contracts holds bit for bit equality without them.
    np.testing.assert_allclose(together["value"], apart["value"], rtol=2e-6)


def test_divergence_is_a_result(tmp_path):
    frame = small(seeds=[0, 1], out=tmp_path, lr=1e30)
    (found,) = load_records(tmp_path)
    assert found["runs"][0]["status"] == dict.fromkeys("01", "diverged at step 1")
    assert frame["value"].notna().all()
    accuracy = frame[frame["metric"] == "online_accuracy"]["value"]
    assert np.isfinite(accuracy).all()
    assert missing_seeds(planned(lr=1e30), [0, 1], tmp_path) == []


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_must_be_there_and_distinct(tmp_path, seeds):
    with pytest.raises(ValueError, match="needed distinct seeds, at least one"):
        small(seeds=seeds, out=tmp_path)


def test_a_precision_that_the_device_has_not_is_refused(tmp_path, trainings):
    with pytest.raises(ValueError, match="needed a CUDA device for precision=tf32"):
        small(out=tmp_path, precision="tf32")
    assert trainings == []


def test_seeds_that_no_file_holds_are_refused_before_training(tmp_path, trainings):
    with pytest.raises(ValueError, match="needed seeds of 64 bits"):
        small(seeds=[2**63], out=tmp_path)
    assert trainings == []


@pytest.mark.parametrize("seeds", [[1.5], ["a"], "0:2", 3, None])
def test_seeds_must_be_whole_numbers(tmp_path, seeds):
    needed = f"needed a list of whole numbers for seeds, found {seeds}; pass"
    with pytest.raises(TypeError, match=re.escape(needed)):
        small(seeds=seeds, out=tmp_path)


def test_seeds_may_be_an_array(tmp_path):
    assert set(small(seeds=np.arange(2), out=tmp_path)["seed"]) == {0, 1}


def test_an_unknown_device_is_refused_even_if_all_is_done(tmp_path):
    small(out=tmp_path)
    with pytest.raises(ValueError, match="needed a device"):
        run("permuted_mnist", "adam", [0], SMALL, out=tmp_path, device="tpu")


def test_missing_data_are_refused_and_leave_nothing_behind(tmp_path, monkeypatch):
    def offline(name, bad):
        raise ConnectionError("no connection")

    monkeypatch.setattr(download, "_download", offline)
    monkeypatch.setenv("ISOMETRY_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError, match="mnist"):
        small(out=tmp_path / "out", data="mnist")
    assert list((tmp_path / "out").glob("**/*.p*")) == []
    assert not any(p.is_dir() for p in (tmp_path / "out").glob(".work/*/*"))


def test_results_of_another_version_are_refused_before_any_training(
    tmp_path, monkeypatch, trainings
):
    small(out=tmp_path)
    newer = dataclasses.replace(BENCHMARKS.get("permuted_mnist"), experiment_version=2)
    monkeypatch.setitem(BENCHMARKS._entries, "permuted_mnist", newer)
    with pytest.raises(StoreError, match="needed experiment_version 2"):
        small(seeds=[1], out=tmp_path)
    assert trainings == [[0]]


# --- stopped and concurrent runs ------------------------------------------------------


def stop_after(monkeypatch, task):
    original = module._show_progress

    def stopping(bar, done, total):
        original(bar, done, total)
        if done == task:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_show_progress", stopping)


@pytest.mark.parametrize("method", ["adam", "adamo", "fresh"])
def test_a_stopped_run_goes_on_and_gives_the_same_numbers(
    tmp_path, monkeypatch, method
):
    whole = small(method, [0, 1], tmp_path / "whole")
    stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        small(method, [0, 1], tmp_path / "stopped")
    monkeypatch.undo()
    (checkpoint,) = (tmp_path / "stopped").glob(".work/**/checkpoint.pt")
    assert restored(checkpoint, torch.device("cpu")).task == 2
    assert missing_seeds(planned(method), [0, 1], tmp_path / "stopped") == [0, 1]
    resumed = small(method, [1, 0], tmp_path / "stopped")
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)
    assert not checkpoint.exists()


def test_a_checkpoint_of_another_version_is_not_continued(tmp_path, monkeypatch):
    stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        small(out=tmp_path)
    monkeypatch.undo()
    newer = dataclasses.replace(BENCHMARKS.get("permuted_mnist"), experiment_version=2)
    monkeypatch.setitem(BENCHMARKS._entries, "permuted_mnist", newer)
    done = []
    monkeypatch.setattr(module, "_show_progress", lambda bar, *n: done.append(n[0]))
    small(out=tmp_path)
    assert done == [1, 2, 3]


KILLED = {**SMALL, "tasks": 8, "images_per_task": 320, "epochs": 10, "width": 32}


def test_a_killed_command_goes_on_and_gives_the_same_numbers(tmp_path):
    out = tmp_path / "killed"
    pairs = [f"--set={key}={value}" for key, value in KILLED.items()]
    command = [sys.executable, "-m", "isometry", "run", "permuted_mnist"]
    options = ["--method=adamo", "--seeds=0:2", "--profile=smoke", f"--out={out}"]
    environment = {**os.environ, "ISOMETRY_PROGRESS": "0", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, *options, "--device=cpu", *pairs],
        env=environment,
        stdout=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 60
        while not list(out.glob(".work/**/checkpoint.pt")):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert list(out.glob("**/*.parquet")) == []
    (checkpoint,) = out.glob(".work/**/checkpoint.pt")
    done = restored(checkpoint, torch.device("cpu")).task
    assert 1 <= done < 8
    arguments = ("permuted_mnist", "adamo", [0, 1], KILLED)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        resumed = run(*arguments, profile="smoke", out=out, device="cpu")
        whole = run(*arguments, profile="smoke", out=tmp_path / "whole", device="cpu")
    finally:
        torch.set_num_threads(threads)
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)


@pytest.mark.filterwarnings("default::isometry.lab.work.Waiting")
def test_the_same_command_twice_at_once_trains_once(tmp_path, trainings):
    with ThreadPoolExecutor(2) as pool:
        frames = list(pool.map(lambda _: small(out=tmp_path, seeds=[0, 1]), range(2)))
    pd.testing.assert_frame_equal(*frames)
    assert trainings == [[0, 1]]


@pytest.mark.filterwarnings("default::isometry.lab.work.Waiting")
def test_two_commands_over_the_same_missing_seeds_train_them_once(tmp_path, trainings):
    small(out=tmp_path, seeds=[0])
    wanted = ([0, 1, 2], [2, 1])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda seeds: small(out=tmp_path, seeds=seeds), wanted))
    assert trainings == [[0], [1, 2]]


def test_where_another_run_was_faster_its_results_stand(tmp_path, monkeypatch):
    path, original = planned().path(tmp_path), module.train

    def overtaken(*arguments, **keywords):
        trained = original(*arguments, **keywords)
        monkeypatch.setattr(module, "train", original)
        small(out=tmp_path, seeds=[1])
        return trained

    monkeypatch.setattr(module, "train", overtaken)
    frame = small(out=tmp_path, seeds=[0, 1, 2])
    assert set(frame["seed"]) == {0, 1, 2}
    entries = read_file(path)[1]["runs"]
    assert [entry["seeds"] for entry in entries] == [[1], [0, 2]]
    assert set(entries[1]["status"]) == {"0", "2"}
    assert [p.name for p in tmp_path.glob("**/*.pt")] == []


def test_the_record_names_the_commit_at_the_beginning_of_the_run(tmp_path, monkeypatch):
    """Code that changes while a run goes on is not the code that runs."""
    commits = iter(["at the start", "later", "later"])
    found = {"versions": {}, "device": "cpu"}
    monkeypatch.setattr(
        module, "provenance", lambda device: {"commit": next(commits), **found}
    )
    small(out=tmp_path)
    (record,) = load_records(tmp_path)
    assert [run["commit"] for run in record["runs"]] == ["at the start"]
