"""Shares of what was lost, rates tuned anew, and correlations kept apart."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from isometry.core.seeding import numpy_generator
from isometry_book.interventions import correlations, report


@pytest.fixture
def draw():
    return numpy_generator(0, "test interventions")


def test_a_share_is_0_if_nothing_comes_back_and_1_if_all_does():
    worn, fresh = np.array([0.5, 0.6]), np.array([0.9, 0.8])
    assert report._shares(worn, worn, fresh).tolist() == [0, 0]
    assert report._shares(worn, fresh, fresh).tolist() == [1, 1]
    half = report._shares(worn, (worn + fresh) / 2, fresh)
    np.testing.assert_allclose(half, 0.5)
    beyond = report._shares(worn, 2 * fresh - worn, fresh)
    np.testing.assert_allclose(beyond, 2)


@pytest.mark.parametrize("lost", [0.0, 0.009, -0.2])
def test_a_seed_that_lost_nothing_has_no_share(lost):
    found = report._shares([0.5, 0.5], [0.6, 0.6], [0.5 + lost, 1.0])
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(0.2)


def test_the_share_over_seeds_has_an_interval_around_it(draw):
    worn = np.linspace(0.4, 0.5, 8)
    fresh, after = worn + 0.2, worn + np.linspace(0.05, 0.15, 8)
    found = report._returned(worn, after, fresh, draw)
    assert found.estimate == pytest.approx(0.5)
    assert 0.25 <= found.low < 0.5 < found.high <= 0.75
    assert found.num_seeds == 8


def test_where_nothing_was_lost_nothing_is_reported(draw):
    worn = np.linspace(0.4, 0.5, 8)
    assert report._returned(worn, worn + 0.1, worn, draw) is None
    assert report._returned(worn, worn + 0.1, worn - 0.2, draw) is None
    scattered = worn + np.array([0.3, -0.3] * 4) + 0.01
    assert report._returned(worn, worn + 0.1, scattered, draw) is None


def test_seeds_without_a_loss_are_left_out_and_counted(draw):
    worn = np.full(8, 0.5)
    fresh = np.array([0.5] + 7 * [0.9])
    found = report._returned(worn, worn + 0.1, fresh, draw)
    assert found.num_seeds == 7
    assert found.estimate == pytest.approx(0.25)


def test_scores_that_do_not_belong_together_are_refused(draw):
    with pytest.raises(ValueError, match="each seed"):
        report._shares([0.5, 0.5], [0.5], [0.9, 0.9])
    with pytest.raises(ValueError, match="least > 0"):
        report._shares([0.5], [0.5], [0.9], least=0.0)


def forks(values, metric="online_accuracy"):
    """Return a tidy frame from method -> (seeds,), at age 3."""
    rows = [
        (method, seed, 3, metric, value)
        for method, scores in values.items()
        for seed, value in enumerate(scores)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "task", "metric", "value"])


def test_the_table_holds_every_intervention_and_no_new_network():
    worn = np.array([0.3, 0.4, 0.5])
    values = {"nothing": worn, "fresh": worn + 0.4, "scale": worn + 0.1}
    table = report.returned_table(forks({**values, "fresh_rate_1": worn}))
    assert table["intervention"].tolist() == ["scale"]
    assert table["share"].item() == pytest.approx(0.25)
    assert table["seeds"].item() == 3
    none = report.returned_table(forks({**values, "fresh": worn}))
    assert none["share"].isna().all()


def test_a_loss_that_falls_back_to_that_of_new_networks_has_come_back():
    worn = np.array([1.3, 1.4, 1.5])
    values = {"nothing": worn, "fresh": worn - 0.4, "scale": worn - 0.1}
    table = report.returned_table(forks(values, "final_loss"), "final_loss")
    assert table["share"].item() == pytest.approx(0.25)
    values["fresh"] = worn + 0.4
    table = report.returned_table(forks(values, "final_loss"), "final_loss")
    assert table["share"].isna().all()


def test_an_intervention_that_was_not_run_is_refused():
    with pytest.raises(KeyError, match="did you mean 'fresh'"):
        report.scores_of(forks({"fresh": [1.0]}), "fesh", 3, "plasticity")


def test_a_rate_is_chosen_by_the_other_seeds():
    scores = np.array([[0.9, 0.1, 0.1], [0.5, 0.5, 0.5]])
    for seed in range(3):
        others = np.delete(scores, seed, axis=1).mean(1)
        expected = scores[others.argmax(), seed]
        assert report._at_best_rate(scores)[seed] == expected
    with pytest.raises(ValueError, match="two seeds"):
        report._at_best_rate([[1.0], [2.0]])


def test_a_loss_that_another_step_size_undoes_is_none_after_tuning():
    worn = np.array([0.30, 0.31, 0.32, 0.33])
    frame = forks(
        {
            "nothing": worn,
            "fresh": worn + 0.4,
            "rate_0.001": worn,
            "rate_0.01": worn + 0.4,
            "fresh_rate_0.001": worn + 0.4,
            "fresh_rate_0.01": worn + 0.2,
        }
    )
    found = report.loss_by_rate(frame, 3)
    assert found["usual"].estimate == pytest.approx(0.4)
    assert found["tuned"].estimate == pytest.approx(0.0)
    assert found["by_tuning"].estimate == pytest.approx(0.4)


# --- Correlations, three times apart --------------------------------------------------


def test_rank_correlation_is_spearmans_also_with_ties():
    normal = numpy_generator(0, "ranks").normal
    first, second = normal(size=(5, 9)).round(1), normal(size=(5, 9)).round(1)
    expected = [spearmanr(*pair).statistic for pair in zip(first, second, strict=True)]
    np.testing.assert_allclose(
        correlations._rank_correlation(first, second), expected, atol=1e-12
    )


def test_what_does_not_vary_goes_with_nothing():
    assert correlations._rank_correlation(np.ones(4), np.arange(4)) == 0


def simpson(seeds=8, ages=6, methods=3):
    """Return predictor and target that agree over time and disagree elsewhere."""
    age = np.arange(ages)[None, None, :] * 1.0
    seed = np.arange(seeds)[None, :, None] * 10.0
    method = np.arange(methods)[:, None, None] * 1000.0
    return age + seed + method, age - seed + method


def test_the_three_correlations_are_told_apart():
    first, second = simpson()
    assert correlations._over_time(first, second) == pytest.approx(1)
    assert correlations._across_seeds(first, second) == pytest.approx(-1)
    assert correlations._across_methods(first, second) == pytest.approx(1)
    assert correlations._over_time(first, -second) == pytest.approx(-1)


def test_each_correlation_is_the_mean_of_plain_ones():
    normal = numpy_generator(1, "plain").normal
    first, second = normal(size=(3, 3, 7)), normal(size=(3, 3, 7))

    def spearman(x, y):
        return spearmanr(x, y).statistic

    pairs = [(m, s) for m in range(3) for s in range(3)]
    over_time = [spearman(first[m, s], second[m, s]) for m, s in pairs]
    assert correlations._over_time(first, second) == pytest.approx(np.mean(over_time))
    seeds = [
        spearman(first[m, :, a], second[m, :, a]) for m in range(3) for a in range(7)
    ]
    assert correlations._across_seeds(first, second) == pytest.approx(np.mean(seeds))
    methods = [
        spearman(first[:, s, a], second[:, s, a]) for s in range(3) for a in range(7)
    ]
    assert correlations._across_methods(first, second) == pytest.approx(
        np.mean(methods)
    )


def test_intervals_draw_seeds_whole(draw):
    first, second = simpson()
    for statistic, sign in (
        (correlations._over_time, 1),
        (correlations._across_methods, 1),
    ):
        found = correlations._over_seeds(statistic, first, second, draw)
        assert found.low == found.high == found.estimate == pytest.approx(sign)
        assert found.num_seeds == 8
    found = correlations._over_seeds(correlations._across_seeds, first, second, draw)
    # Seeds drawn twice are ties in both, so that the correlation stays perfect.
    assert found.low == pytest.approx(-1)


@pytest.mark.parametrize(
    "statistic", [correlations._over_time, correlations._across_methods]
)
def test_what_each_seed_gives_once_is_what_it_gives_in_every_draw(
    statistic, monkeypatch
):
    first, second, other = numpy_generator(3, "seeds").normal(size=(3, 3, 6, 5))

    def found():
        draw = numpy_generator(4, "draws")
        return correlations._over_seeds(statistic, first, second, draw, other)

    once = found()
    monkeypatch.setattr(correlations, "EACH", {})
    assert found() == once


def test_a_difference_is_of_absolute_values_and_paired(draw):
    first, second = simpson()
    noise = numpy_generator(2, "noise").normal(size=first.shape)
    args = (correlations._over_time, -first, second, draw)
    found = correlations._over_seeds(*args, other=first)
    assert found.low == found.high == pytest.approx(0), "1 - 1, not -1 - 1"
    better = correlations._over_seeds(*args, other=noise)
    assert better.low > 0
    assert better.estimate == pytest.approx(
        1 - abs(correlations._over_time(noise, second))
    )


def worn_frame(missing=()):
    first, second = simpson(seeds=4, ages=3)
    names = ["adam", "adamo", "maxmin"]
    rows = [
        (name, seed, 5 * age, metric, values[m, seed, age])
        for metric, values in (("kappa", first), ("plasticity", second))
        for m, name in enumerate(names)
        for seed in range(4)
        for age in range(3)
        if (metric, age) not in missing
    ]
    columns = ["method", "seed", "task", "metric", "value"]
    return pd.DataFrame(rows, columns=columns), names


def test_correlations_of_a_frame_are_named_by_question_and_method():
    frame, names = worn_frame()
    found = correlations.correlations(frame, "kappa", names, [0, 5, 10])
    assert set(found) == {
        *(f"over_time/{n}" for n in names),
        *(f"across_seeds/{n}" for n in names),
        "over_time",
        "across_seeds",
        "across_methods",
    }
    assert found["over_time/adam"].estimate == pytest.approx(1)
    assert found["across_seeds/maxmin"].estimate == pytest.approx(-1)
    assert found["across_seeds"].estimate == pytest.approx(-1)
    beside = correlations.correlations(frame, "kappa", names, [0, 5, 10], other="kappa")
    assert all(x.estimate == x.low == x.high == 0 for x in beside.values())


def test_ages_without_the_predictor_are_refused():
    frame, names = worn_frame(missing=[("kappa", 0)])
    with pytest.raises(ValueError, match="choose other ages"):
        correlations.correlations(frame, "kappa", names, [0, 5])
    found = correlations.correlations(frame, "kappa", names, [5, 10])
    assert found["over_time/adam"].estimate == pytest.approx(1)
