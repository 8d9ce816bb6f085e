"""The experiments of chapter 2, held by closed forms and by what must add up."""

from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from isometry.core.statistics import stratified_bootstrap
from isometry.lab.store import COLUMNS
from isometry.maxmin import group_sort
from isometry.ntk import conditioning, empirical_ntk, ntk_matrix
from isometry_book.c2_kernel import judge as kernel_judges
from isometry_book.c2_kernel import law as kernel_law
from isometry_book.c2_kernel import learning, moments, report, study
from isometry_book.c2_kernel import plasticity as kernel_plasticity
from isometry_book.c2_kernel import wide as kernel_wide
from isometry_book.c2_kernel.networks import (
    Gated,
    gates,
    linear_layers,
    network,
    perceptron,
    white_inputs,
)
from isometry_book.interventions import correlations

DOUBLE = torch.float64


def kappa(model, inputs):
    return conditioning(ntk_matrix(empirical_ntk(model, inputs))).condition_number


@pytest.mark.parametrize("sizes", [[6, 6, 6, 2], [4, 9, 9, 3], [8, 5, 5, 5]])
def test_orthogonal_network_has_the_gain_as_its_singular_values(sizes):
    model = network(sizes, seed=0, gain=1.5)
    for layer, (fan_in, out) in zip(linear_layers(model), pairwise(sizes), strict=True):
        expected = torch.full((min(fan_in, out),), 1.5, dtype=DOUBLE)
        torch.testing.assert_close(torch.linalg.svdvals(layer.weight), expected)


def test_gated_network_with_its_own_gates_is_the_relu_network():
    model = network([6, 8, 8, 3], seed=0, bias_scale=0.3)
    inputs = white_inputs(5, 6)
    joined = torch.cat([inputs, gates(model, inputs)], dim=1)
    torch.testing.assert_close(Gated(model)(joined), model(inputs))
    found, expected = empirical_ntk(Gated(model), joined), empirical_ntk(model, inputs)
    torch.testing.assert_close(found, expected)


def test_weights_part_and_gates_part_add_up_to_the_whole_change():
    before = network([6, 16, 16, 2], seed=0, bias_scale=0.1)
    now = network([6, 16, 16, 2], "relu", "gaussian", seed=1, bias_scale=0.1)
    inputs = white_inputs(5, 6)
    parts = study.parts_of_change(before, now, inputs)
    levels = [
        conditioning(ntk_matrix(empirical_ntk(m, inputs))).robust_condition_number
        for m in (before, now)
    ]
    expected = np.log(levels[1] / levels[0])
    assert parts["weights_part"] + parts["gates_part"] == pytest.approx(expected)
    nothing = study.parts_of_change(before, before, inputs)
    assert nothing == {"weights_part": 0.0, "gates_part": 0.0}


def test_shares_of_the_layers_add_up_to_one():
    found = study._kernel_metrics(network([6, 8, 8, 3], seed=0), white_inputs(5, 6))
    for name in ("trace", "top", "low"):
        total = sum(v for key, v in found.items() if key.startswith(f"{name}_share"))
        assert total == pytest.approx(1)


def test_member_of_a_stack_becomes_the_same_network():
    model = network([4, 5, 3], seed=0, bias_scale=0.2)
    names = ("hidden.0.weight", "hidden.0.bias", "head.weight", "head.bias")
    parameters = dict(zip(names, model.parameters(), strict=True))
    inputs = white_inputs(3, 4)
    torch.testing.assert_close(perceptron(parameters, "relu")(inputs), model(inputs))


def test_maxmin_and_relu_have_the_same_maps_of_correlations():
    rho, count = 0.4, 400_000
    draw = torch.Generator().manual_seed(0)
    u, w = torch.randn(2, count, 2, generator=draw, dtype=DOUBLE)
    v = rho * u + (1 - rho**2) ** 0.5 * w
    features = rho / 2 + ((1 - rho**2) ** 0.5 + rho * np.arcsin(rho)) / np.pi
    slopes = 0.5 + np.arcsin(rho) / np.pi
    sort_u, sort_v = group_sort(u, 2), group_sort(v, 2)
    same = (u.argsort(1) == v.argsort(1)).all(1).double().mean()
    maxmin = (sort_u * sort_v).sum(1).mean() / 2
    relu = 2 * (u.relu() * v.relu()).mean()
    # Monte Carlo: standard errors are about 2e-3.
    assert maxmin.item() == pytest.approx(features, abs=8e-3)
    assert relu.item() == pytest.approx(features, abs=8e-3)
    assert same.item() == pytest.approx(slopes, abs=8e-3)
    open_together = 2 * ((u > 0) & (v > 0)).double().mean().item()
    assert open_together == pytest.approx(slopes, abs=8e-3)


@pytest.mark.parametrize("activation", ["relu", "maxmin"])
def test_kernel_approaches_its_wide_limit(activation):
    gain = kernel_law.GAINS.get(activation, 1.0)
    limit = kernel_wide.wide_condition_number(2, 8)
    far = []
    for width in (64, 1024):
        model = network(
            [width] * 3 + [1], activation, seed=0, gain=gain, bias_scale=None
        )
        far.append(abs(kappa(model, white_inputs(8, width)) / limit - 1))
    assert far[1] < 0.15 < far[0]


def test_wide_limit_of_infinite_depth_is_a_third_of_the_inputs():
    limit = kernel_wide.wide_condition_number(4000, 15)
    assert limit == pytest.approx((15 + 3) / 3, rel=0.01)


def test_overlap_rises_to_twelve_layers_and_then_falls_to_a_quarter():
    # layers are one more than hidden ones
    found = [kernel_wide.wide_overlap(layers - 1) for layers in range(1, 200)]
    peak = int(np.argmax(found))
    assert peak + 1 == 12
    assert max(found) == pytest.approx(0.316, abs=1e-3)
    assert found[7] == pytest.approx(0.311, abs=1e-3)
    assert (np.diff(found[: peak + 1]) > 0).all()
    assert (np.diff(found[peak:]) < 0).all()
    assert kernel_wide.wide_overlap(3999) == pytest.approx(0.25, abs=1e-3)


def linear_network(weights):
    layers = [nn.Linear(w.shape[1], w.shape[0], bias=False) for w in weights]
    for layer, weight in zip(layers, weights, strict=True):
        layer.weight = nn.Parameter(weight)
    parts = [part for layer in layers for part in (layer, nn.Identity())]
    return nn.Sequential(*parts[:-1])


def orthonormal(out, fan_in, seed):
    draw = torch.Generator().manual_seed(seed)
    empty = torch.empty(out, fan_in, dtype=DOUBLE)
    return nn.init.orthogonal_(empty, generator=draw)


def test_linear_case_needs_a_first_layer_that_is_an_isometry():
    first = torch.diag(torch.tensor([1.0, 3.0, 1.0, 1.0], dtype=DOUBLE))
    model = linear_network([first, orthonormal(4, 4, 1), orthonormal(4, 4, 2)])
    inputs = torch.eye(4, dtype=DOUBLE)
    assert kappa(model, inputs) == pytest.approx(19 / 3)  # and not that of the inputs
    bound = kernel_law._bound_factors(model, inputs)["bound"]
    assert bound == pytest.approx(19 / 3)


def test_linear_case_needs_square_hidden_layers():
    shapes = [(6, 6), (4, 6), (3, 4)]
    weights = [orthonormal(*shape, seed) for seed, shape in enumerate(shapes)]
    for weight in weights:
        torch.testing.assert_close(weight @ weight.mT, torch.eye(len(weight)).double())
    model, inputs = linear_network(weights), torch.eye(6, dtype=DOUBLE)
    assert kappa(model, inputs) == pytest.approx(1.5)
    assert kernel_law._bound_factors(model, inputs)["bound"] == pytest.approx(1.5)


def test_linear_case_holds_with_a_wide_first_and_a_narrow_last_layer():
    shapes = [(6, 4), (6, 6), (2, 6)]
    weights = [orthonormal(*shape, seed) for seed, shape in enumerate(shapes)]
    assert kappa(linear_network(weights), torch.eye(4).double()) == pytest.approx(1)


@pytest.mark.parametrize("init", ["orthogonal", "gaussian"])
@pytest.mark.parametrize("depth", [1, 3])
def test_diagonal_entries_are_those_of_the_kernel(init, depth):
    weights = moments._drawn_weights(4, depth, 6, init, seed=0)
    one = torch.randn(6, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    found = moments._diagonal_entries(weights, one)
    for index, value in enumerate(found):
        model = network([6] * (depth + 1) + [1], seed=0, bias_scale=None)
        for layer, weight in zip(linear_layers(model), weights, strict=True):
            layer.weight = nn.Parameter(weight[index])
        expected = empirical_ntk(model, one.unsqueeze(0)).squeeze()
        torch.testing.assert_close(value, expected)


def test_drawn_weights_have_their_gain():
    wide = moments._drawn_weights(3, 2, 8, "orthogonal", 0)
    for weight in wide:
        gram = weight @ weight.mT
        expected = 2 * torch.eye(gram.shape[-1], dtype=DOUBLE).expand_as(gram)
        torch.testing.assert_close(gram, expected)
    drawn = moments._drawn_weights(500, 1, 16, "gaussian", 0)[0]
    assert float(drawn.var()) == pytest.approx(2 / 16, rel=0.02)


def test_powers_of_moments_are_found():
    aspect = np.array([0.01, 0.1, 0.2])
    frame = pd.DataFrame(
        {"init": "gaussian", "aspect": aspect, "log_moment": 3 * aspect**1.2}
    )
    assert moments.moment_powers(frame)["gaussian"] == pytest.approx(1.2)


def test_plasticity_of_a_linearised_network_is_what_its_kernel_says():
    table = kernel_plasticity.plasticity_by_kernel()
    np.testing.assert_allclose(table["worst"], table["worst_trained"], rtol=1e-6)
    # forty random tasks
    np.testing.assert_allclose(table["random"], table["random_trained"], atol=0.05)
    inverse = table[table["step"] == "inverse"]
    bound = 1 - (1 - 1 / inverse["condition_number"]) ** (2 * inverse["budget"])
    np.testing.assert_allclose(inverse["worst"], bound, rtol=1e-6)
    best = table[table["step"] == "best"]
    assert (best["worst"].to_numpy() > inverse["worst"].to_numpy()).all()


@pytest.mark.parametrize("activation", ["identity", "relu", "leaky_relu", "maxmin"])
@pytest.mark.parametrize("bias", ["none", "normal"])
def test_bound_of_the_theorem_holds(activation, bias):
    law = kernel_law.gap_law(
        (1, 3), (16,), (activation,), seeds=5, count=8, num_outputs=4, biases=(bias,)
    )
    assert (law["bound"] >= law["condition_number"] * (1 - 1e-9)).all()
    coarse = law["forward"] * law["backward"]
    assert (coarse >= law["bound"] * (1 - 1e-9)).all()


def test_bound_is_an_equality_for_one_hidden_maxmin_layer():
    model = network([16, 16, 4], "maxmin", seed=0, bias_scale=None)
    inputs = white_inputs(8, 16)
    bound = kernel_law._bound_factors(model, inputs)["bound"]
    assert bound == pytest.approx(kappa(model, inputs), rel=1e-9)


def test_orthogonal_weights_without_activation_leave_no_gap():
    law = kernel_law.gap_law((4,), (16,), ("identity",), seeds=2, count=8)
    np.testing.assert_allclose(law["condition_number"], 1, rtol=1e-9)


def test_closed_gates_leave_nothing_although_every_weight_is_orthogonal():
    model = network([4, 4, 2], "relu", seed=0, bias_scale=None)
    with torch.no_grad():
        model[0].weight.copy_(-torch.eye(4))
    inputs = torch.rand(3, 4, dtype=DOUBLE) + 0.1
    assert empirical_ntk(model, inputs).abs().max() == 0


def test_law_fit_finds_a_law_that_is_there():
    aspect = np.geomspace(0.01, 0.2, 9)
    excess = np.exp(3 * aspect**0.6)
    frame = pd.DataFrame({"activation": "relu", "aspect": aspect, "excess": excess})
    fit = kernel_law.law_fit(frame)
    assert fit["a"].item() == pytest.approx(3)
    assert fit["p"].item() == pytest.approx(0.6)
    assert fit["error"].item() == pytest.approx(0, abs=1e-12)
    fixed = kernel_law.law_fit(frame, 1.0)
    assert fixed["p"].item() == 1
    assert fixed["error"].item() > 0.1


def test_factor_on_the_outputs_scales_the_kernel_by_its_square():
    model, inputs = network([4, 6, 2], seed=0), white_inputs(3, 4)
    scaled = learning.Scaled(model, 3.0)
    expected = 9 * empirical_ntk(model, inputs)
    torch.testing.assert_close(empirical_ntk(scaled, inputs), expected)


def test_stretched_weights_keep_their_norm_and_get_the_spread():
    model = network([8, 8, 3], seed=0)
    norms = [layer.weight.norm().item() for layer in linear_layers(model)]
    learning._stretched(model, 4.0)
    for layer, norm in zip(linear_layers(model), norms, strict=True):
        values = torch.linalg.svdvals(layer.weight)
        assert (values[0] / values[-1]).item() == pytest.approx(16)
        assert layer.weight.norm().item() == pytest.approx(norm)


@pytest.fixture(scope="module")
def stream():
    changes = {**study.SMALL, "tasks": 3, "images_per_task": 32, "epochs": 2}
    frames = [study.kernel_along_stream(m, [0, 1], changes) for m in study.METHODS]
    return pd.concat(frames, ignore_index=True)


def test_stream_has_one_kernel_for_each_task_seed_and_method(stream):
    kernels = stream[stream["metric"] == "ntk_robust_condition_number"]
    assert len(kernels) == 3 * 2 * len(study.METHODS)
    assert (kernels["value"] >= 1).all()
    start = kernels[kernels["task"] == 0].groupby("seed")["value"]
    assert (start.nunique() == 1).all()  # every method starts from the same network


def test_fresh_networks_are_new_in_every_task_and_orthogonal(stream):
    fresh = stream[stream["method"] == "fresh"]
    weights = fresh[fresh["metric"] == "weight_condition_number"]["value"]
    np.testing.assert_allclose(weights, 1, rtol=1e-4)
    kernels = fresh[fresh["metric"] == "ntk_trace"]["value"]
    assert kernels.nunique() == len(kernels)


def test_readings_of_a_stream_are_in_range(stream):
    correlation = report.rank_correlation(stream, "ntk_trace")
    assert -1 <= correlation.low <= correlation.estimate <= correlation.high <= 1
    parts = report.explained(stream)
    total = parts["weights"].estimate + parts["gates"].estimate
    assert total == pytest.approx(parts["both"].estimate)
    late = report.at_end(stream, "adam", "plasticity")
    last = stream.query("method == 'adam' and metric == 'plasticity' and task == 2")
    assert late == pytest.approx(last["value"].median())


def test_explained_variance_finds_what_was_put_in():
    draw = np.random.default_rng(0)
    rows = []
    for seed in range(4):
        for task in range(60):
            weights, opened = draw.standard_normal(2)
            values = {
                "weights_part": weights,
                "gates_part": opened,
                "plasticity": 2 * opened,
            }
            rows += [("adam", seed, task, name, v) for name, v in values.items()]
    columns = ["method", "seed", "task", "metric", "value"]
    parts = report.explained(pd.DataFrame(rows, columns=columns))
    assert parts["gates"].estimate > 0.9
    assert parts["weights"].estimate < 0.1
    assert parts["both"].estimate == pytest.approx(1)


@pytest.fixture
def few_resamples(monkeypatch):
    """Let intervals over seeds come of a tenth of the resamples; none is close."""
    fewer = partial(stratified_bootstrap, resamples=200)
    monkeypatch.setattr(correlations, "stratified_bootstrap", fewer)


def worn_numbers(name, laws, seeds=8, ages=6):
    """Return a stream of worn networks.

    ``laws``: kernel -> (its condition number, its trace), each a function of the
    plasticity, of noise and of the age, all ``(methods, seeds, ages)``.
    """
    draw = np.random.default_rng(0)
    size = (len(kernel_judges.WORN_METHODS), seeds, ages)
    plasticity, noise = draw.uniform(size=size), draw.uniform(size=size)
    age = np.broadcast_to(np.arange(ages, dtype=float), size)
    values = {
        "plasticity": laws.get("plasticity", lambda p, n, a: p)(plasticity, 0, age)
    }
    for kernel in kernel_judges.KERNELS:
        condition, trace = laws.get(kernel, (noise_alone, noise_alone))
        found = values["plasticity"], noise, age
        values[f"{kernel}_robust_condition_number"] = condition(*found)
        values[f"{kernel}_log_trace"] = trace(*found)
    rows = [
        (f"worn_{name}", method, "x", seed, task, metric, float(table[i, seed, task]))
        for metric, table in values.items()
        for i, method in enumerate(kernel_judges.WORN_METHODS)
        for seed in range(seeds)
        for task in range(ages)
        # Adam's kernel is that of a network which has learned.
        if not (metric.startswith("adam_") and task == 0)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def noise_alone(p, n, a):
    return (7 * n) % 1  # another one than that of the condition number


def against(p, n, a):
    return -p


def methods_apart(p, n, a):
    """Noise within a method; across methods against the plasticity that is there."""
    return n - 9 * np.arange(3.0)[:, None, None]


AGREES = {"ntk": (against, noise_alone)}
OTHER = {"adam_ntk": AGREES["ntk"]}
FADES = {  # plasticity falls with age, and what seeds differ in is noise
    "plasticity": lambda p, n, a: p - 3 * a,
    "ntk": (lambda p, n, a: n + a, noise_alone),
}
APART = {
    "plasticity": lambda p, n, a: p + 9 * np.arange(3.0)[:, None, None],
    "ntk": (methods_apart, noise_alone),
}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (AGREES, AGREES, "reproduced"),
        (OTHER, OTHER, "reproduced"),  # one kernel is enough
        ({"ntk": (against, against)},) * 2 + ("partly",),  # so does the scale
        (FADES, FADES, "partly"),  # over time alone
        (AGREES, FADES, "partly"),
        (AGREES, {}, "not reproduced"),  # on one stream alone
        (AGREES, OTHER, "not reproduced"),  # and the same one on both
        ({}, {}, "not reproduced"),
        ({"ntk": (lambda p, n, a: p, noise_alone)},) * 2 + ("not reproduced",),
        (APART, APART, "not reproduced"),  # across methods, and within none
    ],
)
@pytest.mark.usefixtures("few_resamples")
def test_anisotropy_is_judged_within_methods_beside_the_scale(first, second, expected):
    frames = worn_numbers("one", first), worn_numbers("two", second)
    found = kernel_judges._anisotropy(pd.concat(frames), [])
    assert found.verdict == expected
    assert "across methods" in found.reason
    if first is APART:
        own, _ = kernel_judges._kernel_correlations(frames[0], "ntk")
        assert own["across_methods"].high < -0.9


@pytest.mark.usefixtures("few_resamples")
def test_anisotropy_needs_two_streams_eight_seeds_and_every_method():
    one, two = worn_numbers("one", AGREES), worn_numbers("two", AGREES)
    judge = kernel_judges._anisotropy
    assert judge(pd.concat([one, two]), []).verdict == "reproduced"
    assert judge(one, []) is None
    assert judge(pd.concat([one, two[two["seed"] < 7]]), []) is None
    assert judge(pd.concat([one, two[two["method"] != "maxmin"]]), []) is None


@pytest.mark.usefixtures("few_resamples")
def test_ages_at_which_a_network_was_not_looked_at_are_left_out():
    frame = worn_numbers("one", AGREES)
    gap = (frame["seed"] == 3) & (frame["task"] == 2) & (frame["method"] == "adamo")
    gap &= frame["metric"].str.contains("ntk")
    extra = frame[frame["task"] == 0].assign(method="adam_fresh")
    partial = pd.concat([frame[~gap], extra])
    assert kernel_judges._ages_of(frame, "ntk") == [0, 1, 2, 3, 4, 5]
    assert kernel_judges._ages_of(partial, "ntk") == [0, 1, 3, 4, 5]
    assert kernel_judges._ages_of(partial, "adam_ntk") == [1, 3, 4, 5]
    both = pd.concat([partial, worn_numbers("two", AGREES)])
    assert kernel_judges._anisotropy(both, []).verdict == "reproduced"


def test_judges_wait_for_their_numbers():
    nothing = pd.DataFrame(columns=COLUMNS)
    assert kernel_judges._anisotropy(nothing, []) is None
    assert kernel_judges._decomposition(nothing, []) is None
    assert kernel_judges._nonlinear_gap(nothing, []) is None


def test_a_wrong_decomposition_is_not_reproduced():
    errors = study.decomposition_errors([0])
    good = kernel_judges._decomposition(errors, [])
    bad = kernel_judges._decomposition(errors.assign(value=1e-3), [])
    assert (good.verdict, bad.verdict) == ("reproduced", "not reproduced")


def test_gap_is_judged_against_the_linear_network():
    gap = study._gap_numbers(range(5), depths=(4,))
    found = kernel_judges._nonlinear_gap(gap, [])
    assert found.verdict == "reproduced"
    flat = gap.assign(value=1.0)
    assert kernel_judges._nonlinear_gap(flat, []).verdict == "not reproduced"
