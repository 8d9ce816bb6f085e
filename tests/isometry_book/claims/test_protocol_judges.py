"""Judges of the second protocol: each verdict that a criterion names can be given."""

import numpy as np
import pandas as pd
import pytest

from isometry.core.settings import as_dict
from isometry.lab.comparison import DIAGNOSTICS, predictions, within_methods
from isometry.methods import get as method_of
from isometry_book.c6_benchmark import judge, streams_judge
from isometry_book.evidence.streams import streams_of

STREAMS = ("permuted_mnist", "permuted_cifar10", "random_label_cifar10")
UNTESTED = "not tested"


def outcome(found):
    return found and found.verdict


# --- one stream -----------------------------------------------------------------------

EQUAL = dict.fromkeys(("adamo", *judge.RIVALS), 0.5)
FEWER = dict.fromkeys(("adamo", *judge.FEWER_RIVALS), 0.5)
MATCHES = [
    ({"adamo": 0.6}, {}, "reproduced"),
    ({"adamo": 0.496}, {}, "reproduced"),  # so small a loss does not matter
    ({"adamo": 0.6, "maxmin": 0.9, "fresh": 0.9}, {}, "reproduced"),  # no rivals
    ({"adamo": 0.6, "l2_init": 0.7}, {}, "partly"),
    ({"newton_schulz": 0.7}, {}, "partly"),
    ({"adamo": 0.49}, {}, "not reproduced"),
    ({"adamo": 0.6, "adam": 0.7}, {}, "not reproduced"),
    ({}, {"noise": {"adamo": 0.05}}, "undecided"),
    ({}, {"noise": {"l2_init": 0.05}}, "undecided"),
    # Another is better, and against Adam nothing is known.
    ({"l2_init": 0.7}, {"noise": {"adam": 0.05}}, "undecided"),
    ({"adamo": 0.6}, {"ends": {"l2_init": {"lr": "open"}}}, "undecided"),
    ({"adamo": 0.4}, {"ends": {"adamo": {"own": "open"}}}, "undecided"),
    ({"adamo": 0.6}, {"ends": {"adamo": {"own": "limit"}}}, "reproduced"),
    ({"adamo": 0.6}, {"falls": 0.0}, UNTESTED),
    ({"adamo": 0.4}, {"falls": -0.2}, UNTESTED),
    ({"adamo": 0.6}, {"seeds": 7}, UNTESTED),
    ({"adamo": 0.6}, {"control": False}, None),
]


@pytest.mark.parametrize(("changes", "options", "expected"), MATCHES)
@pytest.mark.parametrize(
    ("key", "levels", "stream"),
    [
        ("bench-permuted-mnist", EQUAL, {}),
        ("bench-cnn", FEWER, {"benchmark": "permuted_cifar10", "network": "cnn"}),
    ],
)
def test_a_match_is_judged_against_every_rival_behind_a_gate(
    made, key, levels, stream, changes, options, expected
):
    files = made.stream({**levels, **changes}, **options, **stream)
    found = made.verdict(key, *files)
    assert outcome(found) == expected
    if found is not None and expected != UNTESTED:
        assert "8 seeds" in found.reason
        assert "the control loses" in found.reason
        assert "in four of five cases" in found.reason
        assert found.gap.endswith(".")


def test_where_the_control_loses_nothing_the_reason_says_so(made):
    found = made.verdict("bench-permuted-mnist", *made.stream(EQUAL, falls=0.0))
    assert "On this stream the control loses nothing" in found.reason
    few = made.verdict("bench-permuted-mnist", *made.stream(EQUAL, seeds=7))
    assert "There are not 8 seeds yet" in few.reason


@pytest.mark.parametrize("missing", ["adamo", *judge.RIVALS[1:]])
def test_a_missing_rival_is_named_and_the_claim_not_tested(made, missing):
    levels = {m: 0.5 for m in EQUAL if m != missing}
    found = made.verdict("bench-permuted-mnist", *made.stream(levels))
    assert found.verdict == UNTESTED
    assert f"seeds yet of {missing}." in found.reason


def test_each_stream_is_judged_by_its_own_runs(made):
    cifar = {"benchmark": "permuted_cifar10"}
    perceptron = made.stream({**EQUAL, "adamo": 0.6}, **cifar)
    convolutions = made.stream({**FEWER, "adamo": 0.4}, network="cnn", **cifar)
    files = (*perceptron, *convolutions)
    assert made.verdict("bench-permuted-cifar10", *files).verdict == "reproduced"
    assert made.verdict("bench-cnn", *files).verdict == "not reproduced"
    assert made.verdict("bench-permuted-mnist", *files) is None
    assert made.verdict("bench-transformer", *files) is None


def test_adamo_with_its_head_held_is_not_the_judged_form(made):
    held = made.run(
        "adamo",
        {"online_accuracy": made.curve(0.9, 0, 8)},
        own={"isometry_head": True},
        choice=made.choice(0.9),
    )
    files = made.stream({**EQUAL, "adamo": 0.4})
    found = made.verdict("bench-permuted-mnist", held, *files)
    assert found.verdict == "not reproduced"


def test_an_open_search_is_named(made):
    files = made.stream(EQUAL, ends={"redo": {"lr": "open"}})
    reason = made.verdict("bench-permuted-mnist", *files).reason
    assert "Not ended: redo." in reason


# --- several streams ------------------------------------------------------------------


def several(made, levels, count=3, **options):
    """Return the files of some streams; a list among the options is one a stream."""
    files = []
    for place in range(count):
        own = {
            key: value[place] if isinstance(value, list) else value
            for key, value in options.items()
        }
        level = levels[place] if isinstance(levels, list) else levels
        files += made.stream(level, benchmark=f"stream_{place}", **own)
    return files


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [
        ([0.0, 0.0, 0.0], "reproduced"),
        ([-0.01, 0.1, -0.01], "reproduced"),
        ([-0.1, -0.1, -0.1], "partly"),  # better than Adam, and not steady
        ([0.0, 0.0, -0.3], "partly"),  # both on two of three
        ([0.0, -0.3, -0.3], "not reproduced"),
        ([-0.3, -0.3, -0.3], "not reproduced"),
    ],
)
def test_plasticity_kept_asks_for_a_better_slope_that_is_none_itself(
    made, slopes, expected
):
    by_stream = [{"adam": -0.2, "adamo": slope} for slope in slopes]
    files = several(made, {"adam": 0.5, "adamo": 0.6}, slopes=by_stream)
    found = made.verdict("plasticity-kept", *files)
    assert found.verdict == expected
    assert "p after Holm 0.023" in found.reason


def test_plasticity_kept_corrects_for_the_number_of_streams(made):
    slopes = {"adam": -0.2, "adamo": 0.0}
    levels = {"adam": 0.5, "adamo": 0.6}

    def judged(count):
        files = several(made, levels, count, slopes=slopes)
        return made.verdict("plasticity-kept", *files).verdict

    assert judged(6) == "reproduced"  # 6 * 2 / 256 is below 0.05
    assert judged(7) == "not reproduced"


@pytest.mark.parametrize(
    ("differences", "noise", "expected"),
    [
        ([0.1, 0.0, 0.0], 0, "reproduced"),
        ([0.1, -0.004, 0.0], 0, "reproduced"),
        ([0.0, 0.0, 0.0], 0, "partly"),  # above on none
        ([0.1, 0.1, -0.1], 0, "partly"),
        ([0.1, -0.1, -0.1], 0, "not reproduced"),
        ([0.0, 0.0, 0.0], 0.05, "undecided"),
        ([0.0, 0.0, -0.5], 0.05, "not reproduced"),
    ],
)
def test_maxmin_networks_are_judged_against_maxmin_networks(
    made, differences, noise, expected
):
    levels = [
        {"adam": 0.9, "maxmin": 0.5, "adamo_maxmin": 0.5 + one} for one in differences
    ]
    files = several(made, levels, noise={"adamo_maxmin": noise})
    assert made.verdict("maxmin-form", *files).verdict == expected


OVER_STREAMS = {
    "plasticity-kept": ({"adam": 0.5, "adamo": 0.6}, 3),
    "maxmin-form": ({"adam": 0.5, "maxmin": 0.5, "adamo_maxmin": 0.6}, 3),
    "recommendation": ({"adam": 0.5, "nap": 0.55, "adamo": 0.6}, 5),
    "mechanism": ({"adam": 0.5, "adamo": 0.6}, 1),
}


@pytest.mark.parametrize("key", OVER_STREAMS)
def test_claims_over_streams_count_those_alone_on_which_something_is_lost(made, key):
    levels, least = OVER_STREAMS[key]
    slopes = {"adam": -0.2}
    time = np.tile(-np.arange(10.0), (8, 1))
    measures = {"plasticity": time} | dict.fromkeys(streams_judge.MECHANISM, -time)
    options = {"slopes": slopes, "metrics": {"adam": measures}}

    def files(falls, **more):
        return several(made, levels, len(falls), falls=list(falls), **options, **more)

    enough = made.verdict(key, *files([0.2] * least))
    assert enough.verdict in ("reproduced", "partly")
    # One more stream, on which the opposite holds, and on which nothing is lost.
    worst = dict.fromkeys(levels, 0.5) | {"adamo": 0.1, "adamo_maxmin": 0.1}
    other = made.stream(worst, falls=0.0, benchmark="other", slopes={"adamo": -0.9})
    assert made.verdict(key, *files([0.2] * least), *other) == enough
    short = made.verdict(key, *files([0.2] * (least - 1) + [0.0]))
    assert short.verdict == UNTESTED
    assert f"Needed {least} streams on which the control loses" in short.reason
    assert f"on stream_{least - 1} the control loses nothing" in short.reason
    assert made.verdict(key, *files([0.2] * least, seeds=7)) is None
    assert made.verdict(key, *files([0.2] * least, control=False)) is None


# --- mechanism ------------------------------------------------------------------------


def diagnosed(signs, plasticity):
    """Return diagnostics whose rank is that of the next task's plasticity, or not."""
    after = np.roll(plasticity, -1, axis=1)
    found = {"plasticity": plasticity}
    for name, sign in zip(streams_judge.MECHANISM, signs, strict=True):
        if sign is not None:
            found[name] = sign * after
    return found


def plastic(seed=0):
    return np.random.default_rng(seed).uniform(size=(8, 10))


ALL, NONE, NOTHING = (-1, -1, -1, -1), (1, 1, 1, 1), (None,) * 4


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ([ALL], "reproduced"),
        ([ALL, ALL], "reproduced"),
        ([(-1, 1, -1, -1)], "partly"),
        ([(-1, None, -1, -1)], "partly"),  # one that was not looked at
        ([ALL, NONE], "partly"),
        ([(-1, 1, 1, 1), (1, 1, 1, -1)], "partly"),
        ([(-1, 1, 1, 1), NONE], "not reproduced"),
        ([NONE], "not reproduced"),
        ([NOTHING], UNTESTED),
    ],
)
def test_mechanism_asks_every_diagnostic_for_the_claimed_direction(
    made, signs, expected
):
    assert {DIAGNOSTICS[name] for name in streams_judge.MECHANISM} == {-1}
    metrics = [
        {m: diagnosed(own, plastic(i)) for i, m in enumerate(("adam", "adamo"))}
        for own in signs
    ]
    files = several(made, {"adam": 0.5, "adamo": 0.6}, len(signs), metrics=metrics)
    assert made.verdict("mechanism", *files).verdict == expected


@pytest.mark.parametrize(
    ("within", "across", "expected"),
    [(1, -1, "not reproduced"), (-1, 1, "reproduced")],
)
def test_mechanism_is_judged_within_methods_whatever_holds_across_them(
    made, together, within, across, expected
):
    metrics = {}
    for place, method in enumerate(("adam", "adamo", "nap")):
        own = diagnosed((within,) * 4, plastic(place))
        for name in own:
            own[name] = own[name] + 9 * place * (1 if name == "plasticity" else across)
        metrics[method] = own
    levels = dict.fromkeys(metrics, 0.5)
    files = made.stream(levels, metrics=metrics)
    assert made.verdict("mechanism", *files).verdict == expected
    (stream,) = streams_of(*together(*files)).values()
    name = streams_judge.MECHANISM[0]
    pooled = predictions(stream.results, stream.runs, name)
    own = within_methods(stream.results, stream.runs, name)
    assert across * pooled.estimate > 0.5, "across methods it is the other way"
    assert own.low == own.high == pytest.approx(within)


# --- recommendation -------------------------------------------------------------------

BEST = {"adam": 0.2, "nap": 0.3, "adamo": 0.6}


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (BEST, "reproduced"),
        ({**BEST, "adamo": 0.1}, "not reproduced"),  # nap is two ranks ahead
        ({**BEST, "adamo": 0.25}, "undecided"),
        ({"adam": 0.3, "nap": 0.2, "adamo": 0.6}, "undecided"),  # one rank from Adam
        ({**BEST, "fresh": 0.9}, "reproduced"),  # the ceiling is not ranked
        ({"adam": 0.2, "adamo": 0.6}, UNTESTED),  # two methods have no ranks
    ],
)
def test_recommendation_is_the_mean_rank_with_nemenyis_distance(made, levels, expected):
    found = made.verdict("recommendation", *several(made, levels, 5))
    assert found.verdict == expected
    assert "fresh" not in found.reason


def test_recommendation_ranks_methods_that_all_streams_have(made):
    files = several(made, BEST, 5)
    extra = made.run(
        "redo",
        {"online_accuracy": made.curve(0.9, 0, 8)},
        benchmark="stream_0",
        choice=made.choice(),
    )
    found = made.verdict("recommendation", *files, extra)
    assert found == made.verdict("recommendation", *files)
    assert "Mean rank over 5 streams: adamo 1.0, nap 2.0, adam 3.0." in found.reason


def test_a_rank_that_changes_from_stream_to_stream_recommends_nothing(made):
    other = {"adam": 0.6, "nap": 0.3, "adamo": 0.2}
    found = made.verdict("recommendation", *several(made, [BEST, other] * 3, 6))
    assert found.verdict == "undecided"


# --- the literal box ------------------------------------------------------------------

BOX = {"images_per_task": 6000, "batch_size": 128, "width": 512, "depth": 4}
BOX |= {"lr": 1e-4, "epochs": 1, "init": "orthogonal", "input_scaling": "standard"}


def boxed(made, method, level, seeds=8, noise=0.0, own=None, **settings):
    accuracy = np.tile(made.curve(level, 0, seeds, noise), 8)  # 80 tasks
    usual = as_dict(method_of(method).settings)
    changed = {**BOX, **settings}
    return made.run(
        method, {"online_accuracy": accuracy}, own={**usual, **(own or {})}, **changed
    )


@pytest.mark.parametrize(
    ("adamo", "expected"),
    [
        ({"level": 0.5}, "reproduced"),
        ({"level": 0.504}, "reproduced"),
        ({"level": 0.51}, "not reproduced"),  # better is not the same either
        ({"level": 0.49}, "not reproduced"),
        ({"level": 0.5, "noise": 0.05}, "undecided"),
        ({"level": 0.5, "seeds": 7}, None),
        ({"level": 0.5, "lr": 1e-3}, None),
        ({"level": 0.5, "init": "default"}, None),
        ({"level": 0.5, "input_scaling": "unit"}, None),
        ({"level": 0.5, "own": {"isometry_strength": 1.0}}, None),
        ({"level": 0.5, "own": {"isometry_head": False}}, None),
    ],
)
def test_the_literal_box_asks_for_no_difference_on_both_sides(made, adamo, expected):
    files = boxed(made, "adam", 0.5), boxed(made, "adamo", **adamo)
    assert outcome(made.verdict("literal-box", *files)) == expected


def test_no_tuned_run_stands_in_for_the_literal_one(made):
    files = [boxed(made, "adam", 0.5), boxed(made, "adamo", 0.5)]
    tuned = [
        boxed(made, "adam", 0.9, own={"beta2": 0.9}),
        boxed(made, "adamo", 0.1, own={"isometry_strength": 10.0}),
    ]
    for order in ((*files, *tuned), (*tuned, *files)):
        assert made.verdict("literal-box", *order).verdict == "reproduced"


# --- decoupling -----------------------------------------------------------------------


def alone(follows, departs):
    values = {"adamo": [1.0, follows], "adam_isometry": [departs, 99.0]}
    return [
        ("decoupling_alone", method, seed, 0, "departure", value)
        for method, own in values.items()
        for seed, value in enumerate(own)
    ] + [
        ("decoupling_task", method, seed, 0, "online_accuracy", 0.5)
        for method in values
        for seed in range(6)
    ]


@pytest.mark.parametrize(
    ("flow", "differences", "options", "expected"),
    [
        ((1.1, 13.0), [0.1, 0.0], {}, "reproduced"),
        ((1.1, 13.0), [0.1, -0.004], {}, "reproduced"),
        ((1.1, 13.0), [0.0, 0.0], {}, "partly"),  # above nowhere
        ((1.1, 13.0), [0.1, -0.1], {}, "partly"),
        ((1.1, 1.5), [0.1, 0.0], {}, "partly"),
        ((2.1, 13.0), [0.1, 0.0], {}, "partly"),
        ((2.1, 13.0), [0.1, -0.1], {}, "not reproduced"),
        ((1.1, 13.0), [0.1], {}, UNTESTED),
        ((1.1, 13.0), [0.1, 0.1], {"falls": [0.2, 0.0]}, UNTESTED),
        ((1.1, 13.0), [0.1, 0.1], {"seeds": 7}, UNTESTED),
    ],
)
def test_decoupling_is_judged_by_the_flow_and_on_two_streams(
    made, flow, differences, options, expected
):
    levels = [
        {"adam": 0.5, "adam_isometry": 0.5, "adamo": 0.5 + one} for one in differences
    ]
    columns = ["benchmark", "method", "seed", "task", "metric", "value"]
    study = pd.DataFrame(alone(*flow), columns=columns).assign(settings="study")
    record = {
        "benchmark": "decoupling_alone",
        "method": "adamo",
        "hash": "study",
        "settings": {},
        "method_settings": {},
    }
    files = several(made, levels, len(differences), **options)
    found = made.verdict("decoupling", (study, record), *files)
    assert found.verdict == expected
    assert made.verdict("decoupling", *files) is None
