import math

import pandas as pd
import pytest
import torch
from matplotlib import rcParams
from matplotlib.figure import Figure

from isometry.lab.store import TIDY
from isometry_book.c5_adamo import revival_figures as revival
from isometry_book.c5_adamo import spectra


@pytest.fixture
def ax():
    return Figure().subplots()


def layers():
    draw = torch.Generator().manual_seed(0)
    return [
        torch.rand(shape, generator=draw) for shape in ((6, 4), (4, 6), (4, 4), (3, 4))
    ]


@pytest.mark.parametrize(
    ("name", "goals"),
    [
        ("equation", [1, 1, 1, 1]),
        ("rectangular", [1.5**0.5, 1, 1, 1]),
        ("no_head", [1, 1, 1]),
    ],
)
def test_goals_of_a_variant_are_drawn_where_it_pulls(ax, name, goals):
    weights = layers()
    spectra.variant_spectra(ax, weights, weights, name)
    lines = [c.get_segments()[0] for c in ax.collections if hasattr(c, "get_segments")]
    assert [line[0][1] for line in lines] == pytest.approx(goals)
    assert ax.get_yscale() == "log"


def test_a_spectrum_is_drawn_over_time_with_zeros_at_the_floor(ax):
    rows = [
        ("partial_measures", "redo", seed, time, f"sigma_0{index}", value)
        for seed in (0, 1)
        for time in (0, 5)
        for index, value in enumerate((2.0, 0.0))
    ]
    frame = pd.DataFrame(rows, columns=TIDY)
    spectra.spectrum_under_force(ax, frame, "redo")
    drawn = [line.get_ydata().tolist() for line in ax.lines[:-1]]
    assert drawn == [[2.0, 2.0], [spectra.FLOOR] * 2]
    place = rcParams["axes.titlelocation"]  # another test may have set the style
    assert spectra.method_label("redo") == ax.get_title(place) == "ReDo"


def test_shares_are_means_over_seeds_after_the_killing(ax):
    rows = [
        ("revival_bias", method, seed, time, "fires", share)
        for method in ("adam", "adamo")
        for time in (10, 20)
        for seed, share in enumerate((0.2, 0.4))
    ]
    rows.append(("revival_bias", "adamo", 0, 0, "promised", 1.0))
    revival.shares_over_steps(ax, pd.DataFrame(rows, columns=TIDY), "bias")
    assert [line.get_label() for line in ax.lines] == ["Adam", "AdamO"]
    for line in ax.lines:
        assert line.get_xdata().tolist() == [10, 20]
        assert line.get_ydata().tolist() == pytest.approx([0.3, 0.3])


def test_only_units_with_a_bound_are_drawn_against_it(ax):
    units = pd.DataFrame(
        {
            "killed": ["direction", "bias", "bias"],
            "margin": [0.1, 0.2, -0.1],
            "bound": [10.0, 20.0, math.inf],
            "steps": [4.0, 20.0, math.inf],
        }
    )
    revival.bound_and_steps(ax, units)
    marks = [m for c in ax.collections for m in c.get_offsets().tolist()]
    assert marks == [[10.0, 4.0], [20.0, 20.0]]
