"""An optimiser that forgets at a switch: the step after it is a first step."""

import pytest
import torch

from isometry.lab.run import plan
from isometry.methods import get
from isometry.supervised.trainer import train


def test_it_forgets_and_leaves_the_weights(toy):
    own = toy("optimizer_reset")
    own.adam_step(0)
    before = own.copy()
    assert own.optimizer.state
    own.switch()
    assert not own.optimizer.state
    assert all((before[n] == a).all() for n, a in own.copy().items())


def test_it_is_the_run_that_resets_the_optimiser(digits):
    small = {
        "data": "digits",
        "tasks": 3,
        "images_per_task": 40,
        "epochs": 1,
        "batch_size": 8,
    }
    small |= {"width": 8, "depth": 1, "lr": 1e-2}
    ends = []
    for name, more in (("optimizer_reset", {}), ("adam", {"reset_optimizer": True})):
        way = plan("permuted_mnist", name, {**small, **more}, "smoke")
        parts = (way.benchmark, way.method, way.method_settings, way.settings)
        ends.append(train(*parts, digits, [0]).parameters)
    assert all(torch.equal(ends[1][key], tensor) for key, tensor in ends[0].items())


def test_with_fire_it_is_said_to_be_of_no_use():
    with pytest.raises(ValueError, match="with fire the optimiser starts anew anyway"):
        get("fire+optimizer_reset")
