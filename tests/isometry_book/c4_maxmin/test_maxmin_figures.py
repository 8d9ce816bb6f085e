"""The drawings of chapter 4 show the numbers they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

import isometry_book.c4_maxmin.figures as draw
from isometry.lab.store import TIDY


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    plt.close("all")


def frame(*rows):
    return pd.DataFrame([("b", *row) for row in rows], columns=TIDY)


def test_curves_against_depth_are_medians(ax):
    metric = "largest_singular_value"
    rows = [
        (method, seed, task, metric, task * (seed + 1.0))
        for method in ("maxmin", "relu")
        for task in (1, 10)
        for seed in range(3)
    ]
    assert draw.jacobians(ax, frame(*rows)) is ax
    assert [list(line.get_ydata()) for line in ax.lines] == [[2, 20], [2, 20]]
    assert list(ax.lines[0].get_xdata()) == [1, 10]


def test_every_precision_has_its_curve(ax):
    rows = [
        (name, 0, 1, "deviation", value)
        for name, value in (("float64", 1e-16), ("float32", 1e-7), ("bfloat16", 1e-2))
    ]
    draw.precisions(ax, frame(*rows))
    shown = {line.get_label(): line.get_ydata()[0] for line in ax.lines}
    assert shown == {"float64": 1e-16, "float32": 1e-7, "bfloat16": 1e-2}


def test_fits_are_drawn_over_the_target(ax):
    x = torch.tensor([-1.0, 0.0, 1.0])
    draw.fits(ax, {"x": x, "maxmin": x, "relu_orthogonal": 2 * x})
    assert [list(line.get_ydata()) for line in ax.lines] == [
        [1, 0, 1],
        [-1, 0, 1],
        [-2, 0, 2],
    ]


def test_training_curves_are_smoothed_means_over_seeds(ax):
    rows = [
        ("maxmin", seed, step, "loss", step + 2.0 * seed)
        for step in range(12)
        for seed in range(2)
    ]
    draw.training(ax, frame(*rows), chance=2.3)
    guess, curve = ax.lines
    assert set(guess.get_ydata()) == {2.3}
    np.testing.assert_allclose(curve.get_ydata()[[0, 11]], [1.0, 6.5 + 1.0])


def test_backward_norms_are_drawn_against_their_mean(ax):
    rows = []
    for method, ratio, root in (("square", 1, 1), ("wide", 1, 1), ("tall", 0.4, 0.5)):
        rows.append((method, 0, 0, "norm_ratio", ratio))
        rows.append((method, 0, 0, "root_of_shares", root))
    draw.backward_norms(ax, frame(*rows))
    tall = ax.lines[2]
    assert (tall.get_xdata()[0], tall.get_ydata()[0]) == (0.5, 0.4)


def test_spectra_and_maps_keep_their_labels(ax):
    draw.convolution_spectra(ax, {"two": torch.tensor([1.0, 0.5])})
    assert list(ax.lines[0].get_ydata()) == [1, 0.5]
    _, other = plt.subplots()
    sigma = torch.tensor([0.5, 1.0])
    draw.newton_schulz_map(other, sigma, {1: sigma, 3: sigma}, 1.7)
    labels = [line.get_label() for line in other.lines]
    assert labels[:2] == ["1 step", "3 steps"]
    assert other.lines[2].get_xdata()[0] == 1.7
