"""How the claims on games in turn are judged."""

import numpy as np
import pytest

from isometry.lab.report import summary
from isometry.rl.protocols import PAPER_OCTAX
from isometry_book.c6_benchmark.comparisons import stored_comparisons
from isometry_book.c7_games import judge as judges
from isometry_book.claims.claim import JUDGES
from isometry_book.claims.verdicts import judge_all

METHODS = ("fresh", *judges.RIVALS, judges.JUDGED)
CYCLES = 8
KEYS = {"rl-minatar": "continual_minatar", "rl-octax": "continual_octax"}


def scores(late, seeds=8, first=1.0, noise=0.0):
    """Return (seeds, cycles): the first cycle, then the others; seeds share a part.

    ``noise`` has another sign for every other seed.
    """
    shared = np.linspace(-0.05, 0.05, seeds)[:, None]
    values = np.full((seeds, CYCLES), float(late)) + shared
    values += noise * (-1.0) ** np.arange(seeds)[:, None]
    values[:, 0] = first
    return values


@pytest.fixture
def comparison(agents):
    """Return the maker of one comparison's files: late scores by method."""

    def make(late, seeds=8, noise=None, benchmark="continual_minatar", **settings):
        return [
            agents(
                method,
                scores(level, seeds, noise=(noise or {}).get(method, 0.0)),
                benchmark=benchmark,
                **settings,
            )
            for method, level in late.items()
        ]

    return make


@pytest.fixture
def verdict(together):
    """Return the judge of a claim on the files of comparisons."""

    def judge(key, *files):
        found = JUDGES[key](*together(*files))
        return found and found.verdict

    return judge


FALLS = dict.fromkeys(METHODS, 1.0) | {"adam": 0.5}
NEEDED = dict.fromkeys(("adamo", *judges.NEEDED, "fresh"), 1.0) | {"adam": 0.5}
OUTCOMES = [
    (FALLS, {}, "reproduced"),
    (NEEDED, {}, "reproduced"),
    (FALLS | {"adamo": 0.96}, {}, "reproduced"),  # so small a loss does not matter
    (FALLS | {"fresh": 1.2}, {}, "reproduced"),  # the ceiling is no rival
    (FALLS | {"adamo_maxmin": 1.2, "maxmin": 1.2}, {}, "reproduced"),  # nor are these
    (FALLS | {"nap": 1.2}, {}, "partly"),
    (FALLS | {"spectral_norm": 1.2}, {}, "partly"),  # every one that was run
    (FALLS | {"adamo": 0.3}, {}, "not reproduced"),
    (FALLS | {"adamo": 0.3, "adamo_maxmin": 1.2}, {}, "not reproduced"),
    (FALLS, {"noise": {"adamo": 0.3}}, "undecided"),
    (FALLS, {"noise": {"l2_init": 0.3}}, "undecided"),
    (FALLS | {"adam": 1.0}, {}, "not tested"),
    (FALLS | {"adam": 1.3, "adamo": 0.1}, {}, "not tested"),
    (FALLS, {"noise": {"adam": 0.9}}, "not tested"),  # no loss beyond its interval
    (FALLS, {"seeds": 7}, None),
]


@pytest.mark.parametrize(("late", "options", "expected"), OUTCOMES)
def test_adamo_must_match_every_baseline_of_games_on_which_adam_loses(
    verdict, comparison, late, options, expected
):
    assert verdict("rl-minatar", *comparison(late, **options)) == expected


@pytest.mark.parametrize("key", KEYS)
def test_each_suite_is_judged_by_its_own_games(verdict, comparison, key):
    files = comparison(FALLS, benchmark=KEYS[key])
    assert verdict(key, *files) == "reproduced"
    (other,) = KEYS.keys() - {key}
    assert verdict(other, *files) is None


@pytest.mark.parametrize("missing", [*judges.NEEDED, judges.JUDGED])
def test_games_need_these_baselines_and_the_judged_form(verdict, comparison, missing):
    late = {m: x for m, x in FALLS.items() if m != missing}
    assert verdict("rl-minatar", *comparison(late)) is None


KEPT = FALLS | {"adam": 1.0}
WORSE = FALLS | {"adamo": 0.3}
UNSURE = {"noise": {"adamo": 0.3}}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((FALLS, {}), (FALLS, {}), "reproduced"),
        ((WORSE, {}), (WORSE, {}), "not reproduced"),
        ((FALLS, {}), (WORSE, {}), "partly"),  # they disagree
        ((FALLS, UNSURE), (WORSE, {}), "undecided"),
        ((FALLS, {}), (KEPT, {}), "reproduced"),  # one of them says nothing
        ((WORSE, {}), (KEPT, {}), "not reproduced"),
        ((KEPT, {}), (KEPT, {}), "not tested"),
    ],
)
def test_all_learning_rates_at_which_adam_loses_must_agree(
    verdict, comparison, one, other, expected
):
    for first, second in ((one, other), (other, one)):
        files = [
            *comparison(first[0], lr=1e-3, **first[1]),
            *comparison(second[0], lr=2.5e-4, **second[1]),
        ]
        assert verdict("rl-minatar", *files) == expected


def test_a_study_of_details_at_the_same_learning_rate_is_not_another_one(
    verdict, comparison
):
    # Fewer methods, with a detail changed, and the opposite outcome.
    for main, detail in (({}, {"sticky": 0.5}), ({"sticky": 0.5}, {})):
        details = comparison(NEEDED | {"adamo": 0.3}, **detail)
        files = [*comparison(FALLS, **main), *details]
        assert verdict("rl-minatar", *files) == "reproduced"


def test_fewer_cycles_are_not_judged_beside_more(verdict, comparison, agents):
    short = [agents(m, scores(x)[:, -3:], lr=0.1) for m, x in WORSE.items()]
    assert verdict("rl-minatar", *comparison(FALLS), *short) == "reproduced"


def test_the_reason_gives_the_loss_the_differences_and_the_other_network(
    comparison, together
):
    late = FALLS | {"adamo_maxmin": 0.9, "maxmin": 0.6}
    found = JUDGES["rl-minatar"](*together(*comparison(late)))
    assert "At lr 0.001 adam changes by -0.5" in found.reason
    assert "adamo minus adam 0.500 [0.500, 0.500], p 0.008; l2_init" in found.reason
    assert "adamo_maxmin minus maxmin 0.300 [0.300, 0.300]" in found.reason
    assert found.reason.endswith("8 seeds.")
    assert found.gap.startswith("2 games (breakout, asterix)")
    kept = JUDGES["rl-minatar"](*together(*comparison(KEPT)))
    assert kept.reason.endswith("it loses nothing.")


def test_the_gap_compares_sizes_with_the_papers(agents):
    _, record = agents("adam", scores(1.0))
    text = judges._size_of_games(record, 8, PAPER_OCTAX)
    assert text.startswith("2 games (breakout, asterix), 0 of the paper's 8; 8 cycles")
    assert "where it has 3; 100 environment steps" in text


def test_returns_without_a_scale_are_not_judged(agents, verdict):
    flat = [agents(m, scores(0.0, first=0.0)) for m in METHODS]
    assert verdict("rl-minatar", *flat) is None


# --- depth ----------------------------------------------------------------------------

PULLED = {"isometry_strength": 10.0}  # 41 relaxation times in a visit of 512 steps


@pytest.fixture
def at_depths(agents, together):
    """Return the judge of depth: (method, depth) -> score of one visit."""

    def judge(late, seeds=8, own=PULLED, init="default", noise=0.0):
        shared = np.linspace(-0.05, 0.05, seeds)[:, None]
        other = noise * (-1.0) ** np.arange(seeds)[:, None]
        files = [
            agents(
                m,
                x + shared + (other if m.startswith("adamo") else 0),
                f"{m}{d}",
                games="breakout",
                depth=d,
                init=init,
                own=own if m.startswith("adamo") else {},
            )
            for (m, d), x in late.items()
        ]
        return JUDGES["rl-depth"](*together(*files))

    return judge


def forms(form, *late):
    return {(form, d): x for d, x in zip((4, 16, 32), late, strict=True)}


DEEP = forms("adam", 0.9, 0.5, 0.4)


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (DEEP | forms("adamo", 0.1, 0.6, 0.5), "reproduced"),  # 4 layers are not asked
        (DEEP | forms("adamo", 0.9, 0.6, 0.4), "partly"),
        (DEEP | forms("adamo", 0.9, 0.4, 0.5), "partly"),
        (DEEP | forms("adamo", 0.9, 0.5, 0.4), "not reproduced"),
        (DEEP | forms("adamo", 0.9, 0.2, 0.2), "not reproduced"),
        (
            DEEP
            | forms("adamo", 0.9, 0.2, 0.2)
            | forms("maxmin", 0.9, 0.5, 0.5)
            | forms("adamo_maxmin", 0.9, 0.7, 0.3),
            "partly",  # MaxMin networks beside MaxMin networks
        ),
        (
            DEEP
            | forms("adamo", 0.9, 0.2, 0.2)
            | forms("maxmin", 0.9, 0.8, 0.8)
            | forms("adamo_maxmin", 0.9, 0.7, 0.7),
            "not reproduced",  # above Adam with ReLU is not enough
        ),
        (forms("adam", 0.9, 0.9, 0.4) | forms("adamo", 0.9, 1, 1), "not tested"),
        (forms("adam", 0.9, 0.5, 0.9) | forms("adamo", 0.9, 1, 1), "not tested"),
    ],
)
def test_adamo_must_be_above_adam_at_both_depths_where_depth_costs(
    at_depths, late, expected
):
    found = at_depths(late)
    assert found.verdict == expected
    if expected == "not tested":
        assert "depth costs nothing here." in found.reason
    else:
        assert "at 16 layers adam is below adam at 4" in found.reason


ABOVE = DEEP | forms("adamo", 0.9, 0.6, 0.6)


def test_a_difference_within_its_interval_is_not_above(at_depths):
    assert at_depths(ABOVE).verdict == "reproduced"
    assert at_depths(ABOVE, noise=0.5).verdict == "not reproduced"


def test_depth_needs_eight_seeds_a_pull_and_agents_that_begin_far_from_isometry(
    at_depths,
):
    assert at_depths(ABOVE, seeds=7) is None
    # A tenth of the pull relaxes too little in a visit.
    assert at_depths(ABOVE, own={"isometry_strength": 1.0}) is None
    assert at_depths(ABOVE, own={**PULLED, "isometry_lr": 1e-4}) is None
    assert at_depths(ABOVE, init="orthogonal") is None
    for missing in (("adam", 4), ("adam", 16), ("adamo", 32)):
        assert at_depths({k: x for k, x in ABOVE.items() if k != missing}) is None


def test_a_store_of_games_leaves_all_other_claims_untested(stored, agents):
    strengths = [{"isometry_strength": s} for s in (0.01, 0.1, 1.0)]
    store = stored(
        *(agents(m, scores(x)) for m, x in FALLS.items()),
        *(agents("adamo", scores(1.0), str(own), own=own) for own in strengths),
    )
    verdicts = judge_all(store)
    tested = {k for k, v in verdicts.items() if v.verdict != "not tested"}
    assert tested == {"rl-minatar"}


def test_a_store_of_games_is_reported_and_no_supervised_comparison(stored, agents):
    # One seed plays Asterix second: its first visit has no return there.
    store = stored(agents("adam", [[1.0]]), agents("fresh", [[1.0]]))
    adam = summary(store, "episodic_return/asterix").set_index("method").loc["adam"]
    assert adam["last"] == pytest.approx(6)
    assert np.isnan(adam["first"])
    assert stored_comparisons(store) == {}
