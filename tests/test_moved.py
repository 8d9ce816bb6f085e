"""Old paths lead to today's modules, with a warning, and take nothing else along."""

import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from isometry import experiments
from isometry.moved import MOVED, NAMES


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_an_old_path_is_todays_module(monkeypatch, old, new):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{old} is called {new} today"):
        found = import_module(old)
    assert found is import_module(new)
    assert found.__name__ == found.__spec__.name == new


@pytest.mark.parametrize("room", NAMES)
def test_names_of_a_room_that_was_one_module_are_found(room):
    module, names = NAMES[room]
    for name in names:
        with pytest.warns(DeprecationWarning, match=f"{name} is called {module}"):
            found = getattr(import_module(room), name)
        assert found is getattr(import_module(module), name)
    with pytest.raises(AttributeError, match=f"'{room}' has no attribute 'nothing'"):
        import_module(room).nothing  # noqa: B018


def test_no_old_path_hides_a_module_of_today():
    assert set(MOVED.values()) & set(MOVED) == set()
    # Where something stands under an old path again, the path has left the table.
    loaders = {old: find_spec(old).loader for old in MOVED if old not in sys.modules}
    assert {type(loader).__name__ for loader in loaders.values()} <= {"_OldPaths"}


def test_names_of_the_front_stay_when_an_old_module_is_called_alike(monkeypatch):
    for name in ("profiles", "report", "run", "sweep"):
        old = f"isometry.experiments.{name}"
        monkeypatch.delitem(sys.modules, old, raising=False)
        with pytest.warns(DeprecationWarning, match=old):
            import_module(old)
        assert getattr(experiments, name).__module__ == MOVED[old]


def test_a_path_that_never_was_is_refused_as_ever():
    with pytest.raises(ModuleNotFoundError, match="stores"):
        import_module("isometry.experiments.stores")
