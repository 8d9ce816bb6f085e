"""What every learner of a tracking stream must do; a new one is tested by being there.

A learner is tried on each stream that it has a rule for.
"""

import math
import typing

import pytest
import torch

from isometry.core.profile import PROFILES
from isometry.core.settings import _help_of, keys, parsed
from isometry.lab.plans import plan
from isometry.tracking import LEARNERS, TRACKING
from isometry.tracking.training import train

PAIRS = [(stream.name, name) for stream in TRACKING for name in stream.learner_names()]
every_pair = pytest.mark.parametrize(("stream", "learner"), PAIRS)
every_stream = pytest.mark.parametrize("stream", TRACKING.names())
SHORT = {
    "linear_tracking": {"tasks": 2, "steps_per_task": 60, "noise": 0.5},
    "nonlinear_tracking": {
        "tasks": 2,
        "steps_per_task": 40,
        "width": 12,
        "inputs": 5,
        "outputs": 6,
        "fast": 2,
        "slow": 2,
        "fast_every": 10,
        "slow_every": 20,
    },
}
# Another value of each setting of a stream, where half or double is none.
OTHER = {
    "tasks": 1,
    "flip": "outputs",
    "fast_every": 5,
    "slow_every": 30,
    "steps_per_task": 30,
    "fast": 1,
    "slow": 1,
}
SETTINGS = [
    (stream, learner, key)
    for stream, learner in PAIRS
    for key in keys(LEARNERS.get(learner).settings)
]
STREAM_SETTINGS = [
    (stream.name, key) for stream in TRACKING for key in keys(stream.settings("smoke"))
]


def tracked(stream, learner, **changes):
    own = plan(stream, learner, {**SHORT[stream], **changes}, "smoke")
    return train(own.benchmark, own.method, own.method_settings, own.settings, [0])


def settings_of(stream, learner):
    return plan(stream, learner).method_settings


def test_every_learner_has_a_stream_and_every_stream_learners():
    assert {learner for _, learner in PAIRS} == set(LEARNERS.names())
    assert {stream for stream, _ in PAIRS} == set(TRACKING.names())


@pytest.mark.parametrize("name", LEARNERS.names())
def test_it_has_a_name_a_summary_a_source_and_sentences(name):
    learner = LEARNERS.get(name)
    assert learner.name == name
    assert name.isidentifier()
    assert len(learner.summary) > 5
    assert "\n" not in learner.summary
    assert len(learner.source) > 3
    hints = typing.get_type_hints(type(learner.settings))
    for key, text in _help_of(learner.settings).items():
        assert text.endswith(".")
        default = getattr(learner.settings, key)
        assert parsed(str(default), hints[key], key) == default


@every_pair
@pytest.mark.parametrize("profile", PROFILES)
def test_it_can_be_planned_in_every_profile(stream, learner, profile):
    own = plan(stream, learner, profile=profile)
    assert own.method.name == learner
    assert own.tracks
    assert own.benchmark.rule(own.method, own.method_settings) is not None


@every_pair
def test_it_learns(stream, learner):
    # Against a learner that never moves: the mean square of the targets.
    own = plan(stream, learner, profile="smoke")
    changes = {"flip_every": 10**6} if stream == "linear_tracking" else {"fast": 0}
    rates = {"sgd_decay": {"decay": 1e-4}, "fade_adam": {"lr": 1e-3}}
    run = train(
        own.benchmark,
        own.method,
        plan(stream, learner, rates.get(learner)).method_settings,
        plan(stream, learner, changes, "smoke").settings,
        [0, 1],
    )
    errors = [r["value"] for r in run.records if r["metric"] == "squared_error"]
    assert all(math.isfinite(error) for error in errors)
    assert not run.diverged_at
    assert sum(errors[-2:]) < 0.75 * sum(errors[:2])


@every_pair
def test_it_is_a_function_of_its_seed(stream, learner):
    first, again = tracked(stream, learner), tracked(stream, learner)
    assert first.records == again.records
    for name, value in first.carried.items():
        assert torch.equal(value, again.carried[name])


@pytest.mark.parametrize(("stream", "learner", "key"), SETTINGS)
def test_none_of_its_settings_is_ignored(stream, learner, key):
    value = getattr(settings_of(stream, learner), key)
    before = tracked(stream, learner).records
    assert tracked(stream, learner, **{key: value}).records == before
    assert tracked(stream, learner, **{key: value / 2}).records != before


@pytest.mark.parametrize(("stream", "learner", "key"), SETTINGS)
def test_a_setting_out_of_range_is_refused_in_one_line(stream, learner, key):
    beyond = {"idbd_start": 1.0, "fade_start": 0.5}.get(key, -1.0)
    with pytest.raises(ValueError, match=key) as found:
        tracked(stream, learner, **{key: beyond})
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(("stream", "key"), STREAM_SETTINGS)
def test_no_setting_of_a_stream_is_ignored(stream, key):
    before = tracked(stream, "sgd").records
    value = getattr(plan(stream, "sgd", SHORT[stream]).settings, key)
    other = OTHER.get(key, value * 2)
    assert tracked(stream, "sgd", **{key: other}).records != before


@pytest.mark.parametrize(("stream", "key"), STREAM_SETTINGS)
def test_a_setting_of_a_stream_out_of_range_is_refused(stream, key):
    with pytest.raises(ValueError, match=key) as found:
        tracked(stream, "sgd", **{key: "sideways" if key == "flip" else -1})
    assert "\n" not in str(found.value)


@every_stream
def test_it_has_a_name_a_summary_and_a_source(stream):
    found = TRACKING.get(stream)
    assert found.name == stream
    assert len(found.summary) > 10
    assert len(found.source) > 3
    assert found.metric == "squared_error"
