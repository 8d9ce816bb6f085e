"""What every method must do where gradient descent takes Adam's place."""

import dataclasses
import math

import pytest
import torch
from torch.testing import assert_close

from isometry.core.settings import keys
from isometry.lab.run import plan
from isometry.methods import METHODS, Structure, Training, get
from isometry.methods.method import adam
from isometry.methods.optimisers.gradient_descent import check_optimizer, with_optimizer
from isometry.supervised.trainer import train

SMALL = {
    "data": "digits",
    "tasks": 2,
    "images_per_task": 41,
    "epochs": 2,
    "batch_size": 16,
    "width": 10,
    "depth": 2,
    "lr": 1e-2,
    "optimizer": "sgd",
}
# What makes a rule act within the few steps of these tests. Every setting that ends in
# `_every` becomes 2 by itself.
BRISK = {
    "redo": {"redo_threshold": 0.5, "redo_window": 1},
    "cbp": {"replacement_rate": 0.1, "maturity": 1},
    "snr": {"snr_least": 10, "snr_most": 20},
    "weight_clipping": {"clip": 0.5},
    "selective_reinit": {"reinit_rate": 0.3},
    "regrama": {"grama_threshold": 0.7},
    "c_chain": {"churn_from": 0},
}
# Published settings that need more steps than a test has, or were made for the losses
# of games; with these it learns within the test.
MILD = {
    "hare_tortoise": {"tortoise_decay": 0.9},
    "sphere": {"sphere_ratio": 5e-3},
}
COMBINED = ("layernorm+redo", "nap+snr", "layernorm+adamo", "l2+cbp")
EVERY = (*METHODS.names(), *COMBINED)
# Continual backprop has an Adam of its own, in whose place there may be SGD as well.
OWN = [
    name
    for name in EVERY
    if get(name).optimizer is not adam and "cbp" not in name.split("+")
]

every_method = pytest.mark.parametrize("name", [n for n in EVERY if n not in OWN])
every_optimizer = pytest.mark.parametrize("name", OWN)
with_and_without = pytest.mark.parametrize("momentum", [0.0, 0.9])


def planned(name, **changes):
    method = get(name)
    found = {key: 2 for key in keys(method.settings) if key.endswith("_every")}
    for part in method.parts or (name,):
        found |= BRISK.get(part, {})
    return plan("permuted_mnist", name, {**SMALL, **found, **changes}, "smoke")


def trained(plan_, pixels, seeds, **keywords):
    parts = (plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings)
    return train(*parts, pixels, list(seeds), **keywords)


# --- what is refused ------------------------------------------------------------------


@every_optimizer
def test_a_method_that_is_an_optimiser_itself_is_refused_in_one_line(digits, name):
    with pytest.raises(ValueError, match="for optimizer=sgd, found") as caught:
        trained(planned(name), digits, [0])
    text = str(caught.value)
    assert text.startswith("needed a method without an optimiser of its own")
    assert name in text or set(name.split("+")) == set(get(name).parts)
    assert "; use " in text
    assert "\n" not in text


@every_method
@pytest.mark.parametrize("change", [{"beta1": 0.5}, {"beta2": 0.9}, {"eps": 1e-3}])
def test_a_changed_setting_of_adam_is_refused(digits, name, change):
    with pytest.raises(ValueError, match="needed no settings of Adam with") as caught:
        trained(planned(name, **change), digits, [0])
    ((key, value),) = change.items()
    assert f"found {key}={value}; leave them out" in str(caught.value)
    check_optimizer(get(name), get(name).settings, planned(name).settings)


def test_a_run_without_the_setting_is_adams():
    check_optimizer(get("adamo"), get("adamo").settings, object())


# --- training -------------------------------------------------------------------------


@with_and_without
@every_method
def test_its_optimiser_is_torchs_sgd_over_every_parameter(name, momentum):
    plan_ = planned(name, momentum=momentum)
    way = with_optimizer(plan_.method, plan_.method_settings, plan_.settings)
    weight = torch.ones(2, 3, 4, requires_grad=True)
    structure = Structure(
        roles={"w": "hidden"},
        layers=(),
        heads=(),
        activation="relu",
        spread={},
        fresh=dict,
    )
    training = Training(
        structure=structure,
        parameters={"w": weight},
        seeds=[0, 1],
        settings=way.settings,
        lr=0.1,
    )
    optimizer = way.optimizer(training)
    assert type(optimizer) is torch.optim.SGD
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"]) == (0.1, momentum)
    assert group["params"] == [weight]
    assert not any(group[key] for key in ("weight_decay", "dampening", "nesterov"))


@with_and_without
@every_method
def test_it_learns_and_all_that_is_measured_is_finite(digits, name, momentum):
    settings = {"tasks": 1, "epochs": 20, "lr": 0.1 * (1 - momentum)}
    changes = {**SMALL, **settings, **MILD.get(name, {}), "momentum": momentum}
    run = trained(plan("permuted_mnist", name, changes, "smoke"), digits, [0, 1])
    measured = {(r["seed"], r["metric"]): r["value"] for r in run.records}
    assert len(measured) == len(run.records) == 12
    assert all(map(math.isfinite, measured.values()))
    for seed in (0, 1):
        assert measured[seed, "final_loss"] < 0.7 * measured[seed, "initial_loss"]


@with_and_without
@every_method
@pytest.mark.usefixtures("batched_products_are_exact")
def test_a_member_of_a_stack_is_the_same_seed_trained_alone_bit_for_bit(
    digits, name, momentum
):
    plan_ = planned(name, momentum=momentum, batch_size=7)
    stacked = trained(plan_, digits, [3, 1, 4, 5])
    for i, seed in enumerate(stacked.seeds):
        alone = trained(plan_, digits, [seed])
        assert alone.records == [r for r in stacked.records if r["seed"] == seed]
        for key, tensor in alone.parameters.items():
            assert torch.equal(tensor[0], stacked.parameters[key][i])


@with_and_without
@every_method
@pytest.mark.usefixtures("double")
def test_a_member_of_a_stack_is_the_same_seed_trained_alone(digits, name, momentum):
    pixels = dataclasses.replace(
        digits,
        train_inputs=digits.train_inputs.double(),
        test_inputs=digits.test_inputs.double(),
    )
    plan_ = planned(name, momentum=momentum)
    stacked = trained(plan_, pixels, [3, 1, 4, 5])
    for i, seed in enumerate(stacked.seeds):
        alone = trained(plan_, pixels, [seed])
        for key, tensor in alone.parameters.items():
            assert_close(tensor[0], stacked.parameters[key][i])


class Stopped(Exception):  # noqa: N818 - it is no error
    """Stands for a kill between two tasks."""


@with_and_without
@every_method
def test_a_stopped_run_goes_on_bit_for_bit(digits, tmp_path, name, momentum):
    plan_, checkpoint = planned(name, momentum=momentum), tmp_path / "checkpoint.pt"

    def stop(done, total):
        raise Stopped

    whole = trained(plan_, digits, [0, 1])
    with pytest.raises(Stopped):
        trained(plan_, digits, [0, 1], checkpoint=checkpoint, progress=stop)
    resumed = trained(plan_, digits, [0, 1], checkpoint=checkpoint)
    assert resumed.records == whole.records
    for key, tensor in whole.parameters.items():
        assert torch.equal(resumed.parameters[key], tensor)


@every_method
def test_momentum_and_its_absence_are_other_runs(digits, name):
    ends = [
        trained(planned(name, **changes), digits, [0]).parameters["head.weight"]
        for changes in ({}, {"momentum": 0.9}, {"optimizer": "adam"})
    ]
    for i in range(3):
        assert not torch.equal(ends[i], ends[i - 1])
