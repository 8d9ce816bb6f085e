"""Runs of games: the same store, report and refusals as supervised ones."""

import os
import signal
import subprocess
import sys
import time

import pytest

from isometry.cli import main
from isometry.lab.metrics import load_metric
from isometry.lab.report import summary
from isometry.lab.returns import load_returns
from isometry.lab.run import plan, run
from isometry.lab.store import StoreError, load_records, load_results
from isometry.sweep.file import read_sweep

SMALL = {
    "games": "breakout",
    "cycles": 2,
    "env_steps": 64,
    "num_envs": 4,
    "rollout_length": 16,
    "epochs": 1,
    "minibatches": 2,
    "width": 8,
    "depth": 1,
    "max_steps": 10,
    "eval_every": 64,
    "eval_episodes": 2,
}
BENCHMARK = "continual_minatar"
COMMAND = f"run {BENCHMARK} --method adamo --profile smoke --seeds 0:2 --out store " + (
    " ".join(f"--set {key}={value}" for key, value in SMALL.items())
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with two methods, two seeds and two visits."""
    path = tmp_path_factory.mktemp("games")
    for method in ("adam", "adamo"):
        run(BENCHMARK, method, [0, 1], SMALL, profile="smoke", out=path, device="cpu")
    return path


def test_a_run_of_games_has_the_same_columns_and_record(store):
    frame, records = load_results(store), load_records(store)
    assert set(frame["benchmark"]) == {BENCHMARK}
    assert set(frame["task"]) == {0, 1}
    assert {r["method"] for r in records} == {"adam", "adamo"}
    for record in records:
        assert record["settings"]["games"] == "breakout"
        assert record["method_settings"]["eps"] == 1e-5
        assert record["runs"][0]["status"] == {"0": "finished", "1": "finished"}


def test_seeds_that_are_there_are_not_run_again(store):
    (file,) = (store / BENCHMARK).glob("adam-*.parquet")
    before = file.read_bytes()
    run(BENCHMARK, "adam", [0, 1], SMALL, profile="smoke", out=store, device="cpu")
    assert file.read_bytes() == before


def test_a_report_judges_games_by_their_returns(store, capsys):
    assert load_metric(store, None)[1] == "episodic_return"
    table = summary(store, "episodic_return")
    assert set(table["method"]) == {"adam", "adamo"}
    for line in (f"report {store}", f"report {store} --show profile"):
        with pytest.raises(SystemExit) as ended:
            main(line.split())
        assert not ended.value.code
        assert "adamo" in capsys.readouterr().out


def test_returns_have_game_cycle_and_steps_as_columns(store):
    found = load_returns(store)
    assert len(found) == 2 * 2 * 2 * 2  # methods, seeds, visits, points
    assert set(found["env_steps"]) == {0, 64}
    assert set(found["game"]) == set(found["visited"]) == {"breakout"}
    assert (found["cycle"] == found["visit"]).all()
    ends = found[found["env_steps"] == 64]
    frame = load_results(store)
    own = frame[frame["metric"] == "episodic_return"]
    key = ["settings", "seed", "visit"]
    assert (
        ends.set_index(key)["episodic_return"].sort_index().tolist()
        == own.rename(columns={"task": "visit"})
        .set_index(key)["value"]
        .sort_index()
        .tolist()
    )


def test_a_store_without_games_has_no_returns(tmp_path):
    settings = {"data": "digits", "tasks": 1, "batch_size": 100, "width": 4}
    run("permuted_mnist", "adam", [0], settings, profile="smoke", out=tmp_path)
    with pytest.raises(StoreError, match="runs of games"):
        load_returns(tmp_path)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_gives_the_same_numbers(store, tmp_path):
    command = COMMAND.replace("cycles=2", "cycles=30")
    line = [sys.executable, "-m", "isometry", *command.split()]
    killed = subprocess.Popen(line, cwd=tmp_path)
    while not list(tmp_path.glob("store/.work/**/checkpoint.pt")):
        assert killed.poll() is None
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not list(tmp_path.glob("store/**/*.parquet"))
    subprocess.run(line, cwd=tmp_path, check=True)
    changes = {**SMALL, "cycles": 30}
    other = tmp_path / "other"
    whole = run(BENCHMARK, "adamo", [0, 1], changes, profile="smoke", out=other)
    assert load_results(tmp_path / "store").equals(whole)


def test_a_command_prints_the_returns_and_refuses_what_is_unknown(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)

    def said(line):
        with pytest.raises(SystemExit) as ended:
            main(line.split())
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    status, out, err = said(COMMAND)
    assert (status, err) == (0, "")
    assert BENCHMARK in out
    status, _, err = said(f"{COMMAND} --set env_step=3")
    assert status == 2
    assert "did you mean 'env_steps'" in err
    status, _, err = said(COMMAND.replace("minatar", "minitar"))
    assert status == 2
    assert "did you mean 'continual_minatar'" in err


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("adamo", "protect_value_head"),
        ("nap", "nap_affine"),
        ("l2_init", "l2_init_vectors"),
    ],
)
def test_details_of_the_authors_code_are_settings_on_the_command_line(
    method, change, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    command = COMMAND.replace("adamo", method).replace("cycles=2", "cycles=1")
    with pytest.raises(SystemExit) as ended:
        main(f"{command} --set {change}=false".split())
    assert not ended.value.code
    (record,) = load_records("store")
    assert {**record["settings"], **record["method_settings"]}[change] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "--set protect_heads=false --set protect_value_head=false",
            "needed protect_value_head=true while protect_heads=false, found False; "
            "change one of the two",
        ),
        (
            "--set games=pong",
            "unknown game of continual_minatar 'pong'; known: asterix",
        ),
        ("--set games=brekout", "did you mean 'breakout'?"),
        ("--set games=", "needed distinct games, with commas, found ''"),
        ("--set cycles=-1", "needed cycles >= 1, found -1; change cycles"),
        ("--set env_steps=0", "needed env_steps >= 1, found 0"),
        ("--set num_envs=-3", "needed num_envs >= 1, found -3"),
        ("--set num_envs=1.5", "needed a whole number for num_envs, found '1.5'"),
        ("--set rollout_length=0", "needed rollout_length >= 1, found 0"),
        ("--set epochs=0", "needed epochs >= 1, found 0"),
        ("--set minibatches=-4", "needed minibatches >= 1, found -4"),
        ("--set eval_every=-1", "needed eval_every >= 0, found -1"),
        ("--set eval_episodes=0", "needed eval_episodes >= 1, found 0"),
        ("--set max_steps=0", "needed max_steps >= 1, found 0"),
        ("--set num_actions=0", "needed num_actions >= 1, found 0"),
        ("--set sticky=nan", "needed a finite number for sticky, found 'nan'"),
        ("--set lr=-1", "needed lr > 0, found -1.0"),
        ("--seeds 0:0", "different seeds"),
        ("--device gpu", "needed a device auto, cpu or cuda, found gpu"),
    ],
)
def test_a_bad_argument_is_refused_in_one_line_and_nothing_is_trained(
    tmp_path, monkeypatch, capsys, change, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(f"run {BENCHMARK} --method adam --profile smoke {change}".split())
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("isometry: ")
    assert message in err
    assert not list(tmp_path.glob("**/*.parquet"))


def test_a_sweep_of_games_is_judged_by_returns():
    content = {
        "report_seeds": "0:2",
        "profile": "smoke",
        "settings": SMALL,
        "benchmarks": {BENCHMARK: {}},
        "methods": {"adam": {}, "adamo": {"isometry_strength": [0.1, 1.0]}},
    }
    asked = read_sweep(content)
    assert asked.metric == "episodic_return"
    assert [len(search.plans) for search in asked.searches] == [1, 2]
    assert plan(BENCHMARK, "adam", SMALL, "smoke").settings.steps_per_task == 2
