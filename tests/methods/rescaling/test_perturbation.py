"""Shrink and Perturb: the scale of its noise, and what k steps at once are."""

from math import sqrt

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.lab.run import plan
from isometry.methods.rescaling.perturbation import _factors, _PerturbationSettings
from isometry.stream.binding import Bound
from isometry.stream.run import Run
from isometry.supervised.trainer import network_of, train


@pytest.mark.parametrize("normalised", [False, True])
def test_each_step_adds_a_share_of_a_network_drawn_for_that_step(toy, normalised):
    settings = {"shrink": 0.1, "perturb": 0.3, "perturb_every": 1}
    own = toy("shrink_perturb", normalised, **settings)
    for step in (0, 1, 5):
        before = own.copy()
        own.after(step)
        for i, seed in enumerate(own.seeds):
            fresh = own.structure.fresh(seed, "method", "perturb", step)
            for name, array in before.items():
                expected = 0.9 * array[i] + 0.3 * fresh[name].numpy()
                if name[-1] in "go":
                    expected = array[i]  # a gain of one would be pulled to a new size
                assert_close(own.parameters[name][i].detach(), torch.tensor(expected))


@pytest.mark.parametrize(("shrink", "every"), [(0.2, 1), (0.2, 5), (0.0, 7), (1.0, 3)])
def test_k_steps_at_once_have_the_mean_and_variance_of_k_steps(shrink, every):
    settings = _PerturbationSettings(shrink=shrink, perturb=0.3, perturb_every=every)
    mean, variance = 1.0, 0.0
    for _ in range(every):
        mean, variance = (1 - shrink) * mean, (1 - shrink) ** 2 * variance + 0.3**2
    kept, share = _factors(settings)
    assert kept == pytest.approx(mean)
    assert share == pytest.approx(sqrt(variance))


def test_it_acts_after_every_kth_step_only(toy):
    own = toy("shrink_perturb", perturb_every=3)
    before = own.copy()["h0.w"]
    own.after(0)
    own.after(1)
    assert np.array_equal(before, own.copy()["h0.w"])
    own.after(2)
    assert not np.array_equal(before, own.copy()["h0.w"])


@pytest.mark.parametrize(
    "init", ["orthogonal", "default", "kaiming", "kaiming_uniform"]
)
def test_the_noise_has_the_scale_of_a_freshly_initialised_network(digits, init):
    changes = {"data": "digits", "width": 40, "depth": 2, "init": init}
    changes |= {"shrink": 1.0, "perturb": 1.0, "perturb_every": 1}
    plan_ = plan("permuted_mnist", "shrink_perturb", changes, "smoke")
    parts = (plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings)
    network = network_of(*parts[1:], digits)
    fresh = network.initial(3, "another")
    short = {"tasks": 1, "images_per_task": 8, "batch_size": 8, "epochs": 1}
    plan_ = plan("permuted_mnist", "shrink_perturb", {**changes, **short}, "smoke")
    parts = (plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings)
    run = train(*parts, digits, [0])  # one step: all that is left is noise
    assert run.steps == 1
    for name, tensor in run.parameters.items():
        found = tensor.detach()[0]
        if name.endswith("weight"):
            assert found.std().item() == pytest.approx(
                fresh[name].std().item(), rel=0.1
            )
        elif init == "orthogonal":
            assert (found == 0).all(), "biases start at zero: no noise"


def test_a_method_that_carries_nothing_starts_with_nothing(digits):
    plan_ = plan("permuted_mnist", "shrink_perturb", {"data": "digits"}, "smoke")
    run, parts = Run(seeds=[0]), (plan_.method, plan_.method_settings)
    structure = network_of(*parts, plan_.settings, digits).structure()
    own = {"method": parts[0], "settings": parts[1], "structure": structure}
    Bound(**own, lr=1e-3).start(run)
    assert run.carried == {}
