import numpy as np
import pytest
import torch

from isometry.adamo.revival import dead_units, never_fires
from isometry.core.stacking import member
from isometry.lab.store import TIDY
from isometry.methods import METHODS, Training
from isometry.supervised.trainer import network_of
from isometry.supervised.training import train_task
from isometry_book.c5_adamo import revival_study as revival
from isometry_book.c5_adamo import revival_units as units_of
from isometry_book.c5_adamo.continual import stream_pixels
from isometry_book.c5_adamo.revival_bound import (
    LAYERS,
    bounds,
    greedy_partings,
    promised,
)
from isometry_book.c5_adamo.study import REVIVAL


def training_of(method, network, parameters):
    """Return what a method's optimiser is made from."""
    return Training(
        structure=network.structure(),
        parameters=parameters,
        seeds=[0, 1],
        settings=METHODS.get(method).settings,
        lr=1e-3,
    )


@pytest.fixture(scope="module")
def trained():
    """A network, two members after a little training, and the tasks that follow."""
    settings = revival._revival_settings(REVIVAL.sizes.smoke, "digits")
    adam = METHODS.get("adam")
    network = network_of(adam, adam.settings, settings, stream_pixels(settings))
    scale = REVIVAL.sizes.smoke
    pixels = stream_pixels(settings)
    return network, *revival.trained_before(network, pixels, settings, scale)


@pytest.mark.parametrize("kill", revival.KILLS)
def test_the_first_half_of_every_layer_is_killed_and_the_rest_untouched(trained, kill):
    network, parameters, tasks = trained
    start = units_of.killed(network, parameters, tasks[0].inputs, kill)
    seen = units_of._layer_inputs(network, start, tasks[0].inputs)
    assert not units_of.firing(network, start, tasks[0].inputs).any()
    for layer, inputs in enumerate(seen):
        weight, bias = (
            start[f"hidden.{layer}.{p}"].detach() for p in ("weight", "bias")
        )
        old = parameters[f"hidden.{layer}.weight"]
        assert torch.equal(weight[:, 32:], old[:, 32:])
        for i in range(2):
            assert dead_units(weight[i], bias[i], inputs[i])[:32].all()
            barred = never_fires(weight[i], bias[i], inputs[i])[:32]
            assert barred.all() if kill == "strong_bias" else not barred.all()


def test_dead_units_have_no_gradient_and_only_the_isometry_step_moves_them(trained):
    network, parameters, tasks = trained
    start = units_of.killed(network, parameters, tasks[0].inputs, "direction")
    rows = {}
    for name in ("adam", "adamo"):
        own = {n: p.detach().clone().requires_grad_() for n, p in start.items()}
        optimizer = METHODS.get(name).optimizer(training_of(name, network, own))
        batch = (tasks[0].inputs[:, :32], tasks[0].labels[:, :32])
        train_task(network, own, optimizer, None, iter([batch] * 3), 3)
        rows[name] = own["hidden.0.weight"].detach()[:, :32]
    assert torch.equal(rows["adam"], start["hidden.0.weight"][:, :32])
    assert not torch.equal(rows["adamo"], rows["adam"])


@pytest.mark.parametrize("name", revival.CONTENDERS)
def test_every_contender_begins_from_the_same_killed_network(trained, name):
    network, parameters, tasks = trained
    settings = revival._revival_settings(REVIVAL.sizes.smoke, "digits")
    start = units_of.killed(network, parameters, tasks[0].inputs, "direction")
    before = {n: p.detach().clone() for n, p in start.items()}
    counted = revival.after_killing(name, network, start, tasks, settings, 1, 4)
    assert list(counted["step"].unique()) == [8, 16, 24, 32]
    for n, p in start.items():
        assert torch.equal(p, before[n]), n


def test_redo_revives_what_is_out_of_reach_of_adam_and_of_adamo(trained, monkeypatch):
    network, parameters, tasks = trained
    settings = revival._revival_settings(REVIVAL.sizes.smoke, "digits")
    monkeypatch.setattr(revival, "REDO_PERIOD", 16)  # steps; there are 32
    start = units_of.killed(network, parameters, tasks[0].inputs, "strong_bias")
    counted = revival.after_killing("redo", network, start, tasks, settings, 1, 4)
    fires = counted.groupby(["step", "layer"])["fires"].mean()
    assert (fires[8] == 0).all()
    assert fires[16, 0] > 0.9  # a new row may be silent as well, by chance
    # The layer above was judged while the lower one was half dead, and is again.
    assert (fires[32] > 0.7).all()


def test_a_member_is_killed_and_counted_as_if_it_were_alone(trained):
    network, parameters, tasks = trained
    one = {n: p[1:].detach() for n, p in parameters.items()}
    both = units_of.killed(network, parameters, tasks[0].inputs, "bias")
    alone = units_of.killed(network, one, tasks[0].inputs[1:], "bias")
    for name, values in member(both, 1).items():
        torch.testing.assert_close(values, alone[name][0])


def test_study_is_tidy_and_adam_revives_nobody_who_was_killed_by_direction():
    frame = REVIVAL.at("smoke", "digits")
    assert list(frame.columns) == TIDY
    key = ["benchmark", "method", "seed", "task", "metric"]
    assert not frame.duplicated(key).any()
    assert set(frame["benchmark"]) == {f"revival_{kill}" for kill in revival.KILLS}
    assert set(frame["method"]) == set(revival.CONTENDERS)
    fires = frame[frame["metric"] == "fires"]
    adam = fires[(fires["method"] == "adam")]
    assert (adam[adam["benchmark"] == "revival_direction"]["value"] == 0).all()
    strong = frame[frame["benchmark"] == "revival_strong_bias"]
    assert (strong[strong["metric"] == "barred"]["value"] == 1).all()
    for method in ("adam", "adamo"):
        own = strong[(strong["metric"] == "fires") & (strong["method"] == method)]
        assert (own["value"] == 0).all()


def test_no_unit_of_a_random_layer_comes_later_than_its_bound():
    units = bounds(LAYERS.smoke)
    assert (units["steps"] <= units["bound"]).all()
    assert np.isfinite(units["bound"]).sum() >= 20
    never = units[~np.isfinite(units["steps"])]
    assert (never["margin"] < 0).all()


def test_returns_are_promised_in_spite_of_a_drift_and_to_more_units_than_before():
    free = int(np.isfinite(bounds(LAYERS.smoke)["bound"]).sum())
    found = promised(LAYERS.smoke)
    assert 0 < found["gronwall"] < found["near"] < free
    tiny = promised(LAYERS.smoke, 1e-12)
    assert tiny == {"near": free, "gronwall": free}


def test_the_greedy_adversary_loses_nothing_of_its_way_and_stays_below_the_bounds():
    found = greedy_partings()
    np.testing.assert_allclose(found.loc["sum"], [10, 50, 100])
    np.testing.assert_allclose(found.loc["adversary"], found.loc["sum"], rtol=1e-3)
    assert (found.loc["adversary"] < found.loc["bound"]).all()
    assert (found.loc["bound"] < found.loc["gronwall"]).all()


def test_an_unknown_way_to_kill_is_refused():
    with pytest.raises(KeyError, match="did you mean 'direction'"):
        units_of.killed(None, {}, None, "dir")
