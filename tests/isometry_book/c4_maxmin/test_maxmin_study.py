import pytest
import torch

import isometry_book.c4_maxmin.fits as fits
import isometry_book.c4_maxmin.study as study
from isometry.core.matrices import singular_values
from isometry.lab.store import TIDY
from isometry_book.c4_maxmin.sizes import SIZES
from isometry_book.c4_maxmin.training import (
    FAMILIES,
    _hold,
    draw_stack,
    train,
)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_member_of_a_stack_equals_the_seed_alone(name):
    batch, pixels, classes = fits._image_batches("digits", 1, count=8)

    def repeated(step):
        return tuple(part.expand(3, *part.shape[1:]) for part in batch(step))

    three = draw_stack(name, [pixels, 6, 6, classes], 3)
    together = train(three, repeated, fits.cross_entropy, steps=4, lr=1e-2)
    one = draw_stack(name, [pixels, 6, 6, classes], 1)
    alone = train(one, batch, fits.cross_entropy, steps=4, lr=1e-2)
    # Products of stacks and of single matrices round differently in float32.
    torch.testing.assert_close(together[:, :1], alone, rtol=1e-4, atol=1e-5)
    assert not torch.equal(together[:, 0], together[:, 1])


def test_held_weights_are_orthogonal_after_every_step():
    network = draw_stack("maxmin", [16, 8, 8, 1], 2)
    start = network.weights[1].detach().clone()

    def batch(step):
        return fits._regression_batch("cone", 2, 32, step)

    train(network, batch, fits._squared_error, steps=5, lr=1e-2)
    assert (network.weights[1] - start).norm() > 0.1
    for weight in network.weights:
        values = singular_values(weight.detach())
        torch.testing.assert_close(values, torch.ones_like(values), atol=1e-5, rtol=0)


def test_holding_groups_equal_shapes_and_changes_nothing_orthogonal():
    weights = [weight.detach() for weight in draw_stack("maxmin", [4] * 4, 2).weights]
    before = [weight.clone() for weight in weights]
    _hold(weights)
    for weight, old in zip(weights, before, strict=True):
        torch.testing.assert_close(weight, old)


def test_initial_gain_is_that_of_the_family():
    for name, family in FAMILIES.items():
        weight = draw_stack(name, [64, 64], 4).weights[0].detach()
        mean_square = singular_values(weight).square().mean()
        torch.testing.assert_close(
            mean_square, torch.tensor(family.gain**2), rtol=0.05, atol=0
        )


def test_layernorm_network_normalises_before_the_activation():
    network = draw_stack("relu_layernorm", [4, 4, 4], 1)
    x = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.weights[1].copy_(torch.eye(4))
        once, scaled = network(x), network(100 * x)
    torch.testing.assert_close(once, scaled, rtol=1e-3, atol=1e-3)


def test_regression_inputs_have_uniform_length():
    for target, dimension in fits.TARGETS.items():
        inputs, length = fits._regression_batch(target, 2, 4000, 0)
        assert inputs.shape == (2, 4000, dimension)
        torch.testing.assert_close(inputs.norm(dim=-1), length)
        assert abs(length.mean() - 0.5) < 0.02
        assert abs(length.var() - 1 / 12) < 0.01


def test_twins_share_their_weights():
    pair = study._twins(0, 3)
    for one, other in zip(*(net.parameters() for net in pair.values()), strict=True):
        assert one is other


def test_widening_layers_lose_and_others_keep_gradients():
    frame = study.backward_norms(SIZES.smoke)
    ratios = frame[frame["metric"] == "norm_ratio"].groupby("method")["value"]
    assert (ratios.max() - 1).abs()[["square", "wide"]].max() < 1e-12
    assert ratios.max()["tall"] < 1


def test_folding_shrinks_distances_and_never_stretches_them():
    frame = study.distances(SIZES.smoke)
    left = frame[frame["method"] == "maxmin"].groupby("task")["value"].max()
    assert left.is_monotonic_decreasing
    assert left.max() < 1


@pytest.mark.slow
def test_study_is_tidy_and_complete():
    frame = study.MAXMIN.at("smoke", "digits")
    assert list(frame.columns) == TIDY
    key = ["benchmark", "method", "seed", "task", "metric"]
    assert not frame.duplicated(key).any()
    assert set(frame["benchmark"]) == {
        "jacobian_depth",
        "jacobian_precision",
        "distance",
        "backward_norm",
        "deep_digits_50",
    }


def test_maxmin_fits_the_absolute_value_and_relu_half_of_it():
    curves = fits.fitted_curves(SIZES.smoke)
    x, maxmin, relu = (curves[key] for key in ("x", "maxmin", "relu_orthogonal"))
    assert (maxmin - x.abs()).square().mean() < 5e-3
    slopes = (relu[-1] - relu[-40]) / (x[-1] - x[-40])
    assert 0.3 < slopes < 0.8


def test_an_unknown_family_is_refused():
    with pytest.raises(KeyError, match="did you mean 'maxmin'"):
        draw_stack("maxmn", [2, 2], 1)
