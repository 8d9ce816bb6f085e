"""A stream of pairs of classes: which of the two is it, in grey, again and again."""

from dataclasses import replace

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.seeding import generator
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import Pixels, Task

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601


def grey_pairs(pixels: Pixels) -> Pixels:
    """Return the data in grey, for tasks of two classes each.

    Grey is ``0.299 R + 0.587 G + 0.114 B``, not rounded; what is grey already stays as
    it is. Mean and variance of ``input_scaling=standard`` are those of the colours.

    Args:
        pixels: The data, scaled.

    Source: ITU-R BT.601, the luma of television.
    """
    shape = pixels.image_shape
    pixels = replace(pixels, task_classes=2)
    if shape is None or shape[0] != len(LUMA):
        return pixels
    weights = torch.tensor(LUMA)

    def grey(inputs: Tensor) -> Tensor:
        return torch.einsum(
            "ncp,c->np", inputs.view(len(inputs), shape[0], -1), weights
        )

    return replace(
        pixels,
        train_inputs=grey(pixels.train_inputs),
        test_inputs=grey(pixels.test_inputs),
        image_shape=(1, *shape[1:]),
    )


def _of_pair(labels: Tensor, pair: Tensor, num_classes: int) -> Tensor:
    """Return the places of two classes' images, of each as many as all classes have.

    So the number does not depend on which two they are, and members can be stacked.
    """
    each = int(labels.bincount(minlength=num_classes).min())
    places = [(labels == kind).nonzero().flatten()[:each] for kind in pair]
    return torch.cat(places).sort().values


def _checked(key: str, count: int, available: int) -> int:
    """Return a number of images, or refuse one that a pair does not have."""
    if count > available:
        needed = f"{key} <= {available} for two classes of this data set"
        raise ValueError(refusal(needed, count, f"change {key} or data"))
    return count


def class_pair(
    pixels: Pixels, settings: SupervisedSettings, seed: int, task: int
) -> Task:
    """Return images of two classes, drawn anew for each task, with the labels 0 and 1.

    A pair may come again, and a class in many of them, by either name. With one epoch
    and as many images as two classes have, a task is one pass over all of them.

    Args:
        pixels: The data, see :func:`grey_pairs`.
        settings: How many images.
        seed: The stream.
        task: Fixes the classes, which of them is which, and the images.

    Raises:
        ValueError: If two classes have fewer images.

    Source: pairs of classes as in Dohare et al., Nature 2024 (Continual ImageNet); on
        CIFAR-100, details ours.
    """
    pair = torch.randperm(
        pixels.num_classes, generator=generator(seed, "class pair", task)
    )[:2]
    places = _of_pair(pixels.train_labels, pair, pixels.num_classes)
    count = _checked("images_per_task", settings.images_per_task, len(places))
    draw = generator(seed, "images", "class pair", task)
    chosen = places[torch.randperm(len(places), generator=draw)[:count]]
    tested = _of_pair(pixels.test_labels, pair, pixels.num_classes)
    tested = tested[
        : _checked("test_images", settings.test_images, len(tested)) or None
    ]
    return Task(
        inputs=pixels.train_inputs[chosen],
        labels=(pixels.train_labels[chosen] == pair[1]).long(),
        test_inputs=pixels.test_inputs[tested],
        test_labels=(pixels.test_labels[tested] == pair[1]).long(),
    )
