"""What every setting of a supervised run must do; none is left out."""

import math
import typing

import pytest

from isometry.core.settings import _help_of, keys, parsed
from isometry.lab.run import plan
from isometry.supervised import SupervisedSettings
from isometry.supervised.trainer import train

BASE = {
    "data": "digits",
    "tasks": 2,
    "images_per_task": 40,
    "epochs": 2,
    "batch_size": 16,
    "width": 16,
    "depth": 2,
    "lr": 0.05,
    "optimizer": "sgd",
    "activation": "leaky_relu",
}
# Another value of each setting, on a stream and a network that have all of them.
OTHER = {
    "tasks": 1,
    "images_per_task": 41,
    "epochs": 3,
    "batch_size": 15,
    "reshuffle": False,
    "network": "cnn",
    "width": 15,
    "depth": 3,
    "activation": "tanh",
    "negative_slope": 0.2,
    "init": "kaiming",
    "init_gain": 1.5,
    "input_scaling": None,  # done to the data before they get here
    "lr": 0.01,
    "optimizer": "adam",
    "momentum": 0.9,
    "reset_optimizer": True,
    "diagnose_every": 1,
    "test_images": 100,
    "blend": 0.5,
    "taper": 0.5,
    "precision": "bfloat16",
    "data": None,  # only the digits are here
}
NETWORKS = ("mlp", "cnn", "transformer")
HINTS = typing.get_type_hints(SupervisedSettings)
CHOICES = [
    (key, choice)
    for key in ("init", "optimizer", "activation", "precision")
    for choice in typing.get_args(HINTS[key])
]
FEW = {**BASE, "images_per_task": 10, "batch_size": 5, "epochs": 1}


def trained(pixels, **changes):
    plan_ = plan("gradual_permuted_mnist", "adam", changes, "smoke")
    parts = (plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings)
    return train(*parts, pixels, [0])


def test_every_setting_has_another_value_here():
    assert set(OTHER) == set(keys(SupervisedSettings))


@pytest.mark.parametrize("key", keys(SupervisedSettings))
def test_it_has_a_sentence_and_a_default_that_survives_its_spelling(key):
    text = _help_of(SupervisedSettings)[key]
    assert text.endswith(".")
    assert len(text) > 10
    default = getattr(SupervisedSettings(), key)
    assert parsed(str(default), HINTS[key], key) == default


@pytest.mark.parametrize(
    "key", [key for key, value in OTHER.items() if value is not None]
)
def test_no_setting_is_ignored(digits, key):
    # A momentum is there, so that it can be reset.
    base = {**BASE, "momentum": 0.5} if key == "reset_optimizer" else BASE
    before = trained(digits, **base).records
    assert trained(digits, **base).records == before
    assert trained(digits, **{**base, key: OTHER[key]}).records != before


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("key", "choice"), CHOICES)
def test_every_choice_trains_on_every_network(digits, network, key, choice):
    run = trained(digits, **{**FEW, "network": network, key: choice})
    assert run.steps == 4
    assert all(math.isfinite(r["value"]) for r in run.records)
