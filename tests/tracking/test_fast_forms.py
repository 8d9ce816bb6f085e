"""The compiled forms against the form in the papers' symbols."""

import numpy as np
import pytest
import torch

from isometry.core.seeding import generator
from isometry.tracking import LEARNERS
from isometry.tracking.linear import linear_begin, linear_examples, linear_task
from isometry.tracking.network import (
    network_examples,
    packed,
    student,
    take_steps,
    unpacked,
)
from isometry.tracking.network_kernel import EXPONENTIAL, decays
from isometry.tracking.reference import (
    linear_start,
    linear_step,
    network_start,
    network_step,
)
from isometry.tracking.settings import LinearSettings, NonlinearSettings

LINEAR = [one for one in LEARNERS if one.linear]
NETWORKS = [one for one in LEARNERS if one.network]
SMALL = NonlinearSettings(
    inputs=6, width=9, outputs=5, fast=2, slow=1, fast_every=50, slow_every=100
)


def named(learners):
    return pytest.mark.parametrize("learner", learners, ids=lambda one: one.name)


@named(LINEAR)
def test_a_compiled_linear_unit_is_the_rule(learner):
    settings = LinearSettings(tasks=2, steps_per_task=200, noise=0.5)
    rule = learner.linear(learner.settings)
    state, slow = linear_begin(rule, settings, 3), linear_start(rule, settings.inputs)
    for task in (0, 1):
        _, squares = linear_task(rule, settings, 3, task, state)
        expected = []
        for x, y in zip(*linear_examples(settings, 3, task), strict=True):
            slow, error = linear_step(slow, x, y, rule)
            expected.append(error.square())
        torch.testing.assert_close(squares, torch.stack(expected))
    torch.testing.assert_close(state["unit"][0], slow.w)
    if rule.decay_theta > 0:
        torch.testing.assert_close(state["unit"][4], slow.gamma)
        assert slow.gamma.std() > 0.01
    if rule.rate_theta > 0:
        torch.testing.assert_close(state["unit"][3], slow.beta)
        assert slow.beta.std() > 0.01


def strong(learner):
    """Return a learner's rule with settings under which much happens in few steps."""
    values = {"lr": 0.05, "fade_rate": 3.0, "fade_start": -3.0, "decay": 0.01}
    own = learner.settings
    changes = {k: v for k, v in values.items() if hasattr(own, k)}
    return learner.network(type(own)(**changes))


@named(NETWORKS)
def test_a_compiled_student_is_the_rule(learner):
    rule = strong(learner)
    parameters = {name: value.double() for name, value in student(SMALL, 1).items()}
    slow, state = network_start(rule, parameters), packed(rule, parameters)
    for block in (0, 1, 2):
        inputs, targets = (part.double() for part in network_examples(SMALL, 1, block))
        squares = take_steps(rule, state, 50 * block, inputs, targets)
        for t, (x, y) in enumerate(zip(inputs, targets, strict=True)):
            slow, errors = network_step(slow, x, y, rule)
            torch.testing.assert_close(squares[t], errors.square())
    for name, value in unpacked(state).items():
        torch.testing.assert_close(value, slow.p[name])
    if rule.head_theta is not None:
        width = SMALL.width
        found = state["logarithms"]
        torch.testing.assert_close(found[:, :width], slow.gamma["head.weight"])
        torch.testing.assert_close(found[:, width], slow.gamma["head.bias"])
        assert found.std() > 0.05


@named(NETWORKS)
def test_in_single_precision_it_is_the_rule_to_rounding(learner):
    # A part in ten million a step, over 200 steps that pass it on.
    rule, parameters = strong(learner), student(SMALL, 2)
    double = {name: value.double() for name, value in parameters.items()}
    state, exact = packed(rule, parameters), packed(rule, double)
    for block in range(4):
        examples = network_examples(SMALL, 2, block)
        squares = take_steps(rule, state, 50 * block, *examples)
        wide = (part.double() for part in examples)
        expected = take_steps(rule, exact, 50 * block, *wide)
        assert squares.dtype == torch.float32
        torch.testing.assert_close(squares.double(), expected, rtol=2e-4, atol=2e-5)


@named(NETWORKS)
def test_a_stretch_is_its_parts(learner):
    rule, parameters = strong(learner), student(SMALL, 1)
    whole, parts = packed(rule, parameters), packed(rule, parameters)
    inputs, targets = network_examples(SMALL, 1, 0)
    together = take_steps(rule, whole, 0, inputs, targets)
    first = take_steps(rule, parts, 0, inputs[:20].clone(), targets[:20].clone())
    second = take_steps(rule, parts, 20, inputs[20:].clone(), targets[20:].clone())
    torch.testing.assert_close(torch.cat([first, second]), together)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_decays_are_exponentials(kind):
    drawn = torch.rand(
        100_000, generator=generator(0, "logarithms"), dtype=torch.float64
    )
    logarithms = np.concatenate([[-15, 0], -15 * drawn.numpy()]).astype(kind)
    out, powers = np.empty_like(logarithms), np.empty(len(logarithms), np.int32)
    decays(logarithms, np.array(EXPONENTIAL, kind), powers, out)
    expected = np.exp(logarithms.astype(np.float64))
    np.testing.assert_allclose(out, expected, rtol=np.finfo(kind).eps)
    assert out[1] == 1
