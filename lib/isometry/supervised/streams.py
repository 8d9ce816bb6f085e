"""Streams of tasks: what changes from task to task, per seed, whatever the method.

A stream is a function of (seed, task) alone. It draws from its own generators, on the
CPU, so that every method, device and stack meets the same tasks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.seeding import generator
from isometry.supervised.settings import SupervisedSettings

if TYPE_CHECKING:  # what is there to run is known without what reads the images
    from isometry.supervised.data.sets import ImageData


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """A data set as flat, scaled float32 vectors.

    Attributes:
        train_inputs: ``(n, features)``.
        train_labels: ``(n,)``, int64.
        test_inputs: ``(n_test, features)``.
        test_labels: ``(n_test,)``, int64.
        num_classes: How many classes the labels name.
        image_shape: Channels, height and width, in which order the features are flat;
            None for inputs that are no images.
        task_classes: How many classes the labels of a task name; None: all.
    """

    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    num_classes: int
    image_shape: tuple[int, int, int] | None = None
    task_classes: int | None = None


def scaled(data: "ImageData", input_scaling: str) -> Pixels:
    """Return images as flat vectors, scaled by constants of the training set.

    Args:
        data: The images, uint8.
        input_scaling: ``standard``: one mean and one standard deviation over all
            training pixels; ``unit`` and ``running``: divided by the largest possible
            value. What a running scaling does beyond that depends on the stream, see
            :func:`isometry.supervised.scaling.scaled_stream`.

    Source: ours; the paper's scaling is not known, see ``book/departures.md``.
    """

    def flat(images: Tensor) -> Tensor:
        return images.flatten(1).float() / data.max_value

    train, test = flat(data.train_images), flat(data.test_images)
    channels, height, width = data.train_images.shape[1:]
    if input_scaling == "standard":
        # From the counts of the 256 values: exact sums, whatever the order of pixels.
        counts = torch.bincount(data.train_images.flatten()).double()
        share, value = counts / counts.sum(), torch.arange(len(counts)).double()
        centre = float((counts * value).sum() / counts.sum())
        mean = centre / data.max_value
        std = float((share * (value - centre).square()).sum().sqrt()) / data.max_value
        train, test = train.sub_(mean).div_(std), test.sub_(mean).div_(std)
    return Pixels(
        train_inputs=train,
        train_labels=data.train_labels,
        test_inputs=test,
        test_labels=data.test_labels,
        num_classes=data.num_classes,
        image_shape=(channels, height, width),
    )


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task of one seed.

    Attributes:
        inputs: ``(images_per_task, features)``.
        labels: ``(images_per_task,)``, int64.
        test_inputs: ``(n_test, features)``, or None where labels carry no pattern.
        test_labels: ``(n_test,)``, or None.
        previous_inputs: The same images as the task before had them, of the shape of
            ``inputs``; or None where nothing blends.
    """

    inputs: Tensor
    labels: Tensor
    test_inputs: Tensor | None = None
    test_labels: Tensor | None = None
    previous_inputs: Tensor | None = None


TaskMaker = Callable[[Pixels, SupervisedSettings, int, int], Task]


def chosen_images(pixels: Pixels, count: int, seed: int, *labels: str | int) -> Tensor:
    """Return the indices of ``count`` training images, drawn without replacement.

    Args:
        pixels: The data.
        count: How many.
        seed: The stream's seed.
        *labels: What the draw is for.

    Raises:
        ValueError: If the data have fewer images.
    """
    available = len(pixels.train_labels)
    if count > available:
        raise ValueError(
            refusal(
                f"images_per_task <= {available} for this data set",
                count,
                "change images_per_task or data",
            )
        )
    draw = generator(seed, "images", *labels)
    return torch.randperm(available, generator=draw)[:count]


def test_part(pixels: Pixels, settings: SupervisedSettings) -> tuple[Tensor, Tensor]:
    """Return the test images that are evaluated on, and their labels.

    Args:
        pixels: The data.
        settings: How many.

    Raises:
        ValueError: If the data have fewer.
    """
    available = len(pixels.test_labels)
    count = settings.test_images or available
    if count > available:
        needed = f"test_images <= {available} for this data set"
        raise ValueError(refusal(needed, count, "change test_images or data"))
    return pixels.test_inputs[:count], pixels.test_labels[:count]


def random_label(
    pixels: Pixels, settings: SupervisedSettings, seed: int, task: int
) -> Task:
    """Return the same images with new labels, uniform and independent.

    Args:
        pixels: The data.
        settings: How many images.
        seed: Fixes the images.
        task: Fixes the labels.

    Source: Lyle et al. 2023; Kumar et al. 2023 (Random-Label MNIST).
    """
    chosen = chosen_images(pixels, settings.images_per_task, seed)
    draw = generator(seed, "labels", task)
    labels = torch.randint(pixels.num_classes, (len(chosen),), generator=draw)
    return Task(inputs=pixels.train_inputs[chosen], labels=labels)


def _pixel_order(pixels: Pixels, seed: int, task: int) -> Tensor:
    """Return the permutation of the pixels of a task, ``(features,)``.

    Source: Goodfellow et al. 2013.
    """
    draw = generator(seed, "pixels", task)
    return torch.randperm(pixels.train_inputs.shape[1], generator=draw)


def permuted(
    pixels: Pixels, settings: SupervisedSettings, seed: int, task: int
) -> Task:
    """Return new images under one new permutation of their pixels.

    Args:
        pixels: The data.
        settings: How many images.
        seed: The stream.
        task: Fixes the images and the permutation.

    Source: Goodfellow et al. 2013; Kumar et al. 2023; Dohare et al. 2024.
    """
    chosen = chosen_images(pixels, settings.images_per_task, seed, task)
    order = _pixel_order(pixels, seed, task)
    test_inputs, test_labels = test_part(pixels, settings)
    return Task(
        inputs=pixels.train_inputs[chosen].index_select(1, order),
        labels=pixels.train_labels[chosen],
        test_inputs=test_inputs.index_select(1, order),
        test_labels=test_labels,
    )


def gradually_permuted(
    pixels: Pixels, settings: SupervisedSettings, seed: int, task: int
) -> Task:
    """Return the task of :func:`permuted`, and its images as the task before had them.

    In training a sample comes under the new permutation with a probability that rises
    from 0 to 1 over the first ``blend`` of the task's steps, else under the previous
    one, so that at a change of the task nothing jumps; which ones, says
    :func:`isometry.supervised.blending.rows_before`. ``online_accuracy`` is that of
    these blended minibatches. Losses before and after the task, ``plasticity``,
    ``final_accuracy``, ``test_accuracy`` and the diagnostics are of the new permutation
    alone. The first task has none before it; with ``blend=0`` all tasks are
    :func:`permuted`'s.

    Args:
        pixels: The data.
        settings: How many images, and whether tasks blend.
        seed: The stream.
        task: Fixes the images and both permutations.

    Source: ours; task sampling of Liu & Mou 2026, arXiv 2602.09234.
    """
    own = permuted(pixels, settings, seed, task)
    if settings.blend == 0 or task == 0:
        return own
    chosen = chosen_images(pixels, settings.images_per_task, seed, task)
    order = _pixel_order(pixels, seed, task - 1)
    before = pixels.train_inputs[chosen].index_select(1, order)
    return replace(own, previous_inputs=before)


def label_shuffled(
    pixels: Pixels, settings: SupervisedSettings, seed: int, task: int
) -> Task:
    """Return the same images with the names of the classes exchanged.

    Args:
        pixels: The data.
        settings: How many images.
        seed: Fixes the images.
        task: Fixes which class bears which name.

    Source: arXiv 2606.09762, Sec. 6 (Label-Shuffled CIFAR-100); details ours.
    """
    chosen = chosen_images(pixels, settings.images_per_task, seed)
    draw = generator(seed, "classes", task)
    renamed = torch.randperm(pixels.num_classes, generator=draw)
    test_inputs, test_labels = test_part(pixels, settings)
    return Task(
        inputs=pixels.train_inputs[chosen],
        labels=renamed[pixels.train_labels[chosen]],
        test_inputs=test_inputs,
        test_labels=renamed[test_labels],
    )
