"""What a record says was used: a changed setting changes the run, or is refused.

Every method is here by being registered, with all settings of its own; those of a run
are tried with Adam in ``test_every_setting.py``.
"""

import typing
from functools import cache

import pytest
import torch

from isometry.core.settings import keys
from isometry.lab.plans import plan
from isometry.methods import METHODS
from isometry.methods import get as method_of
from isometry.supervised.data.sets import load
from isometry.supervised.streams import scaled
from isometry.supervised.trainer import train

PIXELS = scaled(load("digits"), "standard")

SMALL = {
    "data": "digits",
    "tasks": 3,
    "images_per_task": 20,
    "epochs": 1,
    "batch_size": 5,
    "width": 12,
    "depth": 2,
    "lr": 0.05,
}
# Where a method acts, as far as it must, so that the setting can be heard.
OFTEN = {
    "snr_rejection": 0.4,
    "snr_least": 2,
    "snr_most": 50,
    "snr_every": 2,
    "images_per_task": 100,
}
ACTS = {
    "maturity": {"replacement_rate": 0.5},
    "utility_decay": {"replacement_rate": 0.5},
    "cbp_utility": {"replacement_rate": 0.2},
    "cbp_compensation": {"replacement_rate": 0.5},
    # Another start than the network's own is refused where it would be MaxMin's.
    "maxmin_start": {"init": "default", "maxmin_start": "network"},
    **dict.fromkeys(("snr_rejection", "snr_least", "snr_every"), OFTEN),
    "grama_every": {"grama_threshold": 0.9},
}
FAST = ("adamo", "adamo_maxmin", "cbp", "maxmin")
SETTINGS = [
    pytest.param(m.name, key, marks=() if m.name in FAST else pytest.mark.slow)
    for m in METHODS
    for key in keys(m.settings)
]


def planned(method, changes):
    return plan("permuted_mnist", method, {**SMALL, **changes}, "smoke")


def acting(method, key):
    """Return changes under which a method acts within a few steps, as far as it can."""
    changes, own = dict(ACTS.get(key, {})), method_of(method).settings
    for name in keys(own):
        value = getattr(own, name)
        if type(value) is int and value > 4 and name not in changes:
            try:
                planned(method, {**changes, name: 2})
            except ValueError:
                continue
            changes[name] = 2
    return changes


def others(value, annotation):
    """Return other values of a setting."""
    options = typing.get_args(annotation)
    inner = [word for one in options for word in typing.get_args(one)]
    words = [word for word in (*options, *inner) if isinstance(word, str)]
    if words:
        return [word for word in words if word != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, 2 * value + 3]
    return [0.5, 0.05, 0.9, 0.0] if value is None else [value / 2, 2 * value, 0.5, 0.05]


@cache
def trained(method, *changes):
    plan_ = planned(method, dict(changes))
    parts = (plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings)
    run = train(*parts, PIXELS, [0])
    return run.records, [p.detach().clone() for p in run.parameters.values()]


def same(one, other):
    weights = zip(one[1], other[1], strict=True)
    return one[0] == other[0] and all(torch.equal(*pair) for pair in weights)


@pytest.mark.parametrize(("method", "key"), SETTINGS)
def test_no_setting_of_a_method_is_ignored(method, key):
    base = acting(method, key)
    own = planned(method, base).method_settings
    hint = typing.get_type_hints(type(own))[key]
    taken = []
    for value in others(getattr(own, key), hint):
        try:
            after = trained(method, *{**base, key: value}.items())
        except ValueError:
            continue
        if not same(trained(method, *base.items()), after):
            return
        taken.append(value)
    assert not taken, "these change nothing and are recorded"
