from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from isometry.adamo import singular_value_flow
from isometry.core.seeding import generator
from isometry_book.c5_adamo import continual, pull
from isometry_book.c5_adamo.strength import (
    KNOWN_SETTINGS,
    departure,
    ends_of_pull,
    flipped_share,
    flow_deviation,
    relax_alone,
    relaxation_table,
    stalled_fraction,
    state_ratio,
)

TINY = continual.Sizes(seeds=2, tasks=2, epochs=2, width=16)


@pytest.fixture(scope="module")
def settings():
    return replace(continual.stream_settings(TINY, "digits"), images_per_task=64)


@pytest.fixture(scope="module")
def pixels(settings):
    return continual.stream_pixels(settings)


def test_record_starts_at_isometry_and_has_one_entry_a_task(settings, pixels):
    record = continual.record_spectra("adam", settings, pixels, [0, 1])
    assert record.steps.tolist() == [0, 4, 8]
    assert record.singular_values.shape == (3, 2, 3, 16)
    assert record.online_accuracy.shape == (2, 2)
    start = record.singular_values[0]
    assert_close(start, torch.ones_like(start))


def test_members_of_a_record_are_the_seeds_alone(settings, pixels):
    both = continual.record_spectra("adamo", settings, pixels, [3, 5])
    alone = continual.record_spectra("adamo", settings, pixels, [5])
    # float32 sums of another order
    assert_close(
        both.singular_values[:, 1], alone.singular_values[:, 0], rtol=1e-4, atol=1e-5
    )


def test_a_fresh_network_starts_every_task_anew(settings, pixels):
    fresh = continual.record_spectra("fresh", settings, pixels, [0])
    adam = continual.record_spectra("adam", settings, pixels, [0])
    assert torch.equal(fresh.singular_values[1], adam.singular_values[1])
    assert not torch.equal(fresh.singular_values[2], adam.singular_values[2])


def test_the_coupled_penalty_reaches_the_weights(settings, pixels):
    weak, strong = (
        continual.record_spectra(
            "adam_isometry", settings, pixels, [0], isometry_strength=strength
        )
        for strength in (0.0, 1.0)
    )
    deviation = [(r.singular_values[-1] - 1).abs().max() for r in (weak, strong)]
    assert deviation[1] < deviation[0]


def test_the_pull_is_relative_to_the_run_without_one():
    numbers = pull.pull_runs(TINY, "digits")
    assert not numbers.duplicated(["seed", "task", "metric"]).any()
    table = pull.pull_table(numbers)
    assert len(table) == 2 * 3 * 4 * 2
    product = 8 * table["lr"] * table["isometry_strength"] * table["steps"]
    assert_close(torch.tensor(table["pull"]), torch.tensor(product))
    strong = table[table["isometry_strength"] == 10.0]
    assert (strong["relative_deviation"] < 1).all()


def test_literal_default_is_in_the_table():
    table = relaxation_table().set_index("setting")
    assert table.loc["paper, supervised, as reported", "relaxation_steps"] == 1.25e6
    assert len(table) == len(KNOWN_SETTINGS)


def test_adamo_alone_follows_the_flow_and_the_coupled_form_ignores_the_strength():
    draw = generator(0, "sigma")
    sigma = torch.rand(8, generator=draw) * 2 + 0.2
    grid = (1e-3, 1e-1)
    flow = {s: flow_deviation(sigma, s, 1e-2, 50) for s in grid}
    adamo = {s: relax_alone(sigma, s, 1e-2, 50, coupled=False) for s in grid}
    coupled = {s: relax_alone(sigma, s, 1e-2, 50, coupled=True) for s in grid}
    assert departure(adamo, flow) < 1.05 < 2 < departure(coupled, flow)
    assert_close(coupled[1e-3], coupled[1e-1], rtol=1e-3, atol=1e-4)


def test_departure_needs_one_grid():
    with pytest.raises(ValueError, match=r"needed \[1.0\], found \[2.0\]"):
        departure({2.0: torch.ones(1)}, {1.0: torch.ones(1)})


def test_the_literal_default_stalls_in_single_precision():
    common = {"strength": 1e-3, "lr": 1e-4, "steps": 100}
    single = stalled_fraction(1.02, dtype=torch.float32, **common)
    double = stalled_fraction(1.02, dtype=torch.float64, **common)
    assert abs(single) < 0.01
    assert double == pytest.approx(1, abs=1e-3)


def test_adamo_keeps_no_state_beside_adams():
    assert state_ratio([5, 4, 3]) == 1


def test_a_method_that_acts_after_each_step_acts_here_too(pixels):
    settings = continual.stream_settings(continual.SIZES.smoke, "digits")
    plain = continual.record_spectra("adam", settings, pixels, [0])
    held = continual.record_spectra("nap", settings, pixels, [0], nap_every=1)
    start, end = held.singular_values[0], held.singular_values[-1]
    norms = [one.square().sum(-1) for one in (start, end, plain.singular_values[-1])]
    torch.testing.assert_close(norms[1], norms[0])
    assert (norms[2] > 1.01 * norms[0]).all()


@pytest.mark.parametrize("every", [1, "auto"])
@pytest.mark.parametrize("start", [0.2, 1.5, 12.0])
def test_ends_of_the_pull_are_those_of_the_flow(every, start):
    flow = singular_value_flow(torch.tensor(start).double(), 3e-4, 10 * 22)
    end = ends_of_pull(start, 0.3, 1e-3, every, 10)
    assert end == pytest.approx(float(flow), abs=0.04 * abs(start - 1))


def test_one_long_step_of_a_large_value_misses_the_flow():
    flow = singular_value_flow(torch.tensor(8.0).double(), 3e-4, 18 * 22)
    assert abs(ends_of_pull(8.0, 0.3, 1e-3, 22, 18) - float(flow)) > 1


def test_signs_flip_only_where_a_step_can_change_one():
    # a = 4 rate: the first step changes the sign if a (sigma^2 - 1) > 1
    assert flipped_share(1 / 12, 2.0) == 0
    rate = 0.09
    edge = (1 + 1 / (4 * rate)) ** 0.5
    first = (2 - edge) / 2  # of the starts; a second flip needs a larger rate
    assert flipped_share(rate, 2.0) == pytest.approx(first, abs=1e-3)
