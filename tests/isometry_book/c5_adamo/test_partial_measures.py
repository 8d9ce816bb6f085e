import pytest
import torch
from torch.testing import assert_close

from isometry.adamo import isometry_gradient, singular_value_flow
from isometry.core.matrices import singular_values
from isometry.lab.store import TIDY
from isometry.methods.activations import NORMALISATION_EPS
from isometry_book.c5_adamo import partial_study
from isometry_book.c5_adamo.drifted_network import Drifted, drifted_network
from isometry_book.c5_adamo.forces import at_times, forced
from isometry_book.c5_adamo.partial_study import MEASURES, RELAXATION, evolve
from isometry_book.c5_adamo.study import PARTIAL


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
    head = torch.randn(2, shape[0], generator=draw, dtype=torch.float64)
    changes = dict(MEASURES["parseval"].changes)
    changes["parseval_strength"] *= (shape[0] / 64) ** 2  # its factor of the width
    both = (weight[None], head[None])
    once, end = at_times(forced("parseval", changes, both), (1, 4000))
    step = isometry_gradient(weight) / (8 * RELAXATION)
    assert_close(once[0][0], weight - step)
    assert torch.equal(end[1], both[1])
    identity = torch.eye(shape[0], dtype=torch.float64)
    loss = (end[0][0] @ end[0][0].mT - identity).square().sum()
    floor = torch.tensor(max(0, shape[0] - shape[1]), dtype=torch.float64)
    assert_close(loss, floor, rtol=0, atol=1e-9)


def test_parseval_pulls_wider_layers_less_and_the_head_not_at_all(start):
    ours, theirs = (evolve(start, name, (1,))[0] for name in ("adamo", "parseval"))
    moves = [
        [end - weight for end, weight in zip(ends, start.weights, strict=True)]
        for ends in (ours, theirs)
    ]
    for layer, share in enumerate(((64 / 96) ** 2, 1, 1, 0)):
        assert_close(moves[1][layer], share * moves[0][layer])


def test_nap_sets_the_mean_square_and_leaves_all_ratios(start):
    for steps in (1, 7):
        found = spectra_at(start, "nap", steps)
        assert_close(found[-1], before(start)[-1])  # the head is left alone
        for old, new in zip(before(start)[:-1], found[:-1], strict=True):
            scale = new.square().mean(1)
            # the initial weights are float32
            assert_close(scale, torch.ones_like(scale), rtol=0, atol=1e-6)
            assert_close(new / new[:, :1], old / old[:, :1])


def test_weight_decay_shrinks_all_alike_to_zero(start):
    for old, new in zip(before(start), spectra_at(start, "l2", 13), strict=True):
        assert_close(new, old * (1 - 1 / RELAXATION) ** 13)


def exact_spectral_step(weight):
    """The force with the exact singular vectors instead of power iteration."""
    left, sigma, right = torch.linalg.svd(weight, full_matrices=False)
    top = sigma[:, :1, None]
    direction = left[..., :1] @ right[..., :1, :]
    return weight - top * (top**2 - 1) * direction / (2 * RELAXATION)


def test_spectral_regularisation_moves_a_top_value_that_stands_alone():
    draw = torch.Generator().manual_seed(0)
    left, right = (
        torch.linalg.qr(torch.randn(6, 6, generator=draw, dtype=torch.float64))[0]
        for _ in range(2)
    )
    sigma = torch.tensor([2.0, 0.5, 0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    weights = tuple(((left * sigma) @ right)[None] for _ in range(2))
    changes = MEASURES["spectral"].changes
    found = at_times(forced("spectral", changes, weights), (300,))[0]
    for weight in found:
        values = singular_values(weight[0])
        assert_close(values[0], torch.tensor(1.0).double(), rtol=0, atol=1e-6)
        # Before it has turned to the top, the power iteration moves others as well.
        assert_close(values[1:], sigma[1:], rtol=0.05, atol=0)


def test_spectral_regularisation_as_trained_lags_behind_exact_vectors(start):
    steps, exact = 400, start.weights[:-1]
    for _ in range(steps):
        exact = [exact_spectral_step(weight) for weight in exact]
    end = evolve(start, "spectral", (steps,))[0]
    below = partial_study.own_numbers("spectral", start, end)["below_change"]
    assert (below > 0).all()
    assert (below < 0.05).all()
    trained = [singular_values(weight) for weight in end]
    for old, new, ideal in zip(before(start), trained, exact, strict=False):
        values = singular_values(ideal)
        assert (new[:, 0] > values[:, 0]).all()
        assert_close(values[:, -1], old[:, -1])
        assert_close(new[:, -1], old[:, -1], rtol=0.01, atol=0)


def test_spectral_regularisation_stops_at_one_and_spectral_norm_does_not(start):
    for values in spectra_at(start, "spectral", 60):
        assert (values[:, 0] >= 1).all()
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
    # Not zero: eps is added to a variance v, and to 4 v.
    seen = start.inputs @ start.weights[0].mT
    variance = seen.var(-1, correction=0, keepdim=True)
    standard = (seen - seen.mean(-1, keepdim=True)).relu() / variance.sqrt()
    share = 3 / 8 * NORMALISATION_EPS / variance  # to first order in eps
    assert_close(
        numbers["scale_effect"], (standard * share).amax((1, 2)), rtol=1e-3, atol=0
    )


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


@pytest.mark.parametrize("descent", [True, False])
def test_without_a_task_adam_and_gradient_descent_move_nothing(start, descent):
    steps = forced("adam", {}, start.weights, descent=descent)
    for old, new in zip(start.weights, at_times(steps, (3,))[0], strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize("name", MEASURES)
def test_the_force_on_a_member_is_that_on_it_alone(start, name):
    one = Drifted(**{key: cut(value) for key, value in vars(start).items()})
    both, alone = (evolve(which, name, (4,))[0] for which in (start, one))
    for ours, its in zip(both, alone, strict=True):
        assert_close(ours[:1], its)


def cut(value):
    """Return what belongs to the first member."""
    return value[:1] if isinstance(value, torch.Tensor) else tuple(map(cut, value))


def test_study_of_forces_is_tidy_and_starts_all_from_one_spectrum():
    frame = PARTIAL.at("smoke", "digits")
    assert list(frame.columns) == TIDY
    assert not frame.duplicated(["method", "seed", "task", "metric"]).any()
    assert set(frame["method"]) == set(MEASURES)
    first = frame[(frame["task"] == 0) & (frame["metric"] == "largest_square")]
    assert first["value"].nunique() == 1


def test_a_force_of_no_method_is_refused():
    with pytest.raises(KeyError, match="did you mean 'nap'"):
        next(forced("nab", {}, ()))
