"""Chapter 5's measurements of AdamO itself, as tidy numbers for the results store.

The closed-form flow against discrete steps, and the decoupled against the coupled form.
"""

from dataclasses import dataclass

import pandas as pd
import torch

from isometry.adamo import (
    isometry_gradient,
    singular_value_flow,
    strength_for_relaxation,
)
from isometry.core.matrices import singular_values
from isometry.core.seeding import generator
from isometry.lab.store import TIDY
from isometry_book.c5_adamo import continual
from isometry_book.c5_adamo.drifted_network import drifted_network
from isometry_book.c5_adamo.strength import departure, flow_deviation, relax_alone

FLOW_RATE = 5e-5  # small enough that the steps' own error stays below 1e-3
SHAPES = {"tall": (16, 10), "wide": (10, 16), "square": (10, 10)}
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # the same for both forms
ALONE = (30, 300, 3000)  # relaxation times of the pull without a task
FORMS = ("adamo", "adam_isometry")
Rows = list[tuple[str, str, int, int, str, float]]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the measurements are.

    Attributes:
        stream: Of the continual runs; their seeds are also those of the rest, as far as
            these take so many.
        drifted_steps: Of Adam, before spectra are pulled without a task.
        flow_rate: Of the discrete steps beside the flow.
    """

    stream: continual.Sizes
    drifted_steps: int
    flow_rate: float = FLOW_RATE


def _gram_flow(seeds: int, rate: float) -> Rows:
    """Compare discrete steps of the penalty's gradient with the closed-form flow.

    Source: arXiv 2606.09762, Eq. 16.
    """
    rows: Rows = []
    length = int(20 / (8 * rate))  # 20 relaxation times
    for name, shape in SHAPES.items():
        d = min(shape)
        sigma = torch.logspace(0, 1, d, base=60, dtype=torch.float64) * 0.05
        weights = []
        for seed in range(seeds):
            draw = generator(seed, "gram flow", name)
            drawn = torch.randn(shape, generator=draw, dtype=torch.float64)
            left, _, right = torch.linalg.svd(drawn, full_matrices=False)
            weights.append((left * sigma) @ right)
        weight = torch.stack(weights)
        worst = torch.zeros(seeds, dtype=torch.float64)
        for step in range(1, length + 1):
            weight = weight - rate * isometry_gradient(weight)
            if step % (length // 50) == 0:
                flow = singular_value_flow(sigma, rate, step).flip(0)
                error = (singular_values(weight) - flow).abs().amax(1)
                worst = torch.maximum(worst, error)
        end = (singular_values(weight) - 1).abs().amax(1)
        for metric, values in (("flow_error", worst), ("end_error", end)):
            rows += [
                ("gram_flow", name, seed, 0, metric, value)
                for seed, value in enumerate(values.tolist())
            ]
    return rows


def _decoupling_alone(seeds: int, drifted_steps: int, data: str) -> Rows:
    """Return by which factor each form departs from the flow, without a task."""
    lr, steps = 3e-3, 300
    start = drifted_network(seeds, drifted_steps, data)
    grid = [strength_for_relaxation(time, lr) for time in ALONE]
    rows: Rows = []
    for seed, sigma in enumerate(singular_values(start.weights[2])):
        flow = {s: flow_deviation(sigma, s, lr, steps) for s in grid}
        for form in FORMS:
            coupled = form == "adam_isometry"
            moved = {s: relax_alone(sigma, s, lr, steps, coupled=coupled) for s in grid}
            factor = departure(moved, flow)
            rows.append(("decoupling_alone", form, seed, 0, "departure", factor))
    return rows


def _decoupling_task(sizes: continual.Sizes, data: str) -> Rows:
    """Return the online accuracy of both forms over a grid of strengths, the task."""
    settings = continual.stream_settings(sizes, data)
    pixels, seeds = continual.stream_pixels(settings), list(range(sizes.seeds))
    rows: Rows = []
    for form in FORMS:
        for index, strength in enumerate(STRENGTHS):
            record = continual.record_spectra(
                form, settings, pixels, seeds, isometry_strength=strength
            )
            for seed, value in enumerate(record.online_accuracy.mean(0).tolist()):
                place = ("decoupling_task", form, seed, index)
                rows.append((*place, "online_accuracy", value))
                rows.append((*place, "isometry_strength", strength))
    return rows


def form_numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return all tidy numbers on AdamO itself.

    Args:
        sizes: How large.
        data: A data set's name.

    Source: arXiv 2606.09762, Eq. 16 and Sec. 4.4.
    """
    seeds = sizes.stream.seeds
    parts = _decoupling_task(sizes.stream, data)
    parts += _decoupling_alone(min(3, seeds), sizes.drifted_steps, data)
    parts += _gram_flow(min(5, seeds), sizes.flow_rate)
    return pd.DataFrame(parts, columns=TIDY)
