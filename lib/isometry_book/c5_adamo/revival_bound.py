"""Chapter 5: how tight the bound on a dead unit's return is, on random layers."""

import math

import pandas as pd
import torch
from torch import Tensor

from isometry.adamo import isometry_gradient
from isometry.adamo.parting import parting_bound
from isometry.adamo.revival import dead_units, revival_margin, revival_steps
from isometry.core.profile import ByProfile
from isometry.core.seeding import generator

RATE = 0.01
LONGEST = 1000  # steps that a unit is waited for
DRIFT = 1e-3  # Frobenius norm a step, 1/80 in a relaxation time
TURNED = 8  # rows of the square layer that the greedy adversary turns
RELAXATION = 10  # steps, in its runs
LAYERS = ByProfile(smoke=20, laptop=100, paper=300)
UNITS, FAN_IN, INPUTS, KILLED = 8, 12, 8, 4
BY_DIRECTION = 3  # of the killed ones; the rest by bias


def _dead_layer(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a layer with units killed by direction or by bias, and its inputs."""
    draw = generator(seed, "dead layer")
    weight = torch.randn(UNITS, FAN_IN, generator=draw, dtype=torch.float64) * 0.5
    inputs = torch.randn(INPUTS, FAN_IN, generator=draw, dtype=torch.float64).relu()
    bias = torch.zeros(UNITS, dtype=torch.float64)
    weight[:BY_DIRECTION].abs_().neg_()
    strongest = (inputs @ weight.mT).amax(0).clamp(min=0)
    depth = 1 + torch.rand(UNITS, generator=draw, dtype=torch.float64)
    bias[BY_DIRECTION:KILLED] = -(depth * strongest)[BY_DIRECTION:KILLED]
    return weight, bias, inputs


def _first_firing(weight: Tensor, bias: Tensor, inputs: Tensor, rate: float) -> Tensor:
    """Return after how many isometry steps each unit first fires, ``(layers, out)``."""
    moved, first = weight.clone(), torch.full_like(bias, math.inf)
    for step in range(LONGEST + 1):
        fires = (inputs @ moved.mT + bias.unsqueeze(1)).amax(1) > 0
        first[fires & first.isinf()] = step
        moved -= rate * isometry_gradient(moved)
    return first


def bounds(layers: int) -> pd.DataFrame:
    """Compare the bound with what happens, for every dead unit of random layers.

    Args:
        layers: How many.

    Returns:
        One row a dead unit: killed (direction or bias), margin, bound and steps, both
        infinite where there is none.
    """
    drawn = [_dead_layer(seed) for seed in range(layers)]
    weights, biases, inputs = (torch.stack(part) for part in zip(*drawn, strict=True))
    fired = _first_firing(weights, biases, inputs, RATE)
    rows = []
    for layer, steps in zip(drawn, fired, strict=True):
        dead = dead_units(*layer)[:KILLED]
        margin = revival_margin(*layer)
        bound = revival_steps(*layer, RATE, longest=LONGEST)
        rows += [
            {
                "killed": "direction" if unit < BY_DIRECTION else "bias",
                "margin": float(margin[unit]),
                "bound": float(bound[unit]),
                "steps": float(steps[unit]),
            }
            for unit in dead.nonzero().flatten().tolist()
        ]
    return pd.DataFrame(rows)


def promised(layers: int, drift: float = DRIFT) -> dict[str, int]:
    """Count the dead units whose return is promised although the task moves the layer.

    Args:
        layers: How many.
        drift: Bound on what else moves the layer, Frobenius norm a step.

    Returns:
        ``near``: by the bound that is linear near isometry; ``gronwall``: by the one
        that grows exponentially.
    """
    counts = {"near": 0, "gronwall": 0}
    for seed in range(layers):
        layer = _dead_layer(seed)
        dead = dead_units(*layer)[:KILLED]
        for name in counts:
            bound = revival_steps(*layer, RATE, drift=drift, near=name == "near")
            counts[name] += int((dead & bound[:KILLED].isfinite()).sum())
    return counts


def greedy_partings(drift: float = 1e-3) -> pd.DataFrame:
    """Push an orthogonal layer away from the pull's path, and compare with the bounds.

    The first push turns the layer, the later ones point along the difference.

    Args:
        drift: Frobenius norm of a push.

    Returns:
        Columns ``1``, ``5`` and ``10`` relaxation times; rows ``sum`` (the pushes added
        up), ``adversary`` (the distance reached), ``bound`` and ``gronwall``, all over
        the drift.
    """
    rate = 1 / (8 * RELAXATION)
    times = {str(count): count * RELAXATION for count in (1, 5, 10)}
    draw = generator(0, "greedy")
    one, other = torch.randn(2, TURNED, TURNED, generator=draw, dtype=torch.float64)
    still = torch.linalg.qr(one).Q
    push, pushed, apart = still @ (other - other.mT), still.clone(), [0.0]
    for _ in range(max(times.values())):
        still = still - rate * isometry_gradient(still)
        pushed = pushed - rate * isometry_gradient(pushed) + drift * push / push.norm()
        push = pushed - still
        apart.append(float(push.norm()))
    ones = torch.ones(TURNED)
    rows = {
        "sum": torch.arange(len(apart)).double() * drift,
        "adversary": torch.tensor(apart),
    }
    for name in ("bound", "gronwall"):
        near = name == "bound"
        rows[name] = parting_bound(ones, rate, drift, len(apart) - 1, near=near)
    return pd.DataFrame(
        {
            when: {n: float(row[t]) / drift for n, row in rows.items()}
            for when, t in times.items()
        }
    )
