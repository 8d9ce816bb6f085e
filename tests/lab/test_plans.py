"""Plans: every setting reaches the run, or is refused; two spellings of one pull."""

from dataclasses import fields, replace
from typing import get_args

import pytest
import torch

from isometry.adamo import relaxation_steps
from isometry.core.settings import as_dict, keys
from isometry.lab import plans
from isometry.lab.plans import benchmark_of, plan
from isometry.lab.run import run
from isometry.lab.store import load_records
from isometry.methods import METHODS, Architecture
from isometry.rl.agent import network_of as agent_of
from isometry.rl.continual_benchmarks import CONTINUAL, CONTINUAL_MINATAR
from isometry.supervised.benchmarks import BENCHMARKS
from isometry.supervised.settings import Activation
from isometry.supervised.trainer import network_of

SMALL = {"data": "digits", "width": 8, "depth": 2}


def test_a_later_setting_can_be_put_back_to_its_default(monkeypatch):
    smoke = replace(CONTINUAL_MINATAR.profiles.smoke, protect_value_head=False)
    profiles = replace(CONTINUAL_MINATAR.profiles, smoke=smoke)
    benchmark = replace(CONTINUAL_MINATAR, profiles=profiles)
    monkeypatch.setattr(plans, "benchmark_of", lambda name: benchmark)

    def protected(changes):
        planned = plans.plan("continual_minatar", "adamo", changes, "smoke")
        return planned.settings.protect_value_head

    assert protected({"protect_value_head": "true"})
    assert not protected({})


# --- the pull -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["adamo", "adamo_maxmin", "adamo+redo"])
@pytest.mark.parametrize("benchmark", ["permuted_mnist", "continual_minatar"])
@pytest.mark.parametrize(
    ("changes", "lr"),
    [
        ({"lr": 2e-3}, 2e-3),
        ({"lr": 2e-3, "isometry_lr": 1e-4}, 1e-4),  # eta_iso is its own
        ({"isometry_lr": "5e-2"}, 5e-2),
    ],
)
def test_a_pull_spells_the_strength_that_it_means(method, benchmark, changes, lr):
    for pull in (0, 1e-6, "1e-3", 0.125, 0.25):
        spelled = plan(benchmark, method, {**changes, "isometry_pull": pull}, "smoke")
        strength = float(pull) / lr
        meant = plan(
            benchmark, method, {**changes, "isometry_strength": strength}, "smoke"
        )
        assert spelled.settings == meant.settings
        assert as_dict(spelled.method_settings) == as_dict(meant.method_settings)
        assert spelled.hash() == meant.hash()
        assert spelled.method_settings.isometry_strength == strength


@pytest.mark.parametrize("method", ["adamo", "adamo_maxmin", "adamo+redo"])
@pytest.mark.parametrize("changes", [{"lr": 2e-3}, {"lr": 2e-3, "isometry_lr": 1e-4}])
def test_a_relaxation_time_spells_the_strength_that_it_means(method, changes):
    rate = changes.get("isometry_lr", changes["lr"])
    for steps in (0.5, 1, "1000", 125_000):
        spelled = plan(
            "permuted_mnist", method, {**changes, "relaxation_steps": steps}, "smoke"
        )
        strength = spelled.method_settings.isometry_strength
        assert relaxation_steps(strength, rate) == pytest.approx(float(steps))
        meant = plan(
            "permuted_mnist",
            method,
            {**changes, "isometry_strength": strength},
            "smoke",
        )
        assert spelled.hash() == meant.hash(), "one strength, one name in the store"
        assert as_dict(spelled.method_settings)["isometry_strength"] == strength


def test_the_registered_methods_keep_the_literal_strength():
    for method in ("adamo", "adamo_maxmin", "adam_isometry"):
        settings = plan("permuted_mnist", method).method_settings
        assert settings.isometry_strength == 1e-3, "stored runs have it in their names"


def test_without_a_rate_the_pull_is_of_the_profiles_own():
    lr = benchmark_of("permuted_mnist").settings("laptop").lr
    planned = plan("permuted_mnist", "adamo", {"isometry_pull": 0.01})
    assert planned.method_settings.isometry_strength == 0.01 / lr


@pytest.mark.parametrize(
    ("method", "changes", "error", "message"),
    [
        (
            "adamo",
            {"isometry_pull": 0.1, "isometry_strength": 1.0},
            ValueError,
            "needed isometry_pull or isometry_strength, which say the same, found both",
        ),
        ("adamo", {"isometry_pull": 0.26}, ValueError, "0 <= isometry_pull <= 0.25, f"),
        ("adamo", {"isometry_pull": -1e-9}, ValueError, "0 <= isometry_pull <= 0.25,"),
        (
            "adamo",
            {"isometry_pull": "strong"},
            ValueError,
            "number for isometry_pull",
        ),
        (
            "adamo",
            {"isometry_pull": "nan"},
            ValueError,
            "a finite number for isome",
        ),
        (
            "adamo",
            {"isometry_pull": 0.1, "lr": 0},
            ValueError,
            "needed lr > 0",
        ),
        (
            "adamo",
            {"relaxation_steps": 10, "isometry_strength": 1e-3},
            ValueError,
            "needed relaxation_steps or isometry_strength, which say the same, found b",
        ),
        (
            "adamo",
            {"relaxation_steps": 10, "isometry_pull": 0.1},
            ValueError,
            "needed relaxation_steps or isometry_pull, which say the same, found both",
        ),
        ("adamo", {"relaxation_steps": 0.4}, ValueError, "relaxation_steps >= 0.5, f"),
        ("adamo", {"relaxation_steps": -1}, ValueError, "relaxation_steps >= 0.5, f"),
        ("adamo", {"relaxation_steps": "inf"}, ValueError, "a finite number for rel"),
        ("adam", {"relaxation_steps": 10}, KeyError, "with adam 'relaxation_steps'"),
        ("adam", {"isometry_pull": 0.1}, KeyError, "with adam 'isometry_pull'"),
        # The coupled form has a strength, and no step of its own to pull with.
        (
            "adam_isometry",
            {"isometry_pull": 0.1},
            KeyError,
            "unknown setting of perm",
        ),
        ("adamo", {"isometry_pul": 0.1}, KeyError, "did you mean 'isometry_pull'?"),
    ],
)
def test_a_pull_that_cannot_be_is_refused_in_a_line(method, changes, error, message):
    with pytest.raises(error) as refused:
        plan("permuted_mnist", method, changes, "smoke")
    said = str(refused.value.args[0])
    assert message in said
    assert "\n" not in said


# --- the network that is built --------------------------------------------------------

# Another value of each setting of the network, and one that goes with it.
OTHER = {
    "network": "cnn",
    "width": 12,
    "depth": 3,
    "activation": "tanh",
    "negative_slope": 0.3,
    "init": "default",
    "init_gain": 1.7,
    "hidden_bias": False,
    "taper": 0.5,
}
WITH = {
    "init": {"init_gain": 1.0},
    "network": {"depth": 3},
    "negative_slope": {"activation": "leaky_relu"},
}
ACTIVATIONS = get_args(Activation)
NAMES = ("permuted_mnist", "continual_minatar", "continual_octax")


def test_every_setting_of_a_network_has_another_value_here():
    shared = {field.name for field in fields(Architecture)}
    for benchmark in (*BENCHMARKS, *CONTINUAL):
        assert shared & set(keys(benchmark.settings("smoke"))) <= set(OTHER)


def network(planned, digits):
    """Return the architecture of the network that a run would train."""
    parts = planned.method, planned.method_settings, planned.settings
    if isinstance(planned.benchmark, type(CONTINUAL_MINATAR)):
        return agent_of(planned.benchmark, *parts).architecture
    return network_of(*parts, digits).architecture


@pytest.mark.parametrize("method", METHODS.names())
@pytest.mark.parametrize("benchmark", NAMES)
def test_a_setting_of_the_network_is_built_or_refused(benchmark, method, digits):
    common = {"data": "digits"} if benchmark == "permuted_mnist" else {}
    usual = plan(benchmark, method, common, "smoke")
    for key in OTHER.keys() & set(keys(usual.settings)):
        if key == "network" and benchmark != "permuted_mnist":
            continue  # these games have one kind
        value = OTHER[key]
        changes = {**common, **WITH.get(key, {}), key: value}
        try:
            planned = plan(benchmark, method, changes, "smoke")
        except ValueError as error:
            said = str(error)
        else:
            said = ""
            assert planned.architecture()[key] == value
        if said:
            assert f"for {method}, which sets it itself, found" in said
        # What the method has anyway is accepted.
        built = usual.architecture()[key]
        if key == "activation" and built not in ACTIVATIONS:
            continue  # is no activation of a run
        same = {**common, key: built}
        if key == "init_gain":
            same["init"] = usual.architecture()["init"]
        assert plan(benchmark, method, same, "smoke").architecture()[key] == built
    for key, value in usual.architecture().items():
        asked = getattr(usual.settings, key, value)
        if asked != value:  # by the method: nobody may ask for the stream's own
            with pytest.raises(ValueError, match="which sets it itself, found"):
                plan(benchmark, method, {**common, key: asked}, "smoke")


@pytest.mark.parametrize("method", METHODS.names())
@pytest.mark.parametrize("benchmark", ["permuted_mnist", "continual_minatar"])
def test_the_recorded_architecture_is_the_built_one(benchmark, method, digits):
    changes = {"data": "digits"} if benchmark == "permuted_mnist" else {}
    if METHODS.get(method).not_for_games and not changes:
        pytest.skip("not for games")
    planned = plan(benchmark, method, changes, "smoke")
    assert Architecture(**planned.architecture()) == network(planned, digits)


@pytest.mark.parametrize(
    ("benchmark", "key", "value", "needed"),
    [
        ("permuted_mnist", "negative_slope", 0.3, "activation=leaky_relu"),
        ("continual_minatar", "negative_slope", 0.3, "activation=leaky_relu"),
        ("continual_minatar", "cnn_layout", "frames", "network=cnn"),
        ("continual_minatar", "protect_shared", False, "network=cnn"),
    ],
)
def test_a_setting_that_nothing_has_a_use_for_is_refused(benchmark, key, value, needed):
    line = f"needed {needed}, which alone has a {key}, found .*; leave {key} out"
    with pytest.raises(ValueError, match=line):
        plan(benchmark, "adam", {key: value}, "smoke")
    usual = getattr(plan(benchmark, "adam", {}, "smoke").settings, key)
    plan(benchmark, "adam", {key: usual}, "smoke")
    if key == "negative_slope":
        changes = {key: value, "activation": "leaky_relu"}
        assert plan(benchmark, "adam", changes, "smoke").settings.negative_slope == 0.3
    else:
        assert plan("continual_octax", "adam", {key: value}, "smoke").settings


@pytest.mark.parametrize(
    ("key", "value"), [("width", 77), ("activation", "tanh"), ("negative_slope", 0.3)]
)
def test_logistic_regression_has_no_use_for_what_is_in_hidden_layers(key, value):
    line = f"needed depth >= 1, where layers have {key}={value}, found depth=0; leave"
    if key == "negative_slope":
        line = "needed activation=leaky_relu, which alone has a negative_slope"
    changes = {"depth": 0, key: value}
    with pytest.raises(ValueError, match=line):
        plan("permuted_mnist", "adam", changes, "smoke")
    # What a profile has is no wish; a stored run may be planned in another one.
    usual = getattr(benchmark_of("permuted_mnist").settings("paper"), key)
    assert plan("permuted_mnist", "adam", {"depth": 0, key: usual}, "smoke")


def test_a_gain_is_heard_by_orthogonal_weights_alone():
    plan("continual_minatar", "adam", {"init": "default"}, "smoke")
    changes = {"init": "default", "init_gain": 2.0}
    with pytest.raises(ValueError, match="needed init=orthogonal, which alone has a"):
        plan("continual_minatar", "adam", changes, "smoke")


@pytest.mark.parametrize(
    ("method", "changes", "refused"),
    [
        (
            "maxmin",
            {"init": "default"},
            "init=orthogonal for maxmin, which",
        ),
        (
            "maxmin",
            {"activation": "relu"},
            "activation=maxmin for maxmin, w",
        ),
        (
            "adamo_maxmin",
            {"init_gain": 1.5},
            "init_gain=1.0 for adamo_maxm",
        ),
        ("maxmin", {"init": "default", "maxmin_start": "network"}, None),
        ("maxmin", {"init_gain": 1.5, "maxmin_start": "network"}, None),
        ("maxmin", {"activation": "maxmin", "init": "orthogonal"}, None),
        (
            "maxmin",
            {"activation": "relu", "maxmin_start": "network"},
            "found relu; leave activation out",
        ),
        (
            "crelu",
            {"activation": "relu"},
            "activation=crelu for crelu, whi",
        ),
        (
            "leaky_relu",
            {"negative_slope": 0.3},
            "negative_slope=0.8 for lea",
        ),
        ("leaky_relu", {"negative_slope": 0.3, "leak": 0.3}, None),
        ("leaky_relu", {"activation": "leaky_relu"}, None),
        ("adam", {"activation": "leaky_relu", "negative_slope": 0.3}, None),
        (
            "maxmin+l2",
            {"init": "default"},
            "init=orthogonal for maxmin+l2",
        ),
    ],
)
def test_what_a_method_sets_itself_may_be_said_and_not_changed(
    method, changes, refused
):
    if refused is not None:
        with pytest.raises(ValueError) as error:  # noqa: PT011
            plan("permuted_mnist", method, changes, "smoke")
        assert refused in str(error.value)
        assert "\n" not in str(error.value)
        return
    own = plan("permuted_mnist", method, changes, "smoke").architecture()
    asked = {key: value for key, value in changes.items() if key in own}
    assert {key: own[key] for key in asked} == asked


def test_the_refusal_of_an_init_says_how_a_maxmin_network_can_have_it():
    with pytest.raises(ValueError, match="or set maxmin_start=network as well"):
        plan("permuted_mnist", "maxmin", {"init": "default"}, "smoke")
    with pytest.raises(ValueError, match=r"found tanh; leave activation out$"):
        plan("permuted_mnist", "maxmin", {"activation": "tanh"}, "smoke")


def condition_numbers(planned, digits):
    """Return those of the hidden square weights that a run starts from."""
    parts = planned.method, planned.method_settings, planned.settings
    if planned.benchmark is CONTINUAL_MINATAR:
        built = agent_of(planned.benchmark, *parts)
    else:
        built = network_of(*parts, digits)
    roles = built.structure().roles
    weights = [
        weight[0]
        for name, weight in built.stacked([0]).items()
        if roles[name] == "hidden" and weight.shape[1] == weight.shape[2]
    ]
    assert len(weights) > 1
    return [torch.linalg.cond(weight.double()).item() for weight in weights]


@pytest.mark.parametrize("benchmark", ["permuted_mnist", "continual_minatar"])
def test_a_maxmin_network_starts_as_an_isometry_or_as_the_run_says(benchmark, digits):
    common = {"width": 16, "depth": 4}
    common |= {"data": "digits"} if benchmark == "permuted_mnist" else {}
    usual = plan(benchmark, "maxmin", common, "smoke")
    assert max(condition_numbers(usual, digits)) == pytest.approx(1, abs=1e-4)
    changes = {**common, "maxmin_start": "network", "init": "default"}
    if benchmark == "permuted_mnist":
        changes["init_gain"] = 1.0
    other = plan(benchmark, "maxmin", changes, "smoke")
    assert min(condition_numbers(other, digits)) > 3
    assert other.architecture()["activation"] == "maxmin"
    assert other.hash() != usual.hash()


def test_a_stored_run_says_what_was_built_beside_what_was_asked_for(tmp_path):
    common = {**SMALL, "tasks": 1, "images_per_task": 20, "batch_size": 10, "epochs": 1}
    keywords = {"profile": "smoke", "out": tmp_path, "device": "cpu"}
    run("permuted_mnist", "maxmin", [0], common, **keywords)
    changes = {"maxmin_start": "network", "init": "default"}
    run("permuted_mnist", "maxmin", [0], {**common, **changes}, **keywords)
    by_start = {
        record["method_settings"].get("maxmin_start", "isometric"): record
        for record in load_records(tmp_path)
    }
    isometric, started = by_start["isometric"], by_start["network"]
    assert isometric["settings"]["activation"] == "relu", "what the stream asks for"
    for record in (isometric, started):
        assert record["architecture"]["activation"] == "maxmin"
        assert record["architecture"]["width"] == 8
    assert isometric["architecture"]["init"] == "orthogonal"
    assert started["architecture"]["init"] == "default"


def test_a_plan_knows_whether_it_is_on_images_or_on_games():
    images, games = plan("permuted_mnist", "adam"), plan("continual_minatar", "adam")
    assert images.images is images.benchmark
    assert games.games is games.benchmark
    with pytest.raises(ValueError, match=r"on images, one of .*, found continual"):
        _ = games.images
    with pytest.raises(ValueError, match=r"on games, one of .*, found permuted_mnist"):
        _ = images.games
