"""The loop over tasks on a stream made by hand: what happens when, and after kills."""

from dataclasses import dataclass, replace

import pytest
import torch

from isometry.methods import Layer, Method, Structure
from isometry.stream.checkpoint import restored
from isometry.stream.loop import Stream, train_on

CPU = torch.device("cpu")
STRUCTURE = Structure(
    roles={"w": "hidden"},
    layers=(Layer(weight="w"),),
    heads=(),
    activation="relu",
    spread={"w": 1.0},
    fresh=dict,
)


@dataclass(frozen=True)
class Settings:
    tasks: int = 3
    lr: float = 0.5
    reset_optimizer: bool = False


class Network:
    """One weight a member: its seed, and a tenth for each label."""

    def stacked(self, seeds, *labels):
        return {"w": torch.tensor([[s + sum(labels) / 10] for s in seeds])}


class Killed(Exception):  # noqa: N818 - it is no error
    """Stands for a kill between two tasks."""


def played(settings=Settings(), seeds=(4, 9), stop=None, file=None, **places):
    """Return a run and what happened; every task takes one step on gradients of one."""
    seen = []

    def learn(run, task, optimizer, hooks):
        taken = int(optimizer.state[run.parameters["w"]].get("step", 0))
        seen.append(f"learn {task} from {run.parameters['w'].tolist()}, step {taken}")
        run.parameters["w"].grad = torch.ones(2, 1)
        optimizer.step()
        hooks.act(0, [])
        run.steps, run.task = run.steps + 1, run.task + 1

    def noted(name):
        def act(training):
            seen.append(f"{name} {training.task} after {training.step} steps")
            return {"kept": torch.full((2,), float(training.task))}

        return act

    def first_pass(run, task):
        seen.append(f"look at {task}")
        return iter([(torch.zeros(2, 1, 1), None)])

    def progress(done, tasks):
        if done == stop:
            raise Killed

    acts = {name: noted(name) for name in ("start", "before_task", "after_step")}
    method = Method(name="noted", summary="", source="", **{**acts, **places})
    stream = Stream(
        name="by hand",
        network=Network(),
        structure=STRUCTURE,
        task=lambda run: f"task {run.task}",
        first_pass=first_pass,
        learn=learn,
    )
    arguments = (stream, method, method.settings, settings, list(seeds))
    try:
        run = train_on(*arguments, device=CPU, checkpoint=file, progress=progress)
    except Killed:
        run = None
    return run, seen


WHOLE = [
    "start 0 after 0 steps",
    "learn task 0 from [[4.0], [9.0]], step 0",
    "after_step 0 after 0 steps",
    "look at task 1",
    "before_task 1 after 1 steps",
    "learn task 1 from [[3.5], [8.5]], step 1",
    "after_step 1 after 1 steps",
    "look at task 2",
    "before_task 2 after 2 steps",
    "learn task 2 from [[3.0], [8.0]], step 2",
    "after_step 2 after 2 steps",
]


def test_what_happens_when():
    run, seen = played()
    assert seen == WHOLE
    assert run.carried["kept"].tolist() == [0, 0]
    assert (run.task, run.steps, run.optimizer_state) == (3, 3, None)


@pytest.mark.parametrize("stop", [1, 2])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, stop):
    file = tmp_path / "checkpoint.pt"
    run, before = played(stop=stop, file=file)
    assert run is None
    assert restored(file, CPU).task == stop
    run, after = played(file=file)
    assert before + after == WHOLE
    assert run.carried["kept"].tolist() == [0, 0]


def test_a_method_that_restarts_starts_every_task_and_never_acts_before_one():
    _, seen = played(restarts=True)
    assert not [line for line in seen if line.startswith(("before", "look"))]
    assert [line for line in seen if line.startswith(("start", "learn"))] == [
        "start 0 after 0 steps",
        "learn task 0 from [[4.0], [9.0]], step 0",
        "start 1 after 1 steps",
        "learn task 1 from [[4.099999904632568], [9.100000381469727]], step 0",
        "start 2 after 2 steps",
        "learn task 2 from [[4.199999809265137], [9.199999809265137]], step 0",
    ]


def test_an_optimiser_that_is_reset_has_forgotten_and_the_weights_have_not(tmp_path):
    settings = replace(Settings(), reset_optimizer=True)
    _, seen = played(settings)
    assert [line for line in seen if "learn" in line] == [
        "learn task 0 from [[4.0], [9.0]], step 0",
        "learn task 1 from [[3.5], [8.5]], step 0",
        "learn task 2 from [[3.0], [8.0]], step 0",
    ]
    file = tmp_path / "checkpoint.pt"
    _, first = played(settings, stop=1, file=file)
    assert first + played(settings, file=file)[1] == seen


def test_nobody_looks_at_a_task_for_a_method_that_does_not_act_between_them():
    _, seen = played(before_task=None)
    assert not [line for line in seen if line.startswith("look")]


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_must_be_distinct(seeds):
    with pytest.raises(ValueError, match="needed distinct seeds, at least one"):
        played(seeds=seeds)
