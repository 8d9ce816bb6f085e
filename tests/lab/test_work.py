"""What runs leave in a store's working folder, and how they wait for each other."""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pandas as pd
import pytest
from filelock import FileLock

import isometry.lab.run as module
from isometry.core.files import write_whole
from isometry.core.machine import code_digest
from isometry.lab.run import run
from isometry.lab.store import StoreError, read_file
from isometry.lab.work import Waiting, clean, held
from isometry.stream import checkpoint as stream_checkpoint
from isometry.stream.checkpoint import identity_in, restored

SMALL = {"data": "digits", "tasks": 4, "images_per_task": 40, "width": 8}


def small(seeds, out, anew=False, **changes):
    settings = {**SMALL, "batch_size": 20, **changes}
    kind = {"profile": "smoke", "out": out, "anew": anew}
    return run("permuted_mnist", "cbp", seeds, settings, **kind)


@pytest.fixture
def killed(monkeypatch):
    """Return a function that stops a run after a task, as a kill would."""

    def after(task, seeds, out, **changes):
        original = module._show_progress

        def stopping(bar, done, total):
            original(bar, done, total)
            if done == task:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(module, "_show_progress", stopping)
            with pytest.raises(KeyboardInterrupt):
                small(seeds, out, **changes)

    return after


@pytest.fixture
def trained(monkeypatch):
    """Return the list of the seeds, and of the task at which a run of them began."""
    seen, original = [], module._trained

    def noting(planned, seeds, *, checkpoint, **keywords):
        begun = identity_in(checkpoint) != {}
        seen.append((seeds, begun))
        return original(planned, seeds, checkpoint=checkpoint, **keywords)

    monkeypatch.setattr(module, "_trained", noting)
    return seen


def checkpoints(out):
    return sorted(out.glob(".work/*/*/checkpoint.pt"))


def test_a_stopped_run_serves_one_of_more_seeds(tmp_path, killed, trained):
    killed(2, [0, 1], tmp_path / "stopped")
    whole = small([0, 1, 2], tmp_path / "whole")
    trained.clear()
    found = small([0, 1, 2], tmp_path / "stopped")
    assert trained == [([0, 1], True), ([2], False)]
    pd.testing.assert_frame_equal(found, whole, check_exact=True)
    assert checkpoints(tmp_path / "stopped") == []


@pytest.mark.parametrize("change", ["code", "others", "damage"])
def test_only_a_checkpoint_of_this_run_serves(
    tmp_path, killed, trained, monkeypatch, change
):
    killed(2, [0, 1], tmp_path)
    wanted = [0, 1, 2]
    if change == "code":
        changed = code_digest()[::-1]
        monkeypatch.setattr(stream_checkpoint, "code_digest", lambda: changed)
    elif change == "others":
        wanted = [1, 2]
    else:
        checkpoints(tmp_path)[0].write_bytes(b"nothing that was written")
    trained.clear()
    small(wanted, tmp_path)
    assert trained == [(wanted, False)]


@pytest.mark.parametrize("anew", [True, False])
def test_a_run_of_another_machine_begins_anew_only_if_asked(
    tmp_path, killed, trained, monkeypatch, anew
):
    whole = small([0, 1], tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(stream_checkpoint, "device_name", lambda _: "another, 1 thread")
        killed(2, [0, 1], tmp_path / "moved")
    trained.clear()
    if not anew:
        with pytest.raises(ValueError, match="device another, 1 thread instead of"):
            small([0, 1], tmp_path / "moved")
        assert len(checkpoints(tmp_path / "moved")) == 1
        return
    found = small([0, 1], tmp_path / "moved", anew=True)
    assert trained == [([0, 1], False)]
    pd.testing.assert_frame_equal(found, whole, check_exact=True)


def test_what_a_kill_left_behind_goes_with_the_next_run(tmp_path, killed, monkeypatch):
    with monkeypatch.context() as patched:  # killed after its result was written
        patched.setattr(module.shutil, "rmtree", lambda folder: None)
        small([0, 1], tmp_path)
    assert len(checkpoints(tmp_path)) == 1
    killed(2, [2, 3], tmp_path)  # goes on later
    small([0], tmp_path)
    (kept,) = checkpoints(tmp_path)
    assert identity_in(kept)["seeds"] == [2, 3]


def test_runs_of_overlapping_seeds_at_once_all_succeed(tmp_path, monkeypatch):
    met, original = Event(), module._trained

    def slower(planned, seeds, **keywords):
        trained = original(planned, seeds, **keywords)
        if seeds == [1, 2]:
            met.wait(60)
        return trained

    monkeypatch.setattr(module, "_trained", slower)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(small, [1, 2], tmp_path)
        small([0, 1], tmp_path)
        met.set()
        assert set(slow.result()["seed"]) == {1, 2}
    frame, record = read_file(next(tmp_path.glob("permuted_mnist/*.parquet")))
    assert not frame.duplicated(["seed", "task", "metric"]).any()
    assert sorted(seed for run in record["runs"] for seed in run["seeds"]) == [0, 1, 2]
    alone = small([0, 1, 2], tmp_path / "alone")
    pd.testing.assert_frame_equal(small([0, 1, 2], tmp_path), alone, check_exact=True)


def test_who_waits_says_for_whom(tmp_path):
    work = tmp_path / "run-1"

    def second():
        with held(work):
            return work.with_suffix(".by").read_text()

    def until_said(seen):
        deadline = time.monotonic() + 60
        while not seen and time.monotonic() < deadline:
            time.sleep(0.01)

    me = f"process {os.getpid()} on {socket.gethostname()}"
    line = rf"{me} trains the same seeds \(run-1\); waiting for it"
    with ThreadPoolExecutor(1) as pool:
        with held(work), pytest.warns(Waiting, match=line) as seen:  # noqa: PT031
            waiting = pool.submit(second)
            until_said(seen)
        assert waiting.result(60) == me
    assert not work.with_suffix(".by").exists()


def test_clean_keeps_results_and_what_a_run_goes_on_from(tmp_path, killed, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(module.shutil, "rmtree", lambda folder: None)
        small([0], tmp_path)
    killed(2, [1], tmp_path)
    half = tmp_path / "permuted_mnist/half.partial"
    half.write_bytes(b"half of it")
    (result,) = tmp_path.glob("permuted_mnist/*.parquet")
    before = result.read_bytes()
    said = clean(tmp_path)
    assert said == (
        "removed 1 checkpoints and 1 other files; "
        "1 checkpoints from which runs go on stay"
    )
    (kept,) = checkpoints(tmp_path)
    assert restored(kept, module.chosen_device("cpu")).task == 2
    assert result.read_bytes() == before
    assert not half.exists()
    assert list(tmp_path.glob("**/*.lock")) == []
    assert clean(tmp_path, all=True) == "removed 1 checkpoints and 0 other files"
    assert result.read_bytes() == before


def test_clean_leaves_what_a_living_process_writes(tmp_path):
    work = tmp_path / ".work/permuted_mnist/adam-1-2"
    write_whole(work / "checkpoint.pt", b"of a run")
    (work / "checkpoint.partial").write_bytes(b"of its next task")
    half = tmp_path / "permuted_mnist/adam-1.partial"
    half.parent.mkdir()
    half.write_bytes(b"half of it")
    with held(work), FileLock(half.with_suffix(".lock")):
        assert clean(tmp_path, all=True).startswith("removed 0 checkpoints and 0 other")
        assert half.exists()
        assert (work / "checkpoint.partial").exists()
        assert work.with_suffix(".by").exists()
    assert clean(tmp_path, all=True) == "removed 1 checkpoints and 1 other files"


def test_there_must_be_a_store_to_clean(tmp_path):
    with pytest.raises(StoreError, match=r"needed a results store at .*nowhere, found"):
        clean(tmp_path / "nowhere")
