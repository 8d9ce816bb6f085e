"""Linear tracking: few inputs matter, with signs that flip one by one."""

from typing import Any

import torch
from torch import Tensor

from isometry.core.seeding import generator
from isometry.tracking.learner import LinearRule
from isometry.tracking.settings import LinearSettings

State = dict[str, Tensor]
Metrics = dict[str, float]


def target_weights(settings: LinearSettings, seed: int) -> Tensor:
    """Return the target's weights between its flips, ``(flips + 1, relevant)``.

    The first signs are drawn; then one weight, drawn each time, changes its sign.

    Args:
        settings: How often, and for how long.
        seed: The member's seed.
    """
    count = settings.tasks * settings.steps_per_task // settings.flip_every
    draw = generator(seed, "tracking", "signs")
    first = 2.0 * torch.randint(2, (settings.relevant,), generator=draw) - 1
    draw = generator(seed, "tracking", "flips")
    flipped = torch.randint(settings.relevant, (count,), generator=draw)
    signs = torch.ones(count + 1, settings.relevant, dtype=torch.float64)
    signs[torch.arange(1, count + 1), flipped] = -1
    return signs.cumprod(0) * first


def linear_examples(
    settings: LinearSettings, seed: int, task: int
) -> tuple[Tensor, Tensor]:
    """Return a stretch of the stream: inputs and targets, float64.

    Args:
        settings: Of the stream.
        seed: The member's seed.
        task: Which stretch.

    Returns:
        ``(steps, inputs)`` and ``(steps,)``.

    Source: Sutton 1992; the noise is arXiv 2604.27063's.
    """
    count, kind = settings.steps_per_task, torch.float64
    draw = generator(seed, "tracking", "inputs", task)
    inputs = torch.randn(count, settings.inputs, generator=draw, dtype=kind)
    steps = torch.arange(task * count, (task + 1) * count)
    weights = target_weights(settings, seed)[steps // settings.flip_every]
    targets = (inputs[:, : settings.relevant] * weights).sum(1)
    draw = generator(seed, "tracking", "noise", task)
    noise = torch.randn(count, generator=draw, dtype=kind)
    return inputs, targets + settings.noise * noise


def linear_begin(rule: LinearRule, settings: LinearSettings, seed: int) -> State:
    """Return a linear unit before its first step, all weights zero.

    Args:
        rule: How it learns.
        settings: Of the stream.
        seed: Of the member; nothing is drawn.
    """
    from isometry.tracking.linear_kernel import linear_state

    return {
        "unit": torch.from_numpy(linear_state(rule.rate, rule.decay, settings.inputs))
    }


def linear_task(
    rule: LinearRule, settings: LinearSettings, seed: int, task: int, state: State
) -> tuple[Metrics, Tensor]:
    """Take a linear unit through a stretch of its stream.

    Args:
        rule: How it learns.
        settings: Of the stream.
        seed: The member's seed.
        task: Which stretch.
        state: Changed in place.

    Returns:
        ``squared_error``: mean squared error of the predictions, each before its step;
        and every step's squared error, ``(steps,)``.
    """
    from isometry.tracking.linear_kernel import linear_steps

    inputs, targets = (part.numpy() for part in linear_examples(settings, seed, task))
    errors = torch.empty(len(inputs), dtype=torch.float64)
    thetas = rule.rate_theta, rule.decay_theta
    unit: Any = state["unit"].numpy()
    linear_steps(inputs, targets, unit, *thetas, rule.coupled, errors.numpy())
    squares = errors.square()
    return {"squared_error": float(squares.mean())}, squares
