"""Streams of tasks: functions of (seed, task) and of nothing else."""

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.supervised import SupervisedSettings
from isometry.supervised.data.sets import load
from isometry.supervised.streams import (
    Pixels,
    Task,
    chosen_images,
    gradually_permuted,
    label_shuffled,
    permuted,
    random_label,
    scaled,
)

SETTINGS = SupervisedSettings(
    data="digits", images_per_task=40, batch_size=8, blend=0.5
)
MAKERS = (random_label, permuted, label_shuffled, gradually_permuted)


@pytest.fixture(scope="module")
def pixels():
    """Images that can be told apart: pixel j of image i is 100 i + j."""
    train, test = torch.arange(60.0), torch.arange(60.0, 75.0)
    return Pixels(
        train_inputs=100 * train[:, None] + torch.arange(9.0),
        train_labels=train.long() % 5,
        test_inputs=100 * test[:, None] + torch.arange(9.0),
        test_labels=test.long() % 5,
        num_classes=5,
    )


def same(first: Task, second: Task) -> bool:
    names = [field.name for field in fields(Task)]
    pairs = [(getattr(first, name), getattr(second, name)) for name in names]
    return all(a is b or torch.equal(a, b) for a, b in pairs)


def images_of(inputs):
    """Return which image each row is, whatever the order of its pixels."""
    return inputs.min(1).values.div(100).round().long()


@pytest.mark.parametrize("maker", MAKERS)
def test_a_task_depends_on_seed_and_number_not_on_what_was_asked_before(pixels, maker):
    grid = list(itertools.product((0, 1, 7), (0, 1, 5)))
    there = {key: maker(pixels, SETTINGS, *key) for key in grid}
    torch.rand(5)
    back = {key: maker(pixels, SETTINGS, *key) for key in reversed(grid)}
    for key in grid:
        assert same(there[key], back[key])
    for first, second in itertools.combinations(grid, 2):
        assert not same(there[first], there[second])


@pytest.mark.parametrize("maker", MAKERS)
def test_a_task_does_not_depend_on_how_it_is_learned(pixels, maker):
    other = replace(
        SETTINGS, lr=0.5, width=7, depth=1, epochs=9, batch_size=4, init="default"
    )
    assert same(maker(pixels, SETTINGS, 3, 2), maker(pixels, other, 3, 2))


@pytest.mark.parametrize("maker", MAKERS)
def test_no_image_comes_twice_in_a_task(pixels, maker):
    task = maker(pixels, SETTINGS, 0, 0)
    assert task.inputs.shape == (40, 9)
    assert task.labels.shape == (40,)
    assert task.labels.dtype == torch.int64
    assert len(set(images_of(task.inputs).tolist())) == 40


@pytest.mark.parametrize("maker", MAKERS)
def test_the_data_are_left_as_they_were(pixels, maker):
    before = pixels.train_inputs.clone()
    task = maker(pixels, SETTINGS, 0, 0)
    task.inputs.zero_()
    assert torch.equal(pixels.train_inputs, before)


def test_random_labels_are_redrawn_and_images_stay(pixels):
    first, second = (random_label(pixels, SETTINGS, 0, task) for task in (0, 1))
    assert torch.equal(first.inputs, second.inputs)
    assert not torch.equal(first.labels, second.labels)
    assert first.test_inputs is None
    assert first.test_labels is None


def test_random_labels_are_uniform_and_say_nothing_about_the_image(pixels):
    draws = torch.cat(
        [random_label(pixels, SETTINGS, 0, task).labels for task in range(100)]
    )
    counts = torch.bincount(draws, minlength=5)
    # Binomial(4000, 1/5): standard deviation 25.3, four of them.
    assert (counts - 800).abs().max() < 4 * 25.3
    truth = pixels.train_labels[images_of(random_label(pixels, SETTINGS, 0, 0).inputs)]
    agreement = (draws.view(100, 40) == truth).double().mean().item()
    assert agreement == pytest.approx(1 / 5, abs=4 * 25.3 / 4000)


def test_permuted_tasks_have_new_images_in_one_order_for_training_and_test(pixels):
    task = permuted(pixels, SETTINGS, 0, 3)
    order = (task.inputs[0] - 100 * images_of(task.inputs)[0]).long()
    assert sorted(order.tolist()) == list(range(9))
    chosen = images_of(task.inputs)
    assert torch.equal(task.inputs, pixels.train_inputs[chosen][:, order])
    assert torch.equal(task.labels, pixels.train_labels[chosen])
    assert torch.equal(task.test_inputs, pixels.test_inputs[:, order])
    assert torch.equal(task.test_labels, pixels.test_labels)
    later = permuted(pixels, SETTINGS, 0, 4)
    assert not torch.equal(images_of(later.inputs), chosen)


def test_shuffled_labels_rename_classes_and_keep_who_belongs_together(pixels):
    first, second = (label_shuffled(pixels, SETTINGS, 0, task) for task in (0, 1))
    assert torch.equal(first.inputs, second.inputs)
    assert not torch.equal(first.labels, second.labels)
    truth = pixels.train_labels[images_of(first.inputs)]
    for task in (first, second):
        pairs = set(zip(truth.tolist(), task.labels.tolist(), strict=True))
        assert len(pairs) == 5, "each class has one new name"
        assert {new for _, new in pairs} == set(range(5))
        tested = zip(
            pixels.test_labels.tolist(), task.test_labels.tolist(), strict=True
        )
        assert set(tested) <= pairs, "the same names in the test"
        assert torch.equal(task.test_inputs, pixels.test_inputs)


@pytest.mark.parametrize("maker", [permuted, label_shuffled])
def test_a_test_on_fewer_images_is_on_the_first_and_trains_on_the_same(pixels, maker):
    whole = maker(pixels, SETTINGS, 3, 1)
    part = maker(pixels, replace(SETTINGS, test_images=4), 3, 1)
    assert torch.equal(part.test_inputs, whole.test_inputs[:4])
    assert torch.equal(part.test_labels, whole.test_labels[:4])
    assert torch.equal(part.inputs, whole.inputs)
    with pytest.raises(ValueError, match="needed test_images <= 15"):
        maker(pixels, replace(SETTINGS, test_images=16), 3, 1)


def test_as_many_images_as_there_are_can_be_chosen_but_no_more(pixels):
    chosen = chosen_images(pixels, 60, 0)
    assert sorted(chosen.tolist()) == list(range(60))
    with pytest.raises(
        ValueError, match="needed images_per_task <= 60 for this data s"
    ):
        chosen_images(pixels, 61, 0)


# --- scaling --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_standard_scaling_gives_training_pixels_mean_zero_and_variance_one(digits):
    pixels = scaled(digits, "standard")
    assert pixels.train_inputs.shape == (1500, 64)
    assert pixels.train_inputs.dtype == torch.float32
    values = pixels.train_inputs.double()
    # float32 pixels
    assert values.mean().item() == pytest.approx(0, abs=1e-6)
    assert values.var(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_test_images_are_scaled_by_the_training_images(digits):
    pixels = scaled(digits, "standard")
    raw = digits.train_images.numpy().astype(np.float64)
    images = digits.test_images.flatten(1).numpy()
    expected = torch.from_numpy((images - raw.mean()) / raw.std())
    assert_close(pixels.test_inputs, expected.float(), rtol=1e-5, atol=1e-6)
    assert abs(pixels.test_inputs.mean().item()) > 1e-4, "not by itself"


def test_unit_scaling_divides_by_the_brightest_possible_value(digits):
    pixels = scaled(digits, "unit")
    assert torch.equal(pixels.train_inputs, digits.train_images.flatten(1) / 16)
    assert torch.equal(pixels.test_inputs, digits.test_images.flatten(1) / 16)


def test_scaling_leaves_the_images_as_they_were(digits):
    before = digits.train_images.clone()
    pixels = scaled(digits, "standard")
    pixels.train_inputs.zero_()
    assert torch.equal(digits.train_images, before)


def test_streams_do_not_touch_the_global_generators(pixels):
    before = torch.get_rng_state()
    for maker in MAKERS:
        maker(pixels, SETTINGS, 0, 0)
    assert torch.equal(before, torch.get_rng_state())
