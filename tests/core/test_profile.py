from dataclasses import fields

import pytest

from isometry.core.profile import PROFILES, ByProfile, checked_profile

SEEDS = ByProfile(smoke=1, laptop=3, paper=8)


def test_there_is_a_value_for_every_profile_and_no_other():
    assert tuple(field.name for field in fields(ByProfile)) == PROFILES
    assert [SEEDS.of(profile) for profile in PROFILES] == [1, 3, 8]
    with pytest.raises(TypeError, match="paper"):
        ByProfile(smoke=1, laptop=3)


@pytest.mark.parametrize("look", [SEEDS.of, checked_profile])
@pytest.mark.parametrize("name", ["huge", "Smoke", "", "of", "__class__", 3])
def test_an_unknown_profile_is_refused_in_one_line(look, name):
    with pytest.raises(ValueError, match="needed a profile of smoke, laptop, paper, f"):
        look(name)
