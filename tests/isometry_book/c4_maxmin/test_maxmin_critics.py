import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close

import isometry_book.c4_maxmin.critics as critics
import isometry_book.c4_maxmin.study as study
from isometry.core.seeding import generator
from isometry.lab.store import TIDY
from isometry_book.c4_maxmin.sizes import SIZES
from isometry_book.c4_maxmin.training import draw_stack


def assigned(first, second):
    """Return the exact distance of two clouds of equally many points."""
    cost = torch.cdist(first.double(), second.double())
    rows, columns = linear_sum_assignment(cost.numpy())
    return cost[rows, columns].mean()


@pytest.mark.parametrize("dimension", critics.DIMENSIONS)
def test_the_distance_of_centres_and_spheres_is_one(dimension):
    points = critics._sphere_points(dimension, 1, 99, 0)[0]
    copies = critics._centres(dimension).repeat(33, 1)
    # float32 points lie on their sphere to rounding
    one = torch.ones((), dtype=torch.float64)
    assert_close(assigned(copies, points), one, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dimension", critics.DIMENSIONS)
def test_the_exact_critic_reaches_the_distance_and_is_lipschitz(dimension):
    points, weights = critics._critic_batch(dimension, 2, 99, 0)
    values = critics._exact_critic(points)[..., None]
    assert_close(-critics._negative_estimate(values, weights), torch.ones(2))
    draws = generator(0, "pairs", dimension)
    first, second = 3 * torch.randn(2, 5000, dimension, generator=draws)
    apart = (critics._exact_critic(first) - critics._exact_critic(second)).abs()
    assert bool((apart <= (first - second).norm(dim=-1) + 1e-5).all())


@pytest.mark.parametrize("method", critics.CONTESTANTS)
@pytest.mark.parametrize("dimension", [2, 5])
def test_no_critic_finds_more_than_the_distance(method, dimension):
    # Two clouds that no formula knows, the oracle being an exact assignment.
    draws = generator(1, "clouds", dimension)
    first = torch.randn(64, dimension, generator=draws)
    second = torch.randn(64, dimension, generator=draws) + 0.5
    exact = assigned(first, second)
    points = torch.cat((first, second))[None]
    weights = torch.cat((-torch.ones(64), torch.ones(64)))[None] / 64
    network = draw_stack(method, [dimension, 16, 16, 1], 1)
    found = []

    def loss(outputs, targets):
        each = critics._negative_estimate(outputs, targets)
        found.append(-each.item())
        return each

    critics.train(network, lambda _: (points, weights), loss, steps=150, lr=1e-2)
    # three Newton-Schulz steps leave the norm of a float32 weight at one to 1e-6
    assert max(found) <= exact * (1 + 1e-5)
    assert max(found) > 0.3 * exact


def test_maxmin_finds_more_of_the_distance_than_relu():
    frame = critics.wasserstein(SIZES.smoke)
    found = frame.groupby(["task", "method"])["value"]
    for dimension in critics.DIMENSIONS:
        lowest = found.min()[dimension, "maxmin"]
        assert 1 > lowest > 1.4 * found.max()[dimension, "relu_orthogonal"]


def test_maps_are_zero_at_the_centres_on_average():
    maps = critics.critic_maps(SIZES.smoke, points=33)
    nearest = [
        (maps["axis"] - x).abs().argmin() for x in critics._centres(2).T.flatten()
    ]
    columns, rows = nearest[:3], nearest[3:]
    for name in ("exact", *critics.CONTESTANTS):
        values = torch.stack(
            [maps[name][r, c] for r, c in zip(rows, columns, strict=True)]
        )
        assert values.mean().abs() < 0.2  # the side of a cell
    assert maps["exact"].shape == (33, 33)


@pytest.mark.slow
def test_lipschitz_study_is_tidy_and_complete():
    frame = study.LIPSCHITZ.at("smoke", "digits")
    assert list(frame.columns) == TIDY
    key = ["benchmark", "method", "seed", "task", "metric"]
    assert not frame.duplicated(key).any()
    assert set(frame["benchmark"]) == {
        "lipschitz_absolute_value",
        "lipschitz_cone",
        "wasserstein_spheres",
    }
