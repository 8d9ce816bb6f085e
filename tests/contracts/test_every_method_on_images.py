"""What every method must do on networks that are no multilayer perceptrons."""

import copy
import math
import re
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.core.settings import keys
from isometry.lab.run import plan
from isometry.methods import METHODS, Training, get
from isometry.stream.run import on_device
from isometry.supervised.trainer import network_of, train

SMALL = {
    "data": "digits",
    "tasks": 2,
    "images_per_task": 12,
    "epochs": 1,
    "batch_size": 5,
    "width": 16,
    "depth": 2,
}
# What makes a rule act within the few steps of these tests. Every setting that ends in
# `_every` becomes 2 by itself.
BRISK = {
    "redo": {"redo_threshold": 0.7, "redo_window": 1},
    "cbp": {"replacement_rate": 0.3, "maturity": 0},
    "snr": {"snr_least": 1, "snr_most": 4},
    "l2_init": {"l2_init_strength": 0.5},
    "weight_clipping": {"clip": 0.5},
    "selective_reinit": {"reinit_rate": 0.3},
    "regrama": {"grama_threshold": 0.7},
    "c_chain": {"churn_from": 0},
    "trac": {"trac_scale": 1e-3},
}
NETWORKS = ("cnn", "transformer")
EVERY = (*METHODS.names(), "nap+redo", "layernorm+cbp")

# A head that reads no hidden layer itself, but the mean over tokens.
HEADLESS = ("transformer", "fade")

every_network = pytest.mark.parametrize("network", NETWORKS)
every_method = pytest.mark.parametrize("name", EVERY)
every_written_gradient = pytest.mark.parametrize(
    "name", [name for name in EVERY if get(name).penalty_gradient_ is not None]
)


def planned(network, name, **changes):
    if (network, name) == HEADLESS:
        pytest.skip("it is refused")
    method = get(name)
    found = {key: 2 for key in keys(method.settings) if key.endswith("_every")}
    for part in method.parts or (name,):
        found |= BRISK.get(part, {})
    found |= {"network": network, "lr": method.trial_lr}
    settings = {**SMALL, **found, **changes}
    return plan("permuted_mnist", name, settings, "smoke")


def trained(plan_, pixels, seeds, **keywords):
    parts = (plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings)
    return train(*parts, pixels, list(seeds), **keywords)


def stack_of(plan_, pixels, seeds):
    network = network_of(plan_.method, plan_.method_settings, plan_.settings, pixels)
    training = Training(
        structure=network.structure(),
        parameters=on_device(network.stacked(list(seeds)), torch.device("cpu")),
        seeds=list(seeds),
        settings=plan_.method_settings,
        lr=plan_.settings.lr,
    )
    if plan_.method.start is not None:
        training = replace(training, state=plan_.method.start(training))
    return network, training


@every_network
@every_method
@pytest.mark.usefixtures("double")
def test_a_member_of_a_stack_is_the_same_seed_trained_alone(digits, network, name):
    pixels = replace(
        digits,
        train_inputs=digits.train_inputs.double(),
        test_inputs=digits.test_inputs[:8].double(),
        test_labels=digits.test_labels[:8],
    )
    plan_ = planned(network, name)
    stacked = trained(plan_, pixels, [3, 1])
    alone = trained(plan_, pixels, [1])
    for key, tensor in alone.parameters.items():
        assert_close(tensor[0], stacked.parameters[key][1])
    assert not any(torch.equal(p[0], p[1]) for p in stacked.parameters.values())


@pytest.mark.parametrize("network", ["mlp", "cnn"])
@every_method
def test_products_of_half_precision_leave_the_weights_whole(digits, network, name):
    run = trained(planned(network, name, precision="bfloat16"), digits, [0])
    assert {p.dtype for p in run.parameters.values()} == {torch.float32}
    assert all(p.isfinite().all() for p in run.parameters.values())


class Stopped(Exception):  # noqa: N818 - it is no error
    """Stands for a kill between two tasks."""


@every_network
@every_method
def test_a_stopped_run_goes_on_bit_for_bit(digits, tmp_path, network, name):
    plan_, checkpoint = planned(network, name), tmp_path / "checkpoint.pt"

    def stop(done, total):
        raise Stopped

    whole = trained(plan_, digits, [0])
    with pytest.raises(Stopped):
        trained(plan_, digits, [0], checkpoint=checkpoint, progress=stop)
    resumed = trained(plan_, digits, [0], checkpoint=checkpoint)
    assert resumed.records == whole.records
    for key, tensor in whole.parameters.items():
        assert torch.equal(resumed.parameters[key], tensor)


@every_network
@every_method
def test_its_optimiser_moves_every_parameter_of_every_member(digits, network, name):
    plan_ = planned(network, name)
    _, training = stack_of(plan_, digits, (0, 1))
    parameters, optimizer = training.parameters, plan_.method.optimizer(training)
    assert set(training.roles) == set(parameters)
    before = {key: p.detach().clone() for key, p in parameters.items()}
    for key, parameter in parameters.items():
        draw = generator(0, "gradient", key)
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    optimizer.step()
    for key, parameter in parameters.items():
        moved = (parameter.detach() != before[key]).flatten(1).any(1)
        assert moved.all(), f"{key} of every member must move"
        assert parameter.isfinite().all()


@every_network
@every_written_gradient
@pytest.mark.usefixtures("double")
def test_its_written_gradient_is_that_of_its_penalty(digits, network, name):
    plan_ = planned(network, name)
    _, training = stack_of(plan_, digits, (0, 1))
    parameters = training.parameters
    for key, parameter in parameters.items():
        draw = generator(0, "away", key)
        parameter.data += torch.randn(parameter.shape, generator=draw)
        parameter.grad = torch.ones_like(parameter)
    own = replace(training, state=copy.deepcopy(training.state))
    penalty = plan_.method.penalty(own)
    gradients = torch.autograd.grad(
        penalty.sum(), list(parameters.values()), materialize_grads=True
    )
    with torch.no_grad():
        plan_.method.penalty_gradient_(training)
    for parameter, gradient in zip(parameters.values(), gradients, strict=True):
        assert_close(parameter.grad, gradient + 1)


@every_network
@pytest.mark.parametrize("name", [n for n in EVERY if get(n).after_step is not None])
def test_these_tests_see_it_act(digits, network, name):
    """A rule that never acts in a test would pass it whatever it did."""
    plan_ = planned(network, name, tasks=1)
    still = replace(plan_.method, after_step=None)
    if name == "snr" and network == "transformer":
        # Tokens are many: only after large steps is a unit silent on all of them.
        plan_ = planned(network, name, tasks=1, activation="leaky_relu", lr=1.0)
    acting = trained(plan_, digits, [0]).parameters
    resting = trained(replace(plan_, method=still), digits, [0]).parameters
    assert any(not torch.equal(acting[key], resting[key]) for key in acting)


@every_network
def test_self_normalised_resets_count_images_and_not_places(digits, network):
    """A unit that never fires is silent for as many samples as there were images."""
    plan_ = planned(network, "snr", tasks=1, snr_least=100, snr_most=100)

    def silence(bias):
        built, training = stack_of(plan_, digits, [0])
        parameters = training.parameters
        parameters["hidden.0.bias"].data[:] = bias
        inputs = digits.train_inputs[None, :5]
        seen = built.hidden_activations(parameters, inputs)
        with torch.no_grad():
            plan_.method.after_step(replace(training, activations=seen))
        units = parameters["hidden.0.weight"].shape[1]
        return training.state["silence"][0, :units]

    assert (silence(-1e3) == 5).all()
    assert (silence(1e3) == 0).all()


def test_decay_that_is_learned_at_the_head_is_refused_on_a_transformer(digits):
    changes = {**SMALL, "network": "transformer"}
    plan_ = plan("permuted_mnist", "fade", changes, "smoke")
    with pytest.raises(ValueError, match="needed one head that reads the last hidden"):
        trained(plan_, digits, [0])


@pytest.mark.parametrize("name", EVERY)
def test_logistic_regression_is_trained_or_refused_in_one_line(digits, name):
    changes = {**SMALL, "network": "mlp", "depth": 0, "diagnose_every": 1, "lr": 0.01}
    method = get(name)
    changes |= {key: 2 for key in keys(method.settings) if key.endswith("_every")}
    del changes["width"]
    plan_ = plan("permuted_mnist", name, changes, "smoke")
    parts = (plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings)
    refused = None
    try:
        run = train(*parts, digits, [0, 1])
    except ValueError as error:
        refused = str(error)
    if refused is not None:
        line = r"needed (a hidden|one head that reads the last hidden)[^\n]+; [^\n]+$"
        assert re.match(line, refused)
        return
    assert all(math.isfinite(record["value"]) for record in run.records)
    assert [p.shape for p in run.parameters.values()] == [(2, 10, 64), (2, 10)]
