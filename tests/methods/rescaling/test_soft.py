"""Soft weight rescaling: the norms that it leads to, and the function that it keeps."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close


def outputs(own, inputs):
    """Return what the small network with ReLU says, with numpy, member by member."""
    found = []
    for i in range(3):
        p = {n: a[i] for n, a in own.copy().items()}
        hidden = inputs
        for layer in ("h0", "h1"):
            hidden = np.maximum(hidden @ p[f"{layer}.w"].T + p[f"{layer}.b"], 0)
        found.append(hidden @ p["out.w"].T + p["out.b"])
    return np.stack(found)


def grown(own):
    """Make all parameters longer, each layer by another factor."""
    with torch.no_grad():
        for k, parameter in enumerate(own.parameters.values()):
            parameter.mul_(1.5 + k)
    return own


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_norms_go_a_share_of_the_way_back(toy, share):
    own = toy("soft_rescaling", soft_rescaling=share)
    start, before = own.copy(), grown(own).copy()
    own.after(0)
    for name, array in own.copy().items():
        if name.endswith(".w"):
            for i in range(3):
                first, last = (np.linalg.norm(a[name][i]) for a in (start, before))
                expected = share * first + (1 - share) * last
                assert np.linalg.norm(array[i]) == pytest.approx(expected, rel=1e-12)


def test_the_function_is_scaled_as_a_whole(toy):
    """ReLU passes a factor on, so all logits of a member get one positive factor."""
    own = grown(toy("soft_rescaling", soft_rescaling=0.4))
    inputs = np.random.default_rng(0).normal(size=(7, 3))
    before = outputs(own, inputs)
    own.after(0)
    ratio = outputs(own, inputs) / before
    for i in range(3):
        assert_close(ratio[i], np.full_like(ratio[i], ratio[i, 0, 0]))
        assert 0 < ratio[i, 0, 0] < 1


def test_behind_a_normalisation_the_product_begins_anew(toy):
    own = grown(toy("soft_rescaling", normalised=True, soft_rescaling=0.4))
    before = own.copy()
    own.after(0)
    after = own.copy()
    for weight, bias in (("h0.w", "h0.b"), ("h1.w", "h1.b"), ("out.w", "out.b")):
        factor = after[weight][0, 0, 0] / before[weight][0, 0, 0]
        assert_close(after[bias][0], factor * before[bias][0])
    assert all(np.array_equal(after[n], before[n]) for n in ("h0.g", "h1.o"))


def test_a_spared_head_and_a_zero_weight_stay(toy):
    own = toy("soft_rescaling", soft_rescaling=1.0)
    own.structure.roles["out.w"] = "spared"
    with torch.no_grad():
        own.parameters["h0.w"][1] = 0
        own.parameters["out.w"] *= 2
    before = own.copy()
    own.after(0)
    after = own.copy()
    assert (after["h0.w"][1] == 0).all()
    for name in ("out.w", "out.b"):
        assert np.array_equal(after[name], before[name])


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_share_out_of_range_is_refused(toy, value):
    with pytest.raises(ValueError, match="needed 0 <= soft_rescaling <= 1, found"):
        toy("soft_rescaling", soft_rescaling=value)
