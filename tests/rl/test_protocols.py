"""The protocols follow from their settings, and what is none is refused."""

from dataclasses import replace

import pytest

from isometry.rl.protocols import PAPER_MINATAR, PAPER_OCTAX, protocol_table


@pytest.mark.parametrize(
    ("protocol", "visits", "updates", "gradient_steps"),
    [(PAPER_MINATAR, 80, 58, 29696), (PAPER_OCTAX, 24, 306, 39168)],
)
def test_counts_follow_from_the_settings(protocol, visits, updates, gradient_steps):
    assert protocol.visits == visits
    assert protocol.updates == updates
    assert protocol.gradient_steps == gradient_steps
    steps = protocol.updates * protocol.num_envs * protocol.rollout_length
    assert 0 <= steps - protocol.env_steps < steps / protocol.updates


def test_table_shows_every_setting_of_every_protocol():
    table = protocol_table(PAPER_MINATAR, PAPER_OCTAX)
    assert list(table.columns) == ["MinAtar", "Octax"]
    assert not table.isna().any(axis=None)
    assert table.loc["environment steps a seed"].tolist() == [
        "1,200,000,000",
        "120,000,000",
    ]
    assert table.loc["learning rate, constant"].tolist() == ["0.00025", "0.0005"]
    assert table.loc["games of a cycle", "MinAtar"].endswith("space invaders, freeway")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cycles": 0}, "cycles > 0"),
        ({"lr": -1.0}, "lr > 0"),
        ({"lr": float("nan")}, "lr > 0"),
        ({"discount": 1.5}, "discount <= 1"),
        ({"games": ()}, "at least one game"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(PAPER_MINATAR, **change)
