"""How far Newton-Schulz steps take a Gaussian layer, by what it is divided first."""

import math

import pandas as pd
import torch
from matplotlib.axes import Axes

from isometry.core.matrices import singular_values
from isometry.core.seeding import generator
from isometry.maxmin import newton_schulz
from isometry_book.style import BLUE, VERMILION

WIDTHS = (100, 512, 1024)
NEAR = 0.99  # what counts as one; after a step no singular value is above one
FROBENIUS, LARGEST = "Frobenius norm", "largest value"


def measured_shares(
    widths: tuple[int, ...] = WIDTHS, iterations: tuple[int, ...] = (10, 20)
) -> pd.DataFrame:
    """Return the share of singular values that Newton-Schulz steps take to 0.99.

    FIRE divides a weight by its Frobenius norm; ``newton_schulz`` with
    ``safe_scaling`` by its largest singular value, where that is too large.

    Args:
        widths: Of square layers with standard normal entries over ``sqrt(width)``,
            in float64; one draw each.
        iterations: How many steps, ascending.

    Returns:
        Columns width, divided_by, iterations, share, smallest, and deviation, the
        squared Gram deviation.

    Source: Han et al., ICLR 2026, arXiv 2602.08040, for the first division.
    """
    rows = []
    for width in widths:
        draw = generator(0, "fire iteration", width)
        drawn = torch.randn(width, width, generator=draw, dtype=torch.float64)
        weight = drawn / math.sqrt(width)
        starts = {
            FROBENIUS: weight / torch.linalg.matrix_norm(weight),
            LARGEST: newton_schulz(weight, 0, safe_scaling=True),
        }
        for name, end in starts.items():
            done = 0
            for steps in iterations:
                end, done = newton_schulz(end, steps - done), steps
                sigma = singular_values(end)
                share = float((sigma >= NEAR).double().mean())
                deviation = float((sigma.square() - 1).square().sum())
                rows.append((width, name, steps, share, float(sigma[-1]), deviation))
    columns = ["width", "divided_by", "iterations", "share", "smallest", "deviation"]
    return pd.DataFrame(rows, columns=columns)


def least_start(iterations: int) -> float:
    """Return the smallest start in (0, 1] that so many steps take to 0.99.

    Args:
        iterations: Of ``s <- 1.5 s - 0.5 s^3``, which keeps the order of starts.

    Example:
        >>> round(least_start(10), 4)
        0.0363
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = sigma = (low + high) / 2
        for _ in range(iterations):
            sigma = 1.5 * sigma - 0.5 * sigma**3
        low, high = (low, middle) if sigma >= NEAR else (middle, high)
    return high


def foretold_share(width: float, iterations: int, divided_by: str) -> float:
    """Return the share by the quarter-circle law, which large Gaussian layers follow.

    With standard deviation ``1 / sqrt(width)`` singular values have the density
    ``sqrt(4 - x^2) / pi`` on [0, 2] and the Frobenius norm is ``sqrt(width)``.

    Args:
        width: Of the square layer.
        iterations: Newton-Schulz steps.
        divided_by: :data:`FROBENIUS` or :data:`LARGEST`.

    Example:
        >>> foretold_share(100, 10, FROBENIUS) > foretold_share(1000, 10, FROBENIUS)
        True
    """
    scale = math.sqrt(width) if divided_by == FROBENIUS else 2.0
    x = min(2.0, scale * least_start(iterations))
    below = x * math.sqrt(4 - x * x) / 2 + 2 * math.asin(x / 2)
    return 1 - below / math.pi


def shares_over_width(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw the measured shares as marks on the lines that the law foretells.

    Args:
        ax: Where to draw.
        table: From :func:`measured_shares`.

    Returns:
        The axes.
    """
    widths = torch.logspace(1.5, 3.7, 80).tolist()
    looks = {FROBENIUS: (VERMILION, "o"), LARGEST: (BLUE, "s")}
    for (name, steps), own in table.groupby(["divided_by", "iterations"], sort=False):
        color, marker = looks[name]
        line = [foretold_share(width, steps, name) for width in widths]
        style = "-" if steps == table["iterations"].min() else "--"
        label = f"by the {name}, {steps} steps"
        ax.plot(widths, line, color=color, linestyle=style, marker="", label=label)
        face = color if style == "-" else "white"
        ax.scatter(
            own["width"],
            own["share"],
            color=face,
            edgecolor=color,
            marker=marker,
            zorder=3,
        )
    ax.set_xscale("log")
    ax.set_ylim(0, 1.03)
    ax.set_xlabel("width of a square Gaussian layer")
    ax.set_ylabel(f"share of singular values ≥ {NEAR}")
    ax.legend(fontsize=8)
    return ax
