"""Running a suite and its table: nothing twice, one run's numbers, both verdicts."""

import math

import pandas as pd
import pytest
from scipy import stats

from isometry.lab import run as lab_run
from isometry.lab.run import run
from isometry.lab.store import load_results, read_file, result_files, write_file
from isometry.suites.published import read_published
from isometry.suites.standing import described, shown, standing, table, values_of
from isometry.suites.suite import Measure
from isometry.suites.work import run_suite

HERE = {"workers": 0, "device": "cpu"}


@pytest.fixture
def store(small, tmp_path):
    """Return a store with all of the small suite but its second row."""
    run_suite(small("small"), ["Adam", "wider"], out=tmp_path / "store", **HERE)
    return tmp_path / "store"


# --- runs -----------------------------------------------------------------------------


def test_a_row_has_the_file_and_the_numbers_of_one_run(small, store, tmp_path):
    suite = small("small")
    for row in suite.only(["Adam", "wider"]):
        run(
            row.benchmark,
            row.method,
            row.seeds,
            row.settings,
            profile=row.profile,
            out=tmp_path / "alone",
            device="cpu",
        )
    files = [path.relative_to(store) for path in result_files(store)]
    alone = [
        p.relative_to(tmp_path / "alone") for p in result_files(tmp_path / "alone")
    ]
    assert files == alone
    pd.testing.assert_frame_equal(
        load_results(store), load_results(tmp_path / "alone"), check_exact=True
    )


def test_what_the_store_has_is_not_run_again(small, store, monkeypatch):
    executed = []

    def execute(planned, seeds, *rest):
        executed.append((planned.method.name, seeds))
        real(planned, seeds, *rest)

    real = lab_run._execute
    monkeypatch.setattr(lab_run, "_execute", execute)
    suite = small("small")
    assert run_suite(suite, out=store, **HERE) == []
    assert executed == [("l2_init", [0, 1])]
    assert run_suite(suite, out=store, **HERE) == []
    assert len(executed) == 1


def test_a_row_that_fails_twice_is_named_and_the_others_run(small, folder, tmp_path):
    text = (folder / "small.toml").read_text()
    bad = text.replace("width = 9", "images_per_task = 9999")
    (folder / "small.toml").write_text(bad)
    suite = small("small")
    (failure,) = run_suite(suite, out=tmp_path / "store", **HERE)
    assert "L2 Init, slower" in failure.name
    assert "images_per_task <= 1500" in failure.reason
    assert len(result_files(tmp_path / "store")) == 2


@pytest.mark.slow
def test_workers_give_the_numbers_of_this_process(small, store, tmp_path):
    suite = small("small")
    run_suite(suite, out=store, **HERE)
    run_suite(suite, out=tmp_path / "pool", workers=2, device="cpu")
    pd.testing.assert_frame_equal(
        load_results(store), load_results(tmp_path / "pool"), check_exact=True
    )


# --- numbers --------------------------------------------------------------------------


def test_a_number_is_the_mean_over_its_tasks_and_its_interval_students(small, store):
    suite = small("small")
    adam = suite.rows[0]
    found = standing(adam, suite, store)
    frame, record = read_file(adam.planned.path(store))
    frame = frame[frame["metric"] == "online_accuracy"]
    for name, tasks in (("all", (0, 1, 2)), ("last 2", (1, 2))):
        scores = [
            sum(
                frame[(frame["seed"] == seed) & (frame["task"] == task)]["value"].item()
                for task in tasks
            )
            / len(tasks)
            for seed in adam.seeds
        ]
        mean = sum(scores) / 3
        ends = stats.t.interval(0.95, 2, loc=mean, scale=stats.sem(scores))
        number = found.numbers[name]
        assert number.estimate == pytest.approx(mean, rel=1e-12)
        assert (number.low, number.high) == pytest.approx(ends, rel=1e-12)
    assert found.complete
    assert found.seconds == pytest.approx(record["runs"][0]["core_seconds"])
    assert found.devices == (record["runs"][0]["device"],)


def test_without_core_seconds_those_of_the_clock_are_an_upper_bound(small, store):
    suite = small("small")
    path = suite.rows[0].planned.path(store)
    frame, record = read_file(path)
    del record["runs"][0]["core_seconds"]
    record["runs"][0]["seconds"] = 1234.4
    write_file(path, frame, record)
    adam, slower, wider = described(suite, store, {})["rows"]
    assert adam["core_seconds"] == "at most 1,234"
    assert slower["core_seconds"] == ""
    assert wider["core_seconds"].isdigit()


def test_seeds_that_were_not_asked_for_do_not_count(small, store):
    suite = small("small")
    adam = suite.rows[0]
    before = standing(adam, suite, store)
    run(
        adam.benchmark,
        adam.method,
        [9],
        adam.settings,
        profile=adam.profile,
        out=store,
        device="cpu",
    )
    assert standing(adam, suite, store) == before


def test_a_metric_that_was_not_recorded_is_refused(small, store):
    frame, _ = read_file(small("small").rows[0].planned.path(store))
    with pytest.raises(KeyError, match="unknown metric 'online_acuracy'; did you mean"):
        values_of(frame, Measure(name="x", metric="online_acuracy"), 3)


def test_a_seed_that_diverged_is_counted_and_has_no_interval(small, store):
    suite = small("small")
    adam = suite.rows[0]
    path = adam.planned.path(store)
    frame, record = read_file(path)
    bad = (frame["seed"] == 1) & (frame["metric"] == "online_accuracy")
    frame.loc[bad, "value"] = math.inf
    record["runs"][0]["status"]["1"] = "diverged at step 2"
    write_file(path, frame, record)
    row = described(suite, store, {})["rows"][0]
    assert row["seeds"] == "3 of 3, 1 diverged"
    assert row["numbers"][0]["ours"] == "diverged"


# --- what is shown --------------------------------------------------------------------


def test_what_has_not_run_says_so_and_no_published_value_is_made_up(small, store):
    suite = small("small")
    text = shown(suite, store, {})
    slower = next(line for line in text.splitlines() if "L2 Init, slower" in line)
    assert "width=9 lr=0.001" in slower
    assert "0 of 2" in slower
    assert slower.count("not run yet") == 2
    assert "Adam: wider" in text
    assert "No published value is known here yet." in text
    assert "published" not in table(described(suite, store, {})["rows"]).columns
    shared = next(line for line in text.splitlines() if line.startswith("All rows: "))
    assert "data=digits tasks=3" in shared


FILLED = """
[small."Adam".all]
value = {near}
plus_minus = 0.001
means = "95 % interval"
source = "Invented, table 1"

[small."Adam"."last 2"]
value = {far}
plus_minus = 0.001
means = "95 % interval"
source = "Invented, table 1"

[small."L2 Init, slower".all]
value = 0.5
source = "Invented, table 1"
"""


def test_both_verdicts_come_out_of_an_invented_file(small, store, folder):
    suite = small("small")
    numbers = standing(suite.rows[0], suite, store).numbers
    low = numbers["last 2"].low
    far = 0.0 if low > 0.02 else 1.0
    text = FILLED.format(near=numbers["all"].estimate, far=far)
    (folder / "published.toml").write_text(text)
    adam, slower, wider = described(suite, store, read_published())["rows"]
    assert [number["verdict"] for number in adam["numbers"]] == ["agree", "differ"]
    assert [number["source"] for number in adam["numbers"]] == ["Invented, table 1"] * 2
    assert slower["numbers"][0]["theirs"] == "0.500"
    assert slower["numbers"][0]["verdict"] == "", "no verdict before all seeds have run"
    assert wider["numbers"][0]["theirs"] == adam["numbers"][0]["theirs"]
    shown_text = shown(suite, store, read_published())
    assert "all, verdict" in shown_text
    assert "No published value" not in shown_text


def test_a_reduction_stands_beside_the_boxs_value_without_a_verdict(
    small, tmp_path, folder
):
    text = FILLED.format(near=0.5, far=0.5)
    (folder / "published.toml").write_text(text)
    suite = small("small-reduced")
    run_suite(suite, ["Adam"], out=tmp_path / "store", **HERE)
    row = described(suite, tmp_path / "store", read_published())["rows"][0]
    assert row["numbers"][0]["theirs"] == "0.500 [0.499, 0.501]"
    assert {number["verdict"] for number in row["numbers"]} == {"smaller"}
