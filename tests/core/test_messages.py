import pytest

from isometry.core.messages import refusal, unknown
from isometry.core.registry import Registry


def test_a_refusal_says_needed_found_and_what_to_do():
    line = refusal("lr > 0", -1.0, "raise it")
    assert line == "needed lr > 0, found -1.0; raise it"
    assert (
        refusal("a name", "none", "type one") == "needed a name, found none; type one"
    )


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("adma", "adam"), ("adamoo", "adamo"), ("freh", "fresh"), ("ADAM", None)],
)
def test_an_unknown_name_comes_with_the_nearest_known_one(name, nearest):
    line = unknown("method", name, ["fresh", "adamo", "adam"])
    assert f"unknown method {name!r}" in line
    assert line.endswith("known: adam, adamo, fresh")
    assert ("did you mean" in line) is (nearest is not None)
    if nearest:
        assert f"did you mean {nearest!r}?" in line


def test_a_name_unlike_all_others_gets_no_hint():
    line = unknown("game", "zzz", ["breakout", "brix"])
    assert line == "unknown game 'zzz'; known: breakout, brix"


def test_a_registry_keeps_the_order_of_registration():
    registry = Registry("thing")
    for name in ("b", "a", "c"):
        assert registry.register(name, name.upper()) == name.upper()
    assert registry.names() == ("b", "a", "c")
    assert list(registry) == ["B", "A", "C"]
    registry.remove("a")
    assert registry.names() == ("b", "c")


def test_a_registry_may_change_while_it_is_walked_over():
    registry = Registry("thing")
    registry.register("a", 1)
    for value in registry:
        registry.register(f"copy of {value}", value + 1)
    assert registry.names() == ("a", "copy of 1")


def test_what_is_replaced_keeps_its_place():
    registry = Registry("thing")
    for name in ("b", "a", "c"):
        registry.register(name, name.upper())
    assert registry.replace("a", "other") == "other"
    assert registry.names() == ("b", "a", "c")
    assert list(registry) == ["B", "other", "C"]


def test_two_registries_share_nothing():
    Registry("one").register("a", 1)
    assert Registry("two").names() == ()


def filled():
    registry = Registry("method")
    registry.register("adam", 1)
    return registry


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r: r.get("adma"), KeyError, "unknown method 'adma'; did you mean"),
        (lambda r: r.remove("adma"), KeyError, "did you mean 'adam'"),
        (lambda r: r.replace("adma", 2), KeyError, "did you mean 'adam'"),
        (lambda r: r.get(None), TypeError, "the name of a method, found None; pass a"),
        (lambda r: r.get(["adam"]), TypeError, "found ..adam..; pass a string"),
        (lambda r: r.register("adam", 2), ValueError, "'adam' is registered already"),
    ],
)
def test_registry_refusals(call, error, message):
    registry = filled()
    with pytest.raises(error, match=message):
        call(registry)
    assert registry.get("adam") == 1
