"""What GPUs would need at least: counted by hand, and what the page says of it."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from isometry.supervised.benchmarks import BENCHMARKS
from isometry_book.c6_benchmark.gpu_plan import (
    H200,
    LAUNCH,
    Gpu,
    hours,
    stacks,
    step_bytes,
    step_flops,
)

ROOT = Path(__file__).resolve().parents[3]
REPORT = json.loads((ROOT / "benchmarks" / "reports" / "scaling.json").read_text())
PAGE = (ROOT / "book" / "scale.md").read_text()
MNIST = BENCHMARKS.get("permuted_mnist").settings("paper")


@pytest.fixture(scope="module")
def runs():
    return stacks(ROOT)


def test_a_step_is_counted_layer_by_layer():
    sizes = [784, 512, 512, 512, 512, 10]
    forward = [128 * a * b for a, b in pairwise(sizes)]
    assert step_flops(784, MNIST) == 2 * (3 * sum(forward) - forward[0])
    numbers = sum(a * b for a, b in pairwise(sizes))
    assert step_bytes(784, MNIST) == 32 * numbers + 24 * 128 * (784 + 4 * 512)


def test_adams_reported_runs_are_bound_by_their_calls(runs):
    first = next(r for r in runs if r.benchmark == "permuted_mnist" and not r.tuning)
    assert first.launches == pytest.approx(7900 * REPORT["calls_of_a_step"] * LAUNCH)
    assert first.products == pytest.approx(7900 * 8 * step_flops(784, MNIST) / 67e12)
    assert first.seconds == first.launches
    assert sum(r.launches > max(r.products, r.memory) for r in runs) > len(runs) / 2


def test_more_gpus_and_shared_ones_take_less_and_never_less_than_the_bounds(runs):
    one, shared, eight = hours(runs, 1), hours(runs, 1, share=8), hours(runs, 8, 8)
    bound = sum(max(r.products, r.memory) for r in runs) / 3600
    assert one > shared >= bound * 0.999
    assert shared > eight >= shared / 8 * 0.999


def test_a_slow_gpu_is_bound_by_its_products():
    slow = stacks(ROOT, Gpu("slow", 1e9, 1e15))
    assert all(r.seconds == r.products for r in slow)


def test_the_page_says_what_is_computed():
    said = re.search(r"about (\d+) operations a byte.*?can do\n?\s*(\d+)", PAGE, re.S)
    assert int(said[1]) == round(step_flops(784, MNIST) / step_bytes(784, MNIST))
    assert int(said[2]) == round(H200.flops / H200.bytes_a_second)
    assert f"{H200.flops / 1e12:.0f} TFLOP/s" in PAGE
    assert f"{H200.bytes_a_second / 1e12} TB/s" in PAGE
    assert f"{LAUNCH * 1e6:.0f} µs a call" in PAGE


@pytest.mark.parametrize("axis", REPORT["axes"].values(), ids=list(REPORT["axes"]))
def test_times_grow_as_the_page_says(axis):
    assert axis["limit"] - 0.6 < axis["exponent"] < axis["limit"] + 0.1
    low, high = axis["exponent_interval"]
    assert low <= axis["exponent"] <= high
    pairs = zip(axis["milliseconds"], axis["products_alone"], strict=True)
    assert all(own > alone for own, alone in pairs)
