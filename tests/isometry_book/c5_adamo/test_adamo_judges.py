import numpy as np
import pandas as pd
import pytest

import isometry_book.c5_adamo.judge as judges
from isometry.lab.store import TIDY
from isometry_book.c5_adamo import cost, forms, partial_study, pull, revival_judge
from isometry_book.c5_adamo.pull import pull_table
from isometry_book.c5_adamo.study import ADAMO, COST
from isometry_book.claims.claim import JUDGES

CLAIMS = (
    "gram-controls-all",
    "strength",
    "decoupling",
    "revival",
    "cost-memory",
    "cost-time",
    "partial-nap",
    "partial-spectral",
    "partial-others",
)


def rows(benchmark, metric, values):
    """Return tidy numbers from (method, task) -> one value a seed."""
    return pd.DataFrame(
        [
            (benchmark, method, seed, task, metric, value)
            for (method, task), seeds in values.items()
            for seed, value in enumerate(seeds)
        ],
        columns=TIDY,
    )


def verdict(judge, *frames):
    found = judge(pd.concat(frames, ignore_index=True), [])
    return found and found.verdict


@pytest.mark.parametrize("key", CLAIMS)
def test_every_claim_of_chapter_five_has_its_judge_and_none_without_numbers(key):
    judge = JUDGES[key]
    assert judge is not None
    assert judge(pd.DataFrame(columns=TIDY), []) is None


@pytest.mark.parametrize(
    ("flow", "end", "expected"),
    [
        (9e-4, 9e-7, "reproduced"),
        (2e-3, 9e-7, "partly"),
        (9e-4, 2e-6, "partly"),
        (2e-3, 2e-6, "not reproduced"),
    ],
)
def test_the_gram_penalty_is_judged_by_the_worst_shape(flow, end, expected):
    shapes = ("tall", "wide", "square")
    errors, ends = ({(s, 0): [1e-9, 1e-9] for s in shapes} for _ in "fe")
    errors["wide", 0], ends["tall", 0] = [1e-9, flow], [end, 1e-9]
    numbers = (
        rows("gram_flow", "flow_error", errors),
        rows("gram_flow", "end_error", ends),
    )
    assert verdict(judges._gram_controls_all, *numbers) == expected


def killed(adam=0.0, adamo=0.7, seeds=5):
    """Return the shares of killed units that fire in the end, of both methods."""
    jitter = 0.001 * np.arange(seeds)
    values = {("adam", 90): adam + jitter, ("adamo", 90): adamo - jitter}
    values["adamo", 10] = np.zeros(seeds)
    return [
        rows(f"revival_{kill}", "fires", values)
        for kill in ("direction", "bias", "strong_bias")
    ]


def died(adam, adamo, stream="permuted_mnist", seeds=5):
    """Return the shares of units that died by themselves and live after ten tasks."""
    jitter = 0.001 * np.arange(seeds)
    values = {("adam", 10): adam + jitter, ("adamo_1", 10): adamo - jitter}
    values |= {("adamo_1", 3): 0 * jitter, ("adamo_10", 10): 0 * jitter + 0.9}
    return [rows(f"deaths_{stream}", "alive", values)]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (killed() + died(0.0, 0.2), "reproduced"),
        (killed(0.3, 0.3) + died(0.0, 0.2), "partly"),
        (killed() + died(0.2, 0.1), "partly"),
        (killed() + died(0.0, 0.09), "partly"),  # less than a tenth
        (killed() + died(0.0, 0.2) + died(0.2, 0.2, "other"), "partly"),  # one of two
        (killed(0.3, 0.1) + died(0.2, 0.1), "not reproduced"),
        (killed(), "not tested"),  # nothing is known of natural deaths
        (killed() + died(0.0, 0.2, seeds=4), "not tested"),
        (killed(seeds=4) + died(0.0, 0.2), None),
        (died(0.0, 0.2), None),
    ],
)
def test_revival_is_judged_by_killed_units_and_by_those_that_died(numbers, expected):
    assert verdict(revival_judge._revival, *numbers) == expected


def test_seeds_without_dead_units_do_not_count_in_revival():
    (frame,) = died(0.0, 0.2, seeds=8)
    fewer = frame[~((frame["seed"] > 4) & (frame["method"] == "adam"))]
    adam, adamo, gap = revival_judge._natural_deaths(fewer)["permuted_mnist"]
    assert gap.num_seeds == 5
    assert adam == pytest.approx(0.002)
    assert adamo == pytest.approx(0.198)


def pulled(deviation, relative=lambda pull: 1 / (1 + pull)):
    """Return tidy numbers of a grid in which the deviations follow given laws."""
    found, combination = [], 0
    for lr in (1e-3, 2e-3, 4e-3):
        for strength in (0.0, 1.0, 5.0, 25.0):
            for seed in range(3):
                pull = 8 * lr * strength * 100
                own = {
                    "lr": lr,
                    "isometry_strength": strength,
                    "steps": 100.0,
                    "online_accuracy": 0.5 + 0.01 * seed + 0.001 * strength,
                    "deviation": deviation(lr) * relative(pull),
                }
                found += [
                    ("adamo_pull", "adamo", seed, combination, metric, value)
                    for metric, value in own.items()
                ]
            combination += 1
    return pd.DataFrame(found, columns=TIDY)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (pulled(lambda lr: 1.0), "reproduced"),
        (pulled(lambda lr: lr**3), "partly"),
        (pulled(lambda lr: 1.0, lambda pull: 1 + (7 * pull) % 1), "not reproduced"),
        (pulled(lambda lr: 1.0).query("seed < 2"), None),
    ],
)
def test_strength_is_judged_by_the_rank_correlation_with_the_pull(numbers, expected):
    assert verdict(judges._strength, numbers) == expected


def test_what_depends_on_the_pull_alone_is_foretold_by_it_and_by_nothing_else():
    table = pull_table(pulled(lambda lr: lr))
    assert len(table) == 3 * 3 * 3
    # A cubic through eight of nine runs is not the curve itself.
    share = pull.explained(table, "relative_deviation", "pull").estimate
    assert share > 0.85
    for other in ("lr", "isometry_strength"):
        alone = pull.explained(table, "relative_deviation", other).estimate
        assert alone < share - 0.1
    assert pull.rank_with_pull(table, "relative_deviation").estimate == -1


def report(time, memory, within=True):
    """Return a report as the benchmark writes it, of two networks."""
    timed = {
        "AdamO": {"ratio": 2.0},
        "AdamO, every 10": {"ratio": time},
        "AdamO, auto": {"ratio": 1.5},
    }
    network = {"time": timed, "memory": {"ratio": 1.01}}
    other = {"time": timed, "memory": {"ratio": memory}}
    curve = {"interval": [-0.01, 0.01], "within_seed_noise": within}
    settings = {"literal": {}, "every 10": curve, "auto": curve}
    return {
        "networks": {"large": network, "small": other},
        "learning_curves": {"settings": settings},
    }


@pytest.mark.parametrize(
    ("time", "within", "expected"),
    [
        (1.09, True, "reproduced"),
        (1.2, True, "not reproduced"),
        (1.09, False, "not reproduced"),
    ],
)
def test_time_is_judged_by_settings_that_learn_the_same(time, within, expected):
    numbers = cost._cost_rows(report(time, 1.0, within))
    assert verdict(judges._cost_time, numbers) == expected


@pytest.mark.parametrize(
    ("memory", "expected"), [(1.04, "reproduced"), (1.2, "partly")]
)
def test_memory_is_judged_on_every_network(memory, expected):
    numbers = cost._cost_rows(report(1.0, memory))
    assert verdict(judges._cost_memory, numbers) == expected


def test_without_a_report_the_study_of_costs_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="run benchmarks/adamo_step"):
        COST.at("paper", "digits")


def forces(**changed):
    """Return tidy numbers of the partial measures that meet all criteria, changed."""
    start = {"mean_square": 3.0, "largest": 4.0, "smallest": 0.01, "condition": 400.0}
    ends = {
        ("nap", "mean_square_square"): 1.001,
        ("nap", "condition_number_square"): 400.0,
        ("spectral", "largest_square"): 1.004,
        ("spectral", "smallest_square"): 0.01,
        ("l2", "mean_square_square"): 1e-9,
        ("l2", "ratio_change"): 1e-12,
        ("l2_init", "distance_to_start"): 1e-6,
        ("l2_init", "ratio_change"): 1.0,
        ("layernorm", "spectrum_change"): 0.0,
        ("layernorm", "scale_effect"): 1e-12,
        ("layernorm", "ratio_change"): 0.0,
        ("redo", "dormant_before"): 0.4,
        ("redo", "dormant_after"): 0.1,
        ("redo", "ratio_change"): 1.0,
        ("redo", "condition_number_square"): 1e9,
    }
    ends |= {tuple(key.split("__")): value for key, value in changed.items()}
    frames = []
    for (method, metric), value in ends.items():
        at = {(method, 99): [value]}
        begin = next((v for k, v in start.items() if metric.startswith(k)), None)
        if begin is not None:
            at[method, 0] = [begin]
        frames.append(rows(partial_study.BENCHMARK, metric, at))
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize(
    ("judge", "changed", "expected"),
    [
        (judges._partial_nap, {}, "reproduced"),
        (judges._partial_nap, {"nap__condition_number_square": 9.0}, "partly"),
        (judges._partial_nap, {"nap__mean_square_square": 1.02}, "partly"),
        (judges._partial_spectral, {}, "reproduced"),
        (judges._partial_spectral, {"spectral__largest_square": 1.02}, "partly"),
        (judges._partial_spectral, {"spectral__smallest_square": 0.011}, "partly"),
        (judges._partial_others, {}, "reproduced"),
        (judges._partial_others, {"l2__ratio_change": 0.1}, "partly"),
        (judges._partial_others, {"l2_init__distance_to_start": 0.1}, "partly"),
        (judges._partial_others, {"layernorm__spectrum_change": 1e-9}, "partly"),
        (judges._partial_others, {"layernorm__scale_effect": 1e-3}, "partly"),
        (judges._partial_others, {"redo__dormant_after": 0.5}, "partly"),
    ],
)
def test_partial_measures_are_judged_by_what_they_move_and_leave(
    judge, changed, expected
):
    assert verdict(judge, forces(**changed)) == expected


@pytest.mark.slow
def test_the_measurements_of_adamo_are_tidy_and_complete():
    frame = ADAMO.at("smoke", "digits")
    assert list(frame.columns) == TIDY
    key = ["benchmark", "method", "seed", "task", "metric"]
    assert not frame.duplicated(key).any()
    assert set(frame["benchmark"]) == {
        "gram_flow",
        "decoupling_alone",
        "decoupling_task",
    }


def test_discrete_steps_come_closer_to_the_flow_as_the_rate_falls():
    worst = []
    for rate in (4e-3, 2e-3):
        found = [r for r in forms._gram_flow(1, rate) if r[4] == "flow_error"]
        worst.append(max(r[5] for r in found))
    assert worst[1] == pytest.approx(worst[0] / 2, rel=0.1)


def test_the_spectral_penalty_is_judged_at_the_steps_chosen_before():
    steps = judges.SPECTRAL_STEPS
    rows = [
        ("partial_measures", "spectral", 0, task, f"{which}_square", value)
        for which, values in (("largest", (2.0, 1.03, 1.0)), ("smallest", (0.5,) * 3))
        for task, value in zip((0, steps, 2 * steps), values, strict=True)
    ]
    found = judges._partial_spectral(pd.DataFrame(rows, columns=TIDY), [])
    assert found.verdict == "partly"
    assert f"after {steps} steps" in found.reason
