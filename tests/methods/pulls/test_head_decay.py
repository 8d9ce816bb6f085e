"""Decay of the head alone against a step that is written out."""

import numpy as np
import pytest


def test_it_takes_a_fraction_off_the_heads_weights_and_of_nothing_else(toy):
    own = toy("head_decay", head_decay=0.1)
    before = own.copy()
    own.before()
    for name, array in own.copy().items():
        np.testing.assert_allclose(
            array, (0.9 if name == "out.w" else 1) * before[name], rtol=1e-15
        )


def test_the_decayed_weight_takes_the_gradient_of_the_one_before(toy):
    """w <- (1 - decay) w - step, with the gradient at w, and Adam sees no decay."""
    own, plain = toy("head_decay", head_decay=0.1), toy("adam")
    for step in range(3):
        weight = own.copy()["out.w"]
        start = plain.copy()["out.w"]
        for one in (own, plain):
            for name, gradient in one.draw("gradient", step).items():
                one.parameters[name].grad = gradient
        own.before()
        own.optimizer.step()
        plain.optimizer.step()
        moved = plain.copy()["out.w"] - start
        np.testing.assert_allclose(own.copy()["out.w"], 0.9 * weight + moved, rtol=1e-9)


def test_a_spared_head_is_left_alone(toy):
    own = toy("head_decay")
    own.structure.roles["out.w"] = "spared"
    before = own.copy()
    own.before()
    assert all(np.array_equal(before[n], a) for n, a in own.copy().items())


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_fraction_out_of_range_is_refused(toy, value):
    with pytest.raises(ValueError, match="needed 0 <= head_decay <= 1, found"):
        toy("head_decay", head_decay=value)
