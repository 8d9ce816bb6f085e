import pytest
import torch

import isometry_book.c3_deep_linear.study as study
from isometry.core.seeding import generator
from isometry.lab.store import TIDY
from isometry.linear import (
    draw_chain,
    end_to_end,
    hidden_anisotropy,
    kernel_eigenvalues,
)
from isometry_book.c3_deep_linear.learning import (
    chains,
    random_change,
    slowest_change,
    steps_to_learn,
)

SMOKE = study.SIZES.smoke
EYE = torch.eye(8, dtype=torch.float64)


def test_steps_to_learn_follow_the_linearised_network_for_a_small_change():
    rotation = draw_chain([8, 8], generator=generator(0))[0]
    weights = hidden_anisotropy(rotation, 4.0)
    change = slowest_change(weights, EYE) * 1e-4
    steps = steps_to_learn(weights, EYE, change, 200, rates=(1.0,))
    values = kernel_eigenvalues(weights, EYE)
    shrinks = 1 - values[-1] / values[0]
    expected = torch.ceil(torch.log(torch.tensor(0.1).double()) / shrinks.log())
    assert steps.item() == expected.item()


def test_scaled_isometries_learn_as_fast_as_isometries():
    first, second = draw_chain([8] * 3, generator=generator(2))
    change = random_change(8, 1)[0] * 1e-4
    for weights in ([first, second], [10 * first, second / 10]):
        assert steps_to_learn(weights, EYE, change, 9).item() == 1


def test_a_budget_that_does_not_suffice_gives_infinity():
    weights = draw_chain([8] * 9, "gaussian", generator=generator(3))
    assert steps_to_learn(weights, EYE, random_change(8, 1)[0], 5).isinf()


def test_changes_have_the_same_size_and_seeds_their_own():
    sizes = torch.linalg.matrix_norm(random_change(8, 3))
    torch.testing.assert_close(sizes, torch.full_like(sizes, 0.25 * 8**0.5))
    assert torch.equal(random_change(8, 3)[:2], random_change(8, 2))
    weights = draw_chain([8, 8, 8], "gaussian", generator=generator(4))
    slow = slowest_change(weights, EYE)
    torch.testing.assert_close(torch.linalg.matrix_norm(slow), sizes[0])


def test_slowest_change_is_an_eigenvector_of_the_first_step():
    weights = draw_chain([8, 8, 8], "drifted", generator=generator(5))
    change = slowest_change(weights, EYE)
    steps = 1e-6
    first, second = weights
    moved = (second + steps * change @ first.T) @ (first + steps * second.T @ change)
    gained = (moved - end_to_end(weights)) / steps
    smallest = kernel_eigenvalues(weights, EYE)[-1]
    torch.testing.assert_close(gained, smallest * change, rtol=1e-4, atol=1e-5)


def test_a_seed_alone_equals_the_same_seed_in_a_stack():
    for label in ("orthogonal", "drifted", "gaussian"):
        three, one = chains(label, 3, 8, 3), chains(label, 3, 8, 1)
        for stacked, alone in zip(three, one, strict=True):
            assert torch.equal(stacked[:1], alone)


def test_study_is_tidy_and_complete():
    frame = study.DEEP_LINEAR.at("smoke", "digits")
    assert list(frame.columns) == TIDY
    assert frame["value"].notna().all()
    key = ["benchmark", "method", "seed", "task", "metric"]
    assert not frame.duplicated(key).any()
    assert set(frame["benchmark"]) == {
        "deep_linear_kernel",
        "deep_linear_layers",
        "deep_linear_exception",
        "deep_linear_depth",
        "input_prior_digits",
    }
    assert frame.equals(study.DEEP_LINEAR.at("smoke", "digits"))


def test_condition_number_of_hidden_layers_is_the_square_of_the_first():
    frame = study.hidden_layers(SMOKE, (1.0, 3.0))
    chosen = frame[
        (frame["method"] == "isometric product")
        & (frame["metric"] == "condition_number")
    ]
    for task, expected in ((0, 1.0), (1, 9.0)):
        values = chosen[chosen["task"] == task]["value"].to_numpy()
        assert values == pytest.approx([expected] * len(values))


@pytest.mark.parametrize("depth", [2, 5])
def test_mode_curves_agree_with_theory(depth):
    found, theory = study.mode_curves(depth, (2.0, 0.5), [0.0, 0.1, 0.5])
    assert found.shape == (3, 2)
    # Both are integrated to 1e-10 relative.
    torch.testing.assert_close(found, theory, rtol=1e-7, atol=1e-8)


def test_input_batches_differ_in_prior_and_share_the_images():
    batches = study.input_batches("digits", 2)
    assert tuple(batches) == study.INPUTS
    images = batches["images"]
    assert images.shape == (2, 8, 64)
    assert images.min() >= 0
    assert images.max() <= 1
    lengths = batches["whitened, unit length"].norm(dim=-1)
    torch.testing.assert_close(lengths, lengths[0, 0].expand_as(lengths))


def test_depth_spectra_are_relative_and_descending():
    spectra = study.depth_spectra(SMOKE)
    for by_depth in spectra.values():
        assert tuple(by_depth) == SMOKE.depths
        for values in by_depth.values():
            assert values[0] == 1
            assert values == sorted(values, reverse=True)


def test_the_slowest_change_of_other_inputs_is_refused():
    with pytest.raises(ValueError, match="identity inputs"):
        slowest_change([EYE], 2 * EYE)
