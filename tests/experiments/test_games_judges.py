"""How the claims on games in turn are judged."""

import numpy as np
import pytest
from isometry.experiments import games_judges as judges
from isometry.experiments.benchmark_study import comparisons
from isometry.experiments.claims import get, judge_all
from isometry.experiments.report import flat_numbers
from isometry.rl.protocols import PAPER_OCTAX

METHODS = ("fresh", *judges.RIVALS, judges.OTHER, judges.JUDGED)
CYCLES = 8


def scores(late, seeds=8, first=1.0, noise=0.0):
    """Return (seeds, cycles): the first cycle, then the others; seeds share a part."""
    shared = np.linspace(-0.05, 0.05, seeds)[:, None]
    values = np.full((seeds, CYCLES), float(late)) + shared
    values += noise * (-1.0) ** np.arange(seeds)[:, None]
    values[:, 0] = first
    return values


@pytest.fixture
def verdict(agents, together):
    """Return the judge of a claim on agents whose late scores are these."""

    def judge(key, late, seeds=8, benchmark="continual_minatar", **options):
        files = [
            agents(m, scores(x, seeds, **options), benchmark=benchmark)
            for m, x in late.items()
        ]
        return get(key).judge(*together(*files))

    return judge


EQUAL = dict.fromkeys(METHODS, 1.0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "reproduced"),  # not below is enough
        ({"adamo_maxmin": 1.2, "adamo": 0.1}, "reproduced"),  # the other is not judged
        ({"adamo_maxmin": 0.1, "adamo": 1.2}, "not reproduced"),
        ({"nap": 1.2}, "partly"),
        (dict.fromkeys(judges.RIVALS[1:], 1.2), "not reproduced"),
        (dict.fromkeys(judges.RIVALS[2:], 1.2), "partly"),
        ({"adam": 1.2}, "not reproduced"),
        ({"fresh": 1.2}, "reproduced"),  # the ceiling is no rival
    ],
)
def test_adamo_with_maxmin_must_not_lie_below_any_baseline(verdict, changes, expected):
    found = verdict("rl-minatar", EQUAL | changes)
    assert found.verdict == expected
    assert "8 seeds" in found.reason
    assert found.reason.endswith(".")
    assert found.gap.endswith(".")


def test_a_difference_within_its_interval_does_not_count_as_below(agents, together):
    def outcome(noise):
        late = {**EQUAL, "adam": 1.01}
        files = [
            agents(m, scores(x, noise=noise if m == "adam" else 0.0))
            for m, x in late.items()
        ]
        return get("rl-minatar").judge(*together(*files)).verdict

    assert outcome(0.1) == "reproduced"
    assert outcome(0.0) == "not reproduced"


@pytest.mark.parametrize("missing", [*judges.RIVALS, judges.JUDGED])
def test_minatar_needs_every_baseline_and_the_judged_form(verdict, missing):
    late = {m: x for m, x in EQUAL.items() if m != missing}
    assert verdict("rl-minatar", late) is None


def test_minatar_needs_eight_seeds_and_octax_four(verdict):
    assert verdict("rl-minatar", EQUAL, 7) is None
    octax = {"benchmark": "continual_octax"}
    assert verdict("rl-octax", EQUAL, 4, **octax).verdict == "reproduced"
    assert verdict("rl-octax", EQUAL, 3, **octax) is None
    two = dict.fromkeys(("adam", "nap", "adamo_maxmin"), 1.0)
    found = verdict("rl-octax", two, 4, **octax)
    assert found.verdict == "reproduced"
    assert "not judged" not in found.reason
    assert verdict("rl-octax", {"adam": 1, "adamo_maxmin": 1}, 4, **octax) is None
    assert verdict("rl-octax", EQUAL, 4) is None  # the other benchmark's runs


def test_the_reason_gives_differences_and_whether_there_was_a_loss(verdict):
    late = EQUAL | {"adam": 0.5, "adamo": 0.9}
    # Fresh networks are one on average over all cycles, by construction.
    found = verdict("rl-minatar", late)
    assert "adamo_maxmin minus adam 0.500 [0.500, 0.500]" in found.reason
    assert "not judged: adamo minus adam 0.400" in found.reason
    assert "adam changes by -0.500" in found.reason
    assert "minus that of fresh is -0.500 [-0.500, -0.500]" in found.reason
    assert found.reason.endswith("It loses plasticity.")
    kept = verdict("rl-minatar", EQUAL)
    assert "No loss beyond the interval" in kept.reason


def test_the_gap_compares_sizes_with_the_papers(agents):
    _, record = agents("adam", scores(1.0))
    text = judges.size_of_games(record, 8, PAPER_OCTAX)
    assert text.startswith("2 games (breakout, asterix), 0 of the paper's 8; 8 cycles")
    assert "where it has 3; 100 environment steps" in text


def test_returns_without_a_scale_are_not_judged(verdict):
    flat = dict.fromkeys(METHODS, 0.0)
    assert verdict("rl-minatar", flat, first=0.0) is None


# --- depth ----------------------------------------------------------------------------


@pytest.fixture
def at_depths(agents, together):
    """Return the judge of depth: (method, depth) -> score of one visit."""

    def judge(late, seeds=4):
        shared = np.linspace(-0.05, 0.05, seeds)[:, None]
        files = [
            agents(m, x + shared, f"{m}{d}", games="breakout", depth=d)
            for (m, d), x in late.items()
        ]
        return get("rl-depth").judge(*together(*files))

    return judge


DEPTHS = {("adam", d): 0.5 for d in (4, 16, 32)}


def forms(form, *late):
    return {(form, d): x for d, x in zip((4, 16, 32), late, strict=True)}


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (forms("adamo_maxmin", 0.1, 0.6, 0.6), "reproduced"),  # depth 4 is not asked
        (forms("adamo", 0.1, 0.6, 0.6), "reproduced"),
        (forms("adamo", 0.6, 0.6, 0.5), "partly"),
        (forms("adamo", 0.9, 0.5, 0.4), "not reproduced"),
        (
            forms("adamo", 0.5, 0.6, 0.4) | forms("adamo_maxmin", 0.5, 0.4, 0.6),
            "partly",  # not one form at every depth
        ),
        (
            forms("adamo", 0.5, 0.6, 0.4) | {("adamo_maxmin", 16): 0.6},
            "partly",  # every depth that any form has
        ),
    ],
)
def test_one_form_must_be_above_adam_at_every_large_depth(at_depths, late, expected):
    found = at_depths(DEPTHS | late)
    assert found.verdict == expected
    assert "at depth 16" in found.reason
    assert "at depth 4 " not in found.reason
    assert "One game (breakout), 100 environment steps, 4 seeds" in found.gap


def test_depth_needs_four_seeds_and_a_large_depth(at_depths):
    late = DEPTHS | forms("adamo", 0.6, 0.6, 0.6)
    assert at_depths(late, seeds=3) is None
    assert at_depths({k: x for k, x in late.items() if k[1] == 4}) is None
    assert at_depths({("adam", 4): 0.5, ("adam", 16): 0.5}) is None


def test_a_store_of_games_leaves_all_other_claims_untested(stored, agents):
    strengths = [{"isometry_strength": s} for s in (0.01, 0.1, 1.0)]
    store = stored(
        *(agents(m, scores(1.0)) for m in METHODS),
        *(agents("adamo", scores(1.0), str(own), own=own) for own in strengths),
    )
    verdicts = judge_all(store)
    tested = {k for k, v in verdicts.items() if v.verdict != "not tested"}
    # Some claims are judged by arithmetic of their own, whatever is stored.
    assert "rl-minatar" in tested
    assert not tested & {"rl-octax", "rl-depth", "sensitivity", "mechanism"}


def test_a_store_of_games_is_reported_and_no_supervised_comparison(stored, agents):
    # One seed plays Asterix second: its first visit has no return there.
    store = stored(agents("adam", [[1.0]]), agents("fresh", [[1.0]]))
    flat = flat_numbers(store)
    key = "continual_minatar.adam.episodic_return"
    assert flat[f"{key}/asterix.last"] == pytest.approx(6)
    assert f"{key}/asterix.first" not in flat
    assert not any("@" in name for name in flat)
    assert comparisons(store) == {}
