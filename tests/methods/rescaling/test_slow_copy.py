"""Hare and Tortoise: the copy's law, the way back, and what is measured."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.lab.run import plan
from isometry.methods import METHODS
from isometry.supervised.networks import network_of
from isometry.supervised.trainer import train
from isometry.supervised.training import evaluate


def test_the_copy_follows_and_every_kth_step_leads(toy):
    own = toy("hare_tortoise", tortoise_decay=0.75, hare_every=3)
    slow = own.copy()
    for step in range(7):
        own.adam_step(step)
        hare = own.copy()
        own.after(step)
        slow = {n: 0.75 * a + 0.25 * hare[n] for n, a in slow.items()}
        back = (step + 1) % 3 == 0
        for name, array in own.copy().items():
            assert_close(own.state[name], torch.from_numpy(slow[name]))
            assert_close(array, slow[name] if back else hare[name])
    assert own.method.measured(own.training) is own.state


def test_the_copy_is_what_is_measured(digits):
    """Decay 1 holds the copy at the start: nothing that is measured there changes."""
    small = {"data": "digits", "tasks": 2, "images_per_task": 40, "batch_size": 8}
    small |= {"epochs": 2, "width": 8, "depth": 1, "lr": 1e-2, "tortoise_decay": 1.0}
    way = plan("permuted_mnist", "hare_tortoise", small, "smoke")
    parts = (way.benchmark, way.method, way.method_settings, way.settings)
    run = train(*parts, digits, [0])
    network = network_of(way.method, way.method_settings, way.settings, digits)
    start = network.stacked([0], 0)
    task = way.benchmark.task(digits, way.settings, 0, 1)
    loss, _ = evaluate(network, start, task.inputs[None], task.labels[None])
    found = {(r["task"], r["metric"]): r["value"] for r in run.records}
    for key in ("initial_loss", "final_loss"):
        assert found[1, key] == pytest.approx(loss.item(), rel=1e-6)
    moved = run.parameters["hidden.0.weight"].detach()
    assert not np.allclose(moved, start["hidden.0.weight"])


def test_two_methods_with_a_copy_to_measure_are_refused():
    from isometry.methods.combine import _conflict

    own = METHODS.get("hare_tortoise")
    twin = type(own)(name="twin", summary="", source="", measured=own.measured)
    assert _conflict(own, twin) == "both say what is measured"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tortoise_decay": 1.5}, "needed 0 <= tortoise_decay <= 1, found 1.5"),
        ({"hare_every": 0}, "needed hare_every >= 1, found 0"),
    ],
)
def test_a_setting_out_of_range_is_refused(toy, change, message):
    with pytest.raises(ValueError, match=message):
        toy("hare_tortoise", **change)
