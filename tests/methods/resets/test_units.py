"""Replacing units, and ReDo against loops over members, layers and units."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods.resets.units import replace_units_

LAYERS = {"h0": "h1", "h1": "out"}


def memories(toy_):
    """Return Adam's state by name of the parameter, as arrays."""
    return {
        name: {k: v.numpy().copy() for k, v in toy_.optimizer.state[p].items()}
        for name, p in toy_.parameters.items()
    }


def replaced(toy_, index, chosen, mean=None, labels=("x", 0)):
    with torch.no_grad():
        units = torch.tensor(chosen)
        replace_units_(toy_.training, index, units, mean, labels=labels)


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("index", [0, 1])
def test_a_replaced_unit_is_new_in_out_and_in_adams_memory_and_no_other_is(
    toy, normalised, index
):
    own = toy("adam", normalised)
    for step in range(3):
        own.adam_step(step)
    before, remembered = own.copy(), memories(own)
    units = own.parameters[f"h{index}.w"].shape[1]
    chosen = torch.zeros(3, units, dtype=torch.bool)
    chosen[0, 1] = chosen[0, 2] = chosen[2, 0] = True
    replaced(own, index, chosen.tolist())
    after, kept = own.copy(), memories(own)
    here, following = f"h{index}", LAYERS[f"h{index}"]
    bound = 3**0.5 * own.structure.spread[f"{here}.w"]
    touched = {f"{here}.{kind}" for kind in "wbgo"} | {f"{following}.w"}
    for name in before:
        expected = before[name].copy()
        memory = {k: v.copy() for k, v in remembered[name].items()}
        for i in range(3):
            for unit in range(units):
                if not chosen[i, unit] or name not in touched:
                    continue
                place = (i, slice(None), unit) if name[:-2] == following else (i, unit)
                if name == f"{here}.w":
                    new = after[name][place]
                    assert (np.abs(new) <= bound).all()
                    assert (new != before[name][place]).all()
                    expected[place] = new
                else:
                    expected[place] = float(name[-1] == "g")
                for key in ("exp_avg", "exp_avg_sq"):
                    memory[key][place] = 0
        assert np.array_equal(after[name], expected)
        for key, value in memory.items():
            assert np.array_equal(kept[name][key], value), (name, key)
        assert kept[name]["step"] == 3, "one count for all goes on"


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_replaced_units_momentum_is_forgotten_entry_by_entry_if_there_is_one(
    toy, momentum
):
    own = toy("adam")
    sgd = torch.optim.SGD(own.parameters.values(), lr=1e-2, momentum=momentum)
    own.optimizer, own.training = sgd, replace(own.training, optimizer=sgd)
    own.adam_step(0)
    before = memories(own) if momentum else {}
    chosen = np.zeros((3, 5), dtype=bool)
    chosen[0, 1] = chosen[2, 4] = True
    replaced(own, 0, chosen.tolist())
    if not momentum:
        assert not any(sgd.state.values())
        return
    for name, memory in memories(own).items():
        expected = before[name]["momentum_buffer"]
        assert (expected != 0).all()
        if name in ("h0.w", "h0.b"):
            expected[chosen] = 0
        if name == "h1.w":
            expected[0, :, 1] = expected[2, :, 4] = 0
        assert np.array_equal(memory["momentum_buffer"], expected), name


def test_incoming_weights_are_uniform_with_the_variance_of_the_initialisation(toy):
    own = toy("adam")
    draws = []
    for step in range(400):
        replaced(own, 0, [[True] * 5] * 3, labels=("x", step))
        draws.append(own.copy()["h0.w"])
    draws = np.stack(draws)
    n = draws.size
    # Mean, variance and fourth moment of a uniform law, five standard errors.
    assert abs(draws.mean()) < 5 * 0.5 / n**0.5
    assert draws.var() == pytest.approx(0.25, rel=5 / n**0.5)
    assert (draws**4).mean() / 0.25**2 == pytest.approx(9 / 5, rel=0.05)


def test_draws_depend_on_seed_layer_and_labels_only(toy):
    first, second, alone = toy("adam"), toy("adam"), toy("adam", seeds=(8,))
    replaced(first, 0, [[True] * 5] * 3)
    torch.rand(5)
    replaced(second, 0, [[False] * 5, [True] * 5, [True] * 5])
    replaced(alone, 0, [[True] * 5])
    name = "h0.w"
    assert torch.equal(first.parameters[name][1:], second.parameters[name][1:])
    assert torch.equal(alone.parameters[name][0], first.parameters[name][1])
    assert not torch.equal(first.parameters[name][0], first.parameters[name][1])
    replaced(second, 0, [[True] * 5] * 3, labels=("x", 1))
    assert not torch.equal(first.parameters[name], second.parameters[name])


def test_what_a_unit_fed_on_average_goes_to_the_next_biases(toy):
    own = toy("adam")
    before = own.copy()
    mean = torch.arange(15.0).double().view(3, 5)
    replaced(own, 0, [[False, True, True, False, False]] * 3, mean)
    for i in range(3):
        fed = sum(before["h1.w"][i][:, k] * mean[i, k].item() for k in (1, 2))
        expected = torch.tensor(before["h1.b"][i] + fed)
        assert_close(own.parameters["h1.b"][i].detach(), expected)


@pytest.mark.parametrize("shape", [(3, 4, 5 * 6), (3, 4, 5, 2, 3)])
def test_a_channel_feeds_neighbouring_entries_of_the_next_weight(toy, shape):
    """From a convolution to a linear layer, and to another convolution."""
    own = toy("adam")
    draw = generator(0, "kernel")
    kernel = torch.randn(shape, generator=draw).double()
    own.parameters["h1.w"] = kernel.clone().requires_grad_()
    memory = torch.ones(shape).double()
    own.optimizer.state[own.parameters["h1.w"]] = {"exp_avg": memory}
    mean = torch.ones(3, 5).double()
    bias = own.copy()["h1.b"]
    replaced(own, 0, [[False, False, True, False, False]] * 3, mean)
    found = own.parameters["h1.w"].detach().reshape(3, 4, 5, 6)
    expected = kernel.reshape(3, 4, 5, 6).clone()
    fed = expected[:, :, 2].sum(-1)
    expected[:, :, 2] = 0
    assert_close(found, expected)
    assert_close(own.parameters["h1.b"].detach(), torch.tensor(bias) + fed)
    assert (memory.view(3, 4, 5, 6)[:, :, 2] == 0).all()
    assert memory.sum() == 3 * 4 * 4 * 6


@pytest.mark.parametrize("name", ["redo", "cbp", "snr"])
@pytest.mark.parametrize("activation", ["maxmin", "crelu"])
def test_units_that_share_outputs_cannot_be_judged(toy, name, activation, structures):
    own = toy("adam")
    method = toy(name).method
    paired = replace(own.training, structure=structures.of(activation=activation))
    with pytest.raises(ValueError, match=f"needed one output a unit for {name}"):
        method.start(paired)


# --- ReDo -----------------------------------------------------------------------------


def activity(step, dead=()):
    """Return both hidden layers' activations; some units of layer 0 are silent."""
    seen = []
    for units in (5, 4):
        draw = generator(2, "h", step, units)
        seen.append(torch.randn(3, 6, units, generator=draw).double().relu())
    for i, unit in dead:
        seen[0][i, :, unit] = 0
    return seen


@pytest.mark.parametrize(("threshold", "window"), [(0.0, 1), (0.7, 1), (0.7, 3)])
def test_redo_recycles_units_whose_score_is_at_most_tau(toy, threshold, window):
    settings = {"redo_every": 4, "redo_window": window, "redo_threshold": threshold}
    own = toy("redo", **settings)
    dead = [(0, 1), (2, 3)]
    window_seen = []
    for step in range(8):
        before = own.copy()
        seen = activity(step, dead)
        own.after(step, seen)
        window_seen = [*window_seen, seen][-window:]
        if (step + 1) % 4:
            assert all(np.array_equal(before[n], a) for n, a in own.copy().items())
            continue
        after, recycled = own.copy(), set()
        for layer in (0, 1):
            together = torch.cat([s[layer] for s in window_seen], 1).numpy()
            for i in range(3):
                size = np.abs(together[i]).mean(0)
                score = size / size.mean()
                for unit, s in enumerate(score):
                    new = (
                        after[f"h{layer}.w"][i, unit] != before[f"h{layer}.w"][i, unit]
                    )
                    assert new.all() == (s <= threshold)
                    if s <= threshold:
                        recycled.add((layer, i, unit))
                        out = after[LAYERS[f"h{layer}"] + ".w"][i]
                        assert (out[:, unit] == 0).all() or layer == 0
        assert {(0, *place) for place in dead} <= recycled
        assert (len(recycled) == 2) is (threshold == 0)
        assert (own.state["activity"] == 0).all()


def test_redo_leaves_a_member_that_is_not_finite_alone(toy):
    own = toy("redo", redo_every=1, redo_window=1, redo_threshold=10.0)
    seen = activity(0)
    seen[0][1] = torch.nan
    seen[1][1] = torch.nan
    before = own.copy()
    own.after(0, seen)
    after = own.copy()
    assert np.array_equal(after["h0.w"][1], before["h0.w"][1])
    assert (after["h0.w"][0] != before["h0.w"][0]).all()


def test_redo_recycles_the_whole_of_a_silent_layer(toy):
    own = toy("redo", redo_every=1, redo_window=1, redo_threshold=0.0)
    seen = activity(0)
    seen[0].zero_()
    own.after(0, seen)
    assert (own.parameters["h1.w"] == 0).all()


def test_a_stack_that_is_a_view_of_another_training_is_not_touched(toy):
    own = toy("redo", redo_every=1, redo_window=1, redo_threshold=10.0)
    state = {"activity": torch.zeros(3, 9).double()}
    other = replace(own.training, state=state, activations=activity(0))
    before = own.state["activity"].clone()
    with torch.no_grad():
        own.method.after_step(other)
    assert torch.equal(own.state["activity"], before)
