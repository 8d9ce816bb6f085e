"""The Wasserstein distance as a test of expressiveness: critics with a known answer.

By Kantorovich and Rubinstein the distance of two distributions is the most that a
1-Lipschitz function, the critic, can tell between them,

    W_1(P, Q) = max over 1-Lipschitz f of  E_Q f - E_P f.

A network with orthogonal weights and MaxMin or ReLU is 1-Lipschitz, so what it reaches
is a lower bound, and how much of the distance it finds measures what it can express.
"""

import math
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from isometry.core.seeding import generator
from isometry.lab.store import TIDY
from isometry_book.c4_maxmin.sizes import Sizes
from isometry_book.c4_maxmin.training import (
    Batch,
    Stack,
    draw_stack,
    train,
)

DIMENSIONS = (2, 16)
NUM_SPHERES = 3
SIDE = 3.0  # between two centres; the answer is one from a side of two
CONTESTANTS = ("maxmin", "relu_orthogonal")
SAMPLES = 126  # of the spheres in a batch, a third on each


def _centres(dimension: int) -> Tensor:
    """Return the corners of an equilateral triangle in the first two coordinates.

    Example:
        >>> torch.pdist(_centres(4)).tolist()
        [3.0, 3.0, 3.0]
    """
    angles = 2 * math.pi * torch.arange(NUM_SPHERES) / NUM_SPHERES
    corners = torch.stack((angles.cos(), angles.sin()), 1) * SIDE / math.sqrt(3)
    return torch.nn.functional.pad(corners, (0, dimension - 2))


def _sphere_points(dimension: int, seeds: int, count: int, step: int) -> Tensor:
    """Return points on the unit spheres around the centres, equally many on each.

    Source: after Anil, Lucas & Grosse, ICML 2019, Sec. 7.1.
    """
    draws = generator(step, "spheres", dimension)
    points = torch.randn(seeds, count, dimension, generator=draws)
    points = points / points.norm(dim=-1, keepdim=True)
    return points + _centres(dimension)[torch.arange(count) % NUM_SPHERES]


def _exact_critic(points: Tensor) -> Tensor:
    """Return the distance to the nearest centre: the best critic there is.

    It is 1-Lipschitz, zero at the centres and one on the spheres, so the Wasserstein
    distance is at least one. Moving every point of a sphere to its centre costs one, so
    it is at most one.

    Source: Anil, Lucas & Grosse, ICML 2019, Sec. 7.1.
    """
    apart = points[..., None, :] - _centres(points.shape[-1])
    return apart.norm(dim=-1).amin(-1)


def _critic_batch(dimension: int, seeds: int, count: int, step: int) -> Batch:
    """Return the centres and points of the spheres, and which of the two each is."""
    inner = _centres(dimension).expand(seeds, -1, -1)
    points = torch.cat((inner, _sphere_points(dimension, seeds, count, step)), 1)
    weights = torch.full(points.shape[:2], 1 / count)
    weights[:, :NUM_SPHERES] = -1 / NUM_SPHERES
    return points, weights


def _negative_estimate(outputs: Tensor, weights: Tensor) -> Tensor:
    """Return minus the estimate ``E_Q f - E_P f`` of every seed, to be minimised.

    Source: Kantorovich-Rubinstein duality.
    """
    return -(outputs[..., 0] * weights).sum(1)


def _trained_critic(
    method: str, dimension: int, sizes: Sizes, seeds: int, rate: float
) -> Stack:
    """Return critics trained from scratch, their weights orthogonal in every step."""
    width = sizes.fit_width
    stack = draw_stack(method, [dimension, width, width, width, 1], seeds)
    batch = partial(_critic_batch, dimension, seeds, SAMPLES)
    steps = sizes.fit_steps
    train(stack, batch, _negative_estimate, steps=steps, lr=rate, decay=True)
    return stack


def wasserstein(sizes: Sizes) -> pd.DataFrame:
    """Return the estimated distance of centres and spheres; the exact one is one.

    The estimate is taken on fresh points; the best learning rate of each seed counts.

    Args:
        sizes: Seeds, width, steps and learning rates.

    Returns:
        Tidy numbers; the task is the dimension of the space.

    Source: after Anil, Lucas & Grosse, ICML 2019, Sec. 7.1.
    """
    rows = []
    seeds = sizes.fit_seeds
    for dimension in DIMENSIONS:
        points, weights = _critic_batch(dimension, seeds, 3999, -1)
        for method in CONTESTANTS:
            found = []
            for rate in sizes.rates:
                stack = _trained_critic(method, dimension, sizes, seeds, rate)
                with torch.no_grad():
                    found.append(-_negative_estimate(stack(points), weights))
            best = torch.stack(found).amax(0).tolist()
            rows += [
                ("wasserstein_spheres", method, seed, dimension, "distance", value)
                for seed, value in enumerate(best)
            ]
    return pd.DataFrame(rows, columns=TIDY)


def critic_maps(sizes: Sizes, points: int = 81) -> dict[str, Tensor]:
    """Return the exact critic and one trained critic of each kind, on a square.

    Args:
        sizes: Width and steps of the training.
        points: Of a side of the square, which reaches to 3.2 from the origin.

    Returns:
        ``(points, points)`` by ``"exact"`` and method, rows from below, each shifted
        to mean zero at the centres; and ``"axis"``, ``(points,)``.
    """
    axis = torch.linspace(-3.2, 3.2, points)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    plane = torch.stack((x, y), -1)
    maps = {"axis": axis, "exact": _exact_critic(plane)}
    for method in CONTESTANTS:
        stack = _trained_critic(method, 2, sizes, 1, 1e-2)
        with torch.no_grad():
            values = stack(plane.view(1, -1, 2)).view(points, points)
            level = stack(_centres(2)[None]).mean()
        maps[method] = values - level
    return maps
