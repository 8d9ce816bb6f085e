"""The methods' arithmetic on stacks: penalties, groups, settings."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.adamo import AdamO
from isometry.core.seeding import generator
from isometry.core.settings import changed
from isometry.methods import (
    METHODS,
    Architecture,
    Method,
    Structure,
    Training,
    get,
    names,
    register,
)
from isometry.methods.pulls.isometry import (
    _AdamOSettings,
    _gram_penalty,
    _maxmin_network,
    _PenaltySettings,
    _regularised,
)

SHAPES = {"hidden.0.weight": (5, 3), "hidden.0.bias": (5,), "head.weight": (2, 5)}
ROLES = {
    "hidden.0.weight": "hidden",
    "hidden.0.bias": "vector",
    "head.weight": "head",
}


def parameters_of(members=3):
    return {
        name: torch.randn(
            (members, *shape), generator=generator(0, name), dtype=torch.float64
        ).requires_grad_()
        for name, shape in SHAPES.items()
    }


def training_of(parameters, settings, lr=1e-2):
    """Return what a method's places get, for these parameters."""
    structure = Structure(
        roles=ROLES, layers=(), heads=(), activation="relu", spread={}, fresh=dict
    )
    return Training(
        structure=structure,
        parameters=parameters,
        seeds=[0, 1, 2],
        settings=settings,
        lr=lr,
    )


def with_gradients(parameters):
    for name, p in parameters.items():
        draw = generator(1, name)
        p.grad = torch.randn(p.shape, generator=draw, dtype=torch.float64)
    return parameters


def stepped(method, steps=1, lr=1e-2, **settings):
    """Return parameters after some steps on fixed gradients."""
    chosen = METHODS.get(method)
    own = changed(chosen.settings, settings)
    parameters = with_gradients(parameters_of())
    optimizer = chosen.optimizer(training_of(parameters, own, lr))
    for _ in range(steps):
        optimizer.step()
    return {name: p.detach() for name, p in parameters.items()}


def deviation_gradient(weight):
    """Return 4 (W W^T - I) W or 4 W (W^T W - I), with numpy, of one matrix."""
    out, fan_in = weight.shape
    if out >= fan_in:
        return 4 * weight @ (weight.T @ weight - np.eye(fan_in))
    return 4 * (weight @ weight.T - np.eye(out)) @ weight


@pytest.mark.parametrize(
    ("head", "expected"),
    [(True, ["hidden.0.weight", "head.weight"]), (False, ["hidden.0.weight"])],
)
def test_the_penalty_sees_weights_and_spares_biases(head, expected):
    settings = _PenaltySettings(isometry_head=head)
    assert _regularised(training_of(parameters_of(), settings)) == expected


def test_the_penalty_is_the_sum_of_squared_deviations_of_each_member():
    parameters = parameters_of()
    settings = _PenaltySettings(isometry_strength=0.3)
    found = _gram_penalty(training_of(parameters, settings))
    for i in range(3):
        total = 0.0
        for name in ("hidden.0.weight", "head.weight"):
            sigma = np.linalg.svd(parameters[name][i].detach().numpy())[1]
            total += ((sigma**2 - 1) ** 2).sum()
        assert found[i].item() == pytest.approx(0.3 * total, rel=1e-12)


def test_the_penalty_of_orthogonal_weights_is_zero():
    parameters = parameters_of()
    for name in ("hidden.0.weight", "head.weight"):
        u, _, v = torch.linalg.svd(parameters[name].detach(), full_matrices=False)
        parameters[name] = u @ v
    found = _gram_penalty(training_of(parameters, _PenaltySettings()))
    assert_close(found, torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("head", [True, False])
def test_adamo_is_adam_plus_the_isometry_step_at_the_weights_before(head):
    lr, strength = 1e-2, 0.1
    found = stepped("adamo", lr=lr, isometry_strength=strength, isometry_head=head)
    adam, before = stepped("adam", lr=lr), parameters_of()
    for name in SHAPES:
        expected = adam[name].numpy().copy()
        if ROLES[name] == "hidden" or (head and ROLES[name] == "head"):
            for i in range(3):
                start = before[name][i].detach().numpy()
                expected[i] -= lr * strength * deviation_gradient(start)
        assert_close(found[name], torch.from_numpy(expected))


def test_adamo_has_its_own_rate_and_period():
    lr = 1e-2
    default = stepped("adamo", lr=lr, isometry_strength=0.1)
    halved = stepped("adamo", lr=lr, isometry_strength=0.05, isometry_lr=2 * lr)
    for name in SHAPES:
        assert_close(default[name], halved[name])
    rare = stepped("adamo", lr=lr, isometry_strength=0.1, isometry_every=3)
    for name, tensor in stepped("adam", lr=lr).items():
        assert_close(rare[name], tensor)
    third = stepped("adamo", 3, lr=lr, isometry_strength=0.1, isometry_every=3)
    adam = stepped("adam", 3, lr=lr)
    assert not torch.equal(third["head.weight"], adam["head.weight"])


def test_zero_strength_is_adam_bit_for_bit():
    adam = stepped("adam", 5)
    for name, tensor in stepped("adamo", 5, isometry_strength=0.0).items():
        assert torch.equal(tensor, adam[name])


@pytest.mark.parametrize(
    ("method", "trusted", "settings", "keywords"),
    [
        (
            "adam",
            torch.optim.Adam,
            {"beta1": 0.7, "beta2": 0.9, "eps": 1e-4},
            {"betas": (0.7, 0.9), "eps": 1e-4},
        ),
        (
            "adamw",
            torch.optim.AdamW,
            {"weight_decay": 0.2, "beta1": 0.5},
            {"betas": (0.5, 0.999), "weight_decay": 0.2},
        ),
        (
            "adamo",
            AdamO,
            {"isometry_strength": 0.2, "beta2": 0.9, "eps": 1e-3},
            {"isometry_strength": 0.2, "betas": (0.9, 0.9), "eps": 1e-3},
        ),
    ],
)
def test_settings_reach_the_optimiser(method, trusted, settings, keywords):
    found = stepped(method, 4, **settings)
    for i in range(3):
        alone = with_gradients(parameters_of())
        own = {}
        for name, p in alone.items():
            own[name] = p[i].detach().clone().requires_grad_()
            own[name].grad = p.grad[i].clone()
        optimizer = trusted(own.values(), lr=1e-2, **keywords)
        for _ in range(4):
            optimizer.step()
        for name, tensor in own.items():
            assert_close(found[name][i], tensor.detach())


def test_maxmin_changes_activation_and_start_and_nothing_else():
    before = Architecture(
        network="mlp",
        width=8,
        depth=3,
        activation="relu",
        negative_slope=0.1,
        init="default",
        init_gain=2.0,
    )
    own = METHODS.get("maxmin").settings
    after = _maxmin_network(before, own)
    assert (after.activation, after.init, after.init_gain) == (
        "maxmin",
        "orthogonal",
        1.0,
    )
    restored = dataclasses.replace(
        after, activation="relu", init="default", init_gain=2.0
    )
    assert restored == before
    kept = _maxmin_network(before, dataclasses.replace(own, maxmin_start="network"))
    assert kept == dataclasses.replace(before, activation="maxmin")


def test_only_the_ceiling_restarts():
    assert [method.name for method in METHODS if method.restarts] == ["fresh"]


REFUSALS = [
    ("adam", {"beta1": 1.0}, "needed 0 <= beta1 < 1, found 1.0; change beta1"),
    ("adam", {"beta2": -0.1}, "needed 0 <= beta2 < 1"),
    ("adam", {"eps": 0.0}, "needed eps > 0"),
    ("adamw", {"weight_decay": -1.0}, "needed weight_decay >= 0"),
    ("adamw", {"beta1": 1.0}, "needed 0 <= beta1 < 1"),
    ("adamo", {"isometry_strength": -1.0}, "needed isometry_strength >= 0"),
    ("adamo", {"isometry_lr": 0.0}, "needed isometry_lr > 0"),
    ("adamo", {"isometry_every": 0}, "needed isometry_every >= 1"),
    ("adamo", {"beta2": 1.0}, "needed 0 <= beta2 < 1"),
    ("adam_isometry", {"isometry_strength": -1.0}, "needed isometry_strength >= 0"),
    ("adam_isometry", {"eps": -1.0}, "needed eps > 0"),
]


@pytest.mark.parametrize(("method", "values", "message"), REFUSALS)
def test_settings_out_of_range_are_refused(method, values, message):
    with pytest.raises(ValueError, match=message):
        changed(METHODS.get(method).settings, values)


def test_defaults_are_the_papers():
    settings = _AdamOSettings()
    assert (settings.isometry_strength, settings.isometry_lr) == (1e-3, None)
    assert (settings.beta1, settings.beta2, settings.eps) == (0.9, 0.999, 1e-8)


def test_the_registry_gives_methods_by_name():
    assert get("adamo").name == "adamo"
    assert set(names()) >= {"adam", "adamw", "adamo", "adamo_maxmin", "fresh"}
    with pytest.raises(KeyError, match="unknown method 'admo'; did you mean 'adamo'"):
        get("admo")
    with pytest.raises(ValueError, match="method 'adam' is registered already"):
        register(Method(name="adam", summary="again", source="ours"))
