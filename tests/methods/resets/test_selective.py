"""Selective weight reinitialisation against sorting, entry by entry, by hand."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close


def acted(own, step=1, **gradients):
    """Return the parameters before and after a step that acts."""
    for name, gradient in own.draw("gradient").items():
        own.parameters[name].grad = gradients.get(name, gradient)
    before = own.copy()
    own.after(step)
    return before, own.copy()


def utilities(own, before, kind):
    """Return name -> the utility of every entry, with numpy."""
    sizes = {n: p.grad.numpy() for n, p in own.parameters.items()}
    if kind == "magnitude":
        return {n: abs(a) for n, a in before.items()}
    return {n: abs(a * sizes[n]) for n, a in before.items()}


@pytest.mark.parametrize("new", ["resample", "mean"])
@pytest.mark.parametrize("kind", ["gradient", "magnitude"])
def test_entries_up_to_a_share_of_the_mean_utility_are_new(toy, kind, new):
    settings = {"reinit_utility": kind, "reinit_new": new, "reinit_rate": 0.4}
    own = toy("selective_reinit", normalised=True, reinit_every=2, **settings)
    before, after = acted(own)
    utility = utilities(own, before, kind)
    seen = 0
    for i, seed in enumerate(own.seeds):
        fresh = own.structure.fresh(seed, "method", "selective", 1)
        for name, array in before.items():
            chosen = utility[name][i] <= 0.4 * utility[name][i].mean()
            expected = fresh[name].numpy() if new == "resample" else name[-1] == "g"
            assert_close(after[name][i], np.where(chosen, expected, array[i]))
            seen += chosen.sum()
    assert seen > 10


@pytest.mark.parametrize("rate", [0.25, 0.31])
def test_a_proportion_is_kept_on_average_and_the_lowest_are_taken(toy, rate):
    counts = []
    for step in range(1, 81, 2):
        own = toy(
            "selective_reinit",
            reinit_every=2,
            reinit_rate=rate,
            reinit_pruning="proportional",
            reinit_utility="magnitude",
            reinit_new="mean",
        )
        before, after = acted(own, step)
        for i in range(3):
            new = (after["h0.w"][i] == 0).ravel()
            size = abs(before["h0.w"][i]).ravel()
            assert size[new].max(initial=0) <= size[~new].min()
            counts.append(new.sum())
    assert set(counts) <= {int(15 * rate), int(15 * rate) + 1}
    deviation = np.std(counts) / np.sqrt(len(counts))
    assert abs(np.mean(counts) - 15 * rate) <= 4 * max(deviation, 1e-12)


def test_random_utilities_are_another_draw_at_each_step_and_for_each_member(toy):
    settings = {"reinit_utility": "random", "reinit_pruning": "proportional"}
    found = []
    for step in (1, 3):
        own = toy("selective_reinit", reinit_every=2, reinit_rate=0.4, **settings)
        before, after = acted(own, step)
        found += [(after["h0.w"][i] != before["h0.w"][i]).ravel() for i in range(3)]
    assert len({tuple(row) for row in found}) == len(found)


def test_between_its_steps_it_rests_and_the_optimiser_remembers(toy):
    own = toy("selective_reinit", reinit_every=3, reinit_rate=0.5)
    own.adam_step(0)
    memory = own.optimizer.state[own.parameters["h0.w"]]["exp_avg"].clone()
    before, after = acted(own, step=0)
    assert all(np.array_equal(before[n], a) for n, a in after.items())
    before, after = acted(own, step=2)
    assert not np.array_equal(before["h0.w"], after["h0.w"])
    assert torch.equal(own.optimizer.state[own.parameters["h0.w"]]["exp_avg"], memory)


def test_a_spared_head_is_left_alone(toy):
    own = toy("selective_reinit", reinit_every=1, reinit_rate=0.9)
    own.structure.roles["out.w"] = "spared"
    before, after = acted(own)
    assert np.array_equal(before["out.w"], after["out.w"])


def test_a_member_that_is_not_finite_touches_no_other(toy):
    one, other = (toy("selective_reinit", reinit_rate=0.5) for _ in range(2))
    with torch.no_grad():
        one.parameters["h0.w"][0, 0, 0] = torch.nan
    (_, first), (_, second) = acted(one, 2047), acted(other, 2047)
    for name, array in first.items():
        assert np.array_equal(array[1:], second[name][1:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reinit_every": 0}, "needed reinit_every >= 1, found 0"),
        ({"reinit_rate": -1.0}, "needed reinit_rate >= 0, found -1.0"),
        ({"reinit_new": "median"}, "unknown value for reinit_new 'median'; did you"),
    ],
)
def test_a_setting_out_of_range_is_refused(toy, change, message):
    with pytest.raises((ValueError, KeyError), match=message):
        toy("selective_reinit", **change)
