"""What is put right after a step, against one matrix at a time."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry import attach
from isometry.methods import Architecture
from isometry.methods.rescaling.projections import _largest_eigenvalue_bound

# --- Normalize-and-Project ------------------------------------------------------------


def test_nap_holds_hidden_norms_and_each_pair_of_gain_and_offset(toy):
    own = toy("nap", normalised=True)
    start = own.copy()
    for step in range(4):
        own.adam_step(step)
        moved = own.copy()
        own.after(step)
        for i in range(3):
            for layer in ("h0", "h1"):
                weight = moved[f"{layer}.w"][i]
                norm = np.linalg.norm(start[f"{layer}.w"][i])
                expected = weight * norm / np.linalg.norm(weight)
                assert_close(
                    own.parameters[f"{layer}.w"][i].detach(), torch.tensor(expected)
                )
                gain, offset = moved[f"{layer}.g"][i], moved[f"{layer}.o"][i]
                size = np.sqrt(len(gain) / ((gain**2).sum() + (offset**2).sum()))
                for name, array in ((f"{layer}.g", gain), (f"{layer}.o", offset)):
                    assert_close(
                        own.parameters[name][i].detach(), torch.tensor(size * array)
                    )
            for name in ("out.w", "out.b", "h0.b"):
                assert torch.equal(
                    own.parameters[name].detach(), torch.tensor(moved[name])
                )


@pytest.mark.parametrize("affine", [True, False])
def test_nap_asks_for_a_layernorm_with_or_without_gain_and_offset(toy, affine):
    method, settings = toy("nap").method, toy("nap", nap_affine=affine).settings
    plain = Architecture(
        network="mlp",
        width=4,
        depth=1,
        activation="relu",
        negative_slope=0.1,
        init="orthogonal",
        init_gain=1.0,
    )
    found = method.architecture(plain, settings)
    assert (plain.normalised, found.normalised, found.hidden_bias) == (0, 1, 0)
    assert found.norm_vectors == (("gain", "offset") if affine else ())
    assert plain.norm_vectors == ()


def test_nap_without_gain_and_offset_holds_hidden_norms_and_leaves_the_rest(toy):
    own = toy("nap", nap_affine=False)  # a network without gains
    start = own.copy()
    own.adam_step(0)
    moved = own.copy()
    own.after(0)
    for name, array in own.copy().items():
        if name in ("h0.w", "h1.w"):
            norms = [
                np.linalg.norm(a.reshape(3, -1), axis=1) for a in (array, start[name])
            ]
            np.testing.assert_allclose(*norms)
            assert not np.array_equal(array, moved[name])
        else:
            assert np.array_equal(array, moved[name])


def test_nap_projects_after_every_kth_step(toy):
    own = toy("nap", normalised=True, nap_every=3)
    for step in range(6):
        own.adam_step(step)
        before = own.copy()["h0.w"]
        own.after(step)
        acted = not np.array_equal(before, own.copy()["h0.w"])
        assert acted is (step in (2, 5))


# --- Newton-Schulz --------------------------------------------------------------------


@pytest.mark.parametrize("iterations", [1, 3])
def test_projection_maps_each_singular_value_by_the_cubic_and_spares_the_head(
    toy, iterations
):
    own = toy("newton_schulz", projection_iterations=iterations)
    with torch.no_grad():
        for name in ("h0.w", "h1.w"):
            own.parameters[name].mul_(0.2)  # within reach
    before = own.copy()
    own.after(0)
    for name in ("h0.w", "h1.w"):
        for i in range(3):
            u, sigma, v = np.linalg.svd(before[name][i], full_matrices=False)
            assert sigma.max() < 3**0.5
            for _ in range(iterations):
                sigma = 1.5 * sigma - 0.5 * sigma**3
            expected = torch.tensor(u * sigma @ v)
            assert_close(own.parameters[name][i].detach(), expected)
    for name in ("out.w", "out.b", "h0.b"):
        assert torch.equal(own.parameters[name].detach(), torch.tensor(before[name]))


@pytest.mark.parametrize("size", [0.5, 1.7, 1.9, 3.0, 1e3])
def test_repeated_it_reaches_the_nearest_orthogonal_matrix_from_any_size(toy, size):
    own = toy("newton_schulz", projection_iterations=5)
    with torch.no_grad():
        for name in ("h0.w", "h1.w"):
            largest = torch.linalg.svdvals(own.parameters[name])[:, :1, None]
            own.parameters[name].mul_(size / largest)
    before = own.copy()
    for step in range(8):
        own.after(step)
    for name in ("h0.w", "h1.w"):
        for i in range(3):
            u, _, v = np.linalg.svd(before[name][i], full_matrices=False)
            nearest = torch.tensor(u @ v)
            assert_close(own.parameters[name][i].detach(), nearest)


def test_one_member_out_of_reach_does_not_change_another(toy):
    own, calm = toy("newton_schulz"), toy("newton_schulz")
    with torch.no_grad():
        for t in (own, calm):
            t.parameters["h0.w"].mul_(0.1)
        own.parameters["h0.w"][0].mul_(1e6)
    own.after(0)
    calm.after(0)
    assert torch.equal(own.parameters["h0.w"][1:], calm.parameters["h0.w"][1:])
    assert own.parameters["h0.w"].isfinite().all()


@pytest.mark.parametrize("size", [1, 4, 5, 16, 17, 150])
@pytest.mark.parametrize("rank", [1, 1000])
def test_the_largest_eigenvalue_is_bounded_from_above_by_at_most_twice_itself(
    size, rank
):
    draw = torch.Generator().manual_seed(size)
    weights = torch.randn(4, size, min(size, rank), generator=draw).double()
    weights *= torch.tensor([1e-9, 1.0, 1e9, 1e30]).double()[:, None, None]
    gram = torch.cat([weights @ weights.mT, torch.eye(size).double()[None]])
    exact = torch.linalg.eigvalsh(gram)[:, -1]
    ratio = _largest_eigenvalue_bound(gram) / exact
    assert (ratio >= 1 - 1e-9).all()
    assert (ratio <= 2 + 1e-9).all()


@pytest.mark.parametrize("largest", [None, 1.7, 2.6, 100.0])
@pytest.mark.parametrize("shape", [(64, 64), (300, 200), (200, 300)])
def test_wide_weights_of_torchs_initialisation_reach_their_nearest_isometry(
    shape, largest
):
    torch.manual_seed(0)
    layers = torch.nn.Linear(shape[1], shape[0]), torch.nn.Linear(shape[0], 2)
    model = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1]).double()
    weight = layers[0].weight.detach()
    if largest is not None:
        weight.mul_(largest / torch.linalg.matrix_norm(weight, 2))
    u, _, v = torch.linalg.svd(weight, full_matrices=False)
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    plastic = attach(model, still, "newton_schulz")
    for _ in range(60):
        model(torch.zeros(1, shape[1]).double()).sum().backward()
        plastic.optimizer.step()
        plastic.step()
    assert_close(weight, u @ v)


def test_projection_acts_after_every_kth_step(toy):
    own = toy("newton_schulz", projection_every=2)
    before = own.copy()["h0.w"]
    own.after(0)
    assert np.array_equal(before, own.copy()["h0.w"])
    own.after(1)
    assert not np.array_equal(before, own.copy()["h0.w"])


# --- weight clipping ------------------------------------------------------------------


@pytest.mark.parametrize("head", [True, False])
def test_clipping_clamps_to_the_bound_of_a_fresh_draw_and_spares_gains(toy, head):
    own = toy("weight_clipping", normalised=True, clip=0.7, clip_head=head)
    before = own.copy()
    own.after(0)
    spread = {"h0": 0.5, "h1": 0.25, "out": 2.0}
    for name, array in before.items():
        layer, kind = name.split(".")
        bound = 0.7 * 3**0.5 * spread[layer]
        if kind in "go" or (layer == "out" and not head):
            expected = array
        else:
            expected = array.clip(-bound, bound)
            assert layer == "out" or not np.array_equal(expected, array)
        assert_close(own.parameters[name].detach(), torch.tensor(expected))


@pytest.mark.parametrize(("init", "inside"), [("default", 1.0), ("orthogonal", 0.85)])
def test_under_torchs_initialisation_the_bound_is_one_over_root_fan_in(
    digits, init, inside
):
    from isometry.lab.run import plan
    from isometry.supervised.trainer import network_of

    settings = {"data": "digits", "width": 50, "depth": 2, "init": init}
    plan_ = plan("permuted_mnist", "weight_clipping", settings, "smoke")
    network = network_of(plan_.method, plan_.method_settings, plan_.settings, digits)
    spread = network.structure().spread
    for name, tensor in network.initial(0).items():
        if name.endswith("weight"):
            bound = 3**0.5 * spread[name]
            share = (tensor.abs() <= bound).double().mean().item()
            assert inside - 0.03 < share <= inside + 0.15
            if init == "default":
                assert bound == pytest.approx(tensor.shape[1] ** -0.5)
                assert share == 1.0
