"""Curves over tasks: their numbers against a direct computation, and the picture."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.image import imread

from isometry.lab.curves import _figure, _spread, curves, draw
from isometry.lab.store import StoreError, add_results, result_path

METHODS = ("adam", "adamo", "redo")
MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def stored(store, method, values, tasks=10):
    """Store numbers ``(seeds, tasks)`` of a method on a benchmark of so many tasks."""
    columns = ["benchmark", "method", "settings", "seed", "task", "metric", "value"]
    name = f"{method}{tasks}"
    rows = [
        ("bench", method, name, seed, task, "online_accuracy", value)
        for seed, course in enumerate(values)
        for task, value in enumerate(course)
    ]
    record = {
        "experiment_version": 1,
        "benchmark": "bench",
        "method": method,
        "hash": name,
        "settings": {"lr": 1e-3, "tasks": tasks},
        "method_settings": {},
        "runs": [{"seeds": list(range(len(values))), "status": {}}],
    }
    path = result_path(store, "bench", method, name)
    add_results(path, pd.DataFrame(rows, columns=columns), record)


@pytest.fixture
def store(tmp_path):
    """A store of three methods, eight seeds and ten tasks; and its numbers."""
    draws = np.random.default_rng(0)
    numbers = {method: draws.random((8, 10)) for method in METHODS}
    for method, values in numbers.items():
        stored(tmp_path / "store", method, values)
    return tmp_path / "store", numbers


def test_a_course_is_the_interquartile_mean_of_each_task_inside_its_interval(store):
    path, numbers = store
    found = curves(path)
    assert len(found) == 30
    for method, values in numbers.items():
        course = found[found["method"] == method]
        assert course["task"].tolist() == list(range(10))
        trusted = scipy.stats.trim_mean(values, 0.25)
        np.testing.assert_allclose(course["mean"], trusted)
        assert (course["mean_low"] < course["mean"]).all()
        assert (course["mean"] < course["mean_high"]).all()
        assert set(course["seeds"]) == {8}


def test_a_task_at_which_a_seed_diverged_is_a_gap(tmp_path):
    values = np.ones((4, 10))
    values[1, 3:5] = np.inf
    stored(tmp_path, "adam", values)
    course = curves(tmp_path)
    assert course["mean"].isna().tolist() == [t in (3, 4) for t in range(10)]
    draw(tmp_path, tmp_path / "gap.png")


def test_one_seed_has_a_line_and_no_band(tmp_path):
    stored(tmp_path, "adam", np.ones((1, 10)))
    found = curves(tmp_path)
    assert found["mean_low"].isna().all()
    figure = _figure(found, "online_accuracy")
    assert figure.get_supxlabel() == "one seed"


def test_each_method_has_a_line_that_is_named_at_its_end(store):
    path, _ = store
    found = curves(path)
    figure = _figure(found, "online_accuracy")
    (ax,) = figure.axes
    assert len(ax.get_lines()) == len(METHODS)
    assert len({line.get_color() for line in ax.get_lines()}) == len(METHODS)
    ends = {a.get_text(): a.xy for a in ax.texts}
    assert set(ends) == set(METHODS)
    for method, (task, value) in ends.items():
        last = found[(found["method"] == method) & (found["task"] == 9)]
        assert (task, value) == (10, last["mean"].item())
    heights = [a.xyann[1] for a in ax.texts]
    assert heights == sorted(heights, reverse=True)
    assert figure.get_supxlabel().startswith("interquartile mean over 8 seeds")


def test_thirty_lines_can_be_told_apart(tmp_path):
    for index in range(28):
        stored(tmp_path, f"method{index}", np.full((2, 3), index))
    (ax,) = _figure(curves(tmp_path), "online_accuracy").axes
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.get_lines()}
    assert len(looks) == 28


def test_every_scale_has_a_panel_also_one_of_a_single_task(store):
    path, _ = store
    stored(path, "adam", np.ones((3, 1)), tasks=1)
    figure = _figure(curves(path), "online_accuracy")
    assert [ax.get_title("left") for ax in figure.axes] == [
        "bench, tasks=1",
        "bench, tasks=10",
    ]
    assert "3 to 8 seeds" in figure.get_supxlabel()


@pytest.mark.parametrize("ending", MAGIC)
def test_a_picture_is_of_the_kind_that_it_is_called_and_always_the_same(
    store, tmp_path, ending
):
    path, _ = store
    first, second = tmp_path / f"a{ending}", tmp_path / f"b{ending.upper()}"
    draw(path, first)
    with rc_context({"font.size": 40, "axes.facecolor": "black"}):
        draw(path, second)
    assert first.read_bytes().startswith(MAGIC[ending])
    assert first.read_bytes() == second.read_bytes()


def test_a_picture_is_light_whatever_the_user_has_set(store, tmp_path):
    path, _ = store
    with rc_context({"figure.facecolor": "black"}):
        draw(path, tmp_path / "a.png")
    pixels = imread(tmp_path / "a.png")[..., :3]
    assert (pixels[0, 0] == 1).all()
    assert (pixels > 0.8).all(axis=-1).mean() > 0.5


@pytest.mark.parametrize(
    ("file", "metric", "error", "message"),
    [
        ("a.jpg", "online_accuracy", ValueError, "ends with .png, .svg, .pdf, found"),
        ("a", "online_accuracy", ValueError, "pass e.g. curves.svg"),
        ("a.svg", "onlin_accuracy", KeyError, "did you mean 'online_accuracy'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    store, tmp_path, file, metric, error, message
):
    with pytest.raises(error, match=message) as caught:
        draw(store[0], tmp_path / file, metric)
    assert "\n" not in str(caught.value)


def test_an_empty_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="needed results under"):
        draw(tmp_path, tmp_path / "a.svg")


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=9).map(
        lambda heights: sorted(heights, reverse=True)
    )
)
def test_labels_keep_their_order_their_distance_and_the_panel(heights):
    placed = _spread(heights, 0.1)
    assert len(placed) == len(heights)
    assert max(placed) <= 1 + 1e-9
    assert min(placed) >= -1e-9
    gaps = -np.diff(placed)
    assert (gaps >= 0.1 - 1e-9).all()
    if (-np.diff(heights) >= 0.1).all():
        assert placed == pytest.approx(heights)
