"""A stream whose data grow: at first a part of one set of images, at last all of it."""

from math import ceil

import torch

from isometry.core.seeding import generator
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import Pixels, Task, chosen_images, test_part


def growing(pixels: Pixels, settings: SupervisedSettings, seed: int, task: int) -> Task:
    """Return the first ``(task + 1) / tasks`` of some images, repeated to fill it.

    With two tasks: half of the images, each of them twice, then all. So every task has
    ``images_per_task`` samples an epoch, and as many steps; an epoch of the first one
    is two passes over what it has, and a minibatch may hold an image twice. Where the
    numbers do not divide, those that come once more are drawn. From the last task on
    there are all images.

    Args:
        pixels: The data.
        settings: How many images at last, and how many tasks.
        seed: Fixes the images, and in which order they come to it.
        task: Says how many there are, and orders them anew.

    Source: the warm start of Ash & Adams 2020, arXiv 1910.08475; there a first network
        has half of the images, without repetition.
    """
    chosen = chosen_images(pixels, settings.images_per_task, seed)
    share = min(task + 1, settings.tasks) / settings.tasks
    there = max(1, ceil(share * len(chosen)))
    order = torch.randperm(there, generator=generator(seed, "growth", task))
    chosen = chosen[order[torch.arange(len(chosen)) % there]]
    test_inputs, test_labels = test_part(pixels, settings)
    return Task(
        inputs=pixels.train_inputs[chosen],
        labels=pixels.train_labels[chosen],
        test_inputs=test_inputs,
        test_labels=test_labels,
    )
