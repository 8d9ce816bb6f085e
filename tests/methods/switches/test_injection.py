"""Plasticity injection: no output jumps, the new network learns, the old is frozen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.lab.run import plan
from isometry.supervised.trainer import train

INPUTS = torch.randn(3, 7, 3, generator=generator(0, "injection")).double()


def outputs(own, task):
    """Return the whole function's outputs in a task."""
    logits, _ = own.structure.function(own.parameters, INPUTS)
    added = own.method.offset(replace(own.training, task=task, inputs=INPUTS))
    return (logits if added is None else logits + added).detach()


def test_no_output_changes_and_the_parameters_are_new(toy):
    own = toy("injection")
    own.adam_step(0)
    before, function = own.copy(), outputs(own, 0)
    own.switch()
    assert_close(outputs(own, 1), function)
    assert not own.optimizer.state
    for i, seed in enumerate(own.seeds):
        fresh = own.structure.fresh(seed, "method", "injection", 0)
        for name, array in own.copy().items():
            assert np.array_equal(array[i], fresh[name].numpy())
            assert np.array_equal(own.state["old"][name][i], before[name][i])


def test_what_learns_adds_to_what_is_frozen(toy):
    own = toy("injection")
    own.switch()
    start, function = outputs(own, 1), own.structure.function
    new, _ = function(own.parameters, INPUTS)
    own.adam_step(0)
    learned, _ = function(own.parameters, INPUTS)
    assert_close(outputs(own, 1) - start, (learned - new).detach())


def test_it_is_injected_once_before_the_task_that_was_asked_for(toy):
    own = toy("injection", inject_task=2)
    before = own.copy()
    own.switch()
    assert all(np.array_equal(before[n], a) for n, a in own.copy().items())
    assert own.method.offset(replace(own.training, task=1, inputs=INPUTS)) is None
    with torch.no_grad():
        own.method.before_task(replace(own.training, task=2))
        after = own.copy()
        own.method.before_task(replace(own.training, task=3))
    assert not np.array_equal(before["h0.w"], after["h0.w"])
    assert np.array_equal(own.copy()["h0.w"], after["h0.w"])


def test_what_is_measured_before_a_task_is_what_it_was_after_the_last(digits):
    """With one stream of images: the injection itself is not seen in the loss."""
    small = {"data": "digits", "tasks": 2, "images_per_task": 40, "batch_size": 8}
    small |= {"epochs": 2, "width": 8, "depth": 1, "lr": 1e-2}
    found = []
    for name in ("injection", "adam"):
        way = plan("permuted_mnist", name, small, "smoke")
        parts = (way.benchmark, way.method, way.method_settings, way.settings)
        records = train(*parts, digits, [0]).records
        found.append({(r["task"], r["metric"]): r["value"] for r in records})
    one, other = found
    assert one[1, "initial_loss"] == pytest.approx(other[1, "initial_loss"], rel=1e-5)
    assert one[1, "final_loss"] != other[1, "final_loss"]


def test_a_task_out_of_range_is_refused(toy):
    with pytest.raises(ValueError, match="needed inject_task >= 1, found 0"):
        toy("injection", inject_task=0)
