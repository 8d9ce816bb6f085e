"""The picture of a look at a network: weights, Jacobians, units, kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isometry.core.extras import extra

with extra("plot"):
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

if TYPE_CHECKING:  # the report draws itself
    from isometry.diagnostics.report import Diagnostics

# Okabe and Ito's colours, as in the whole book; this floor cannot see its figures.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#4D4D4D"
LONGEST = 24  # characters of a name on an axis; the front is cut off
MOST_LABELS = 20  # layers that are named one by one


def overview(found: Diagnostics) -> Figure:
    """Return a figure of four panels; a part that was left out says so.

    Args:
        found: What to draw.
    """
    layers = max(len(found.weights), len(found.activations), 4)
    height = 2.4 + 0.22 * min(layers, MOST_LABELS)
    figure, axes = plt.subplots(
        2, 2, figsize=(10, 2 * height), layout="constrained", squeeze=False
    )
    _weight_ranges(axes[0, 0], found)
    _jacobian_ranges(axes[0, 1], found)
    _silent_units(axes[1, 0], found)
    _kernel_spectrum(axes[1, 1], found)
    return figure


def _weight_ranges(ax: Axes, found: Diagnostics) -> Axes:
    """Draw smallest, median and largest singular value of each weight."""
    ranges = [(w.smallest, w.median, w.largest) for w in found.weights]
    return _ranges(ax, ranges, [w.name for w in found.weights], "weights")


def _jacobian_ranges(ax: Axes, found: Diagnostics) -> Axes:
    """Draw the same for the Jacobians, at the median input."""
    whole = () if found.end_to_end is None else (found.end_to_end,)
    shown = (*found.layer_jacobians, *whole)
    ranges = [(j.smallest.median, j.median.median, j.largest.median) for j in shown]
    return _ranges(ax, ranges, [j.name for j in shown], "Jacobians, median input")


def _ranges(
    ax: Axes,
    ranges: Sequence[tuple[float, float, float]],
    names: Sequence[str],
    title: str,
) -> Axes:
    """Draw one horizontal range a name, with a line at one; four decades at most."""
    ax.set_title(f"Singular values: {title}", loc="left")
    if not ranges:
        return _nothing(ax)
    largest = max(high for *_, high in ranges) or 1.0
    floor = 1e-4 * largest  # zero has no place on a logarithmic axis
    for place, (low, middle, high) in enumerate(ranges):
        ends = [max(low, floor), max(high, floor)]
        ax.plot(ends, [place, place], color=BLUE, linewidth=3, alpha=0.45)
        ax.plot(max(middle, floor), place, marker="o", color=BLUE, linestyle="")
    ax.axvline(1, color=GREY, linewidth=0.8, linestyle="--")
    ax.set_xscale("log")
    left, right = ax.get_xlim()
    ax.set_xlim(min(left, 0.1), max(right, 2))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("smallest, median (dot) and largest value")
    return _named(ax, names)


def _silent_units(ax: Axes, found: Diagnostics) -> Axes:
    """Draw the shares of dead units and of dormant ones at the largest threshold."""
    ax.set_title("Units that do little", loc="left")
    if not found.activations:
        return _nothing(ax)
    places = range(len(found.activations))
    threshold = max(found.activations[0].dormant_fraction, default=None)
    if threshold is not None:
        dormant = [a.dormant_fraction[threshold] for a in found.activations]
        label = f"dormant, threshold {threshold:g}"
        ax.barh(places, dormant, color=BLUE, alpha=0.35, height=0.8, label=label)
    dead = [a.dead_fraction for a in found.activations]
    ax.barh(places, dead, color=VERMILION, height=0.4, label="dead")
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of the layer's units")
    ax.legend(loc="best")
    return _named(ax, [a.name for a in found.activations])


def _kernel_spectrum(ax: Axes, found: Diagnostics) -> Axes:
    """Draw the kernel's eigenvalues in descending order, over the largest."""
    ax.set_title("Neural tangent kernel", loc="left")
    if found.ntk is None:
        return _nothing(ax)
    values = found.ntk.eigenvalues.flip(0).cpu()
    values = values.clamp_min(found.ntk.floor) / values[0].clamp_min(1e-300)
    ax.plot(range(1, len(values) + 1), values.tolist(), color=BLUE)
    ax.set_yscale("log")
    ax.set_xlabel("rank of the eigenvalue")
    ax.set_ylabel("eigenvalue / largest")
    return ax


def _named(ax: Axes, names: Sequence[str]) -> Axes:
    """Name the rows of a panel, the first on top; every k-th where there are many."""
    every = -(-len(names) // MOST_LABELS)
    cut = [n if len(n) <= LONGEST else f"…{n[1 - LONGEST :]}" for n in names]
    ax.set_yticks(range(0, len(names), every), cut[::every])
    ax.set_ylim(len(names) - 0.4, -0.6)
    return ax


def _nothing(ax: Axes) -> Axes:
    """Say in an empty panel that nothing is shown."""
    ax.text(0.5, 0.5, "left out", ha="center", va="center", transform=ax.transAxes)
    ax.set_xticks([])
    ax.set_yticks([])
    return ax
