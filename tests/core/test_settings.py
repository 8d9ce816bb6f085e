"""Settings from text: every conversion, every refusal, and a stable name."""

from dataclasses import FrozenInstanceError, dataclass
from typing import Literal, Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isometry.core.settings import (
    _help_of,
    as_dict,
    changed,
    keys,
    parsed,
    require,
    setting,
    settings_hash,
)


@dataclass(frozen=True, kw_only=True)
class Example:
    lr: float = setting(1e-3, "Learning rate, > 0.")
    steps: int = setting(10, "How many, >= 1.")
    fast: bool = setting(False, "Whether to hurry.")
    kind: Literal["mlp", "cnn"] = setting("mlp", "Kind of network.")
    data: str = setting("mnist", "Data set.")
    isometry_lr: float | None = setting(None, "Rate; none: lr.")

    def __post_init__(self):
        require(self.steps >= 1, "steps", "steps >= 1", self.steps)


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("3", int, 3),
        ("-3", int, -3),
        ("1e-3", float, 1e-3),
        ("3", float, 3.0),
        ("-0.5", float, -0.5),
        ("true", bool, True),
        ("Yes", bool, True),
        ("on", bool, True),
        ("1", bool, True),
        ("false", bool, False),
        ("NO", bool, False),
        ("off", bool, False),
        ("0", bool, False),
        ("mnist", str, "mnist"),
        ("", str, ""),
        ("cnn", Literal["mlp", "cnn"], "cnn"),
        ("none", float | None, None),
        ("Null", Optional[float], None),  # noqa: UP045 - the other spelling
        ("2", float | None, 2.0),
        ("2", int | None, 2),
        ("none", str, "none"),
    ],
)
def test_text_becomes_a_value_of_the_settings_type(text, annotation, value):
    found = parsed(text, annotation, "key")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "annotation", "message"),
    [
        ("1.5", int, "needed a whole number for key, found '1.5'; pass e.g. key=1"),
        ("1e3", int, "needed a whole number for key"),
        ("", int, "needed a whole number for key, found ''"),
        ("none", int, "needed a whole number for key"),
        ("fast", float, "needed a number for key, found 'fast'"),
        ("nan", float, "needed a finite number for key, found 'nan'"),
        ("inf", float, "needed a finite number for key"),
        (f"{2**63}", int, "needed a whole number of 64 bits for key, found '9223372"),
        (f"{-(2**63) - 1}", int | None, "needed a whole number of 64 bits for key"),
        ("-Infinity", float | None, "needed a finite number for key"),
        ("1e999", float, "needed a finite number for key"),
        ("none", float, "needed a number for key"),
        ("maybe", bool, "needed key=true or key=false, found maybe"),
        ("2", bool, "needed key=true or key=false"),
        ("", bool, "needed key=true or key=false"),
        ("mpl", Literal["mlp", "cnn"], "unknown value for key 'mpl'; did you mean"),
        ("x", float | None, "needed a number for key, found 'x'"),
    ],
)
def test_text_that_spells_no_such_value_is_refused(text, annotation, message):
    with pytest.raises(ValueError, match=message):
        parsed(text, annotation, "key")


@given(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
)
def test_a_number_survives_its_spelling(value):
    found = parsed(repr(value), type(value), "key")
    assert found == value
    assert type(found) is type(value)


def test_changes_leave_the_rest_and_the_original_alone():
    before = Example()
    after = changed(before, {"lr": "0.1", "kind": "cnn", "isometry_lr": "2"})
    assert after == Example(lr=0.1, kind="cnn", isometry_lr=2.0)
    assert before == Example()
    assert changed(before, {}) == before


@pytest.mark.parametrize(
    ("values", "same_as"),
    [
        ({"lr": 1}, {"lr": "1.0"}),
        ({"lr": np.float64(0.1)}, {"lr": "0.1"}),
        ({"steps": np.int64(4)}, {"steps": "4"}),
        ({"fast": True}, {"fast": "true"}),
        ({"isometry_lr": None}, {"isometry_lr": "none"}),
    ],
)
def test_a_value_means_what_its_spelling_means(values, same_as):
    first, second = changed(Example(), values), changed(Example(), same_as)
    assert first == second
    assert settings_hash(as_dict(first)) == settings_hash(as_dict(second))


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"steps": 0}, ValueError, "needed steps >= 1, found 0; change steps"),
        ({"steps": "0"}, ValueError, "needed steps >= 1, found 0"),
        ({"steps": 2.5}, ValueError, "needed a whole number for steps, found '2.5'"),
        ({"steps": True}, ValueError, "needed a whole number for steps"),
        ({"steps": None}, ValueError, "needed a whole number for steps"),
        ({"lr": float("inf")}, ValueError, "needed a finite number for lr"),
        ({"lr": [1.0]}, ValueError, "needed a number for lr"),
        ({"fast": 3}, ValueError, "needed fast=true or fast=false"),
        ({"kind": 3}, ValueError, "unknown value for kind '3'"),
        ({"lrr": 1.0}, KeyError, "unknown setting 'lrr'; did you mean 'lr'"),
        ({"lr ": 1.0}, KeyError, "did you mean 'lr'"),
    ],
)
def test_changes_that_do_not_fit_are_refused(values, error, message):
    with pytest.raises(error, match=message):
        changed(Example(), values)


def test_settings_are_frozen_and_keyword_only():
    with pytest.raises(FrozenInstanceError):
        Example().lr = 2.0
    with pytest.raises(TypeError):
        Example(0.1)


def test_keys_and_help_follow_the_fields():
    expected = ("lr", "steps", "fast", "kind", "data", "isometry_lr")
    assert keys(Example) == keys(Example()) == expected
    assert _help_of(Example)["lr"] == "Learning rate, > 0."
    assert tuple(_help_of(Example())) == expected


@dataclass(frozen=True, kw_only=True)
class Grown:
    """Settings of which one came when there were results already."""

    size: int = setting(3, "How many.")
    newer: int = setting(0, "What came later.", later=True)


def test_a_setting_that_came_later_renames_nothing_until_it_is_used():
    assert as_dict(Grown()) == {"size": 3}
    assert as_dict(Grown(newer=2)) == {"size": 3, "newer": 2}
    assert as_dict(Grown(size=0, newer=0)) == {"size": 0}


def test_the_hash_does_not_see_the_order_of_keys_but_that_of_parts():
    assert settings_hash({"a": 1, "b": 2}) == settings_hash({"b": 2, "a": 1})
    assert settings_hash("a", "b") != settings_hash("b", "a")


@pytest.mark.parametrize(
    "change", [{"lr": 1e-4}, {"steps": 11}, {"fast": True}, {"isometry_lr": 1e-3}]
)
def test_the_hash_sees_every_value(change):
    first = settings_hash(as_dict(Example()))
    assert settings_hash(as_dict(changed(Example(), change))) != first


def test_the_hash_stays_what_it_is():
    # The names of all files in results/ would change with it.
    assert settings_hash("permuted_mnist", {"lr": 1e-3, "width": 100}) == "c866215b34"
    assert settings_hash() == "468231a8fc"
