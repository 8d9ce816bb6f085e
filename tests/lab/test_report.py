"""Reports: every number against a direct computation, in every format."""

import csv
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from isometry.core.seeding import numpy_generator
from isometry.core.settings import parsed_changes
from isometry.core.statistics import paired_difference, stratified_bootstrap
from isometry.lab.metrics import load_metric
from isometry.lab.report import (
    BOOTSTRAP_SEED,
    _against,
    _diverged_seeds,
    _shown,
    baselines_of,
    labels_of,
    last_tasks,
    report,
    scales_of,
    seed_scores,
    summary,
)
from isometry.lab.store import StoreError, add_results, load_results, result_path

RNG = np.random.default_rng(0)
RUN = {"lr": 1e-3, "data": "digits", "tasks": 10, "width": 8}


def stored(
    store,
    method="adam",
    name="a",
    benchmark="bench",
    values=None,
    seeds=range(5),
    tasks=10,
    metric="online_accuracy",
    settings=None,
    method_settings=None,
    diverged=(),
):
    """Store numbers ``(seeds, tasks)`` of a method, and return them."""
    seeds = list(seeds)
    if values is None:
        values = RNG.random((len(seeds), tasks))
    frame = pd.DataFrame(
        [
            (benchmark, method, name, seed, task, metric, values[i][task])
            for i, seed in enumerate(seeds)
            for task in range(tasks)
        ],
        columns=["benchmark", "method", "settings", "seed", "task", "metric", "value"],
    )
    status = {
        s: f"diverged at step {s}" if s in diverged else "finished" for s in seeds
    }
    record = {
        "experiment_version": 1,
        "benchmark": benchmark,
        "method": method,
        "hash": name,
        "settings": {**RUN, **(settings or {})},
        "method_settings": method_settings or {},
        "runs": [{"seeds": seeds, "status": status}],
    }
    add_results(result_path(store, benchmark, method, name), frame, record)
    return np.asarray(values)


def iqm(scores):
    return scipy.stats.trim_mean(scores, 0.25)


@pytest.fixture
def two(tmp_path):
    """A store with adam and a better adamo on the same five seeds and one more."""
    adam = stored(tmp_path)
    adamo = stored(
        tmp_path, "adamo", "b", values=RNG.random((6, 10)) + 1, seeds=range(6)
    )
    return tmp_path, adam, adamo


# --- the numbers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "count"), [(1, 1), (4, 1), (5, 1), (9, 1), (10, 2), (50, 10)]
)
def test_the_last_tasks_are_a_fifth_of_all_and_at_least_one(tmp_path, tasks, count):
    assert last_tasks(tasks) == count
    values = stored(tmp_path, tasks=tasks)
    (row,) = summary(tmp_path).to_dict("records")
    assert row["mean"] == pytest.approx(iqm(values.mean(1)))
    assert row["first"] == pytest.approx(iqm(values[:, :count].mean(1)))
    assert row["last"] == pytest.approx(iqm(values[:, -count:].mean(1)))
    assert row["tasks"] == tasks


def test_a_summary_is_what_a_direct_computation_gives(two):
    store, adam, adamo = two
    table = summary(store).set_index("method")
    assert table.index.tolist() == ["adamo", "adam"], "the largest mean first"
    for method, values in (("adam", adam), ("adamo", adamo)):
        row = table.loc[method]
        assert row["mean"] == pytest.approx(iqm(values.mean(1)))
        assert row["seeds"] == len(values)
        trusted = scipy.stats.bootstrap(
            (values.mean(1),),
            lambda x, axis: iqm(np.moveaxis(x, axis, 0)),
            n_resamples=4000,
            method="percentile",
            random_state=np.random.default_rng(1),
        ).confidence_interval
        # Monte-Carlo error of 2000 resamples of five or six seeds.
        width = trusted.high - trusted.low
        assert row["mean_low"] == pytest.approx(trusted.low, abs=0.15 * width)
        assert row["mean_high"] == pytest.approx(trusted.high, abs=0.15 * width)


def test_settings_are_named_by_value_as_the_command_line_takes_them(two):
    store, *_ = two
    changes = parsed_changes(summary(store)["values"][0].split())
    assert changes == {key: str(value) for key, value in RUN.items()}
    (row, _) = csv.DictReader(io.StringIO(report(store, format="csv")))
    assert row["settings"] == "b"
    assert parsed_changes(row["values"].split()) == changes


def test_differences_are_taken_seed_by_seed_over_the_seeds_both_have(two):
    store, adam, adamo = two
    table = summary(store).set_index("method")
    paired = adamo[:5].mean(1) - adam.mean(1)
    assert table.loc["adamo", "difference"] == pytest.approx(iqm(paired))
    assert table.loc["adamo", "difference_low"] > 0, "better than adam: above zero"
    assert table.loc["adamo", "difference_high"] > table.loc["adamo", "difference"]
    assert table.loc["adamo", "probability"] == 1.0
    own = ["difference", "difference_low", "difference_high", "probability"]
    assert table.loc["adam", own].isna().all()


def test_a_worse_method_has_a_difference_below_zero(tmp_path):
    adam = stored(tmp_path)
    stored(tmp_path, "adamw", "c", values=adam - 0.25)
    row = summary(tmp_path).set_index("method").loc["adamw"]
    assert row["difference"] == pytest.approx(-0.25)
    assert row["difference_high"] == pytest.approx(-0.25), "the same on every seed"
    u = scipy.stats.mannwhitneyu(adam.mean(1) - 0.25, adam.mean(1)).statistic
    assert row["probability"] == pytest.approx(u / 25)


def test_scores_are_matched_by_seed_not_by_place():
    first = np.array([0, 1, 2, 3]), np.array([9.0, 2.0, 3.0, 1.0])
    second = np.array([1, 2, 3, 9]), np.array([1.0, 2.0, 0.0, 7.0])
    scores = {("x", "first"): first, ("x", "second"): second}
    found = _against(scores, {"first": "second"}, {"first": "f", "second": "s"})
    assert found["difference"][0] == found["difference_low"][0] == 1.0
    assert found.loc[1].isna().all()


def test_benchmarks_are_summarised_apart(tmp_path):
    one = stored(tmp_path, benchmark="one")
    stored(tmp_path, "adamo", "b", benchmark="two")
    stored(tmp_path, "adam", "c", benchmark="two", values=RNG.random((5, 10)) + 5)
    table = summary(tmp_path)
    assert table["benchmark"].tolist() == ["one", "two", "two"]
    assert table["mean"][0] == pytest.approx(iqm(one.mean(1)))
    assert table["difference"].isna().tolist() == [True, True, False]
    assert table["difference"][2] < -4


def test_a_report_is_the_same_every_time_and_for_every_part_of_the_store(two):
    store, *_ = two
    assert report(store, format="json") == report(store, format="json")
    alone = json.loads(report(store / "bench" / "adamo-b.parquet", format="json"))[0]
    whole = json.loads(report(store, format="json"))[0]
    for key in ("mean", "mean_low", "mean_high", "last_low"):
        assert alone[key] == whole[key]


def test_every_number_has_the_bits_of_a_file_taken_alone(tmp_path):
    names = ["e", "d", "c", "b", "a"]  # files are not in the order of their settings
    for place, (name, method) in enumerate(zip(names, "vwxyz", strict=True)):
        values = RNG.random((3 + place, 10)) * 3
        stored(tmp_path, method, name, values=values, seeds=range(3 + place))
    stored(tmp_path, "adam", "f", values=RNG.random((7, 10)), seeds=range(1, 8))
    frame = load_results(tmp_path)
    scores = {
        part: {n: seed_scores(f, "online_accuracy", part) for n, f in named}
        for part in ("all", "first", "last")
        for named in [list(frame.groupby("settings"))]
    }
    for row in summary(tmp_path).to_dict("records"):
        name, method = row["settings"], row["method"]
        for column, part in (("mean", "all"), ("first", "first"), ("last", "last")):
            labels = BOOTSTRAP_SEED, "bench", method, "online_accuracy", column
            own = stratified_bootstrap(scores[part][name], numpy_generator(*labels))
            found = [row[column], row[f"{column}_low"], row[f"{column}_high"]]
            assert found == [own.estimate, own.low, own.high]
        if method != "adam":
            both = pd.concat([scores["all"][n] for n in (name, "f")], axis=1).dropna()
            draw = numpy_generator(BOOTSTRAP_SEED, "difference", "bench", method)
            own = paired_difference(both.iloc[:, 0], both.iloc[:, 1], draw)
            found = [row[f"difference{end}"] for end in ("", "_low", "_high")]
            assert found == [own.estimate, own.low, own.high]


def test_what_was_read_of_a_store_is_reported_as_the_store_is(two):
    store, metric = load_metric(two[0], None)
    assert report(store, metric) == report(two[0], metric)
    with pytest.raises(KeyError, match="unknown metric 'x'"):
        report(store, "x")


def test_scores_of_parts_are_indexed_by_seed():
    frame = pd.DataFrame(
        [(seed, task, "m", 10 * seed + task) for seed in (2, 1) for task in range(10)],
        columns=["seed", "task", "metric", "value"],
    )
    assert seed_scores(frame, "m").to_dict() == {1: 14.5, 2: 24.5}
    assert seed_scores(frame, "m", "first").to_dict() == {1: 10.5, 2: 20.5}
    assert seed_scores(frame, "m", "last").to_dict() == {1: 18.5, 2: 28.5}


# --- labels and baselines -------------------------------------------------------------


def test_labels_name_what_differs_within_a_method_and_nothing_else(tmp_path):
    stored(tmp_path, settings={"width": 16})
    stored(tmp_path, "adamo", "b", method_settings={"isometry_strength": 0.1, "k": 1})
    stored(tmp_path, "adamo", "c", method_settings={"isometry_strength": 1.0, "k": 1})
    stored(tmp_path, "fresh", "d", settings={"lr": 1.0})
    labels = set(summary(tmp_path)["method"])
    assert labels == {
        "adam",
        "adamo(isometry_strength=0.1)",
        "adamo(isometry_strength=1.0)",
        "fresh",
    }


def record(name, method="adam", benchmark="bench", own=None, **settings):
    return {
        "hash": name,
        "method": method,
        "benchmark": benchmark,
        "settings": {**RUN, **settings},
        "method_settings": own or {},
    }


def test_a_scale_names_what_tells_the_experiments_of_a_benchmark_apart():
    small, wide = record("a", lr=0.1), record("b", width=16, data="mnist")
    other = record("c", benchmark="other", width=99)
    again = record("d", method="adamo", width=16, data="mnist", own={"k": 1})
    assert scales_of([small, wide, other, again]) == {
        "a": "data=digits, width=8",
        "b": "data=mnist, width=16",
        "c": "",
        "d": "data=mnist, width=16",
    }


def test_methods_are_labelled_within_their_scale():
    records = [record("a"), record("b", tasks=50), record("c", tasks=50, lr=0.1)]
    assert labels_of(records) == {
        "a": "adam",
        "b": "adam(lr=0.001)",
        "c": "adam(lr=0.1)",
    }


def test_a_report_shows_scales_only_where_there_are_several(tmp_path):
    stored(tmp_path)
    assert "scale" not in report(tmp_path)
    stored(tmp_path, name="b", tasks=20, settings={"tasks": 20})
    assert "tasks=20" in report(tmp_path)
    assert set(summary(tmp_path)["scale"]) == {"tasks=10", "tasks=20"}


def test_what_is_only_recorded_more_of_is_no_other_setting():
    records = [record("a"), record("b", diagnose_every=5), record("c", "adamo")]
    assert labels_of(records)["b"] == labels_of(records)["a"] == "adam"
    assert baselines_of([records[1], records[2]]) == {"c": "b"}


def test_a_setting_that_older_files_do_not_have_is_named_where_it_is():
    records = [record("a"), record("b", new="x")]
    assert labels_of(records) == {"a": "adam", "b": "adam(new=x)"}


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([record("a")], "a"),
        ([record("a", lr=0.5)], "a"),  # the learning rate is tuned for each method
        ([record("a"), record("b", lr=0.5)], "a"),  # the same one is preferred
        ([record("a", lr=0.5), record("b", lr=0.1)], None),  # which one?
        ([record("a"), record("b", own={"beta1": 0.5})], None),
        ([record("a", protect_value_head=False)], "a"),  # it acts on no head
        ([record("a", width=64)], None),  # not the same network
        ([record("a", data="mnist")], None),
        ([record("a", benchmark="other")], None),
        ([record("a", method="adamw")], None),
        ([], None),
    ],
)
def test_a_method_is_compared_with_adam_under_its_own_settings(others, expected):
    found = baselines_of([record("x", "adamo"), *others])
    assert found.get("x") == expected


def test_a_study_without_a_learning_rate_is_compared_under_its_settings():
    study = {"study": "x", "profile": "smoke"}
    records = [{**record(key, key), "settings": study} for key in ("adam", "adamo")]
    assert baselines_of(records) == {"adamo": "adam"}


def test_adam_is_not_compared_with_itself():
    records = [record("a"), record("b", lr=0.5)]
    assert baselines_of(records) == {}


# --- divergence -----------------------------------------------------------------------


def test_a_diverged_seed_is_counted_and_does_not_end_the_report(tmp_path):
    adam = stored(tmp_path)
    values = adam.copy()
    values[1, 4:] = math.inf
    stored(tmp_path, "adamo", "b", values=values, diverged=[1], metric="final_loss")
    stored(tmp_path, "adam", "c", values=adam, metric="final_loss", settings={"lr": 1})
    row = summary(tmp_path, "final_loss").set_index("method").loc["adamo"]
    assert row["diverged"] == 1
    assert row[["mean", "mean_low", "last", "difference", "probability"]].isna().all()
    assert row["first"] == pytest.approx(iqm(values[:, :2].mean(1)))
    for format in ("table", "csv", "json", "markdown"):
        text = report(tmp_path, "final_loss", format)
        assert "adamo" in text
        assert "diverged" in text
        assert "nan" not in text.lower()


def test_seeds_diverge_in_any_of_a_files_runs():
    status = [{"0": "finished", "1": "diverged at step 7"}, {"2": "diverged at step 0"}]
    runs = [{"status": status[0]}, {"status": status[1]}, {"seeds": [3]}]
    assert _diverged_seeds({"runs": runs}) == 2


def test_a_report_without_divergence_does_not_speak_of_it(two):
    assert "diverged" not in report(two[0])
    assert summary(two[0])["diverged"].tolist() == [0, 0]


# --- formats --------------------------------------------------------------------------


def test_csv_and_json_hold_the_summary_with_all_digits(two):
    store, *_ = two
    table = summary(store)
    parsed = pd.read_csv(io.StringIO(report(store, format="csv")), dtype={"scale": str})
    parsed["scale"] = parsed["scale"].fillna("")
    pd.testing.assert_frame_equal(parsed, table, rtol=1e-15)
    rows = json.loads(report(store, format="json"))
    assert len(rows) == 2
    for row, (_, expected) in zip(rows, table.iterrows(), strict=True):
        assert list(row) == table.columns.tolist()
        assert row["mean"] == pytest.approx(expected["mean"], abs=1e-15)
        assert row["method"] == expected["method"]
    assert rows[1]["difference"] is None


def test_a_table_shows_intervals_to_three_digits(two):
    store, *_ = two
    row = summary(store).iloc[0]
    cell = f"{row['mean']:.3f} [{row['mean_low']:.3f}, {row['mean_high']:.3f}]"
    lines = report(store).splitlines()
    assert len(lines) == 3
    assert cell in lines[1]
    assert "minus adam" in lines[0]
    assert not any(line.endswith(" ") for line in lines)
    assert f"{row['mean']:.1f} [" in _shown(summary(store), 1)["all tasks"][0]


def test_after_one_seed_there_is_no_interval_in_any_form(tmp_path):
    stored(tmp_path, seeds=[0])
    stored(tmp_path, "adamo", "b", seeds=[0])
    for format in ("table", "markdown"):
        text = report(tmp_path, format=format)
        assert text.count("(one seed)") == 2 * 3 + 1  # and the difference
        assert "[" not in text
    for row in json.loads(report(tmp_path, format="json")):
        assert row["mean_low"] is row["mean_high"] is row["difference_low"] is None
    for row in csv.DictReader(report(tmp_path, format="csv").splitlines()):
        assert row["last_low"] == row["last_high"] == ""
        assert row["mean"]


def test_markdown_is_a_table_of_as_many_cells_in_every_line(two):
    lines = report(two[0], format="markdown").splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert set(lines[1]) <= {"|", "-", " "}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: report(s, "onlin_accuracy"), KeyError, "mean 'online_accuracy'"),
        (lambda s: report(s, format="tabel"), KeyError, "did you mean 'table'"),
        (lambda s: summary(s, "x"), KeyError, "unknown metric 'x'; known: online_acc"),
        (lambda s: report(s / "nowhere"), StoreError, "found no such folder"),
    ],
)
def test_reports_of_what_is_not_there_are_refused(two, call, error, message):
    with pytest.raises(error, match=message):
        call(two[0])


@pytest.mark.parametrize(
    ("metric", "first"),
    [("squared_error", "low"), ("squared_error/fast", "low"), ("plasticity", "high")],
)
def test_the_best_stands_first_also_where_that_is_the_smallest(tmp_path, metric, first):
    for name, value in (("low", 0.1), ("high", 0.9)):
        stored(tmp_path, name, name, values=np.full((5, 10), value), metric=metric)
    assert summary(tmp_path, metric)["method"].iloc[0] == first
