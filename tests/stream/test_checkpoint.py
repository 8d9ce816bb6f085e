"""A checkpoint proves what it is: damaged, foreign or of before, it is refused."""

from dataclasses import dataclass, fields

import pytest
import torch

from isometry.core.messages import refusal
from isometry.core.seeding import generator
from isometry.stream import checkpoint as stream_checkpoint
from isometry.stream.checkpoint import (
    identity_in,
    identity_of,
    records_path,
    restored,
    save,
)
from isometry.stream.run import Run

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Settings:
    width: int = 8
    lr: float = 0.1


@dataclass(frozen=True)
class OfMethod:
    strength: float = 1.0


def identity(**changes):
    named = {
        "benchmark": "bench",
        "method": "adamo",
        "settings": Settings(),
        "method_settings": OfMethod(),
        "seeds": [0, 1],
        "device": CPU,
    }
    return identity_of(**{**named, **changes})


@pytest.fixture
def stopped():
    """Return a run between two tasks."""
    draw = generator(0, "checkpoint")
    return Run(
        seeds=[0, 1],
        task=3,
        parameters={"w": torch.randn(2, 5, 4, generator=draw).requires_grad_()},
        optimizer_state={"state": {0: {"exp_avg": torch.ones(2, 5, 4)}}},
        records=[{"seed": 0, "task": 2, "metric": "a", "value": 0.1}],
        diverged_at={1: 7},
        steps=30,
        carried={"age": {"layer": torch.arange(3.0)}},
    )


def test_a_run_comes_back_as_it_was(tmp_path, stopped):
    path = tmp_path / "checkpoint.pt"
    save(stopped, path, identity())
    for wanted in (identity(), None):
        found = restored(path, CPU, wanted)
        for field in fields(Run):
            held = getattr(found, field.name)
            assert repr(held) == repr(getattr(stopped, field.name))
        assert found.parameters["w"].requires_grad
    assert set(tmp_path.iterdir()) == {path, records_path(path)}


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_no_flipped_bit_is_gone_on_with(tmp_path, stopped, bit):
    path = tmp_path / "checkpoint.pt"
    save(stopped, path, identity())
    content = path.read_bytes()
    for place in [*range(600), *range(600, len(content), 31)]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"needed a checkpoint of this run at "
        ) as no:
            restored(path, CPU, identity())
        assert "\n" not in str(no.value)
        assert str(path) in str(no.value)


@pytest.mark.parametrize("part", [0, 0.01, 0.1, 0.5, 0.99, 2])
def test_a_checkpoint_that_was_cut_or_lengthened_is_refused(tmp_path, stopped, part):
    path = tmp_path / "checkpoint.pt"
    save(stopped, path, identity())
    content = path.read_bytes()
    path.write_bytes((content * 2)[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"; go on as the run was begun, or remove it"):
        restored(path, CPU, identity())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"benchmark": "other"}, "benchmark other instead of bench"),
        ({"method": "adam"}, "method adam instead of adamo"),
        ({"settings": Settings(width=32)}, "width 32 instead of 8"),
        ({"settings": Settings(lr=0.05)}, "lr 0.05 instead of 0.1"),
        ({"method_settings": OfMethod(strength=0)}, "strength 0 instead of 1.0"),
        ({"seeds": [0]}, r"seeds \[0\] instead of \[0, 1\]"),
        (
            {"settings": Settings(width=1, lr=2.0)},
            "width 1 instead of 8, lr 2.0 instead of 0.1",
        ),
    ],
)
def test_what_differs_is_said(tmp_path, stopped, changes, said):
    path = tmp_path / "checkpoint.pt"
    save(stopped, path, identity(**changes))
    with pytest.raises(ValueError, match=f"found one of another, with {said}; go on"):
        restored(path, CPU, identity())


@pytest.mark.parametrize(
    ("name", "found", "key"),
    [
        ("code_digest", "0123456789abcdef", "code"),
        ("device_name", "a processor, 64 threads", "device"),
        ("versions", {"torch": "1.0"}, "torch"),
    ],
)
def test_code_versions_device_and_threads_must_be_the_same(
    tmp_path, stopped, monkeypatch, name, found, key
):
    path = tmp_path / "checkpoint.pt"
    with monkeypatch.context() as patched:
        patched.setattr(stream_checkpoint, name, lambda *ignored: found)
        save(stopped, path, identity())
    with pytest.raises(ValueError, match=f"found one of another, with .*{key} "):
        restored(path, CPU, identity())


def test_another_number_of_threads_is_refused_in_one_line(tmp_path, stopped):
    path, threads = tmp_path / "checkpoint.pt", torch.get_num_threads()
    save(stopped, path, identity())
    try:
        torch.set_num_threads(threads + 1)
        with pytest.raises(ValueError, match=rf"{threads + 1} threads") as refused:
            restored(path, CPU, identity())
    finally:
        torch.set_num_threads(threads)
    assert "\n" not in str(refused.value)
    assert restored(path, CPU, identity()).task == stopped.task


def test_a_checkpoint_of_before_or_of_somebody_else_is_refused(tmp_path, stopped):
    path = tmp_path / "checkpoint.pt"
    torch.save({f.name: getattr(stopped, f.name) for f in fields(Run)}, path)
    line = refusal(
        f"a checkpoint of this run at {path}",
        "one that does not say what run it is of",
        "go on as the run was begun, or remove it to begin anew",
    )
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        restored(path, CPU, identity())
    assert str(refused.value) == line


# --- the records beside it ------------------------------------------------------------


def noted(run, task):
    """Note one record of a task, and step on."""
    run.records.append({"seed": 0, "task": task, "metric": "a", "value": task / 3})
    run.task = task + 1


def test_records_grow_by_a_line_a_task_and_come_back_in_order(tmp_path, stopped):
    path, sizes = tmp_path / "checkpoint.pt", []
    stopped.records = []
    for task in range(40):
        noted(stopped, task)
        save(stopped, path, identity())
        sizes.append(path.stat().st_size)
    lines = records_path(path).read_bytes().splitlines()
    assert len(lines) == 40
    assert sizes[39] - sizes[9] < 200, "the state itself does not grow"
    assert restored(path, CPU, identity()).records == stopped.records


def test_what_was_added_after_the_last_state_is_overwritten(tmp_path, stopped):
    path = tmp_path / "checkpoint.pt"
    save(stopped, path, identity())
    kept = list(stopped.records)
    with records_path(path).open("ab") as file:
        file.write(b'[{"seed": 0, "task": 3, "met')  # killed within the next task
    went_on = restored(path, CPU, identity())
    assert went_on.records == kept
    noted(went_on, 3)
    save(went_on, path, identity())
    assert restored(path, CPU, identity()).records == went_on.records


def test_records_that_were_removed_are_written_anew(tmp_path, stopped):
    path = tmp_path / "checkpoint.pt"
    save(stopped, path, identity())
    records_path(path).unlink()
    with pytest.raises(
        ValueError, match=r"found damaged records in checkpoint.records;"
    ):
        restored(path, CPU, identity())
    noted(stopped, 3)
    save(stopped, path, identity())
    assert restored(path, CPU, identity()).records == stopped.records


def test_no_flipped_bit_of_the_records_is_gone_on_with(tmp_path, stopped):
    path = tmp_path / "checkpoint.pt"
    for task in range(3, 6):
        noted(stopped, task)
        save(stopped, path, identity())
    file = records_path(path)
    content = file.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"found damaged records in "):
            restored(path, CPU, identity())


def test_infinite_values_come_back(tmp_path, stopped):
    path = tmp_path / "checkpoint.pt"
    stopped.records[0]["value"] = float("inf")
    save(stopped, path, identity())
    assert restored(path, CPU, identity()).records == stopped.records


def test_a_checkpoint_says_what_it_is_of_to_who_looks(tmp_path, stopped):
    path = tmp_path / "checkpoint.pt"
    assert identity_in(path) == {}
    save(stopped, path, identity())
    assert identity_in(path) == identity()
    path.write_bytes(b"\x00" * 40)
    assert identity_in(path) == {}
