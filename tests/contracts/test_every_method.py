"""What every registered method must do; a new one is tested by being registered."""

import copy
import dataclasses
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.core.settings import _help_of, changed, keys
from isometry.lab.run import plan
from isometry.methods import METHODS, AdamSettings, Training, get
from isometry.stream.run import on_device
from isometry.supervised import SupervisedSettings
from isometry.supervised.trainer import network_of, train

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
SMALL = {
    "data": "digits",
    "tasks": 2,
    "images_per_task": 41,
    "epochs": 2,
    "batch_size": 16,
    "width": 10,
    "depth": 2,
}
# Elementwise functions that round the last entries of a tensor, which do not fill a
# vector register, another way than the rest; in a longer tensor others are the last.
# The other common ones (exp, log, tanh, erf, sqrt) round alike wherever an entry is.
ROUNDED_BY_PLACE = {
    *("sigmoid", "silu", "softplus", "elu", "selu", "mish"),
    *("exp2", "sinh", "cosh", "atan2"),
}

# What makes a rule act within the few steps of these tests. Every setting that ends in
# `_every` becomes 2 by itself.
BRISK = {
    "redo": {"redo_threshold": 0.5, "redo_window": 1},
    "cbp": {"replacement_rate": 0.05, "maturity": 1},
    "snr": {"snr_least": 10, "snr_most": 20},
    "l2_init": {"l2_init_strength": 0.5},
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
    "trac": {"trac_scale": 1e-2},
}
COMBINED = (
    "layernorm+adamo",
    "nap+redo",
    "l2_init+muon",
    "layernorm+cbp",
    "l2+adam_isometry",
    "maxmin+spectral+shrink_perturb",
    "layernorm+fresh",
    "l2+upgd",
    "snr+sgd_momentum",
    "nap+fire",
    "l2_init+hare_tortoise",
    "aid+c_chain+cpr",
    "papo+fade",
    "redo+trac",
    "l2_init+kron",
    "redo+adalin",
)
EVERY = (*METHODS.names(), *COMBINED)

every_method = pytest.mark.parametrize("name", METHODS.names())
every_combination = pytest.mark.parametrize("name", EVERY)
every_penalty = pytest.mark.parametrize(
    "name", [name for name in EVERY if get(name).penalty is not None]
)
every_switch = pytest.mark.parametrize(
    "name", [name for name in EVERY if get(name).before_task is not None]
)
every_state = pytest.mark.parametrize(
    "name", [name for name in EVERY if get(name).start is not None]
)


def brisk(name):
    """Return settings under which a method acts every other step."""
    method = get(name)
    found = {key: 2 for key in keys(method.settings) if key.endswith("_every")}
    for part in method.parts or (name,):
        found |= BRISK.get(part, {})
    return found


def planned(name, **changes):
    own = {"lr": get(name).trial_lr, **brisk(name)}
    return plan("permuted_mnist", name, {**SMALL, **own, **changes}, "smoke")


def trained(plan_, pixels, seeds, **keywords):
    parts = (plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings)
    return train(*parts, pixels, list(seeds), **keywords)


def stack_of(plan_, pixels, seeds=(0, 1, 2)):
    """Return a method's network and what its places get before the first step."""
    network = network_of(plan_.method, plan_.method_settings, plan_.settings, pixels)
    training = Training(
        structure=network.structure(),
        parameters=on_device(network.stacked(list(seeds)), CPU),
        seeds=list(seeds),
        settings=plan_.method_settings,
        lr=plan_.settings.lr,
    )
    return network, training


def moved_stack_of(plan_, pixels, seeds=(0, 1, 2)):
    """Return what a method's places get away from where the method is at rest."""
    _, training = stack_of(plan_, pixels, seeds)
    training = replace(training, state=carried(plan_, training))
    for i, seed in enumerate(seeds):
        for key, parameter in training.parameters.items():
            draw = generator(seed, "away", key)
            parameter.data[i] += torch.randn(parameter.shape[1:], generator=draw)
    return training


def carried(plan_, training):
    """Return what a method carries along at the start."""
    return {} if plan_.method.start is None else plan_.method.start(training)


def leaves(state):
    """Return the tensors that a method carries along, by their path."""
    found = {}
    for key, value in state.items():
        inner = leaves(value) if isinstance(value, dict) else {"": value}
        found |= {f"{key}/{path}": tensor for path, tensor in inner.items()}
    return found


def penalty_of(plan_, training, place="penalty"):
    """Return each member's penalty; the state is not changed by asking."""
    own = replace(training, state=copy.deepcopy(training.state))
    return getattr(plan_.method, place)(with_step(own))


def with_step(training):
    """Return what a method's places get within a step, on a minibatch by the seeds."""
    draws = [generator(seed, "images") for seed in training.seeds]
    inputs = torch.stack([torch.randn(7, 64, generator=draw) for draw in draws])
    logits, seen = training.structure.function(training.parameters, inputs)
    losses = logits.detach().square().mean((1, 2))
    return replace(training, inputs=inputs, activations=seen, losses=losses)


# --- what it says of itself -----------------------------------------------------------


@every_method
def test_it_has_a_name_a_summary_and_a_source(name):
    method = METHODS.get(name)
    assert method.name == name
    assert name.isidentifier()
    assert name == name.lower()
    assert len(method.summary) > 10
    assert "\n" not in method.summary
    assert len(method.source) > 3


@every_method
def test_its_source_is_in_the_bibliography(name):
    bibliography = (ROOT / "book" / "references.bib").read_text()
    numbers = re.findall(r"\d{4}\.\d{5}", METHODS.get(name).source)
    assert [number for number in numbers if number not in bibliography] == []


@every_method
def test_its_settings_are_frozen_explained_and_its_own(name):
    settings = METHODS.get(name).settings
    assert settings.__dataclass_params__.frozen
    for key, text in _help_of(settings).items():
        assert text.endswith("."), key
        assert len(text) > 10, key
    shared = set(keys(settings)) & set(keys(SupervisedSettings))
    assert not shared, "a key must mean one thing on the command line"


@every_method
def test_its_settings_survive_their_spelling(name):
    settings = METHODS.get(name).settings
    spelled = {k: str(v) for k, v in dataclasses.asdict(settings).items()}
    assert changed(settings, spelled) == settings


# --- its parts ------------------------------------------------------------------------


@every_method
def test_its_network_has_a_role_for_every_parameter(digits, name):
    network, training = stack_of(planned(name), digits)
    parameters, roles = training.parameters, training.roles
    assert set(roles) == set(parameters)
    vectors = {"vector", "gain", "offset"}
    if network.architecture.alpha is not None:
        vectors.add("spared")
    assert set(roles.values()) <= {"hidden", "head"} | vectors
    for key, tensor in parameters.items():
        assert (roles[key] in vectors) is (tensor.ndim == 2)
    logits = network.forward(parameters, digits.train_inputs[:4].expand(3, 4, 64))
    assert logits.shape == (3, 4, 10)
    assert logits.isfinite().all()


@every_method
def test_its_optimiser_acts_on_every_parameter_once(digits, name):
    plan_ = planned(name)
    _, training = stack_of(plan_, digits)
    parameters, optimizer = training.parameters, plan_.method.optimizer(training)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in parameters.values())
    before = {key: p.detach().clone() for key, p in parameters.items()}
    for key, parameter in parameters.items():
        draw = generator(0, "gradient", key)
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    optimizer.step()
    for key, parameter in parameters.items():
        moved = (parameter.detach() != before[key]).flatten(1).any(1)
        assert moved.all(), f"{key} of every member must move"
        assert parameter.isfinite().all()


@every_method
def test_its_learning_rate_is_the_one_asked_for(digits, name):
    plan_ = planned(name)
    _, training = stack_of(plan_, digits)
    optimizer = plan_.method.optimizer(replace(training, lr=3e-4))
    assert {group["lr"] for group in optimizer.param_groups} == {3e-4}


@every_penalty
@pytest.mark.usefixtures("double")
def test_its_penalty_is_each_members_own(digits, name):
    plan_ = planned(name)
    training = moved_stack_of(plan_, digits)
    parameters, penalty = training.parameters, penalty_of(plan_, training)
    assert penalty.shape == (3,)
    assert (penalty > 0).all()
    for i in range(3):
        alone = penalty_of(plan_, moved_stack_of(plan_, digits, (i,)))
        assert_close(alone, penalty[i : i + 1])
    gradients = torch.autograd.grad(
        penalty[1], list(parameters.values()), allow_unused=True
    )
    seen = [g for g in gradients if g is not None]
    assert any((g[1] != 0).any() for g in seen)
    assert all((g[[0, 2]] == 0).all() for g in seen)


@every_penalty
@pytest.mark.usefixtures("double")
def test_its_written_gradient_is_that_of_its_penalty(digits, name):
    plan_ = planned(name)
    if plan_.method.penalty_gradient_ is None:
        pytest.skip("it is differentiated")
    training = moved_stack_of(plan_, digits)
    penalty, parameters = penalty_of(plan_, training).sum(), training.parameters
    names = list(parameters)
    gradients = torch.autograd.grad(
        penalty, [parameters[n] for n in names], materialize_grads=True
    )
    for parameter in parameters.values():
        parameter.grad = torch.ones_like(parameter)
    with torch.no_grad():
        penalty_of(plan_, training, "penalty_gradient_")
    for key, gradient in zip(names, gradients, strict=True):
        assert_close(parameters[key].grad, gradient + 1)


@every_state
def test_what_it_carries_along_is_each_members_own(digits, name):
    plan_ = planned(name)
    _, training = stack_of(plan_, digits, (5, 6, 7))
    parameters = training.parameters
    before = {key: p.detach().clone() for key, p in parameters.items()}
    together = leaves(carried(plan_, training))
    assert together
    for i, seed in enumerate((5, 6, 7)):
        _, own = stack_of(plan_, digits, (seed,))
        alone = leaves(carried(plan_, own))
        assert alone.keys() == together.keys()
        for key, tensor in alone.items():
            assert torch.equal(tensor[0], together[key][i])
    held = {p.data_ptr() for p in parameters.values()}
    assert not held & {t.data_ptr() for t in together.values()}, "copies, not views"
    assert all(torch.equal(parameters[key], p) for key, p in before.items())


@every_method
def test_its_search_is_over_its_own_settings_and_all_values_are_accepted(name):
    method = METHODS.get(name)
    for key, values in method.search.items():
        assert len(set(values)) == len(values) >= 2
        for value in values:
            assert getattr(changed(method.settings, {key: value}), key) == value


@every_method
def test_it_refuses_what_is_not_its_own(name):
    with pytest.raises(KeyError, match="unknown setting of permuted_mnist with"):
        planned(name, nonsense=1)
    own = isinstance(METHODS.get(name).settings, AdamSettings)
    error = ValueError if own else KeyError
    message = "needed 0 <= beta1 < 1, found" if own else "unknown setting of"
    with pytest.raises(error, match=message):
        planned(name, beta1=1.0)


# --- training -------------------------------------------------------------------------


@every_combination
def test_it_learns_digits_and_all_that_is_measured_is_finite(digits, name):
    settings = {"tasks": 1, "epochs": 20, "lr": get(name).trial_lr}
    for part in get(name).parts or (name,):
        settings |= MILD.get(part, {})
    plan_ = plan("permuted_mnist", name, {**SMALL, **settings}, "smoke")
    run = trained(plan_, digits, [0, 1])
    measured = {(r["seed"], r["metric"]): r["value"] for r in run.records}
    assert len(measured) == len(run.records) == 12
    assert all(map(math.isfinite, measured.values()))
    for seed in (0, 1):
        for key in ("online_accuracy", "final_accuracy", "test_accuracy"):
            assert 0 <= measured[seed, key] <= 1
        assert measured[seed, "final_loss"] < 0.5 * measured[seed, "initial_loss"]
        assert measured[seed, "final_accuracy"] > 0.8
        assert 0.5 < measured[seed, "plasticity"] <= 1


def without_fused_kernels(method):
    """Return the method with its optimiser's elementwise kernels one by one.

    A fused kernel rounds the last entries of a tensor, which do not fill a vector
    register, another way than the rest. In a longer tensor other entries are the last.
    """

    def optimizer(training):
        made = method.optimizer(training)
        for group in made.param_groups:
            if "fused" in group:
                group["fused"] = False
        return made

    return replace(method, optimizer=optimizer)


@every_combination
@pytest.mark.usefixtures("batched_products_are_exact")
@pytest.mark.parametrize("batch_size", [16, 7])
def test_a_member_of_a_stack_is_the_same_seed_trained_alone_bit_for_bit(
    digits, name, batch_size
):
    plan_ = planned(name, batch_size=batch_size)
    plan_ = replace(plan_, method=without_fused_kernels(plan_.method))
    assert_members_are_runs_of_their_own(plan_, digits)


def assert_members_are_runs_of_their_own(plan_, digits):
    """Compare a stack with each seed alone: bit for bit, or to a grown last digit."""
    with Called() as called:
        stacked = trained(plan_, digits, [3, 1, 4, 5])
    exact = not called.names & ROUNDED_BY_PLACE
    error = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-4, "atol": 1e-5}
    for i, seed in enumerate(stacked.seeds):
        alone = trained(plan_, digits, [seed])
        own = [r["value"] for r in stacked.records if r["seed"] == seed]
        found = [r["value"] for r in alone.records]
        assert found == (own if exact else pytest.approx(own, rel=1e-3))
        for key, tensor in alone.parameters.items():
            assert_close(tensor[0], stacked.parameters[key][i], **error)


class Called(TorchFunctionMode):
    """Notes the names of torch's functions that are called meanwhile."""

    def __init__(self):
        self.names = set()

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        self.names.add(getattr(function, "__name__", ""))
        return function(*arguments, **(keywords or {}))


def test_a_rule_with_a_sigmoid_is_compared_to_a_last_digit(digits):
    """And one that mixes its members is still seen."""

    def rule(mix):
        def after_step(training):
            for weight in training.parameters.values():
                gate = torch.sigmoid(weight)
                if mix:
                    gate = gate.mean(0, keepdim=True)
                weight.sub_(weight * gate, alpha=1e-2)

        return after_step

    plan_ = planned("adam", batch_size=7)
    for mix in (False, True):
        method = without_fused_kernels(replace(plan_.method, after_step=rule(mix)))
        changed_plan = replace(plan_, method=method)
        if not mix:
            assert_members_are_runs_of_their_own(changed_plan, digits)
            continue
        with pytest.raises(AssertionError):
            assert_members_are_runs_of_their_own(changed_plan, digits)


@every_combination
@pytest.mark.usefixtures("double")
def test_a_member_of_a_stack_is_the_same_seed_trained_alone_as_it_is_run(digits, name):
    pixels = replace(
        digits,
        train_inputs=digits.train_inputs.double(),
        test_inputs=digits.test_inputs.double(),
    )
    plan_ = planned(name)
    stacked = trained(plan_, pixels, [3, 1, 4, 5])
    for i, seed in enumerate(stacked.seeds):
        alone = trained(plan_, pixels, [seed])
        for key, tensor in alone.parameters.items():
            assert_close(tensor[0], stacked.parameters[key][i])


@every_combination
def test_a_run_is_a_function_of_its_seeds(digits, name):
    plan_ = planned(name)
    first = trained(plan_, digits, [0, 1])
    torch.rand(7)
    second = trained(plan_, digits, [0, 1])
    assert first.records == second.records
    zero = [r["value"] for r in first.records if r["seed"] == 0]
    one = [r["value"] for r in first.records if r["seed"] == 1]
    assert zero != one


class Stopped(Exception):  # noqa: N818 - it is no error
    """Stands for a kill between two tasks."""


@every_combination
def test_a_stopped_run_goes_on_bit_for_bit(digits, tmp_path, name):
    plan_, checkpoint = planned(name), tmp_path / "checkpoint.pt"

    def stop(done, total):
        raise Stopped

    whole = trained(plan_, digits, [0, 1])
    with pytest.raises(Stopped):
        trained(plan_, digits, [0, 1], checkpoint=checkpoint, progress=stop)
    resumed = trained(plan_, digits, [0, 1], checkpoint=checkpoint)
    assert resumed.records == whole.records
    for key, tensor in whole.parameters.items():
        assert torch.equal(resumed.parameters[key], tensor)
    ends = [leaves(run.carried) for run in (resumed, whole)]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][key], tensor) for key, tensor in ends[1].items())


@every_combination
def test_a_member_that_diverges_leaves_the_others_alone_while_it_acts(digits, name):
    plan_ = planned(name, tasks=3)

    def poison(done, parameters):
        if done == 1:
            with torch.no_grad():
                parameters["hidden.0.weight"][0, 0, 0] = math.nan

    sound = trained(plan_, digits, [0, 1])
    run = trained(plan_, digits, [0, 1], observe=poison)
    assert list(run.diverged_at) == ([] if plan_.method.restarts else [0])
    for key, tensor in sound.parameters.items():
        assert torch.equal(run.parameters[key][1], tensor[1])
    found = [r for r in run.records if r["seed"] == 1]
    assert found == [r for r in sound.records if r["seed"] == 1]


@pytest.mark.parametrize("name", [n for n in EVERY if get(n).after_step is not None])
def test_these_tests_see_it_act(digits, name):
    """A rule that never acts in a test would pass it whatever it did."""
    plan_ = planned(name, tasks=1)
    still = replace(plan_.method, after_step=None)
    acting = trained(plan_, digits, [0]).parameters
    resting = trained(replace(plan_, method=still), digits, [0]).parameters
    assert any(not torch.equal(acting[key], resting[key]) for key in acting)


@every_switch
def test_these_tests_see_it_act_at_a_switch(digits, name):
    plan_ = planned(name)
    still = replace(plan_, method=replace(plan_.method, before_task=None))
    acting, resting = (trained(p, digits, [0]) for p in (plan_, still))
    found = [
        [r["value"] for r in run.records if not r["task"]] for run in (acting, resting)
    ]
    assert found[0] == found[1], "a network's first task has nothing before it"
    assert any(
        not torch.equal(p, resting.parameters[key])
        for key, p in acting.parameters.items()
    )


@every_combination
def test_every_task_of_a_method_that_restarts_is_as_its_first(digits, name):
    plan_ = planned(name)
    run = trained(plan_, digits, [0])
    network, *_ = stack_of(plan_, digits, [0])
    start = network.stacked([0], 1)
    loss = [r["value"] for r in run.records if r["metric"] == "initial_loss"][1]
    task = plan_.benchmark.task(digits, plan_.settings, 0, 1)
    logits = network.forward(start, task.inputs[None])[0]
    new = torch.nn.functional.cross_entropy(logits, task.labels).item()
    assert (loss == pytest.approx(new, rel=1e-5)) is plan_.method.restarts
