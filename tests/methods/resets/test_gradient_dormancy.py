"""ReGraMa: which units are recycled, by gradients that a hand can check."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from isometry.core.seeding import generator


def gradients(step, low=()):
    """Return gradients by both hidden layers' outputs; some units' are small."""
    found = []
    for units in (5, 4):
        draw = generator(3, "g", step, units)
        found.append(torch.randn(3, 6, units, generator=draw).double())
    for layer, i, unit in low:
        found[layer][i, :, unit] *= 1e-3
    return found


def test_units_whose_mean_gradient_is_low_are_recycled(toy):
    own = toy("regrama", grama_every=3, grama_threshold=0.25)
    low = [(0, 0, 1), (1, 2, 3)]
    seen = []
    for step in range(3):
        before = own.copy()
        now = gradients(step, low)
        seen.append(now)
        own.after(step, (), now)
        unchanged = all(np.array_equal(before[n], a) for n, a in own.copy().items())
        assert unchanged is (step < 2)
    recycled, after = set(), own.copy()
    for layer in (0, 1):
        together = torch.cat([s[layer] for s in seen], 1).numpy()
        for i in range(3):
            size = np.abs(together[i]).mean(0)
            for unit in np.flatnonzero(size / size.mean() <= 0.25):
                recycled.add((layer, i, int(unit)))
            new = (after[f"h{layer}.w"][i] != before[f"h{layer}.w"][i]).all(1)
            own_ones = {unit for la, m, unit in recycled if (la, m) == (layer, i)}
            assert set(np.flatnonzero(new)) == own_ones
    assert recycled == set(low)
    assert (after["out.w"][2, :, 3] == 0).all()
    assert (own.state["gradient"] == 0).all()


def test_a_member_that_is_not_finite_is_left_alone(toy):
    own = toy("regrama", grama_every=1, grama_threshold=10.0)
    now = gradients(0)
    now[0][1] = torch.nan
    before = own.copy()
    own.after(0, (), now)
    after = own.copy()
    assert np.array_equal(after["h0.w"][1], before["h0.w"][1])
    assert (after["h0.w"][0] != before["h0.w"][0]).all()


def test_units_that_share_outputs_cannot_be_judged(toy, structures):
    own = toy("regrama")
    paired = replace(own.training, structure=structures.of(activation="maxmin"))
    with pytest.raises(ValueError, match="needed one output a unit for regrama"):
        own.method.start(paired)


@pytest.mark.parametrize(
    "change", [{"grama_threshold": -0.1}, {"grama_every": 0}], ids=str
)
def test_a_setting_out_of_range_is_refused(toy, change):
    ((key, value),) = change.items()
    with pytest.raises(ValueError, match=f"needed {key} >= ., found {value}"):
        toy("regrama", **change)
