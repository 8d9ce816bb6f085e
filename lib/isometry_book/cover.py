"""The figure on the start page: what layers do to a circle of inputs."""

import math

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from isometry.core.seeding import generator
from isometry_book import style
from isometry_book.narrow import WIDTH as NARROW

DEPTHS = (0, 1, 4, 16)
POINTS = 8


def _maps(isometric: bool, depth: int, seed: int = 133) -> list[Tensor]:
    """Return the layers of one row of the figure.

    Example:
        >>> turn = _maps(True, 1)[0]
        >>> bool(torch.allclose(turn @ turn.T, torch.eye(2, dtype=torch.float64)))
        True
    """
    random = generator(seed, "cover")
    layers = []
    for _ in range(depth):
        weight = torch.randn(2, 2, generator=random, dtype=torch.float64)
        if isometric:
            layers.append(torch.linalg.qr(weight).Q)
        else:
            layers.append(weight / weight.square().sum().div(2).sqrt())
    return layers


def _panel(ax: Axes, layers: list[Tensor]) -> Axes:
    """Draw what ``layers`` make of a circle with marked points; return ``ax``."""
    angles = torch.linspace(0, 2 * math.pi, 361, dtype=torch.float64)
    circle = torch.stack([angles.cos(), angles.sin()])
    for weight in layers:
        circle = weight @ circle
    ax.plot(*circle, color=style.GREY, linestyle="-", linewidth=1.2)
    for index in range(POINTS):
        x, y = circle[:, index * 360 // POINTS].tolist()
        color = style.PALETTE[index % len(style.PALETTE)]
        ax.plot([0, x], [0, y], color=color, linestyle="-", linewidth=1)
        ax.plot(x, y, "o", color=color)
    ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def cover(width: float = 8.0) -> Figure:
    """Return the figure: two kinds of layers, four depths.

    Args:
        width: Of the drawing, in inches; print is smaller on a narrow one.
    """
    style.use()
    size = 12 if width > NARROW else 8  # points
    figure = Figure(figsize=(width, 0.525 * width), layout="constrained")
    axes = figure.subplots(2, len(DEPTHS))
    for row, (label, isometric) in zip(
        axes, (("orthogonal layers", True), ("Gaussian layers", False)), strict=True
    ):
        layers = _maps(isometric, max(DEPTHS))
        for ax, depth in zip(row, DEPTHS, strict=True):
            _panel(ax, layers[:depth])
            if isometric:
                plural = "" if depth == 1 else "s"
                words = f"{depth} layer{plural}" if depth else "inputs"
                ax.set_title(words, fontsize=size)
        row[0].set_ylabel(label, fontsize=size - 0.5)
    return figure
