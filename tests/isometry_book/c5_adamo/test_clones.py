"""Copies of a unit: equal under every gradient, and parted by the pull as foretold."""

import pytest
import torch
from torch.testing import assert_close

from isometry import AdamO
from isometry.adamo import isometry_gradient
from isometry.core.seeding import generator
from isometry.methods import METHODS
from isometry.plasticity import cloned_fraction
from isometry.supervised.trainer import network_of
from isometry_book.c5_adamo.clones import figures, separation
from isometry_book.c5_adamo.continual import stream_pixels

SHAPES = [(3, 7), (5, 5), (8, 4), (2, 1)]


def with_equal_rows(rows, columns):
    """Return a matrix whose first two rows are equal, in float64."""
    draw = generator(0, "weight", rows, columns)
    weight = torch.randn(rows, columns, generator=draw, dtype=torch.float64)
    weight[1] = weight[0]
    return weight


@pytest.mark.parametrize("shape", SHAPES)
def test_the_pull_moves_equal_rows_and_equal_columns_equally(shape):
    weight = with_equal_rows(*shape)
    gradient = isometry_gradient(weight)
    assert_close(gradient[0], gradient[1])
    gradient = isometry_gradient(weight.T)
    assert_close(gradient[:, 0], gradient[:, 1])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_difference_of_any_two_rows_follows_the_same_matrix_exactly(shape):
    draw = generator(1, "weight", *shape)
    weight = torch.randn(shape, generator=draw, dtype=torch.float64)
    gradient, columns = isometry_gradient(weight), shape[1]
    apart = weight[0] - weight[1]
    expected = 4 * (weight.T @ weight - torch.eye(columns).double()) @ apart
    assert_close(gradient[0] - gradient[1], expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_linearised_at_equal_rows_a_difference_grows_by_what_the_rows_lack(shape):
    weight, columns = with_equal_rows(*shape), shape[1]
    draw = generator(2, "apart")
    apart = torch.randn(columns, generator=draw, dtype=torch.float64)
    move = torch.zeros_like(weight)
    move[0], move[1] = apart / 2, -apart / 2
    _, change = torch.autograd.functional.jvp(isometry_gradient, weight, move)
    lacking = torch.eye(columns).double() - weight.T @ weight
    assert_close(change[0] - change[1], -4 * lacking @ apart)


def test_clones_stay_clones_under_adamo_on_a_task():
    draw = generator(0, "adamo")
    layers = torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    model = torch.nn.Sequential(*layers).double()
    for parameter in model.parameters():
        values = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
        parameter.data = 0.5 * values
    first, second = model[0], model[2]
    first.weight.data[4:], first.bias.data[4:] = first.weight[:4], first.bias[:4]
    second.weight.data[:, 4:] = second.weight[:, :4]
    inputs = torch.randn(20, 6, generator=draw, dtype=torch.float64)
    targets = torch.arange(20) % 3
    optimizer = AdamO(model.parameters(), lr=1e-2, isometry_strength=2.0)
    before = first.weight.detach().clone()
    for _ in range(50):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    rows = torch.cat([first.weight, first.bias.unsqueeze(1)], 1).detach()
    assert cloned_fraction(rows, second.weight.detach(), 1e-10).item() == 0.5
    assert (first.weight - before).norm() > 1


@pytest.mark.parametrize("shape", separation.SHAPES)
def test_copies_part_at_half_the_rate_of_relaxation_where_a_direction_is_free(shape):
    found = separation.parted_by_the_pull(shape)
    small = found[found["distance"] < 1e4]
    assert (small["distance"] / small["foretold"] - 1).abs().max() < 0.02
    if shape == "tall":
        assert found["distance"].max() < separation.BOUNDED
    else:
        rate = separation.growth_rate(found)
        assert rate == pytest.approx(0.5, rel=separation.RATE_ERROR)


def test_rate_of_a_growth_that_does_not_come_so_far_is_unknown():
    found = separation.parted_by_the_pull("tall")
    assert separation.growth_rate(found) != separation.growth_rate(found)


@pytest.fixture(scope="module")
def trained():
    sizes = separation.Sizes(seeds=2)
    return separation.parted_in_training(sizes, "digits")


def test_adamo_tells_most_copies_apart_and_the_others_do_not(trained):
    end = trained[trained["step"] == trained["step"].max()]
    apart = end.groupby("method")["apart"].mean()
    assert apart["adamo"] > separation.MOST > max(apart["adam"], apart["sgd"])
    start = trained[trained["step"] == 0]
    assert (start["apart"] == 0).all()
    assert start["angle"].to_numpy() == pytest.approx(separation.EPS, rel=0.05)


def test_exact_copies_are_never_parted_by_descent_or_adam():
    sizes = separation.Sizes(seeds=2, tasks=1)
    found = separation.parted_in_training(sizes, "digits", eps=0.0)
    plain = found[found["method"] != "adamo"]
    assert (plain["cloned"] == 0.5).all()
    assert plain["angle"].max() < 1e-3  # float32: half of its digits in a sine
    assert plain.groupby("method")["accuracy"].max().min() > 0.2


def test_half_of_the_units_are_copies_and_the_rest_as_before():
    settings = separation.training_settings(separation.Sizes(seeds=2), "digits")
    adam = METHODS.get("adam")
    network = network_of(adam, adam.settings, settings, stream_pixels(settings))
    fresh = network.stacked([0, 1])
    made = separation.with_clones(network, fresh, [0, 1], 0.0)
    for layer, following in (("hidden.0", "hidden.1"), ("hidden.1", "head")):
        rows = made[f"{layer}.weight"].detach()
        columns = made[f"{following}.weight"].detach()
        assert cloned_fraction(rows, columns).tolist() == [0.5, 0.5]
    kept, before = made["hidden.0.weight"], fresh["hidden.0.weight"]
    assert torch.equal(kept[:, :32], before[:, :32])


def test_the_figure_shows_every_shape_and_every_method(trained):
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 2)
    parted = {s: separation.parted_by_the_pull(s) for s in separation.SHAPES}
    left, right = (
        figures.distances(axes[0], parted),
        figures.shares_apart(axes[1], trained),
    )
    assert len(left.lines) == 6
    assert [text.get_text() for text in right.get_legend().get_texts()] == [
        "gradient descent",
        "Adam",
        "AdamO",
    ]
    plt.close("all")
