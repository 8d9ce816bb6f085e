"""Searches that go on along ladders, as whole sweeps over made-up scores."""

import json
import math
import sys

import pandas as pd
import pytest

from isometry.lab import choosing
from isometry.lab.choices import load_choices, search_table
from isometry.lab.comparison import with_choices
from isometry.lab.provenance import provenance
from isometry.lab.run import run
from isometry.lab.run import run as run_package
from isometry.lab.store import load_records, load_results
from isometry.stream.run import Run
from isometry.supervised.data.sets import load
from isometry.sweep import job
from isometry.sweep.report import _search_text
from isometry.sweep.sweep import sweep
from isometry_book.evidence.streams import streams_of

run_module = sys.modules[run_package.__module__]
TASKS = 5
LRS = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
BETAS = [0.9, 0.99, 0.999, 0.9999]
PULLS = [1e-4, 1e-3, 1e-2, 0.125]
CONTENT = {
    "profile": "smoke",
    "tune_seeds": "5:7",
    "report_seeds": "0:3",
    "control": "adam",
    "settings": {"data": "digits", "tasks": TASKS, "width": 8, "depth": 1},
    "benchmarks": {"permuted_mnist": {}},
    "search": {"lr": [1e-3, 1e-2]},
    "ladders": {"lr": LRS, "beta2": BETAS, "isometry_pull": PULLS},
    "methods": {
        "adam": {"beta2": [0.9, 0.99]},
        "adamo": {"isometry_pull": [1e-3, 1e-2]},
    },
}
BEST = {"adam": (1e-4, 0.999), "adamo": (1e-1, 0.125)}
EARLY = {"adam": (1e-2, 0.9), "adamo": (1e-3, 1e-4)}


def steps_from(method, settings, own, place):
    """Return how many rungs a setting is from a place on its ladders."""
    lr, value = place
    ladder, now = BETAS, own.beta2
    if method == "adamo":
        ladder, now = PULLS, own.isometry_strength * settings.lr
    here = min(range(4), key=lambda i: abs(math.log(ladder[i] / now)))
    lengths = LRS.index(settings.lr) - LRS.index(lr), here - ladder.index(value)
    return sum(map(abs, lengths))


@pytest.fixture
def places():
    """Return where each method is best, over all tasks and in the first fifth."""
    return {"all": dict(BEST), "first": dict(EARLY)}


@pytest.fixture
def trainings(monkeypatch, places):
    """Let trainings give made-up scores, and return those that were started."""
    started = []

    def train(benchmark, method, own, settings, pixels, seeds, **keywords):
        started.append((method.name, settings.lr, own, tuple(seeds)))
        run = Run(seeds=list(seeds), task=TASKS)
        for seed in seeds:
            for task in range(TASKS):
                part = "first" if task < TASKS // 5 else "all"
                far = steps_from(method.name, settings, own, places[part][method.name])
                value = 0.9 - (0.01 if part == "first" else 0.1) * far + 1e-4 * seed
                run.records.append(
                    {
                        "seed": seed,
                        "task": task,
                        "metric": "online_accuracy",
                        "value": value,
                    }
                )
        return run

    digits, origin = load("digits"), provenance()
    monkeypatch.setattr(run_module, "train", train)
    # What takes longer than to make up a score: data, and which commit this is.
    for module in (run_module, sys.modules[sweep.__module__]):
        monkeypatch.setattr(module, "load", lambda name: digits)
    for module in (run_module, choosing):
        monkeypatch.setattr(module, "provenance", lambda *device: dict(origin))
    return started


def swept(out, **changes):
    content = {**CONTENT, **changes}
    return sweep(content, out=out, workers=0, device="cpu")


CHOSEN = {
    ("adam", "all"): {"lr": 1e-4, "beta2": 0.999},
    ("adam", "first"): {"lr": 1e-2, "beta2": 0.9},
    ("adamo", "all"): {"lr": 1e-1, "isometry_pull": 0.125},
}
ENDS = {
    ("adam", "all"): {"lr": "interior", "beta2": "interior"},
    ("adam", "first"): {"lr": "interior", "beta2": "limit"},
    ("adamo", "all"): {"lr": "limit", "isometry_pull": "limit"},
}


def ends_by(outcome):
    return {(c["method"], c["part"]): c["ends"] for c in outcome.choices}


def chosen_by(outcome):
    return {(c["method"], c["part"]): c["chosen"] for c in outcome.choices}


def files_of(store):
    """Return all results and choices of a store, without where they come from."""
    choices = [
        {key: value for key, value in c.items() if key != "provenance"}
        for c in load_choices(store)
    ]
    frames = load_results(store), load_results(store / "tuning")
    return choices, [frame.to_dict("list") for frame in frames]


# --- where a search ends --------------------------------------------------------------


def test_a_search_goes_on_until_its_best_is_inside_or_at_a_limit(tmp_path, trainings):
    outcome = swept(tmp_path)
    assert outcome.failures == ()
    assert chosen_by(outcome) == CHOSEN
    assert ends_by(outcome) == ENDS
    assert outcome.choices[0]["ladders"] == {
        key: CONTENT["ladders"][key] for key in CONTENT["ladders"]
    }


def test_no_setting_is_tried_twice_and_how_many_were_is_recorded(tmp_path, trainings):
    outcome = swept(tmp_path)
    assert len({repr(one) for one in trainings}) == len(trainings)
    tuned = pd.Series([name for name, *_, seeds in trainings if seeds == (5, 6)])
    for choice in outcome.choices:
        hashes = [c["hash"] for c in choice["candidates"]]
        assert len(set(hashes)) == len(hashes) == (tuned == choice["method"]).sum()
        assert choice["budgets"] == {"adam": 4, "adamo": 4}, "all start alike"
        assert len(hashes) > 4
        scores = [c["score"] for c in choice["candidates"]]
        best = choice["candidates"][scores.index(max(scores))]
        assert (best["values"], best["hash"]) == (choice["chosen"], choice["hash"])
    table = search_table(tmp_path).set_index(["method", "part"])
    assert table["searched"].to_dict() == {
        (c["method"], c["part"]): len(c["candidates"]) for c in outcome.choices
    }
    assert set(table["at_edge"]) == {""}
    assert table["at_limit"].to_dict() == {
        ("adam", "all"): "",
        ("adam", "first"): "beta2",
        ("adamo", "all"): "isometry_pull lr",
    }


@pytest.mark.parametrize(
    ("lrs", "own", "pulls"),
    [
        ([1e-5, 1e-4], [0.9999], [0.125]),
        ([1e-1, 1e-5], [0.9, 0.9999], [1e-4, 0.125]),
        (LRS, BETAS, PULLS),
    ],
)
def test_other_starting_grids_end_at_the_same_settings(
    tmp_path, trainings, lrs, own, pulls
):
    methods = {"adam": {"beta2": own}, "adamo": {"isometry_pull": pulls}}
    outcome = swept(tmp_path, methods=methods, search={"lr": lrs})
    assert chosen_by(outcome) == CHOSEN
    assert ends_by(outcome) == ENDS


def test_without_continuation_ladders_are_not_looked_at(tmp_path, trainings):
    outcome = swept(tmp_path, continued=False)
    assert {len(c["candidates"]) for c in outcome.choices} == {4}
    assert {repr(c["ends"]) for c in outcome.choices} == {"{}"}
    assert outcome.choices[0]["ladders"] == {}
    assert chosen_by(outcome)["adamo", "all"] == {"lr": 1e-2, "isometry_pull": 1e-2}
    off = swept(tmp_path / "off", continued=False, ladders={"lr": [5, 6]})
    assert chosen_by(off) == chosen_by(outcome)


# --- the control ----------------------------------------------------------------------


def test_the_control_is_chosen_for_the_first_fifth_as_well(tmp_path, trainings):
    outcome = swept(tmp_path)
    names = {path.name for path in tmp_path.glob("*/*.choice.json")}
    by_part = {(c["method"], c["part"]): c["hash"] for c in outcome.choices}
    assert names == {
        f"adam-{by_part['adam', 'all']}.choice.json",
        f"adam-{by_part['adam', 'first']}.first.choice.json",
        f"adamo-{by_part['adamo', 'all']}.choice.json",
    }
    reported = {(name, own.beta2) for name, _, own, seeds in trainings if 0 in seeds}
    assert {("adam", 0.9), ("adam", 0.999)} < reported
    assert len(outcome.files) == 3
    said = _search_text(tmp_path)
    assert "adam, first fifth" in said
    assert "at a limit" in said
    assert "at the edge" not in said


def test_both_choices_of_the_control_may_be_the_same_setting(
    tmp_path, trainings, places
):
    places["first"]["adam"] = places["all"]["adam"]
    outcome = swept(tmp_path)
    one, two = (c for c in outcome.choices if c["method"] == "adam")
    assert one["hash"] == two["hash"]
    assert (one["part"], two["part"]) == ("all", "first")
    assert len(list(tmp_path.glob("*/adam-*.choice.json"))) == 2
    assert len(outcome.files) == 2
    reports = [one for one in trainings if one[0] == "adam" and 0 in one[3]]
    assert len(reports) == 1, "and is run once"
    records = with_choices(load_records(tmp_path), tmp_path)
    (stream,) = streams_of(load_results(tmp_path), records).values()
    assert stream.control["hash"] == stream.runs["adam"]["hash"] == one["hash"]


def test_a_finished_sweep_is_a_stream_with_its_control(tmp_path, trainings):
    swept(tmp_path)
    records = with_choices(load_records(tmp_path), tmp_path)
    (stream,) = streams_of(load_results(tmp_path), records).values()
    assert stream.name == "permuted_mnist"
    lrs = {method: r["settings"]["lr"] for method, r in stream.runs.items()}
    assert lrs == {"adam": 1e-4, "adamo (head held)": 1e-1}
    assert stream.control["settings"]["lr"] == 1e-2


# --- nothing twice, nothing lost ------------------------------------------------------


def test_the_same_call_again_trains_nothing_and_changes_nothing(tmp_path, trainings):
    first = swept(tmp_path)
    files = {f: f.read_bytes() for f in tmp_path.glob("**/*") if f.is_file()}
    count = len(trainings)
    again = swept(tmp_path)
    assert len(trainings) == count
    assert chosen_by(again) == chosen_by(first)
    assert again.files == first.files
    assert {f: f.read_bytes() for f in files} == files


@pytest.mark.parametrize("after", [14])
def test_a_search_that_was_stopped_goes_on_and_ends_the_same(
    tmp_path, trainings, monkeypatch, after
):
    swept(tmp_path / "whole")
    whole = len(trainings)
    trainings.clear()
    train = run_module.train

    def stopped(*arguments, **keywords):
        if len(trainings) == after:
            raise KeyboardInterrupt
        return train(*arguments, **keywords)

    monkeypatch.setattr(run_module, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path / "parts")
    assert len(trainings) == after < whole
    monkeypatch.setattr(run_module, "train", train)
    assert swept(tmp_path / "parts").failures == ()
    assert len(trainings) == whole
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")


def test_a_candidate_that_fails_on_the_way_leaves_its_search_without_a_choice(
    tmp_path, trainings, monkeypatch
):
    def broken(benchmark, method, seeds, settings, **keywords):
        if method == "adamo" and settings["lr"] == 1e-1:  # not in the starting grid
            raise RuntimeError("no memory")
        return run(benchmark, method, seeds, settings, **keywords)

    monkeypatch.setattr(job, "run", broken)
    outcome = swept(tmp_path)
    assert set(chosen_by(outcome)) == {("adam", "all"), ("adam", "first")}
    assert {f.name.split(" seeds")[0] for f in outcome.failures} == {
        "tune permuted_mnist adamo lr=0.1 isometry_pull=0.01"
    }
    assert set(load_results(tmp_path)["method"]) == {"adam"}
    monkeypatch.setattr(job, "run", run)
    assert ("adamo", "all") in chosen_by(swept(tmp_path))


def test_two_processes_give_what_one_gives(tmp_path):
    real = {
        **CONTENT,
        "members": 2,
        "settings": {**CONTENT["settings"], "tasks": 2, "batch_size": 25},
        "ladders": {"lr": [1e-4, 1e-3, 1e-2]},
        "search": {"lr": [1e-4, 1e-3]},
        "methods": {"adam": {}},
    }
    for workers in (0, 2):
        out = tmp_path / str(workers)
        assert sweep(real, out=out, workers=workers, device="cpu").failures == ()
    assert files_of(tmp_path / "2") == files_of(tmp_path / "0")
    added = [len(c["candidates"]) for c in load_choices(tmp_path / "0")]
    assert max(added) == 3, "a search went on"
    assert (
        json.loads(next(tmp_path.glob("2/*/adam*.first.choice.json")).read_text())[
            "part"
        ]
        == "first"
    )
