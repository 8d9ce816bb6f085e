import pandas as pd
import pytest

import isometry_book.c3_deep_linear.judge as deep
import isometry_book.c3_deep_linear.study as linear_study
import isometry_book.c4_maxmin.judge as maxmin
from isometry.lab.store import TIDY
from isometry_book.claims.claim import JUDGES

CLAIMS = (
    "deep-linear",
    "layerwise",
    "maxmin-isometric",
    "maxmin-expressive",
    "backward-norm",
)


def frame(benchmark, metric, values):
    rows = [
        (benchmark, method, seed, task, metric, value)
        for (method, task), seeds in values.items()
        for seed, value in enumerate(seeds)
    ]
    return pd.DataFrame(rows, columns=TIDY)


def verdict(judge, *frames):
    found = judge(pd.concat(frames, ignore_index=True), [])
    return found and found.verdict


@pytest.mark.parametrize("key", CLAIMS)
def test_every_claim_has_its_judge_and_none_without_numbers(key):
    judge = JUDGES[key]
    assert judge is not None
    assert judge(pd.DataFrame(columns=TIDY), []) is None


@pytest.mark.parametrize(
    ("error", "count", "expected"),
    [
        (1e-15, 50, "reproduced"),
        (1e-9, 50, "not reproduced"),
        (1e-15, 49, None),
    ],
)
def test_equation_nine_is_judged_by_its_largest_error(error, count, expected):
    errors = {("orthogonal", task): [1e-16] for task in range(count)}
    errors["orthogonal", 3] = [error]
    numbers = frame("deep_linear_kernel", "relative_error", errors)
    assert verdict(deep._deep_linear, numbers) == expected


def layers(condition, slower):
    names = ("isometric layers", "isometric product")
    return [
        frame(
            "deep_linear_layers",
            metric,
            {(names[0], 0): [1.0, 1.0], (names[1], 0): values},
        )
        for metric, values in (
            ("condition_number", condition),
            ("steps_slowest", slower),
        )
    ]


def exception(kernel, layer):
    values = {("kernel", 0): [kernel], ("flattest layer", 0): [layer]}
    return frame("deep_linear_exception", "condition_number", values)


@pytest.mark.parametrize(
    ("condition", "slower", "kernel", "layer", "expected"),
    [
        ([16, 16], [22, 22], 1.0, 1.3, "partly"),
        ([16, 16], [22, 22], 2.0, 1.3, "reproduced"),
        ([16, 16], [22, 22], 1.0, 1.0, "reproduced"),
        ([16, 16], [22, 2], 1.0, 1.3, "not reproduced"),
        ([16, 9], [22, 22], 1.0, 1.3, "not reproduced"),
    ],
)
def test_layerwise_needs_every_seed_and_no_exception(
    condition, slower, kernel, layer, expected
):
    numbers = [*layers(condition, slower), exception(kernel, layer)]
    assert verdict(deep._layerwise, *numbers) == expected


def test_layerwise_is_partly_right_on_the_study_itself():
    sizes = linear_study.SIZES.smoke
    numbers = [linear_study.hidden_layers(sizes), linear_study._exception()]
    assert verdict(deep._layerwise, *numbers) == "partly"


@pytest.mark.parametrize(
    ("depth", "worst", "expected"),
    [
        (1000, 1e-14, "reproduced"),
        (1000, 1e-9, "not reproduced"),
        (300, 1e-14, None),
    ],
)
def test_isometry_is_judged_at_depth_1000(depth, worst, expected):
    values = {("maxmin", 1): [1e-16], ("maxmin", depth): [worst]}
    numbers = frame("jacobian_depth", "deviation", values)
    assert verdict(maxmin._maxmin_isometric, numbers) == expected


@pytest.mark.parametrize(
    ("line", "cone", "seeds", "expected"),
    [
        (0.01, 0.1, 5, "reproduced"),
        (0.01, 0.2, 5, "partly"),
        (0.5, 0.2, 5, "not reproduced"),
        (0.01, 0.1, 4, None),
    ],
)
def test_expressiveness_is_judged_against_the_best_relu_seed(
    line, cone, seeds, expected
):
    relu = [1.0, *[7.0] * (seeds - 1)]
    numbers = [
        frame(
            f"lipschitz_{target}",
            "squared_error",
            {("maxmin", 0): [value] * seeds, ("relu_orthogonal", 0): relu},
        )
        for target, value in (("absolute_value", line), ("cone", cone))
    ]
    assert verdict(maxmin._maxmin_expressive, *numbers) == expected


@pytest.mark.parametrize(
    ("square", "wide", "tall", "expected"),
    [
        (1.0, 1.0, 0.5, "partly"),
        (1.0, 1.0, 1.0, "reproduced"),
        (1.0, 0.9, 0.5, "not reproduced"),
        (0.9, 1.0, 0.5, "not reproduced"),
    ],
)
def test_backward_norms_fail_on_one_side(square, wide, tall, expected):
    values = {("square", 0): [square], ("wide", 0): [wide], ("tall", 0): [1.0, tall]}
    numbers = frame("backward_norm", "norm_ratio", values)
    assert verdict(maxmin._backward_norm, numbers) == expected
