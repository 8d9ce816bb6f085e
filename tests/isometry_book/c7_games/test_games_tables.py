"""Agents are compared on one scale a game, at one setting, cycle by cycle."""

import numpy as np
import pandas as pd
import pytest

from isometry.adamo import relaxation_steps
from isometry.core.settings import as_dict
from isometry.lab import games_comparison as comparison
from isometry.lab.plans import plan
from isometry.lab.returns import load_returns, returns_of
from isometry.lab.store import COLUMNS, StoreError
from isometry.rl.continual_settings import ContinualSettings
from isometry_book.c7_games import tables, variants

MINATAR = "continual_minatar"
SHARED = np.linspace(-0.05, 0.05, 5)[:, None]  # what seeds differ in


def level(*cycles):
    """Return scores (5 seeds, cycles) around these, seeds apart."""
    return np.asarray(cycles) + SHARED


FALLING = level(1.0, 0.9, 0.8, 0.7, 0.6)  # its last quarter are two cycles
STEADY = level(*[1.0] * 5)


@pytest.fixture
def found(agents, together):
    files = agents("fresh", STEADY), agents("adam", FALLING), agents("nap", STEADY)
    return comparison.compared_games(*together(*files), MINATAR)


# --- which runs, on which scale -------------------------------------------------------


def test_the_main_comparison_has_the_most_methods_then_visits_then_seeds(agents):
    def hashes(*files):
        runs = comparison._same_games([record for _, record in files], MINATAR)
        return {method: record["hash"] for method, record in runs.items()}

    main = [agents(m, STEADY, f"main {m}") for m in ("adam", "adamo", "nap")]
    names = {m: f"main {m}" for m in ("adam", "adamo", "nap")}
    deep = [
        agents(m, level(1.0), f"{m}{depth}", games="breakout", depth=depth)
        for m in ("adam", "adamo")
        for depth in (4, 16, 32, 64)
    ]
    unbiased = [agents(m, STEADY, f"u{m}", hidden_bias=False) for m in ("adam", "nap")]
    octax = [
        agents(m, STEADY, f"o{m}", benchmark="continual_octax")
        for m in ("adam", "adamo", "nap", "fresh")
    ]
    assert hashes(*deep, *unbiased, *octax, *main) == names
    longer = [agents("adam", level(1, 1, 1, 1, 1, 1), "long")]
    assert hashes(*longer, *main) == names
    assert hashes(*longer, main[0]) == {"adam": "long"}
    assert hashes(main[0], agents("adam", STEADY[:3], "few", lr=0.1)) == {
        "adam": "main adam"
    }
    recorded = agents("fresh", STEADY, "main fresh", diagnose_every=0)
    assert hashes(*main, recorded) == {**names, "fresh": "main fresh"}
    assert comparison._same_games([], MINATAR) == {}


def test_a_method_stands_with_the_settings_of_its_benchmark_not_with_most_seeds(agents):
    usual = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-5}
    files = [
        agents("adam", STEADY, "other", own={**usual, "eps": 1e-8}),
        agents("adam", STEADY[:2], "usual", own=usual),
    ]
    for records in ([r for _, r in files], [r for _, r in files[::-1]]):
        assert comparison._same_games(records, MINATAR)["adam"]["hash"] == "usual"


def test_zero_is_a_random_policy_and_one_what_fresh_networks_learn(found):
    assert found.yardstick.source == "fresh"
    table = found.yardstick.table
    assert table["start"].to_dict() == {"breakout": 1.0, "asterix": 2.0}
    assert table["end"].to_dict() == pytest.approx({"breakout": 11.0, "asterix": 6.0})
    adam = found.scores[found.scores["method"] == "adam"]
    assert len(adam) == 5 * 5 * 2
    table = adam.pivot(index="seed", columns=["game", "cycle"], values="score")
    for game in ("breakout", "asterix"):
        np.testing.assert_allclose(table[game], FALLING)


def test_without_fresh_networks_adams_first_cycle_is_the_scale(agents, together):
    files = agents("adam", FALLING), agents("adamo", STEADY)
    found = comparison.compared_games(*together(*files), MINATAR)
    assert found.yardstick.source == "adam"
    assert found.yardstick.table["end"].to_dict() == pytest.approx(
        {"breakout": 11.0, "asterix": 6.0}
    )


def test_returns_can_be_read_beside_results_that_are_no_games(agents, together):
    results, records = together(agents("adam", STEADY))
    other = pd.DataFrame([("b", "m", "h", 0, 0, "loss", 1.0)], columns=COLUMNS)
    record = {"benchmark": "b", "method": "m", "hash": "h", "settings": {}}
    returns = returns_of(pd.concat([results, other]), [*records, record])
    assert set(returns["method"]) == {"adam"}
    assert returns_of(other, [record]).empty


# --- scores over cycles and methods ---------------------------------------------------


def test_late_scores_are_means_over_the_last_quarter_and_over_games(agents, together):
    both = np.stack([FALLING, FALLING - 0.2], axis=-1)
    files = agents("fresh", STEADY), agents("adam", both), agents("nap", STEADY[:3])
    scores = comparison.compared_games(*together(*files), MINATAR).scores
    late = tables.late_scores(scores)
    np.testing.assert_allclose(late["adam"], 0.55 + SHARED[:, 0])
    assert late["nap"].count() == 3
    breakout = tables.late_scores(scores, "breakout")["adam"]
    np.testing.assert_allclose(breakout, 0.65 + SHARED[:, 0])
    one = scores[scores["cycle"] == 0]
    np.testing.assert_allclose(tables.late_scores(one)["adam"], 0.9 + SHARED[:, 0])


def test_a_standing_keeps_the_seeds_that_another_method_lacks():
    late = pd.DataFrame({"a": [0.1, 0.2, 0.3, 0.4], "b": [0.5, 0.7, np.nan, np.nan]})
    table = tables.standing(late)
    assert table.index.tolist() == ["b", "a"]
    assert table["mean"].tolist() == pytest.approx([0.6, 0.25])
    assert table["seeds"].tolist() == [2, 4]
    assert (table["low"] < table["mean"]).all()
    assert (table["mean"] < table["high"]).all()


def test_differences_and_changes_are_paired_by_seed(found):
    late = tables.late_scores(found.scores)
    gap = tables.difference(late, "adam", "fresh")
    assert (gap.low, gap.high) == pytest.approx((-0.35, -0.35))
    assert tables.difference(late.assign(none=np.nan), "adam", "none") is None
    lost = tables.changes(found.scores)
    assert (lost["adam"].low, lost["adam"].high) == pytest.approx((-0.35, -0.35))
    assert lost["nap"].estimate == pytest.approx(0)


def test_scores_over_cycles_are_middle_means_of_seeds(found):
    table = tables.over_cycles(found.scores).set_index(["method", "cycle"])
    assert table.loc["adam", "mean"].tolist() == pytest.approx([1, 0.9, 0.8, 0.7, 0.6])
    assert (table["low"] < table["mean"]).all()
    assert (table["seeds"] == 5).all()
    own = tables.over_cycles(found.scores, "breakout").set_index(["method", "cycle"])
    assert own["mean"].to_dict() == pytest.approx(table["mean"].to_dict())


def test_an_interval_is_missing_where_a_number_is_not_finite():
    frame = pd.DataFrame(
        {"g": [0, 0, 1, 1], "seed": [0, 1] * 2, "x": [1, np.inf, 2, 4]}
    )
    table = tables.intervals(frame, ["g"], "x")
    assert table["mean"].tolist() == pytest.approx([np.nan, 3], nan_ok=True)


def test_learning_curves_are_means_over_seeds_in_the_game_that_is_played(found):
    curves = tables.learning_curves(found)
    last = curves[(curves["method"] == "adam") & (curves["cycle"] == 4)]
    one = last[last["game"] == "breakout"]
    assert one["env_steps"].tolist() == [0, 50, 100]
    assert one["episodic_return"].tolist() == pytest.approx([1, 4, 7])


def test_a_diagnostic_is_ranked_against_the_score_of_the_next_visit(stored, agents):
    store = stored(agents("fresh", STEADY), agents("adam", FALLING))
    found = comparison.games_comparison(store, MINATAR)
    looked = tables.diagnosed(store, found)
    assert set(looked["method"]) == {"adam", "fresh"}
    assert looked["cycle"].max() == 4
    table = tables.diagnostics_over_cycles(looked)
    first = table[(table["method"] == "adam") & (table["cycle"] == 0)]
    assert first["mean"].tolist() == pytest.approx([0.75])  # visits: 1 and 1/2
    # Dormant units fall over the visits, and so do Adam's scores.
    both = tables.prediction(found, looked, "actor", "dormant_fraction")
    assert (both.low, both.high) == pytest.approx((1, 1))
    assert tables.prediction(found, looked, "critic", "dormant_fraction") is None
    flat = looked.assign(value=0.5)
    assert tables.prediction(found, flat, "actor", "dormant_fraction").estimate == 0


def test_a_comparison_can_be_asked_for_by_settings(stored, agents):
    own = [agents(method, STEADY) for method in ("fresh", "adam", "nap")]
    deep = [agents(m, FALLING, depth=16) for m in ("fresh", "adam")]
    store = stored(*own, *deep)
    assert set(comparison.games_comparison(store, MINATAR).runs) == {
        "fresh",
        "adam",
        "nap",
    }
    found = comparison.games_comparison(store, MINATAR, depth=16)
    assert set(found.runs) == {"fresh", "adam"}
    assert {r["settings"]["depth"] for r in found.runs.values()} == {16}


def test_a_setting_that_came_later_counts_as_a_departure(agents):
    usual = as_dict(plan(MINATAR, "nap").method_settings)
    assert "nap_affine" not in usual, "left out where it has its default"
    files = [
        agents("nap", STEADY, "later", own={**usual, "nap_affine": False}),
        agents("nap", STEADY[:2], "usual", own=usual),
    ]
    records = [record for _, record in files]
    assert [comparison._num_departures(record) for record in records] == [1, 0]
    assert comparison._same_games(records, MINATAR)["nap"]["hash"] == "usual"


# --- depth and single changes ---------------------------------------------------------


@pytest.fixture
def deep(agents):
    """Adam learns half at depth 4 and nothing deeper; AdamO always one."""
    own = {"games": "breakout"}
    files = [agents("adam", level(0.5), "a4", **own, depth=4)]
    files += [agents("adamo", level(1.0), f"o{d}", **own, depth=d) for d in (4, 16)]
    files.append(agents("adam", level(0.0), "a16", **own, depth=16))
    files.append(agents("adam", level(9.0), "main", depth=16))
    return [*files, agents("adam", level(9.0), "lr", **own, depth=32, lr=0.1)]


def test_another_start_is_a_line_of_its_own_in_the_study_of_depth(deep, agents, stored):
    own = {"games": "breakout", "init": "default"}
    other = [agents("adam", level(0.2), f"d{d}", **own, depth=d) for d in (4, 16)]
    found = variants.stored_depths(stored(*deep, *other), MINATAR)
    assert set(found["method"]) == {"adam", "adamo", "adam(init=default)"}
    table = variants.depth_table(found).set_index(["method", "depth"])
    usual, other = (table.loc[(m, 4), "mean"] for m in ("adam", "adam(init=default)"))
    assert usual - other == pytest.approx(0.3 * 10), "the scale of Breakout there"


def test_a_pull_of_too_few_relaxation_times_is_left_out_where_more_are_asked_for(
    agents, stored
):
    own = {"games": "breakout", "init": "default"}
    files = [agents("adam", level(0.2), f"d{d}", **own, depth=d) for d in (4, 16)]
    for strength, score in ((0.1, 0.3), (2.0, 0.9)):
        files += [
            agents(
                "adamo",
                level(score),
                f"o{strength}{d}",
                **own,
                depth=d,
                own={"isometry_strength": strength},
            )
            for d in (4, 16)
        ]
    store = stored(*files)
    steps = ContinualSettings(**files[0][1]["settings"]).steps_per_task
    most = steps / relaxation_steps(2.0, files[0][1]["settings"]["lr"])
    least = steps / relaxation_steps(0.1, files[0][1]["settings"]["lr"])
    means = {}
    for asked in (0.0, (least + most) / 2):
        table = variants.depth_table(variants.stored_depths(store, MINATAR, asked))
        means[asked] = table.set_index(["method", "depth"])["mean"]
        assert set(table["method"]) == {"adam(init=default)", "adamo(init=default)"}
    key = ("adamo(init=default)", 16)
    weak, strong = (one[key] for one in means.values())
    assert strong - weak == pytest.approx(0.6 * 10), "the scale of Breakout there"


def test_depths_are_compared_with_all_else_equal(deep, stored):
    store = stored(*deep)
    found = variants.stored_depths(store, MINATAR)
    assert set(zip(found["method"], found["depth"], strict=True)) == {
        (method, depth) for method in ("adam", "adamo") for depth in (4, 16)
    }
    table = variants.depth_table(found).set_index(["method", "depth"])
    assert table.loc[("adam", 4), "mean"] == pytest.approx(6)


def test_a_changed_run_is_named_by_what_was_changed(stored, agents):
    own = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-5}
    store = stored(
        agents("fresh", STEADY),
        agents("adam", FALLING, own=own),
        agents("adamo", STEADY),
        agents("adam", FALLING[:4] - 0.1, hidden_bias=False, own=own),
        agents("adam", STEADY, "eps", own={**own, "eps": 1e-8}),
        agents("adam", STEADY, "three", own={"beta1": 0, "beta2": 0, "eps": 0}),
        agents("adam", STEADY, "depth", depth=8, own=own),
        agents("l2_init", STEADY, hidden_bias=False),
    )
    found = comparison.games_comparison(store, MINATAR)
    table = variants.variants_table(store, found)
    names = ["adam", "adam(eps=1e-08)", "adam(hidden_bias=False)"]
    assert table.index.tolist() == names
    assert table["mean"].tolist() == pytest.approx([0.65, 1, 0.5375])
    assert table["seeds"].tolist() == [5, 5, 4]
    assert table["difference"].tolist() == pytest.approx(
        [np.nan, 0.35, -0.1], nan_ok=True
    )


def test_a_comparison_without_changed_runs_has_an_empty_table_of_them(stored, agents):
    store = stored(agents("fresh", STEADY), agents("adam", FALLING))
    found = comparison.games_comparison(store, MINATAR)
    assert variants.variants_table(store, found).empty


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "ask", "message"),
    [
        (
            [("adam", STEADY), ("fresh", -STEADY)],
            lambda s: comparison.games_comparison(s, MINATAR),
            "needed a return of fresh in asterix that rises within a visit, found 2",
        ),
        (
            [("nap", STEADY)],
            lambda s: comparison.games_comparison(s, MINATAR),
            "needed runs of fresh or adam to scale returns by, found nap",
        ),
        (
            [("adam", level(1.0))],
            lambda s: tables.changes(comparison.games_comparison(s, MINATAR).scores),
            "needed at least two cycles",
        ),
        (
            [("adam", STEADY)],
            lambda s: variants.stored_depths(s, MINATAR),
            "one game at two depths or more, found none",
        ),
        (
            [("adam", STEADY)],
            lambda s: comparison.games_comparison(s, "continual_octax"),
            "needed results under",
        ),
        (
            [("adam", STEADY)],
            lambda s: comparison.games_comparison(s, MINATAR, depth=16),
            "needed returns of continual_minatar with depth=16 under .*, found none",
        ),
    ],
)
def test_what_a_store_cannot_answer_is_refused(stored, agents, files, ask, message):
    store = stored(*(agents(method, scores) for method, scores in files))
    with pytest.raises(StoreError, match=message):
        ask(store)


def test_a_store_without_diagnostics_is_refused(stored, agents):
    frame, record = agents("adam", STEADY)
    frame = frame[~frame["metric"].str.startswith("actor")]
    store = stored((frame, record))
    assert not load_returns(store).empty
    found = comparison.games_comparison(store, MINATAR)
    with pytest.raises(StoreError, match="needed diagnostics"):
        tables.diagnosed(store, found)
