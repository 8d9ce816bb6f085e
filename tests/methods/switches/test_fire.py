"""FIRE against the polar factor of an SVD, where its iteration gets that far."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import isometry
from isometry.core.seeding import generator
from isometry.methods.switches.fire import _attention, _reinitialised


def drawn(*shape):
    return torch.randn(shape, generator=generator(0, "fire", *shape)).double()


def polar(matrix):
    """Return the nearest matrix with orthonormal rows or columns, by numpy's SVD."""
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    return u @ v


@pytest.mark.parametrize(("out", "fan_in"), [(9, 4), (4, 9), (12, 3), (1, 5)])
def test_it_is_the_scaled_polar_factor(out, fan_in):
    weight = 3 * drawn(2, out, fan_in)
    found = _reinitialised(weight, 40)
    for i in range(2):
        expected = sqrt(out / fan_in) * polar(weight[i].numpy())
        assert_close(found[i], torch.from_numpy(expected))


def test_a_kernel_goes_place_by_place_over_the_number_of_places():
    weight = drawn(2, 6, 3, 2, 4)
    found = _reinitialised(weight, 40)
    for i, a, b in np.ndindex(2, 2, 4):
        expected = sqrt(6 / 3) / 8 * polar(weight[i, :, :, a, b].numpy())
        assert_close(found[i, :, :, a, b], torch.from_numpy(expected))


def test_singular_values_follow_the_cubic_map_and_vectors_stay():
    weight = drawn(1, 5, 5)
    u, s, v = np.linalg.svd(weight[0].numpy())
    s = s / sqrt((s**2).sum())
    for _ in range(10):
        s = 1.5 * s - 0.5 * s**3
    assert_close(_reinitialised(weight, 10)[0], torch.from_numpy(u * s @ v))


def test_ten_iterations_do_not_make_a_large_square_weight_an_isometry():
    """As measured: about half of the singular values of 512 x 512 are below 0.99."""
    values = torch.linalg.svdvals(_reinitialised(drawn(1, 512, 512), 10)[0])
    assert 0.4 < (values >= 0.99).double().mean() < 0.6
    assert values.min() < 0.01
    wide = torch.linalg.svdvals(_reinitialised(drawn(1, 100, 784), 10)[0])
    assert_close(wide, torch.full_like(wide, sqrt(100 / 784)), rtol=1e-5, atol=0)


def test_a_zero_weight_stays_zero():
    weight = drawn(2, 4, 3)
    weight[0] = 0
    found = _reinitialised(weight, 10)
    assert (found[0] == 0).all()
    assert found[1].isfinite().all()


def act(own, **more):
    with torch.no_grad():
        own.method.before_task(replace(own.training, task=1, **more))


@pytest.mark.parametrize("normalised", [False, True])
def test_it_acts_on_weights_with_the_heads_and_the_optimiser_forgets(toy, normalised):
    own = toy("fire", normalised)
    own.adam_step(0)
    assert own.optimizer.state
    before = own.copy()
    act(own)
    assert not own.optimizer.state
    for name, array in before.items():
        expected = torch.from_numpy(array)
        if name.endswith(".w"):
            expected = _reinitialised(expected, 10)
        assert torch.equal(own.parameters[name].detach(), expected)


def test_a_spared_head_is_left_alone(toy):
    own = toy("fire")
    own.structure.roles["out.w"] = "spared"
    before = own.copy()
    act(own)
    assert np.array_equal(own.copy()["out.w"], before["out.w"])
    assert not np.array_equal(own.copy()["h0.w"], before["h0.w"])


def test_of_a_transformer_only_queries_and_keys_are_touched(toy):
    own = toy("fire")
    names = {"h0.w": "attention.0.query.weight", "h1.w": "attention.0.key.weight"}
    roles = {names.get(n, n): role for n, role in own.structure.roles.items()}
    parameters = {names.get(n, n): p for n, p in own.parameters.items()}
    before = own.copy()
    act(own, structure=replace(own.structure, roles=roles), parameters=parameters)
    after = own.copy()
    moved = {n for n, array in after.items() if not np.array_equal(array, before[n])}
    assert moved == {"h0.w", "h1.w"}, "and no head"


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ("in_proj_weight[0] in_proj_weight[1] in_proj_weight[2]", (0, 1)),
        ("q_proj_weight k_proj_weight v_proj_weight", (0, 1)),
        ("v_proj.weight out_proj.weight k_proj.weight q_proj.weight", (2, 3)),
        ("qkv.weight[0] qkv.weight[1] qkv.weight[2] proj.weight", (0, 1)),
        ("c_attn.weight[0] c_attn.weight[1] q_attn.weight", (0, 2)),  # GPT-2, crossed
        ("to_kv.weight[0] to_kv.weight[1] to_q.weight", (0, 2)),
        ("q.weight advantage.weight", ()),  # an agent's head
        ("in_proj.weight[0] in_proj.weight[1]", ()),  # Mamba's
    ],
)
def test_queries_and_keys_are_known_by_the_names_that_libraries_give(weights, found):
    for place in ("", "layers.3.self_attn."):
        names = [place + weight for weight in weights.split()]
        assert _attention(names) == [names[i] for i in found]


@pytest.mark.parametrize("keys", [8, 6])
def test_of_torch_s_own_attention_the_values_stay(keys):
    attention = nn.MultiheadAttention(8, 2, kdim=keys, vdim=keys, batch_first=True)
    sgd = torch.optim.SGD(attention.parameters(), lr=0.1)
    inputs = torch.randn(2, 3, 8), torch.randn(2, 5, keys), torch.randn(2, 5, keys)
    plastic = isometry.attach(attention, sgd, "fire", inputs=inputs)
    before = {key: value.clone() for key, value in attention.state_dict().items()}
    plastic.new_task()
    moved = {
        key: (value != before[key]).reshape(-1, value.shape[-1]).any(1)
        for key, value in attention.state_dict().items()
    }
    if keys == 8:
        assert moved.pop("in_proj_weight").tolist() == [True] * 16 + [False] * 8
    else:
        assert moved.pop("q_proj_weight").all()
        assert moved.pop("k_proj_weight").all()
    assert not any(rows.any() for rows in moved.values())


def test_frozen_keys_stay_and_nothing_else_takes_their_place():
    attention = nn.MultiheadAttention(8, 2, kdim=8, vdim=6)
    inputs = torch.randn(3, 2, 8), torch.randn(5, 2, 8), torch.randn(5, 2, 6)
    attention.k_proj_weight.requires_grad_(False)
    sgd = torch.optim.SGD(attention.parameters(), lr=0.1)
    plastic = isometry.attach(attention, sgd, "fire", inputs=inputs)
    before = {key: value.clone() for key, value in attention.state_dict().items()}
    plastic.new_task()
    after = attention.state_dict()
    moved = {key for key in after if not torch.equal(after[key], before[key])}
    assert moved == {"q_proj_weight"}


def test_a_number_of_iterations_out_of_range_is_refused(toy):
    with pytest.raises(ValueError, match="needed fire_iterations >= 1, found 0"):
        toy("fire", fire_iterations=0)
