import pytest
import torch
from torch.testing import assert_close

from isometry.adamo import isometry_gradient, singular_value_flow
from isometry.core.matrices import singular_values
from isometry.lab.store import TIDY
from isometry_book.c5_adamo import partial_study
from isometry_book.c5_adamo.drifted_network import Drifted, drifted_network
from isometry_book.c5_adamo.partial_measures import (
    MEASURES,
    RELAXATION,
    _parseval_step,
    evolve,
    measure,
)


@pytest.fixture(scope="module")
def start():
    return drifted_network(2, 300)


def spectra_at(start, name, steps):
    return [singular_values(w) for w in evolve(start, name, (steps,))[0]]


def before(start):
    return [singular_values(w) for w in start.weights]


def test_gram_follows_the_flow_of_every_singular_value(start):
    for old, new in zip(before(start), spectra_at(start, "adamo", 40), strict=True):
        flow = singular_value_flow(old, 1 / (8 * RELAXATION), 40)
        assert_close(new, flow, rtol=0.05, atol=0.01)  # finite steps
    for values in spectra_at(start, "adamo", 600):
        assert_close(values, torch.ones_like(values), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (5, 5)])
def test_parseval_is_the_same_force_with_a_floor_under_its_loss(shape):
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=draw, dtype=torch.float64) / 3
    step = isometry_gradient(weight) / (8 * RELAXATION)
    assert_close(_parseval_step(weight, weight), weight - step)
    for _ in range(4000):
        weight = _parseval_step(weight, weight)
    identity = torch.eye(shape[0], dtype=torch.float64)
    loss = (weight @ weight.mT - identity).square().sum()
    floor = torch.tensor(max(0, shape[0] - shape[1]), dtype=torch.float64)
    assert_close(loss, floor, rtol=0, atol=1e-9)


def test_nap_sets_the_mean_square_and_leaves_all_ratios(start):
    for steps in (1, 7):
        found = spectra_at(start, "nap", steps)
        for old, new in zip(before(start), found, strict=True):
            scale = new.square().mean(1)
            # the initial weights are float32
            assert_close(scale, torch.ones_like(scale), rtol=0, atol=1e-6)
            assert_close(new / new[:, :1], old / old[:, :1])


def test_weight_decay_shrinks_all_alike_to_zero(start):
    for old, new in zip(before(start), spectra_at(start, "l2", 13), strict=True):
        assert_close(new, old * (1 - 1 / RELAXATION) ** 13)


@pytest.mark.parametrize("name", ["spectral", "spectral_norm"])
def test_a_spectral_step_moves_the_top_value_alone(start, name):
    for old, new in zip(before(start), spectra_at(start, name, 1), strict=True):
        moved = ~torch.isclose(new, old.sort(descending=True).values)
        kept = [
            sum(bool(torch.isclose(n, v)) for n in row)
            for row, values in zip(new, old[:, 1:], strict=True)
            for v in values
        ]
        assert min(kept) >= 1, "every value but the largest is still there"
        assert moved.any()
        assert (new.sum(1) < old.sum(1)).all()


def test_spectral_regularisation_stops_at_one_and_spectral_norm_does_not(start):
    low = [values[:, -1] for values in before(start)]
    for values, smallest in zip(spectra_at(start, "spectral", 60), low, strict=True):
        assert (values[:, 0] >= 1).all()
        assert_close(values[:, -1], smallest)
    head = spectra_at(start, "spectral_norm", 600)[-1]
    assert (head[:, 0] < 0.9).all()


def test_l2_init_returns_every_singular_value_and_direction_to_the_start(start):
    for weight, initial in zip(
        evolve(start, "l2_init", (500,))[0], start.initial, strict=True
    ):
        assert_close(weight, initial)


def test_layernorm_has_no_force_on_weights_and_undoes_their_scale(start):
    end = evolve(start, "layernorm", (9,))[0]
    for old, new in zip(start.weights, end, strict=True):
        assert torch.equal(old, new)
    numbers = partial_study.own_numbers("layernorm", start, end)
    assert (numbers["spectrum_change"] == 0).all()
    assert (numbers["scale_effect"] < 1e-9).all()


def test_redo_replaces_rows_and_makes_the_next_layer_singular(start):
    hidden = torch.relu(start.inputs @ start.weights[0].mT)
    size = hidden.mean(1)
    dormant = size <= 0.1 * size.mean(1, keepdim=True)
    assert dormant.any()
    end = evolve(start, "redo", (1,))[0]
    changed = (end[0] != start.weights[0]).any(-1)
    assert torch.equal(changed, dormant)
    seeds, units = dormant.nonzero(as_tuple=True)
    # Rows of the next layer that are replaced as well get all their weights anew.
    next_changed = end[1][seeds, :, units] != 0
    assert next_changed.double().mean() < 0.5
    assert singular_values(end[2])[:, -1].max() < 1e-12
    numbers = partial_study.own_numbers("redo", start, end)
    assert (numbers["dormant_after"] < numbers["dormant_before"]).all()


def test_redo_without_dormant_units_changes_nothing():
    eye = torch.eye(6, dtype=torch.float64)
    draw = torch.Generator().manual_seed(0)
    weights = tuple(
        torch.nn.init.orthogonal_(
            torch.empty(1, 6, 6, dtype=torch.float64)[0], generator=draw
        )[None]
        for _ in range(2)
    )
    # Seen from both sides, no unit of an orthogonal layer is dormant.
    awake = Drifted(
        initial=weights,
        weights=weights,
        biases=(torch.zeros(1, 6), torch.zeros(1, 6)),
        inputs=torch.cat([eye, -eye])[None],
    )
    for old, new in zip(weights, evolve(awake, "redo", (5,))[0], strict=True):
        assert torch.equal(old, new)


def test_study_of_forces_is_tidy_and_starts_all_from_one_spectrum():
    frame = partial_study.study("smoke", "digits")
    assert list(frame.columns) == TIDY
    assert not frame.duplicated(["method", "seed", "task", "metric"]).any()
    assert set(frame["method"]) == set(MEASURES)
    first = frame[(frame["task"] == 0) & (frame["metric"] == "largest_square")]
    assert first["value"].nunique() == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: measure("nab"), "did you mean 'nap'"),
        (lambda: partial_study.study("papr"), "did you mean 'paper'"),
    ],
)
def test_unknown_measures_are_refused(call, message):
    with pytest.raises(KeyError, match=message):
        call()
