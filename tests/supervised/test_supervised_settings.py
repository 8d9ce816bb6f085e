"""Settings and benchmarks: what is refused, and that sizes are reductions."""

from dataclasses import replace

import pytest

from isometry.core.settings import _help_of, changed
from isometry.supervised import BENCHMARKS, SupervisedSettings, benchmarks


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tasks": 0}, "needed tasks >= 1, found 0; change tasks"),
        ({"images_per_task": 0}, "needed images_per_task >= 1"),
        ({"epochs": -1}, "needed epochs >= 1, found -1"),
        ({"batch_size": 0}, "needed batch_size >= 1"),
        ({"width": 0}, "needed width >= 1"),
        ({"depth": -1}, "needed depth >= 0 for an mlp, found -1; change depth"),
        ({"network": "transformer", "depth": 0}, "needed depth >= 1 for a transformer"),
        ({"network": "cnn", "depth": 1}, "needed depth >= 2 for a cnn"),
        ({"lr": 0.0}, "needed lr > 0, found 0.0; change lr"),
        ({"lr": -1e-3}, "needed lr > 0"),
        ({"lr": "inf"}, "needed a finite number for lr"),
        ({"init_gain": 0.0}, "needed init_gain > 0"),
        ({"optimizer": "sdg"}, "unknown value for optimizer 'sdg'; did you mean 'sgd'"),
        (
            {"momentum": 0.9},
            "needed optimizer=sgd for a momentum, found adam; change momentum or opti",
        ),
        ({"optimizer": "sgd", "momentum": 1.0}, "needed 0 <= momentum < 1, found 1.0"),
        ({"optimizer": "sgd", "momentum": -0.1}, "needed 0 <= momentum < 1"),
        (
            {"init": "kaiming", "init_gain": 1.5},
            "needed init_gain=1 for init=kaiming, .*, found 1.5; change init or init_g",
        ),
        ({"init": "default", "init_gain": 0.5}, "needed init_gain=1 for init=default"),
        ({"init": "kaimign"}, "did you mean 'kaiming'"),
        ({"taper": 0.0}, "needed 0 < taper <= 1, found 0.0; change taper"),
        ({"taper": 1.5}, "needed 0 < taper <= 1, found 1.5"),
        ({"taper": 0.5, "depth": 1}, "needed taper=1 but for an mlp of two hidden lay"),
        ({"taper": 0.5, "network": "cnn"}, "needed taper=1 but for an mlp"),
        ({"blend": -0.1}, "needed 0 <= blend <= 1, found -0.1; change blend"),
        ({"blend": 1.1}, "needed 0 <= blend <= 1"),
        ({"diagnose_every": -1}, "needed diagnose_every >= 0"),
        ({"test_images": -1}, "needed test_images >= 0"),
        (
            {"batch_size": 65, "images_per_task": 64},
            r"needed batch_size <= images_per_task \(64\), found 65",
        ),
        ({"network": "mpl"}, "unknown value for network 'mpl'; did you mean 'mlp'"),
        ({"activation": "rellu"}, "did you mean 'relu'"),
        ({"init": "orthogonl"}, "did you mean 'orthogonal'"),
        ({"input_scaling": "units"}, "did you mean 'unit'"),
        ({"reshuffle": "perhaps"}, "needed reshuffle=true or reshuffle=false"),
    ],
)
def test_settings_out_of_range_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        changed(SupervisedSettings(), values)


def test_every_setting_is_explained():
    for key, text in _help_of(SupervisedSettings).items():
        assert len(text) > 8, key
        assert text.endswith("."), key


@pytest.mark.parametrize("benchmark", list(BENCHMARKS), ids=lambda b: b.name)
def test_smaller_profiles_are_reductions_of_the_larger(benchmark):

    def steps(profile):
        s = benchmark.profiles.of(profile)
        return s.tasks * s.epochs * s.images_per_task / s.batch_size * s.width**2

    assert steps("smoke") < steps("laptop") < steps("paper")
    smoke, laptop = benchmark.profiles.smoke, benchmark.profiles.laptop
    shrunk = ("tasks", "images_per_task", "epochs")
    assert replace(laptop, **{key: getattr(smoke, key) for key in shrunk}) == smoke


@pytest.mark.parametrize("benchmark", list(BENCHMARKS), ids=lambda b: b.name)
def test_every_benchmark_runs_on_its_own_data_and_on_digits(benchmark):
    assert benchmark.data[0] == benchmark.profiles.paper.data or (
        benchmark.profiles.paper.data in benchmark.data
    )
    assert "digits" in benchmark.data
    assert benchmark.settings("smoke", data="digits").data == "digits"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda b: b.settings("fast"),
            ValueError,
            "needed a profile of smoke, laptop, paper, found fast; choose one",
        ),
        (
            lambda b: b.settings("smoke", data="cifar10"),
            ValueError,
            "needed data of mnist, digits for permuted_mnist, found cifar10",
        ),
        (lambda b: b.settings("smoke", lr=-1.0), ValueError, "needed lr > 0"),
        (
            lambda b: benchmarks.register(b),
            ValueError,
            "benchmark 'permuted_mnist' is registered already",
        ),
    ],
)
def test_benchmark_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(BENCHMARKS.get("permuted_mnist"))
