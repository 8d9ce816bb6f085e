"""Growing data: half, then all; every task as long as the last."""

from collections import Counter
from dataclasses import replace
from math import ceil

import pytest
import torch

from isometry.supervised import SupervisedSettings
from isometry.supervised.growth import growing

SETTINGS = SupervisedSettings(data="digits", images_per_task=40, batch_size=8, tasks=2)


def images_of(task):
    """Return how often each image is in a task."""
    return Counter(row.numpy().tobytes() for row in task.inputs)


def test_half_of_the_images_twice_and_then_all_of_them_once(digits):
    half, whole = (images_of(growing(digits, SETTINGS, 3, task)) for task in (0, 1))
    assert len(half) == 20
    assert set(half.values()) == {2}
    assert len(whole) == 40
    assert set(whole.values()) == {1}
    assert half.keys() <= whole.keys()


@pytest.mark.parametrize("tasks", [1, 3, 7, 40, 60])
def test_the_parts_grow_evenly_and_hold_the_ones_before(digits, tasks):
    settings, before = replace(SETTINGS, tasks=tasks), Counter()
    for task in range(tasks):
        made = growing(digits, settings, 1, task)
        assert made.inputs.shape == (40, 64)
        found = images_of(made)
        assert len(found) == ceil(40 * (task + 1) / tasks - 1e-9)
        assert max(found.values()) - min(found.values()) <= 1
        assert before.keys() <= found.keys()
        before = found
    assert images_of(growing(digits, settings, 1, tasks + 3)).keys() == before.keys()


def test_labels_go_with_their_images_and_the_test_stays(digits):
    known = {
        row.numpy().tobytes(): int(label)
        for row, label in zip(digits.train_inputs, digits.train_labels, strict=True)
    }
    for task in (0, 1):
        made = growing(digits, SETTINGS, 5, task)
        for row, label in zip(made.inputs, made.labels, strict=True):
            assert known[row.numpy().tobytes()] == label
        assert torch.equal(made.test_inputs, digits.test_inputs)
        assert torch.equal(made.test_labels, digits.test_labels)
