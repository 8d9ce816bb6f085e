import isometry.experiments.adamo_judges as judges
import pandas as pd
import pytest
from isometry.experiments import adamo_pull, adamo_runs, cost_study, partial_study
from isometry.experiments.adamo_pull import pull_table
from isometry.experiments.claims import get
from isometry.experiments.maxmin_training import TIDY

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
    judge = get(key).judge
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
    assert verdict(judges.gram_controls_all, *numbers) == expected


@pytest.mark.parametrize(
    ("adam", "adamo", "seeds", "expected"),
    [
        (0.0, 0.7, 5, "reproduced"),
        (0.3, 0.3, 5, "not reproduced"),
        (0.3, 0.1, 5, "not reproduced"),
        (0.0, 0.7, 4, None),
    ],
)
def test_revival_is_judged_by_units_killed_by_direction(adam, adamo, seeds, expected):
    jitter = [0.001 * seed for seed in range(seeds)]
    frames = [
        rows(
            f"revival_{kill}",
            "fires",
            {
                ("adam", 90): [adam + j for j in jitter],
                ("adamo", 90): [adamo - j for j in jitter],
                ("adamo", 10): [0.0] * seeds,
            },
        )
        for kill in ("direction", "bias", "strong_bias")
    ]
    assert verdict(judges.revival, *frames) == expected


@pytest.mark.parametrize(
    ("follows", "departs", "adamo", "coupled", "expected"),
    [
        (1.1, 13.0, 0.30, 0.29, "reproduced"),
        (1.1, 13.0, 0.28, 0.29, "partly"),
        (1.1, 1.5, 0.30, 0.29, "partly"),
        (2.1, 13.0, 0.28, 0.29, "not reproduced"),
    ],
)
def test_decoupling_is_judged_by_the_flow_and_by_the_best_accuracy(
    follows, departs, adamo, coupled, expected
):
    alone = rows(
        "decoupling_alone",
        "departure",
        {("adamo", 0): [1.0, follows], ("adam_isometry", 0): [departs, 99.0]},
    )
    # The strength is chosen on the first seeds; what others would choose is ignored.
    task = rows(
        "decoupling_task",
        "online_accuracy",
        {
            ("adamo", 0): [0.9] * 3 + [adamo] * 3,
            ("adamo", 1): [0.1] * 3 + [0.99] * 3,
            ("adam_isometry", 0): [0.1] * 3 + [0.99] * 3,
            ("adam_isometry", 1): [0.9] * 3 + [coupled] * 3,
        },
    )
    assert verdict(judges.decoupling, alone, task) == expected


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
    assert verdict(judges.strength, numbers) == expected


def test_what_depends_on_the_pull_alone_is_foretold_by_it_and_by_nothing_else():
    table = pull_table(pulled(lambda lr: lr))
    assert len(table) == 3 * 3 * 3
    # A cubic through eight of nine runs is not the curve itself.
    share = adamo_pull.explained(table, "relative_deviation", "pull").estimate
    assert share > 0.85
    for other in ("lr", "isometry_strength"):
        alone = adamo_pull.explained(table, "relative_deviation", other).estimate
        assert alone < share - 0.1
    assert adamo_pull.rank_with_pull(table, "relative_deviation").estimate == -1


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
    numbers = cost_study.cost_rows(report(time, 1.0, within))
    assert verdict(judges.cost_time, numbers) == expected


@pytest.mark.parametrize(
    ("memory", "expected"), [(1.04, "reproduced"), (1.2, "partly")]
)
def test_memory_is_judged_on_every_network(memory, expected):
    numbers = cost_study.cost_rows(report(1.0, memory))
    assert verdict(judges.cost_memory, numbers) == expected


def test_without_a_report_the_study_of_costs_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="run benchmarks/adamo_step"):
        cost_study.study()


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
        (judges.partial_nap, {}, "reproduced"),
        (judges.partial_nap, {"nap__condition_number_square": 9.0}, "partly"),
        (judges.partial_nap, {"nap__mean_square_square": 1.02}, "partly"),
        (judges.partial_spectral, {}, "reproduced"),
        (judges.partial_spectral, {"spectral__largest_square": 1.02}, "partly"),
        (judges.partial_spectral, {"spectral__smallest_square": 0.011}, "partly"),
        (judges.partial_others, {}, "reproduced"),
        (judges.partial_others, {"l2__ratio_change": 0.1}, "partly"),
        (judges.partial_others, {"l2_init__distance_to_start": 0.1}, "partly"),
        (judges.partial_others, {"layernorm__spectrum_change": 1e-9}, "partly"),
        (judges.partial_others, {"redo__dormant_after": 0.5}, "partly"),
    ],
)
def test_partial_measures_are_judged_by_what_they_move_and_leave(
    judge, changed, expected
):
    assert verdict(judge, forces(**changed)) == expected


@pytest.mark.slow
def test_the_measurements_of_adamo_are_tidy_and_complete():
    frame = adamo_runs.study("smoke", "digits")
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
        found = [r for r in adamo_runs.gram_flow(1, rate) if r[4] == "flow_error"]
        worst.append(max(r[5] for r in found))
    assert worst[1] == pytest.approx(worst[0] / 2, rel=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adamo_runs.run_settings("smok", "digits"), "did you mean 'smoke'"),
        (lambda: adamo_pull.pull_runs("papr", "digits"), "did you mean 'paper'"),
    ],
)
def test_unknown_profiles_of_chapter_five_are_refused(call, message):
    with pytest.raises(KeyError, match=message):
        call()
