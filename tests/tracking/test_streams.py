"""The streams: what drifts, how often, and what the targets are."""

import math

import pytest
import torch

from isometry.lab.plans import plan
from isometry.tracking.learner import NetworkRule
from isometry.tracking.linear import linear_examples, target_weights
from isometry.tracking.network import (
    groups_of,
    network_begin,
    network_examples,
    packed,
    signs,
    student,
    teacher,
    unpacked,
)
from isometry.tracking.settings import LinearSettings, NonlinearSettings

LINEAR = LinearSettings()
NETWORK = NonlinearSettings(fast_every=10, slow_every=30, steps_per_task=60)


def test_one_relevant_weight_flips_every_twenty_steps():
    weights = target_weights(LINEAR, 0)
    assert weights.shape == (10_001, 5)
    assert set(weights.unique().tolist()) == {-1.0, 1.0}
    changed = (weights[1:] != weights[:-1]).sum(1)
    assert set(changed.tolist()) == {1}
    flips = (weights[1:] != weights[:-1]).sum(0)
    assert flips.min() > 1800  # of 2,000 expected
    first = torch.stack([target_weights(LINEAR, seed)[0] for seed in range(40)])
    assert first.mean().abs() < 0.3  # four standard errors


def test_targets_are_the_relevant_inputs_with_their_signs():
    inputs, targets = linear_examples(LINEAR, 0, 1)
    assert inputs.shape == (10_000, 20)
    weights = target_weights(LINEAR, 0)
    for step in (0, 19, 20, 9_999):
        expected = inputs[step, :5] @ weights[(10_000 + step) // 20]
        torch.testing.assert_close(targets[step], expected)
    assert abs(inputs.mean()) < 0.01
    assert abs(inputs.var() - 1) < 0.02
    assert abs(inputs.T.cov().fill_diagonal_(0)).max() < 0.06


def test_noise_is_added_to_the_same_examples():
    inputs, targets = linear_examples(LINEAR, 0, 0)
    noisy_inputs, noisy = linear_examples(LinearSettings(noise=2.0), 0, 0)
    assert torch.equal(inputs, noisy_inputs)
    noise = (noisy - targets) / 2
    assert abs(noise.mean()) < 0.05
    assert abs(noise.var() - 1) < 0.06


def test_stretches_and_seeds_differ():
    drawn = {
        tuple(linear_examples(LINEAR, seed, task)[0][0].tolist())
        for seed in (0, 1)
        for task in (0, 1)
    }
    assert len(drawn) == 4


def test_students_and_teachers_are_drawn_as_torch_draws_its_layers():
    own = student(NETWORK, 0)
    hidden, head = teacher(NETWORK, 0)
    for weight, inputs in (
        (own["hidden.weight"], 32),
        (own["hidden.bias"], 32),
        (own["head.weight"], 256),
        (own["head.bias"], 256),
        (hidden, 32),
        (head, 256),
    ):
        bound = 1 / math.sqrt(inputs)
        assert weight.abs().max() <= bound
        if weight.numel() > 1000:
            assert abs(weight.std() - bound / math.sqrt(3)) < 0.02 * bound
    layer = torch.nn.Linear(32, 256)
    assert layer.weight.abs().max() <= 1 / math.sqrt(32)
    assert abs(layer.weight.std() - own["hidden.weight"].std()) < 0.005
    assert own["hidden.weight"].shape == layer.weight.shape
    assert not torch.equal(own["hidden.weight"], hidden)


@pytest.mark.parametrize("flip", ["weights", "outputs"])
def test_outputs_change_as_often_as_their_group_does(flip):
    settings = NonlinearSettings(
        fast_every=10, slow_every=30, steps_per_task=60, flip=flip
    )
    groups = groups_of(settings)
    assert [rows.stop - rows.start for rows in groups.values()] == [6, 7, 7]
    every = {"stable": math.inf, "slow": 30, "fast": 10}
    before = signs(settings, 0, 0)
    assert before.abs().eq(1).all()
    for step in range(1, 121):
        now = signs(settings, 0, step)
        for name, rows in groups.items():
            same = (now[rows] == before[rows]).float().mean()
            if step % every[name] != 0:
                assert same == 1
            elif flip == "outputs":
                assert same == 0
            else:
                assert abs(same - 0.5) < 0.06  # five standard errors
        before = now


def test_targets_are_the_teachers_outputs():
    inputs, targets = network_examples(NETWORK, 0, 4)
    hidden, head = (part.double() for part in teacher(NETWORK, 0))
    head = head * signs(NETWORK, 0, 40)
    for x, y in zip(inputs.double(), targets.double(), strict=True):
        torch.testing.assert_close(y, head @ (hidden @ x).relu(), rtol=1e-4, atol=1e-5)


def test_the_fast_form_holds_the_student():
    rule = NetworkRule(lr=0.1)
    own = student(NETWORK, 5)
    for name, value in unpacked(network_begin(rule, NETWORK, 5)).items():
        assert torch.equal(value, own[name])
    assert packed(rule, own)["head"].shape == (20, 272)
    assert packed(rule, own)["head"][:, 257:].abs().max() == 0


@pytest.mark.parametrize(
    ("benchmark", "changes", "message"),
    [
        ("linear_tracking", {"relevant": 21}, "needed relevant <= inputs = 20"),
        ("linear_tracking", {"flip_every": 0}, "needed flip_every >= 1"),
        ("nonlinear_tracking", {"fast": 20}, "needed fast . slow <= outputs = 20"),
        ("nonlinear_tracking", {"slow_every": 750}, "multiple of fast_every = 500"),
        ("nonlinear_tracking", {"steps_per_task": 1200}, "multiple of fast_every"),
    ],
)
def test_settings_that_do_not_fit_are_refused(benchmark, changes, message):
    with pytest.raises(ValueError, match=message):
        plan(benchmark, "sgd", changes, "paper")
