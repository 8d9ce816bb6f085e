import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch.testing import assert_close

from isometry.core.matrices import singular_values
from isometry.core.seeding import generator
from isometry.lab.store import TIDY, load_results
from isometry.methods import METHODS
from isometry.methods.switches.fire import _reinitialised
from isometry_book.c5_adamo import continual, fire_iteration, neighbours, spectra
from isometry_book.c5_adamo.neighbours import BENCHMARK, SCHEDULES, SPECTRA

RESULTS = Path(__file__).parents[3] / "results"
TINY = neighbours.Sizes(
    stream=continual.Sizes(seeds=2, tasks=4, epochs=1, width=8, depth=2),
    tuning=1,
    rounds=1,
    every=4,
)


@pytest.fixture(scope="module")
def numbers():
    return neighbours.neighbour_numbers(TINY, "digits")


@pytest.fixture(scope="module")
def stream():
    settings = continual.stream_settings(TINY.stream, "digits")
    return settings, continual.stream_pixels(settings)


# --- the search and the runs ----------------------------------------------------------


@pytest.mark.parametrize("name", ["fresh", *SCHEDULES])
def test_every_method_is_searched_over_as_many_settings(name):
    tried = neighbours.candidates(name)
    assert len(tried) == 6
    assert len({repr(one) for one in tried}) == 6
    assert neighbours.WATCHED_RATE in [lr for lr, _ in tried]


def test_a_relaxation_time_is_the_same_pull_at_every_rate():
    pulls = [
        lr * own["isometry_strength"] for lr, own in neighbours.candidates("adamo")
    ]
    assert_close(pulls[:3], pulls[3:])
    assert_close(pulls[0], 1 / 80)


@pytest.mark.parametrize("name", ["adam", "fire", "newton_schulz"])
def test_a_look_changes_nothing_of_the_run(stream, name):
    method, looks = METHODS.get(name), []
    seen = neighbours.watched(method, 4, looks)
    runs = [neighbours._run(one, (3e-3, {}), *stream, [0, 1]) for one in (method, seen)]
    assert runs[0].records == runs[1].records
    steps = [step for step, _ in looks]
    assert steps == [4, 8, 8, 12, 16, 16, 20, 24, 24, 28, 32]
    at_switch = (looks[1][1] - looks[2][1]).abs().max()
    assert (at_switch > 0) == (name == "fire")
    if name == "fire":
        assert_close(looks[2][1][:, 1], torch.ones(2, 8), atol=1e-3, rtol=0)


def test_the_spread_does_not_see_the_scale_and_the_distance_does():
    values = 0.5 + torch.rand(3, 2, 5, generator=torch.Generator().manual_seed(0))
    scaled = torch.tensor([[2.0], [3.0]]) * values
    one, other = neighbours.summaries(values), neighbours.summaries(scaled)
    assert_close(one["spread"], other["spread"])
    assert (one["distance"] < other["distance"]).all()
    flat = neighbours.summaries(torch.full((1, 2, 5), 1.5))
    assert_close(flat["distance"].item(), 0.5)
    assert flat["spread"].item() == 0
    assert one["smallest"][0] == values[0].min()


def test_the_study_has_all_methods_alike(numbers):
    assert list(numbers) == TIDY
    own = numbers[numbers["benchmark"] == BENCHMARK]
    counts = own.groupby(["metric", "method"]).size().unstack()
    assert set(counts) == {"fresh", *SCHEDULES}
    assert (counts.nunique(axis=1) == 1).all()
    assert counts.loc["candidate_accuracy", "adam"] == 6
    assert counts.loc["online_accuracy", "adam"] == 4 * 2
    report = own[own["metric"] == "online_accuracy"]["seed"]
    tuned = own[own["metric"] == "candidate_accuracy"]["seed"]
    assert not set(report) & set(tuned), "seeds that chose do not report"
    seen = numbers[numbers["benchmark"] == SPECTRA]
    assert set(seen["method"]) == set(SCHEDULES)


def test_the_best_candidate_on_the_tuning_seeds_is_chosen(numbers):
    own = numbers[numbers["method"] == "parseval"].set_index("metric")
    scores = own.loc["candidate_accuracy"].groupby("task")["value"].mean()
    assert own.loc["chosen", "value"] == scores.idxmax()
    chosen = own.loc["candidate", "value"]
    assert neighbours.candidates("parseval")[int(chosen)][0] == neighbours.WATCHED_RATE


def test_dearer_methods_get_fewer_epochs(monkeypatch):
    clock = iter([0, 1, 1, 3, 10, 12, 12, 18])
    monkeypatch.setattr(neighbours.time, "process_time", lambda: next(clock))
    runs = {"adam": lambda: None, "dear": lambda: None}
    ratios = neighbours._cost_ratios(runs, 2)
    assert ratios == {"adam": 1, "dear": 2.5}


def test_equal_accuracies_are_as_good(numbers):
    found = neighbours.compared(numbers, "online_accuracy")
    assert set(found) == {"fresh", *SCHEDULES} - {"adam"}
    same = numbers[numbers["metric"] == "online_accuracy"].assign(value=0.5)
    alike = neighbours.compared(same, "online_accuracy", "adamo")
    assert "adamo" not in alike
    assert {one.standing for one in alike.values()} == {"within"}


# --- the criteria ---------------------------------------------------------------------


def made_up(**distances):
    """Two looks a task, one more after each of two switches; one number a look."""
    steps = (4, 8, 8, 12, 16, 16, 20, 24)
    rows = []
    for name in SCHEDULES:
        own = distances.get(name, (0.5,) * 8)
        values = {"steps": steps, "distance": own, "spread": own}
        rows += [
            (SPECTRA, name, seed, look, metric, value)
            for metric, found in values.items()
            for look, value in enumerate(found)
            for seed in (0, 1)
        ]
    return pd.DataFrame(rows, columns=TIDY)


JUMP = (0.2, 0.4, 0.1, 0.2, 0.3, 0.1, 0.2, 0.3)


def test_a_jump_and_a_fall_back_are_found():
    found = neighbours.findings(made_up(fire=JUMP))
    assert found["fire_jumps"]
    assert found["fire_falls_back"]
    assert found["fire_holds"]
    assert not found["adamo_holds"], "not below Adam's"
    assert not found["sphere_evens"]
    assert not found["newton_schulz_pins"]


@pytest.mark.parametrize(
    ("name", "values", "finding", "said"),
    [
        ("fire", (*JUMP[:5], 0.2, 0.2, 0.5), "fire_jumps", False),
        ("fire", (*JUMP[:-1], 0.15), "fire_falls_back", False),
        ("fire", (0.2, 0.4, 0.1, 0.2, 0.2, 0.05, 0.2, 0.3), "fire_falls_back", False),
        ("adamo", (0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.3), "adamo_even", True),
        ("adamo", (0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.31), "adamo_even", False),
        ("newton_schulz", (0.05,) * 8, "newton_schulz_pins", True),
        ("newton_schulz", (0.05,) * 7 + (0.06,), "newton_schulz_pins", False),
        ("papo", (0.9,) * 7 + (0.4,), "papo_holds", True),
        ("sphere", (0.9,) * 7 + (0.4,), "sphere_evens", True),
    ],
)
def test_each_criterion_can_fail_and_be_met(name, values, finding, said):
    assert neighbours.findings(made_up(**{name: values}))[finding] is said


def test_what_the_stored_spectra_say_is_what_the_page_says():
    held = {"fire", "adamo", "newton_schulz", "parseval"}
    found = neighbours.findings(load_results(RESULTS / SPECTRA))
    assert {name for name in SCHEDULES if found.get(f"{name}_holds")} == held
    assert found["fire_jumps"]
    assert found["fire_falls_back"]
    assert found["adamo_even"]
    assert found["newton_schulz_pins"]
    assert not found["sphere_evens"]


def test_the_stored_runs_had_equal_searches_and_equal_cost():
    own = load_results(RESULTS / BENCHMARK)
    assert own.query("metric == 'online_accuracy'")["seed"].nunique() == 8
    tried = own.query("metric == 'candidate_accuracy'").groupby("method")
    assert set(tried["task"].nunique()) == {6}
    kept = own.set_index("method")
    ratio, epochs = (
        kept[kept["metric"] == metric]["value"] for metric in ("time_ratio", "epochs")
    )
    assert ratio["adam"] == 1
    assert (epochs * ratio <= 20).all()
    assert ((epochs + 1) * ratio > 20).all()


# --- ten steps of Newton-Schulz -------------------------------------------------------


def test_the_least_start_is_where_the_steps_reach_the_mark():
    for steps in (1, 10, 20):
        start = fire_iteration.least_start(steps)
        for factor, reached in ((1 - 1e-9, False), (1 + 1e-9, True)):
            sigma = factor * start
            for _ in range(steps):
                sigma = 1.5 * sigma - 0.5 * sigma**3
            assert (sigma >= fire_iteration.NEAR) is reached


def test_the_registered_fire_leaves_the_share_that_is_measured():
    table = fire_iteration.measured_shares((100,), (10,))
    draw = generator(0, "fire iteration", 100)
    weight = torch.randn(100, 100, generator=draw, dtype=torch.float64)
    sigma = singular_values(_reinitialised(weight, 10))
    row = table[table["divided_by"] == fire_iteration.FROBENIUS].iloc[0]
    assert row["share"] == (sigma >= 0.99).double().mean()
    assert math.isclose(row["smallest"], sigma[-1])


def test_large_layers_follow_the_quarter_circle():
    table = fire_iteration.measured_shares((300,))
    for row in table.itertuples():
        law = fire_iteration.foretold_share(row.width, row.iterations, row.divided_by)
        assert_close(row.share, law, atol=0.02, rtol=0)  # of 300 values


def test_the_law_is_that_of_the_density():
    x = torch.linspace(0, 2, 200_001, dtype=torch.float64)
    density = (4 - x * x).sqrt() / math.pi
    start = 10 * fire_iteration.least_start(10)  # of a layer of width 100
    share = torch.trapezoid(density[x >= start], x[x >= start]).item()
    law = fire_iteration.foretold_share(100, 10, fire_iteration.FROBENIUS)
    assert_close(law, share, atol=1e-5, rtol=0)


# --- figures --------------------------------------------------------------------------


@pytest.fixture
def ax():
    return Figure().subplots()


def test_both_switches_are_marked_and_the_median_is_drawn(ax):
    table = made_up(fire=JUMP)
    quantiles = [
        (SPECTRA, "fire", seed, look, key, 1 + look + seed)
        for key in neighbours.QUANTILES
        for look in range(8)
        for seed in (0, 1)
    ]
    table = pd.concat([table, pd.DataFrame(quantiles, columns=TIDY)])
    spectra.spectra_over_switches(ax, table, "fire")
    drawn = [list(line.get_xdata()) for line in ax.lines]
    assert [8, 8] in drawn
    assert [16, 16] in drawn
    assert list(ax.lines[1].get_ydata()) == [1.5 + look for look in range(8)]
    assert ax.get_title() + ax.get_title("left") == "FIRE: jump at a switch"


def test_every_method_has_its_distance_and_its_marks(ax, numbers):
    spectra.distance_over_switches(ax, numbers[numbers["benchmark"] == SPECTRA])
    assert {"Adam", "FIRE", "SPHERE", "PAPO"} <= {x.get_label() for x in ax.lines}
    axis = Figure().subplots()
    spectra.accuracy_and_cost(axis, numbers[numbers["benchmark"] == BENCHMARK])
    assert len(axis.get_xticks()) == 1 + len(SCHEDULES)
    assert axis.get_xticklabels()[1].get_text() == "Adam\n1.00"


def test_shares_are_marks_on_lines(ax):
    fire_iteration.shares_over_width(ax, fire_iteration.measured_shares((20, 40)))
    assert len(ax.lines) == len(ax.collections) == 4
