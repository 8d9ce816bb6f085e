"""Pairs of classes in grey: which images, which labels, which grey."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.lab.run import plan
from isometry.supervised import BENCHMARKS, SupervisedSettings
from isometry.supervised.pairs import class_pair, grey_pairs
from isometry.supervised.streams import Pixels
from isometry.supervised.trainer import train

SETTINGS = SupervisedSettings(data="digits", images_per_task=20, batch_size=1)
CLASSES = 6


@pytest.fixture(scope="module")
def coloured():
    """Colour images of 4 x 5 of six classes, of which class 2 has the fewest."""
    draw = generator(0, "colours")
    images = torch.randint(256, (90, 3, 4, 5), generator=draw).float()
    labels = torch.arange(90) % CLASSES
    labels[2::12] = 1  # half of class 2: five are left to train on, two to test on
    return Pixels(
        train_inputs=images[:60].flatten(1) / 255,
        train_labels=labels[:60],
        test_inputs=images[60:].flatten(1) / 255,
        test_labels=labels[60:],
        num_classes=CLASSES,
        image_shape=(3, 4, 5),
    )


def places_of(task, pixels):
    """Return which training image each of a task's is."""
    equal = (task.inputs[:, None] == pixels.train_inputs[None]).all(2)
    assert (equal.sum(1) == 1).all()
    return equal.int().argmax(1)


def test_grey_is_pillows_up_to_its_rounding(coloured):
    found = grey_pairs(coloured)
    assert found.image_shape == (1, 4, 5)
    for images, grey in (
        (coloured.train_inputs, found.train_inputs),
        (coloured.test_inputs, found.test_inputs),
    ):
        assert grey.shape == (len(images), 20)
        for image, own in zip(images, grey, strict=True):
            levels = (image.view(3, 4, 5) * 255).round().byte().permute(1, 2, 0)
            theirs = np.asarray(Image.fromarray(levels.numpy()).convert("L"))
            gap = own.view(4, 5) * 255 - torch.from_numpy(theirs.astype(np.float32))
            assert gap.abs().max() <= 0.51  # of a level


def test_white_is_one_and_grey_images_stay_as_they_are(coloured, digits):
    white = replace(coloured, train_inputs=torch.ones(60, 60))
    assert_close(grey_pairs(white).train_inputs, torch.ones(60, 20))
    found = grey_pairs(digits)
    assert found.train_inputs is digits.train_inputs
    assert (found.num_classes, found.task_classes) == (10, 2)


def test_a_task_has_two_classes_by_the_names_zero_and_one(coloured):
    orders = set()
    for task in range(20):
        settings = replace(SETTINGS, images_per_task=10)
        made = class_pair(coloured, settings, 3, task)
        of_class = coloured.train_labels[places_of(made, coloured)]
        pair = [set(of_class[made.labels == name].tolist()) for name in (0, 1)]
        assert [len(classes) for classes in pair] == [1, 1]
        (first,), (second,) = pair
        assert first != second
        orders.add((first, second))
        equal = (made.test_inputs[:, None] == coloured.test_inputs[None]).all(2)
        tested = coloured.test_labels[equal.int().argmax(1)]
        assert torch.equal(tested == second, made.test_labels == 1)
        assert set(tested.tolist()) <= {first, second}
    assert len(orders) > 10


def test_with_as_many_images_as_there_are_every_one_comes_once(coloured):
    each = int(coloured.train_labels.bincount().min())
    settings = replace(SETTINGS, images_per_task=2 * each)
    for task in range(5):
        made = class_pair(coloured, settings, 0, task)
        places = places_of(made, coloured)
        assert len(set(places.tolist())) == 2 * each
        assert made.labels.sum() == each
        assert made.test_labels.shape == (
            2 * int(coloured.test_labels.bincount().min()),
        )


def test_every_ordered_pair_is_as_likely(coloured):
    settings = replace(SETTINGS, images_per_task=10)
    counts = dict.fromkeys(itertools.permutations(range(CLASSES), 2), 0)
    tasks = 1500
    for task in range(tasks):
        made = class_pair(coloured, settings, 1, task)
        of_class = coloured.train_labels[places_of(made, coloured)]
        pair = [int(of_class[made.labels == name][0]) for name in (0, 1)]
        counts[tuple(pair)] += 1
    share = 1 / len(counts)
    spread = (tasks * share * (1 - share)) ** 0.5
    assert all(abs(n - tasks * share) < 5 * spread for n in counts.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images_per_task": 11},
            "needed images_per_task <= 10 for two classes of this",
        ),
        (
            {"test_images": 5, "images_per_task": 2},
            "needed test_images <= 4 for two cl",
        ),
    ],
)
def test_more_images_than_two_classes_have_are_refused(coloured, changes, message):
    with pytest.raises(ValueError, match=message):
        class_pair(coloured, replace(SETTINGS, **changes), 0, 0)


def test_fewer_test_images_are_the_first_of_them(coloured):
    settings = replace(SETTINGS, images_per_task=2)
    whole = class_pair(coloured, settings, 0, 0)
    part = class_pair(coloured, replace(settings, test_images=3), 0, 0)
    assert torch.equal(part.test_inputs, whole.test_inputs[:3])
    assert torch.equal(part.test_labels, whole.test_labels[:3])


def test_the_network_has_two_outputs_and_grey_inputs(coloured):
    changes = {"tasks": 2, "images_per_task": 10, "width": 7}
    planned = plan("binary_cifar100", "adam", changes, "smoke")
    parts = planned.method, planned.method_settings, planned.settings
    run = train(BENCHMARKS.get("binary_cifar100"), *parts, coloured, [0, 1, 2])
    shapes = [tuple(p.shape[1:]) for p in run.parameters.values()]
    assert shapes == [(7, 20), (7,), (7, 7), (7,), (2, 7), (2,)]
    assert run.steps == 2 * 10, "one image at a time"
