"""The model of drift and pull, against its own closed form and made-up runs."""

import numpy as np
import pandas as pd
import pytest

from isometry_book.c5_adamo.drift import (
    _drift_of,
    _simulated_deviations,
    misses,
    with_models,
)

STEPS, TASKS = 20, 3


def made_up(free, rates=(1e-3,), strengths=(0.3, 3.0)):
    """Return runs that keep what the simulation says, at given deviations."""
    rows = []
    for lr in rates:
        drift = _drift_of(free, TASKS, STEPS)
        without = _simulated_deviations(drift, 0.0, TASKS, STEPS)
        for strength in strengths:
            kept = _simulated_deviations(drift, lr * strength, TASKS, STEPS)
            for task in range(TASKS):
                steps = STEPS * (task + 1.0)
                rows.append(
                    {
                        "seed": 0,
                        "lr": lr,
                        "isometry_strength": strength,
                        "steps": steps,
                        "pull": 8 * lr * strength * steps,
                        "deviation": kept[task],
                        "relative_deviation": kept[task] / without[task],
                    }
                )
    return pd.DataFrame(rows)


def test_drift_is_the_one_that_ends_at_the_deviation():
    drift = _drift_of(1.3, TASKS, STEPS)
    end = _simulated_deviations(drift, 0.0, TASKS, STEPS)[-1]
    assert end == pytest.approx(1.3, rel=1e-4)


def test_simulation_without_a_pull_adds_up_independent_tasks():
    found = _simulated_deviations(1e-5, 0.0, 4, STEPS)
    # of 1,280 values: standard errors of some percent
    np.testing.assert_allclose(found / found[0], np.arange(1, 5) ** 0.5, rtol=0.08)


def test_both_models_agree_on_small_deviations_and_part_on_large_ones():
    small, large = (with_models(made_up(free)) for free in (1e-3, 12.0))
    np.testing.assert_allclose(small["simulated"], small["relative_deviation"])
    # finite steps and finite draws
    np.testing.assert_allclose(small["closed_form"], small["simulated"], rtol=0.05)
    parted = large["closed_form"] - large["simulated"]
    assert (parted > 0.01).all()  # the pull on large values is stronger


def test_misses_are_zero_where_the_model_is_right():
    table = with_models(made_up(5.0, rates=(1e-3, 2e-3, 4e-3)))
    right, wrong = misses(table, "simulated"), misses(table, "closed_form")
    assert right["share"] == pytest.approx(1)
    assert max(right[name] for name in ("slow", "middle", "fast")) < 1e-9
    assert wrong["share"] < right["share"]
    apart = table[table["lr"] == 4e-3]
    apart = apart["relative_deviation"] - apart["closed_form"]
    assert wrong["fast"] == pytest.approx((apart**2).mean() ** 0.5)
