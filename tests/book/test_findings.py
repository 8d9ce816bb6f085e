"""What the page of findings says, sentence by sentence, holds in committed results."""

import re
import tomllib
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from isometry.adamo import relaxation_steps, strength_for_relaxation
from isometry.lab.games_comparison import games_comparison
from isometry.lab.store import load_results
from isometry.methods import METHODS
from isometry.suites.standing import standing
from isometry.suites.suite import all_suites
from isometry.supervised.benchmarks import PAPER_MLP
from isometry_book.c2_kernel import foretelling
from isometry_book.c2_kernel import judge as kernel_judge
from isometry_book.c5_adamo import neighbours, regret
from isometry_book.c6_benchmark import (
    box,
    comparisons,
    lengths,
    now_and_then,
    streams_tables,
    tables,
    two_ways,
)
from isometry_book.c6_benchmark.streams_judge import levels_everywhere
from isometry_book.c7_games import tables as games
from isometry_book.c7_games import variants
from isometry_book.claims.verdicts import judge_all
from isometry_book.evidence.streams import gate_of
from isometry_book.interventions import layers
from isometry_book.interventions import report as interventions

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
RIVALS = ("adam", "l2_init", "nap", "redo", "spectral", "newton_schulz")
CONVOLUTIONS = "permuted_cifar10 cnn"


@cache
def verdicts():
    return {key: one.verdict for key, one in judge_all(RESULTS).items()}


@cache
def loaded():
    return streams_tables.loaded_streams(RESULTS)


@cache
def stream(what):
    return streams_tables.numbers(loaded()["permuted_mnist"], what)


def stop_learning():
    assert stream("slope").loc["adam", "high"] < 0
    assert abs(stream("slope").loc["fresh", "mean"]) < 0.005, "throughout"


def pull_repairs():
    level = stream("level")
    assert abs(stream("slope").loc["adamo", "mean"]) < 0.005
    assert level.index[0] == "adamo"
    assert level.loc[list(RIVALS), "mean"].idxmax() == "newton_schulz"
    assert (level.loc[list(RIVALS), "high"] < level.loc["adamo", "low"]).all()
    assert verdicts()["bench-permuted-mnist"] == "reproduced"
    second = loaded()["permuted_cifar10"]
    other = streams_tables.numbers(second, "level")
    assert (other.loc[list(RIVALS), "high"] < other.loc["adamo", "low"]).all()
    margins = [
        one.loc["adamo", "mean"] - one.loc[list(RIVALS), "mean"].max()
        for one in (level, other)
    ]
    assert margins[1] > margins[0], "by a wider margin"
    loss = streams_tables.numbers(second, "slope").loc["adam"]
    assert loss["high"] < 0, "Adam loses"
    assert loss["low"] > stream("slope").loc["adam", "mean"] / 2, "little"
    assert verdicts()["bench-permuted-cifar10"] == "reproduced"
    third = loaded()["label_shuffled_cifar100"]
    change = streams_tables.numbers(third, "slope")
    assert change.loc["adam", "high"] < 0, "Adam loses again"
    assert change.loc["adamo", "low"] > -0.01, "and AdamO does not"
    assert streams_tables.numbers(third, "level").index[0] != "adamo", "not first"
    assert verdicts()["plasticity-kept"] == "reproduced"
    by_lot = loaded()["random_label_cifar10"]
    fourth, change = (streams_tables.numbers(by_lot, w) for w in ("level", "slope"))
    assert change.loc["adam", "high"] < 0, "Adam loses"
    ahead = fourth.loc["adamo", "low"] - fourth.loc[list(RIVALS), "high"].max()
    assert 0 < ahead < 0.01, "above the six once more, by little"
    assert verdicts()["bench-random-label"] == "reproduced"
    assert gate_of(loaded()[CONVOLUTIONS]).early.high < -0.3, "at the rate of the start"
    conv = streams_tables.numbers(loaded()[CONVOLUTIONS], "level")
    assert conv.index[0] != "adamo", "nor is it there"
    assert conv.loc["adamo", "low"] > conv.loc["adam", "high"] + 0.2
    ranks = levels_everywhere(loaded()).rank(axis=1, ascending=False)
    order = ranks.mean().sort_values().index
    assert order[:2].tolist() == ["adamo_maxmin", "adamo"]
    assert (ranks["adam"] == len(order)).all(), "always last"
    each = lengths.by_length(RESULTS)
    assert [lengths.first_at(one) for one in each.values()] == ["adamo"] * 3
    leads = [streams_tables.gained(one)["mean"]["adamo"] for one in each.values()]
    assert leads == sorted(leads, reverse=True)
    assert verdicts()["rl-depth"] == "partly"
    usual, pulled = (
        variants.depth_table(variants.stored_depths(RESULTS, "continual_minatar", pull))
        .set_index(["method", "depth"])["mean"]
        .to_dict()
        for pull in (0.0, variants.LEAST_PULL)
    )
    far = variants.TORCHS_START
    assert pulled["adam" + far, 16] < 1 < 2 < pulled["adamo" + far, 16]
    assert usual["adam", 16] > pulled["adamo_maxmin" + far, 16], "more"


def theory_is_exact():
    exact = ("deep-linear", "maxmin-isometric", "gram-controls-all", "revival")
    assert {verdicts()[key] for key in exact} == {"reproduced"}


def strength_does_nothing():
    assert relaxation_steps(1e-3, 1e-4) == pytest.approx(1.25e6)
    assert verdicts()["literal-box"] == "reproduced"
    wide = box.boxes(RESULTS)[box.REPORTED]
    slopes = streams_tables.numbers(wide, "slope")
    assert slopes["high"].max() < -0.03, "they lose"
    assert slopes["mean"].max() - slopes["mean"].min() < 0.005, "alike"


def falls_over_time(stream, kernel="ntk"):
    frame = load_results(RESULTS / f"worn_{stream}")
    condition, _ = kernel_judge._kernel_correlations(frame, kernel)
    return condition["over_time"].high < 0


def spectrum_is_no_prophet():
    told = foretelling.foretold(foretelling.worn_networks(RESULTS))
    table = foretelling.where_it_holds(told)
    seeds = told[told["place"] == "across_seeds"].set_index("predictor")
    kappa = seeds.loc["ntk_robust_condition_number"]
    assert (kappa["low"] < 0).all()
    assert (kappa["high"] > 0).all()
    for name in table.index[table.index.str.contains("condition")]:
        assert (table.loc[name, ["within", "across"]] == ["no", "yes"]).all(), name
    streams = ("permuted_cifar10", "permuted_mnist", "random_label_mnist")
    assert [falls_over_time(name) for name in streams] == [False, False, True]
    assert verdicts()["anisotropy"] == "not reproduced"
    assert verdicts()["mechanism"] != "reproduced"


def not_the_whole_cause():
    assert verdicts()["cause"] == "not reproduced"
    first, second = (
        load_results(RESULTS / f"interventions_permuted_{name}")
        for name in ("cifar10", "mnist")
    )
    back = interventions.share_returned(first, "spectrum_optimizer", 100)
    assert back.low > 0.4
    judged = interventions.share_returned(second, "spectrum_optimizer", 100)
    scale = interventions.share_returned(second, "scale_optimizer", 100)
    assert judged.low < 0 < judged.high < 0.6
    assert scale.estimate >= judged.estimate
    for frame in (first, second):
        assert interventions.loss_by_rate(frame, 100)["tuned"].low > 0
    third = "label_shuffled_cifar100"
    for name in layers.STREAMS.values():
        found = layers.answers(load_results(RESULTS / f"layers_{name}"))
        assert [found[part][0] for part in layers.ASKED] == ["no", "yes"], name
    shuffled = load_results(RESULTS / f"layers_{third}")
    assert interventions.share_returned(shuffled, "spectrum_optimizer", 60).low > 0.5
    beside = streams_tables.beside_level(loaded()[third], loaded()[third].runs)
    ways = two_ways.ways(loaded())
    assert [way.answer for way in ways.values()] == ["yes", "yes"]
    best = beside.iloc[:4]
    assert {"head_decay", "maxmin", "adamo_maxmin"} < set(best.index)
    assert best["Gram deviation"].min() > 30, "far from isometry"
    assert best["dormant"].max() < 0.05, "hardly a unit"


def not_every_layer():
    assert verdicts()["layerwise"] == "partly"


def not_the_only_remedy():
    beside = load_results(RESULTS / "neighbours")
    for name, metric in (("parseval", "online_accuracy"), ("fire", "accuracy_at_cost")):
        found = neighbours.compared(beside, metric, name)
        assert {one.standing for one in found.values()} == {"above"}, name
    assert verdicts()["decoupling"] == "reproduced", "ahead of that penalty"
    third = loaded()["label_shuffled_cifar100"]
    level, slope = (streams_tables.numbers(third, w) for w in ("level", "slope"))
    assert level.loc["maxmin", "low"] > 2 * level.loc["adamo", "high"]
    assert level.loc["redo", "low"] > level.loc["adamo", "high"]
    assert level.loc["head_decay", "low"] > level.loc["maxmin", "high"]
    three = ["head_decay", "maxmin", "redo"]
    assert slope.loc[three, "low"].min() > 0.1, "all three grow"
    conv = streams_tables.numbers(loaded()[CONVOLUTIONS], "level")
    assert conv.loc["maxmin", "low"] > conv.loc["adamo", "high"] + 0.08, "far more"
    forms = streams_tables.two_by_two(loaded())
    both = forms.xs("level", level=1)
    adds = (both["MaxMin with AdamO"] - both["MaxMin with Adam"]) > 0
    assert adds.to_dict() == {
        "label_shuffled_cifar100": False,
        "permuted_cifar10": True,
        "permuted_cifar10 cnn": True,
        "permuted_mnist": True,
        "random_label_cifar10": True,
    }
    ranks = tables.ranks_table(comparisons.stored_comparisons(RESULTS))["mean"]
    assert ranks.idxmin() == "maxmin"


def how_far():
    bench = {k: v for k, v in verdicts().items() if k.startswith("bench-")}
    open_ones = {key for key, verdict in bench.items() if verdict == "not tested"}
    assert open_ones == {"bench-transformer"}
    assert set(loaded()) == {
        *("permuted_mnist", "permuted_cifar10", CONVOLUTIONS),
        *("label_shuffled_cifar100", "random_label_cifar10"),
    }
    assert len(bench) == 6


def long_training():
    main = games_comparison(RESULTS, "continual_minatar")
    change = games.changes(main.scores)["adam"]
    assert change.low < 0 < change.high, "nothing on the mean of both"
    invaders = main.scores[main.scores["game"] == "space_invaders"]
    assert games.changes(invaders)["adam"].high < 0, "it loses in one"
    late = games.late_scores(invaders)
    assert games.difference(late, "adamo", "adam").low > 0, "and AdamO is ahead"
    chip = games.late_scores(games_comparison(RESULTS, "continual_octax").scores)
    assert games.difference(chip, "adamo_maxmin", "adam").high < 0


def size():
    streams = loaded().values()
    found = {run["settings"]["width"] for one in streams for run in one.runs.values()}
    main = games_comparison(RESULTS, "continual_minatar").runs["adam"]["settings"]
    assert found | {main["width"]} == {64, 100, 128}
    assert PAPER_MLP.width == box.BOX["width"] == 512
    wide = box.boxes(RESULTS)[box.FASTER]
    assert box.answer(wide) == "yes"
    assert set(wide.runs) == {"adam", "adamo"}, "no rival"


CHECKS = {
    "Networks do stop learning.": stop_learning,
    "The pull repairs it, where something is broken.": pull_repairs,
    "The theory is right where it is exact.": theory_is_exact,
    "The reported strength does nothing.": strength_does_nothing,
    "The spectrum is not a good prophet.": spectrum_is_no_prophet,
    "Isometry is not the whole cause.": not_the_whole_cause,
    "Keeping every layer isometric is not necessary.": not_every_layer,
    "AdamO is not the only remedy.": not_the_only_remedy,
    "How far this goes.": how_far,
    "What happens in long training of agents.": long_training,
    "What size does.": size,
}


def test_every_finding_has_its_check():
    page = (ROOT / "book" / "findings.md").read_text()
    said = re.findall(r"^\*\*(.+?)\*\*", page.split("## What to use")[0], re.M)
    assert said == list(CHECKS)


def test_what_is_said_of_fire_holds():
    level, least = stream("level"), 0.05
    spent = tables.costs(RESULTS).loc["fire"]
    assert spent["time_ratio"] < 1.02 < 5 < spent["switch_steps"]
    assert stream("slope").loc["fire", "low"] > -0.02
    assert level.loc["fire", "high"] < level.loc["adamo", "low"] - least
    each = lengths.by_length(RESULTS).values()
    gains = [streams_tables.gained(one).loc["fire"] for one in each]
    assert [gain["low"] > 0 for gain in gains] == [True, True, False]


def test_what_is_said_of_cheap_penalties_holds():
    streams = loaded()
    costs = [tables.costs(RESULTS, network=place)["time_ratio"] for place in (0, 1)]
    shares = {
        "permuted_mnist": 2 / 3,
        "permuted_cifar10": 1 / 5,
        "random_label_cifar10": 9 / 10,
    }
    for method in ("spectral", "l2_init"):
        assert all(1.03 < cost[method] < 1.2 for cost in costs)
        assert all(cost["adamo"] > 2 for cost in costs)
        for name, share in shares.items():
            gain = streams_tables.gained(streams[name])["mean"]
            assert gain[method] / gain["adamo"] == pytest.approx(share, abs=0.04)
            low = streams_tables.numbers(streams[name], "slope").loc[method, "low"]
            assert low > -0.002, "they lose nothing"


def test_what_is_said_of_the_safest_choice_holds():
    streams = loaded()
    names = [
        *("permuted_mnist", "permuted_cifar10", "label_shuffled_cifar100"),
        "random_label_cifar10",
    ]
    gains = pd.concat(
        [streams_tables.gained(streams[name])["mean"] for name in names], axis=1
    ).dropna()
    short = (gains.max() - gains).max(axis=1).sort_values()
    assert short.index[:2].tolist() == ["adamo_maxmin", "maxmin"]
    labels, own = streams[names[2]], "head_decay"
    level = streams_tables.numbers(labels, "level")
    assert level["low"].idxmax() == own, "where labels are shuffled"
    assert level.loc[own, "low"] > level["high"].drop(own).max()
    assert labels.runs[own]["method_settings"][own] == 0.01, "a hundredth a step"
    slopes = streams_tables.numbers(streams[names[0]], "slope")
    assert slopes.loc[own, "high"] < -0.06, "with permuted pixels it does nothing"
    assert own not in streams[names[3]].runs
    by_lot = streams_tables.gained(streams[names[3]])
    assert by_lot.index[:2].tolist() == ["adamo_maxmin", "adamo"], "with either"


def test_what_is_said_of_the_hardest_pull_holds():
    streams = loaded()
    costs = now_and_then.costs(RESULTS).loc[4]
    assert 1.2 < costs.min() < 1.3
    assert 1.45 < costs.max() < 1.55
    for data in ("mnist", "cifar100"):
        frame = load_results(RESULTS / now_and_then.stored_as(data))
        kept = now_and_then.compared(frame).loc[4, "share"]
        assert 0.9 < kept.estimate < 0.95
    for name in streams:
        own = streams[name].runs["adamo"]
        pull = own["method_settings"]["isometry_strength"] * own["settings"]["lr"]
        hardest = pull == pytest.approx(1 / 8)
        assert hardest == (name != CONVOLUTIONS), "with perceptrons"
    hard = strength_for_relaxation(1, 1e-3)
    assert hard == pytest.approx(0.125 / 1e-3)
    worst = regret.worst(regret.regret_table(RESULTS), "relaxation")
    assert worst.loc[1250, "harm"] > regret.HARM, "a thousand times softer"


def sceptic():
    page = (ROOT / "book" / "findings.md").read_text()
    return page.split("## What a sceptic would still say")[1].split("\n## ")[0]


def test_what_a_sceptic_asks_for_costs_what_the_files_say():
    asked = re.findall(r"`(\w+)`, (\d+) h", sceptic())
    assert len(asked) == len(re.findall(r"`\d\d_", sceptic())) == 7
    for name, hours in asked:
        text = (ROOT / "sweeps" / "campaign" / f"{name}.toml").read_text()
        said = re.search(r"Cost:[^.]*?about (\S+)( core-hours)?[,.\s]", text)[1]
        words = {"three": "3", "eight": "8"}
        assert words.get(said, said) == hours, name


def test_what_a_sceptic_is_told_holds():
    streams = loaded()
    rivals = set(METHODS.names()) - {"adam", "fresh", "adam_isometry"}
    paper = {"adamo", "maxmin", "adamo_maxmin", *RIVALS}
    names = ("permuted_mnist", "label_shuffled_cifar100", "random_label_cifar10")
    more = [set(streams[name].runs) & rivals - paper for name in names]
    sweep = ROOT / "sweeps" / "campaign" / "16_rivals_permuted_mnist.toml"
    asked = set(tomllib.loads(sweep.read_text())["methods"]) - {"adam"}
    assert asked <= set(streams[names[0]].runs), "they were"
    assert len(asked) > 20
    assert len(more[1]) > 15, "on shuffled labels too"
    assert not more[2]
    for name in ("permuted_cifar10", CONVOLUTIONS):
        assert not set(streams[name].runs) & rivals - paper
    assert verdicts()["recommendation"] == "reproduced"
    runs = {name: one.runs["adam"]["settings"] for name, one in streams.items()}
    assert runs.pop(CONVOLUTIONS)["depth"] == 4, "three, and a dense layer"
    assert {run["depth"] for run in runs.values()} == {2, 4}
    suites = {
        suite.name
        for suite in all_suites()
        if all(standing(row, suite, RESULTS).complete for row in suite.rows)
    }
    whole = {"linear_tracking", "nonlinear_tracking", "matched_adamo"}
    assert suites == whole | {"selective_reinit-reduced"}


@pytest.mark.parametrize("finding", CHECKS)
def test_a_finding_holds_in_the_committed_results(finding):
    CHECKS[finding]()
