import math

import pytest
import torch
from torch.testing import assert_close

from isometry.adamo.drift import _stationary_deviation, kept_share
from isometry.core.seeding import generator

PULLS = torch.tensor([1e-6, 0.01, 0.3, 1.0, 4.0, 50.0], dtype=torch.float64)


def deviations(rate, tasks, task_steps, walkers=20_000):
    """Return the root mean square of simulated deviations after each task."""
    draw, x, found = generator(0, "drift"), torch.zeros(walkers).double(), []
    for _ in range(tasks):
        velocity = torch.randn(walkers, generator=draw, dtype=torch.float64)
        for _ in range(task_steps):
            x = x - 8 * rate * x + velocity
        found.append(float(x.square().mean().sqrt()))
    return torch.tensor(found)


def test_without_a_pull_everything_is_kept():
    assert_close(kept_share(torch.zeros(3), torch.tensor([1, 7, math.inf])).min(), ONE)


ONE = torch.tensor(1.0, dtype=torch.float64)


def test_one_task_is_a_constant_drift():
    assert_close(kept_share(PULLS, 1), -torch.expm1(-PULLS) / PULLS)


def test_endless_tasks_are_a_random_walk():
    expected = (-torch.expm1(-2 * PULLS) / (2 * PULLS)).sqrt()
    assert_close(kept_share(PULLS, math.inf), expected)
    assert_close(kept_share(PULLS, 1e7), expected)


def test_the_share_is_the_sum_over_tasks_that_the_chapter_writes():
    for count in (1, 2, 6, 50):
        q = PULLS / count
        tasks = torch.arange(count).double().unsqueeze(1)
        own = -torch.expm1(-q) / q  # a task's own drift, as a share of c v
        expected = own * torch.exp(-2 * q * tasks).sum(0).div(count).sqrt()
        assert_close(kept_share(PULLS, count), expected)


@pytest.mark.parametrize(("rate", "task_steps"), [(1e-4, 50), (1e-3, 50), (4e-3, 100)])
def test_simulated_drifts_keep_the_share_and_settle_at_the_stationary_deviation(
    rate, task_steps
):
    pulled, free = deviations(rate, 40, task_steps), deviations(0.0, 40, task_steps)
    tasks = torch.arange(1, 41)
    expected = kept_share(8 * rate * task_steps * tasks, tasks)
    # standard errors of 20,000 walkers, and explicit steps: an error of 4 rate
    assert_close((pulled / free).double(), expected, rtol=0.03, atol=0)
    if rate >= 1e-3:
        end = _stationary_deviation(1.0, rate, task_steps)
        assert float(pulled[-1]) == pytest.approx(end, rel=0.03)


def test_the_stationary_deviation_has_the_two_limits():
    drift, rate = 1e-3, 1e-3
    assert _stationary_deviation(drift, rate, math.inf) == drift / (8 * rate)
    short = _stationary_deviation(drift, rate, 1)
    assert short == pytest.approx(drift / math.sqrt(16 * rate), rel=1e-5)


def test_a_strong_pull_keeps_the_stationary_share():
    rate, count, steps = 1e-3, 30, 400
    pull = torch.tensor(8 * rate * count * steps)
    free = math.sqrt(count) * steps  # of a drift of one
    expected = _stationary_deviation(1.0, rate, steps) / free
    assert float(kept_share(pull, count)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _stationary_deviation(1.0, 0.0, 5), "rate > 0"),
        (lambda: _stationary_deviation(1.0, 0.1, 0), "task_steps > 0"),
        (lambda: _stationary_deviation(-1.0, 0.1, 1), "drift >= 0"),
        (lambda: kept_share(-PULLS, 1), "pull >= 0"),
        (lambda: kept_share(PULLS, 0), "at least one task"),
    ],
)
def test_numbers_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
