"""InFeR against its formula, with numpy."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator

INPUTS = torch.randn(3, 7, 3, generator=generator(0, "infer")).double()


def penalty(own):
    _, seen = own.structure.function(own.parameters, INPUTS)
    return own.penalty(activations=seen, inputs=INPUTS, losses=torch.ones(3))


def test_it_is_the_squared_distance_to_scaled_first_outputs(toy):
    settings = {"infer_strength": 0.3, "infer_scale": 2.0, "infer_heads": 6}
    own = toy("infer", **settings)
    _, first = own.structure.function(own.parameters, INPUTS)
    first = first[1].detach().numpy()
    own.adam_step(0)
    found = penalty(own).detach()
    _, seen = own.structure.function(own.parameters, INPUTS)
    for i in range(3):
        heads = own.state["heads"]["h1.w"][i].numpy()
        assert heads.shape == (6, 4)
        total = 0.0
        for x in range(7):
            now = seen[1][i, x].detach().numpy()
            for head in heads:
                total += (head @ now - 2 * head @ first[i, x]) ** 2
        assert found[i].item() == pytest.approx(0.3 * total / 7, rel=1e-9)


def test_at_the_start_with_scale_one_it_is_zero_and_stays_so_for_the_head(toy):
    own = toy("infer", infer_scale=1.0)
    assert_close(penalty(own).detach(), torch.zeros(3).double())
    with torch.no_grad():
        own.parameters["out.w"].mul_(3)
    assert_close(penalty(own).detach(), torch.zeros(3).double())


def test_heads_are_each_members_own_and_of_variance_one_over_the_features(toy):
    heads = toy("infer", infer_heads=5000).state["heads"]["h1.w"]
    assert heads.var().item() == pytest.approx(1 / 4, rel=0.05)
    assert not np.allclose(heads[0], heads[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"infer_strength": -1.0}, "needed infer_strength >= 0, found -1"),
        ({"infer_heads": 0}, "needed infer_heads >= 1, found 0"),
    ],
)
def test_a_setting_out_of_range_is_refused(toy, change, message):
    with pytest.raises(ValueError, match=message):
        toy("infer", **change)
