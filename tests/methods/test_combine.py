"""Combinations of methods: what they are made of, and which are refused."""

import dataclasses
from itertools import combinations

import pytest
import torch
from torch.testing import assert_close

from isometry.adamo import AdamO
from isometry.core.settings import _help_of, as_dict, changed, keys
from isometry.lab.run import plan, run
from isometry.lab.store import load_results
from isometry.methods import METHODS, Architecture, get

PLAIN = Architecture(
    network="mlp",
    width=8,
    depth=3,
    activation="relu",
    negative_slope=0.1,
    init="default",
    init_gain=2.0,
)


def test_a_name_without_plus_is_the_method_itself():
    for name in METHODS.names():
        assert get(name) is METHODS.get(name)


def test_the_order_of_the_parts_does_not_matter():
    one, other = get("layernorm+adamo"), get("adamo+layernorm")
    assert one.name == other.name == "layernorm+adamo"
    paths = {plan("permuted_mnist", n).hash() for n in (one.name, "adamo + layernorm")}
    assert len(paths) == 1


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("l2+layernorm", "layernorm_l2"),
        ("adamo+maxmin", "adamo_maxmin"),
        ("maxmin+adamo", "adamo_maxmin"),
    ],
)
def test_a_combination_with_a_name_of_its_own_is_that_method(name, own):
    assert get(name) is METHODS.get(own)
    hashes = {plan("permuted_mnist", n).hash() for n in (name, own)}
    assert len(hashes) == 1


def test_a_method_that_is_a_combination_is_taken_apart():
    assert get("redo+layernorm_l2").parts == ("layernorm", "l2", "redo")
    assert get("redo+layernorm_l2").name == "layernorm+l2+redo"
    assert METHODS.get("layernorm_l2").architecture(PLAIN, None) == get(
        "layernorm"
    ).architecture(PLAIN, None)


def test_settings_are_those_of_all_parts_with_their_defaults_help_and_checks():
    method = get("nap+redo+l2")
    names = ("nap", "redo", "l2")
    expected = {}
    for name in names:
        expected |= dataclasses.asdict(METHODS.get(name).settings)
    assert dataclasses.asdict(method.settings) == expected
    for name in names:
        for key, text in _help_of(METHODS.get(name).settings).items():
            assert _help_of(method.settings)[key] == text
    assert set(method.search) <= set(keys(method.settings))
    assert method.settings.__dataclass_params__.frozen
    with pytest.raises(ValueError, match="needed redo_threshold >= 0"):
        changed(method.settings, {"redo_threshold": -1})
    with pytest.raises(ValueError, match="needed nap_every >= 1"):
        changed(method.settings, {"nap_every": "0"})
    with pytest.raises(ValueError, match="needed 0 <= beta1 < 1"):
        changed(method.settings, {"beta1": 2})


def test_settings_that_came_later_rename_no_combination_until_they_are_used():
    method = get("nap+l2_init")
    assert not {"nap_affine", "l2_init_vectors"} & set(as_dict(method.settings))
    used = changed(method.settings, {"nap_affine": "false"})
    assert as_dict(used)["nap_affine"] is False
    assert method.architecture(PLAIN, used).normalisation == "bare_layer"


def test_architecture_and_optimiser_are_the_parts_own(toy):
    method = get("adamo+layernorm")
    assert method.architecture(PLAIN, method.settings).normalisation == "layer"
    training = dataclasses.replace(toy("adam").training, settings=method.settings)
    assert isinstance(method.optimizer(training), AdamO)
    assert get("fresh+leaky_relu").restarts
    assert not get("l2+leaky_relu").restarts
    assert get("redo+l2").watches
    assert not get("nap+l2").watches


@pytest.fixture
def penalty_of(toy):
    def penalty(name, **changes):
        own = toy("adam")
        method = get(name)
        settings = changed(method.settings, changes)
        training = dataclasses.replace(own.training, settings=settings)
        if method.start is not None:
            training = dataclasses.replace(training, state=method.start(training))
        with torch.no_grad():
            own.parameters["h0.w"] += 1  # away from the anchor
        return method.penalty(training).detach()

    return penalty


def test_the_penalty_is_the_sum_of_the_parts(penalty_of):
    whole = penalty_of("l2_init+spectral+l2", l2_strength=0.3)
    parts = penalty_of("l2", l2_strength=0.3)
    parts = parts + penalty_of("l2_init") + penalty_of("spectral")
    assert_close(whole, parts)


def test_a_penalty_without_a_written_gradient_is_differentiated_with_the_others():
    assert get("l2+parseval").penalty_gradient_ is not None
    assert get("l2+adam_isometry").penalty_gradient_ is None
    assert get("l2+adam_isometry").penalty is not None
    assert get("layernorm+leaky_relu").penalty is None


def test_weights_are_rescaled_after_all_else_has_acted(toy):
    own = toy("nap", normalised=True)
    method = get("shrink_perturb+nap")
    settings = changed(method.settings, {"perturb_every": 1, "perturb": 1.0})
    training = dataclasses.replace(own.training, settings=settings)
    training = dataclasses.replace(training, state=method.start(training))
    norms = {n: p.detach().flatten(1).norm(dim=1) for n, p in own.parameters.items()}
    before = own.copy()["h0.w"]
    with torch.no_grad():
        method.after_step(training)
    for name in ("h0.w", "h1.w"):
        found = own.parameters[name].detach().flatten(1).norm(dim=1)
        assert_close(found, norms[name])
    assert (own.copy()["h0.w"] != before).all()


REFUSALS = [
    ("adamo+muon", "two optimisers, adamo and muon, and one step"),
    ("adamw+cbp", "two optimisers, adamw and cbp"),
    ("layernorm+adamo+cbp", "two optimisers"),
    ("crelu+maxmin", "both change the network's activation"),
    ("leaky_relu+adamo_maxmin", "both change the network's activation"),
    ("nap+layernorm", "both change the network's normalisation"),
    ("nap+layernorm_l2", "both change the network's normalisation"),
    ("redo+cbp", "both replace units"),
    ("snr+redo+l2", "both replace units"),
    ("maxmin+redo", "an output of maxmin is not one unit's own"),
    ("snr+crelu", "an output of crelu is not one unit's own"),
    ("fresh+redo", "a network for one task needs no redo"),
    ("shrink_perturb+fresh", "a network for one task needs no shrink_perturb"),
    ("nap+newton_schulz", "both set the scale of the weights"),
    ("weight_clipping+nap", "both set the scale of the weights"),
    ("spectral+spectral_norm", "both hold the largest singular value"),
    ("newton_schulz+adamo", "the projection undoes the pull"),
    ("adamo+adam_isometry", "both have the setting isometry_head and isometry_stren"),
    ("l2+l2", "l2 twice"),
    ("l2+layernorm_l2", "l2 twice"),
    ("adam+l2", "adam is what every method starts from"),
]


@pytest.mark.parametrize(("name", "reason"), REFUSALS)
def test_combinations_without_sense_are_refused_with_the_reason(name, reason):
    for typed in (name, "+".join(reversed(name.split("+")))):
        with pytest.raises(ValueError, match="needed methods that go together") as hit:
            get(typed)
        line = str(hit.value)
        assert "\n" not in line
        assert typed in line
        assert line.endswith("; leave one out")
        if typed == name:
            assert reason in line


@pytest.mark.parametrize("name", ["l2+nothing", "+l2", "l2+", "layernorm++l2"])
def test_unknown_parts_are_refused_by_name(name):
    with pytest.raises(KeyError, match="unknown method"):
        get(name)


def test_every_pair_is_a_method_or_is_refused_with_a_reason():
    made = 0
    for first, second in combinations(METHODS.names(), 2):
        name = f"{first}+{second}"
        try:
            method = get(name)
        except ValueError:
            with pytest.raises(ValueError, match="needed methods that go together"):
                get(name)
            continue
        made += 1
        architecture = method.architecture(PLAIN, method.settings)
        assert isinstance(architecture, Architecture)
        for key, values in method.search.items():
            assert changed(method.settings, {key: values[0]})
    assert made > 100


def test_a_combination_is_run_and_stored_under_its_name(tmp_path):
    small = {"data": "digits", "tasks": 2, "images_per_task": 24, "batch_size": 8}
    small |= {"width": 6, "depth": 1, "redo_every": 2}
    name = "redo + layernorm"
    frame = run("permuted_mnist", name, [0], small, profile="smoke", out=tmp_path)
    assert set(frame["method"]) == {"layernorm+redo"}
    (file,) = tmp_path.glob("**/*.parquet")
    assert file.name.startswith("layernorm_redo-")
    assert set(load_results(tmp_path)["method"]) == {"layernorm+redo"}
