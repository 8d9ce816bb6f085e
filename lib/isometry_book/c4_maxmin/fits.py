"""What MaxMin networks fit: Lipschitz targets, and images at great depth."""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from isometry.core.seeding import generator
from isometry.lab.store import TIDY
from isometry.supervised.data.sets import load
from isometry_book.c4_maxmin.sizes import Sizes
from isometry_book.c4_maxmin.training import draw_stack, train

TARGETS = {"absolute_value": 1, "cone": 16}  # dimension of the inputs
DEEP = ("maxmin", "relu_layernorm", "relu")  # of the deep training


def _regression_batch(
    target: str, seeds: int, count: int, step: int
) -> tuple[Tensor, Tensor]:
    """Return inputs whose length is uniform on [0, 1], and their length.

    In one dimension the length is the absolute value, in sixteen a cone.

    Source: after Anil, Lucas & Grosse, ICML 2019, Sec. 7.1.
    """
    draws = generator(step, "regression", target)
    direction = torch.randn(seeds, count, TARGETS[target], generator=draws)
    length = torch.rand(seeds, count, 1, generator=draws)
    direction = direction / direction.norm(dim=-1, keepdim=True)
    return direction * length, length[..., 0]


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error of every seed.

    Source: definition.
    """
    return (outputs[..., 0] - targets).square().mean(1)


def expressiveness(
    sizes: Sizes, *, targets: Sequence[str] = tuple(TARGETS), share: float = 1.0
) -> pd.DataFrame:
    """Return the error on Lipschitz targets with exactly orthogonal weights.

    Args:
        sizes: Seeds, steps, width and learning rates.
        targets: Keys of :data:`TARGETS`.
        share: Of the training steps that are taken, in (0, 1].

    Source: Anil, Lucas & Grosse, ICML 2019.
    """
    rows = []
    steps = round(share * sizes.fit_steps)
    for target in targets:
        dimension = TARGETS[target]
        width = sizes.fit_width if dimension > 1 else 16
        test = _regression_batch(target, sizes.fit_seeds, 4000, -1)
        for method in ("maxmin", "relu_orthogonal"):
            errors = []
            for rate in sizes.rates:
                stack = draw_stack(
                    method, [dimension, width, width, width, 1], sizes.fit_seeds
                )
                batch = partial(_regression_batch, target, sizes.fit_seeds, 128)
                train(
                    stack,
                    batch,
                    _squared_error,
                    steps=steps,
                    lr=rate,
                    decay=True,
                )
                with torch.no_grad():
                    errors.append(_squared_error(stack(test[0]), test[1]))
            best = torch.stack(errors).amin(0).tolist()
            rows += [
                (f"lipschitz_{target}", method, seed, 0, "squared_error", value)
                for seed, value in enumerate(best)
            ]
    return pd.DataFrame(rows, columns=TIDY)


def fitted_curves(sizes: Sizes, points: int = 201) -> dict[str, Tensor]:
    """Return what one network of each kind makes of the absolute value.

    Args:
        sizes: Steps.
        points: How many inputs between -1 and 1.

    Returns:
        ``(points,)`` by method, and ``"x"``.
    """
    x = torch.linspace(-1, 1, points)
    fits = {"x": x}
    for method in ("maxmin", "relu_orthogonal"):
        stack = draw_stack(method, [1, 16, 16, 16, 1], 1)
        batch = partial(_regression_batch, "absolute_value", 1, 128)
        train(stack, batch, _squared_error, steps=sizes.fit_steps, lr=1e-2, decay=True)
        with torch.no_grad():
            fits[method] = stack(x[None, :, None])[0, :, 0]
    return fits


def _image_batches(
    data: str, seeds: int, count: int = 64
) -> tuple[Callable[[int], tuple[Tensor, Tensor]], int, int]:
    """Return a function from a step to random images and labels, and the sizes."""
    images = load(data)
    pixels = images.train_images.flatten(1).float() / images.max_value
    pixels = (pixels - pixels.mean()) / pixels.std()
    labels = images.train_labels

    def batch(step: int) -> tuple[Tensor, Tensor]:
        draws = generator(step, "images", data)
        chosen = torch.randint(len(pixels), (seeds, count), generator=draws)
        return pixels[chosen], labels[chosen]

    return batch, pixels.shape[1], images.num_classes


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of every seed, nats.

    Args:
        outputs: ``(seeds, n, classes)``.
        targets: ``(seeds, n)``.

    Source: definition.
    """
    each = functional.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), reduction="none"
    )
    return each.view(targets.shape).mean(1)


def deep_training(sizes: Sizes, data: str, width: int = 32) -> pd.DataFrame:
    """Return the training loss of very deep networks on images, at their best rate.

    Args:
        sizes: Depths, steps, learning rates and seeds.
        data: Name of a data set.
        width: Units of every hidden layer.

    Returns:
        Tidy numbers; the task is the step, the benchmark names the depth.
    """
    batch, pixels, classes = _image_batches(data, sizes.seeds)
    rows = []
    for depth in sizes.deep:
        shape = [pixels, *[width] * depth, classes]
        for family in DEEP:
            curves = [
                train(
                    draw_stack(family, shape, sizes.seeds),
                    batch,
                    cross_entropy,
                    steps=sizes.deep_steps,
                    lr=rate,
                )
                for rate in sizes.deep_rates
            ]
            last = max(1, sizes.deep_steps // 10)
            best = min(curves, key=lambda curve: curve[-last:].nan_to_num(9).mean())
            rows += [
                (f"deep_{data}_{depth}", family, seed, step, "loss", loss)
                for step, losses in enumerate(best.tolist())
                for seed, loss in enumerate(losses)
            ]
    return pd.DataFrame(rows, columns=TIDY)
