"""Chapter 6: are there two ways of losing plasticity?

A first look at ten methods found that where labels are shuffled the level goes with
units that stay awake, and where pixels are permuted with nearness to isometry. That was
seen afterwards. Here it is asked again of methods that nobody had looked at: all that
have been run on both streams and were not among the ten.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import rankdata

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, stratified_bootstrap
from isometry.lab.report import BOOTSTRAP_SEED
from isometry_book.c6_benchmark.streams_tables import beside_level
from isometry_book.evidence.streams import HELD, Stream
from isometry_book.style import BLUE, GREY

FIRST_LOOK = (
    *("adam", "adamo", "adamo_maxmin", "fresh", "l2_init", "maxmin"),
    *("nap", "newton_schulz", "redo", "spectral"),
)
# Stream -> what its level is expected to fall with, more than with the other.
EXPECTED = {"label_shuffled_cifar100": "dormant", "permuted_mnist": "Gram deviation"}

Answer = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class Way:
    """What the level of a stream goes with, over methods.

    Attributes:
        table: From :func:`isometry_book.c6_benchmark.streams_tables.beside_level`.
        measure: What the level is expected to fall with.
        expected: Rank correlation of the level with that.
        other: With the other of the two.
        apart: The first minus the second, over the same draws of methods.
    """

    table: pd.DataFrame
    measure: str
    expected: Interval
    other: Interval
    apart: Interval

    @property
    def answer(self) -> Answer:
        """Whether the first look is confirmed on this stream.

        The rule, from before any of these runs on shuffled labels was looked at:
        *yes* where the correlation with what is expected, and what lies between it and
        the other, both have their whole 95 % interval below 0; *no* where one of the
        two has it above; otherwise *undecided*.
        """
        asked = (self.expected, self.apart)
        if all(one.high < 0 for one in asked):
            return "yes"
        return "no" if any(one.low > 0 for one in asked) else "undecided"


def ways(streams: Mapping[str, Stream]) -> dict[str, Way]:
    """Return what the level goes with on each stream of :data:`EXPECTED`.

    Args:
        streams: By name.

    Returns:
        Over the methods that all of these streams have and the first look had not.
    """
    both = [set(streams[name].runs) for name in EXPECTED]
    new = sorted(set.intersection(*both) - set(FIRST_LOOK))
    methods = [name for name in new if not name.endswith(HELD)]
    return {
        name: way_of(beside_level(streams[name], methods), expected, name)
        for name, expected in EXPECTED.items()
    }


def way_of(table: pd.DataFrame, expected: str, *labels: str) -> Way:
    """Return the rank correlations of the level with their intervals over methods.

    Args:
        table: One row a method: ``level``, ``Gram deviation``, ``dormant``.
        expected: One of the last two.
        *labels: Name the bootstrap's draws.
    """
    known = table.dropna()
    (other,) = {"Gram deviation", "dormant"} - {expected}
    columns = {name: known[name].to_numpy() for name in known}

    def correlation(drawn: NDArray, name: str) -> NDArray:
        rows = drawn.astype(int)
        return _spearman(columns["level"][rows], columns[name][rows])

    def interval(statistic) -> Interval:
        draw = numpy_generator(BOOTSTRAP_SEED, "two ways", *labels)
        return stratified_bootstrap(np.arange(len(known)), draw, statistic)

    return Way(
        table=known,
        measure=expected,
        expected=interval(lambda drawn: correlation(drawn, expected)),
        other=interval(lambda drawn: correlation(drawn, other)),
        apart=interval(
            lambda drawn: correlation(drawn, expected) - correlation(drawn, other)
        ),
    )


def draw(ax: Axes, way: Way, seen: pd.DataFrame, measure: str) -> None:
    """Draw the level over a measure: new methods, and those of the first look.

    Args:
        ax: Where.
        way: From :func:`ways`.
        seen: The table of the first look on the same stream.
        measure: ``Gram deviation`` or ``dormant``.
    """
    correlation = way.expected if measure == way.measure else way.other
    new = f"new: {correlation.estimate:+.2f}"
    ax.plot(seen[measure], seen["level"], "o", color=GREY, mfc="none", label="seen")
    ax.plot(way.table[measure], way.table["level"], "o", color=BLUE, label=new)
    if measure == "Gram deviation":
        ax.set_xscale("log")
    ax.set_xlabel(measure + (" units" if measure == "dormant" else ""))
    ax.legend(fontsize=8)


def _spearman(first: NDArray, second: NDArray) -> NDArray:
    """Return the rank correlation along the last axis; equal values share a rank."""
    one, two = (rankdata(values, axis=-1) for values in (first, second))
    one, two = (ranks - ranks.mean(axis=-1, keepdims=True) for ranks in (one, two))
    size = np.sqrt((one**2).sum(axis=-1) * (two**2).sum(axis=-1))
    return (one * two).sum(axis=-1) / size
