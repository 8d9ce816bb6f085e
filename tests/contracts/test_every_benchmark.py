"""What every registered benchmark must do; a new one is tested by being registered."""

import dataclasses
import math

import pytest
import torch

from isometry.core.profile import PROFILES
from isometry.lab.run import plan
from isometry.supervised import BENCHMARKS
from isometry.supervised.trainer import network_of, train

TINY = {"data": "digits", "tasks": 1, "images_per_task": 24, "batch_size": 8}
every_benchmark = pytest.mark.parametrize("name", BENCHMARKS.names())
every_profile = pytest.mark.parametrize("profile", PROFILES)


@every_benchmark
def test_it_has_a_name_a_summary_and_a_source(name):
    benchmark = BENCHMARKS.get(name)
    assert benchmark.name == name
    assert name.isidentifier()
    assert len(benchmark.summary) > 10
    assert "\n" not in benchmark.summary
    assert len(benchmark.source) > 3
    assert benchmark.experiment_version >= 1


@every_benchmark
@every_profile
def test_a_tiny_task_of_every_profile_trains_on_digits(digits, name, profile):
    plan_ = plan(name, "adam", {**TINY, "epochs": 1}, profile)
    whole = BENCHMARKS.get(name).profiles.of(profile)
    assert plan_.settings == dataclasses.replace(whole, **TINY, epochs=1)
    parts = (plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings)
    run = train(*parts, digits, [0])
    assert {r["metric"] for r in run.records} >= {
        "online_accuracy",
        "final_accuracy",
        "initial_loss",
        "final_loss",
        "plasticity",
    }
    assert all(math.isfinite(r["value"]) for r in run.records)
    width = plan_.settings.width
    assert run.parameters["hidden.0.weight"].shape == (1, width, 64)


@every_benchmark
@every_profile
def test_its_network_can_be_built_at_full_size(digits, name, profile):
    plan_ = plan(name, "adam", {"data": "digits"}, profile)
    network = network_of(plan_.method, plan_.method_settings, plan_.settings, digits)
    assert len(network.shapes()) == 2 * (plan_.settings.depth + 1)


@every_benchmark
def test_its_tasks_fit_the_trainer(digits, name):
    plan_ = plan(name, "adam", TINY, "smoke")
    task = plan_.benchmark.task(digits, plan_.settings, 0, 0)
    assert task.inputs.shape == (24, 64)
    assert task.inputs.dtype == torch.float32
    assert task.labels.shape == (24,)
    assert task.labels.dtype == torch.int64
    assert task.labels.min() >= 0
    assert task.labels.max() < digits.num_classes
    assert (task.test_inputs is None) is (task.test_labels is None)
    if task.test_inputs is not None:
        assert len(task.test_inputs) == len(task.test_labels)


@every_benchmark
def test_its_tasks_are_functions_of_seed_and_number(digits, name):
    plan_ = plan(name, "adam", TINY, "smoke")

    def task(seed, number):
        made = plan_.benchmark.task(digits, plan_.settings, seed, number)
        return made.inputs.sum().item(), tuple(made.labels.tolist())

    made = {(seed, number): task(seed, number) for seed in (0, 1) for number in (0, 1)}
    assert len(set(made.values())) == 4
    assert task(1, 0) == made[1, 0]


@every_benchmark
def test_it_blends_its_tasks_or_refuses_to(digits, name):
    benchmark = BENCHMARKS.get(name)
    if not benchmark.blends:
        with pytest.raises(ValueError, match=f"needed blend=0 for {name}, whose tasks"):
            plan(name, "adam", {**TINY, "blend": 0.5}, "smoke")
        return
    for blend, before in ((0.5, True), (0, False)):
        plan_ = plan(name, "adam", {**TINY, "blend": blend}, "smoke")
        task = benchmark.task(digits, plan_.settings, 0, 1)
        assert (task.previous_inputs is not None) is before
        if before:
            assert task.previous_inputs.shape == task.inputs.shape
            assert not torch.equal(task.previous_inputs, task.inputs)
