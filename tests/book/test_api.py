"""Names that users know stay importable; what moved is in the changelog."""

import importlib
import json
import re
from pathlib import Path

import pytest
from press import ROOT

# What the API page said of the library before its book became a package of its own.
DOCUMENTED = {
    module: names.split()
    for module, names in json.loads(
        Path(__file__).with_name("documented_names.json").read_text()
    ).items()
}
MOVED = {
    "isometry.rl.ppo_settings": "isometry.rl.ppo.settings",
    "isometry.rl.tabular": "isometry.rl.tabular.mdp",
    "isometry.rl.gridworld": "isometry.rl.tabular.gridworld",
    "isometry.rl.improvement": "isometry.rl.tabular.improvement",
    "isometry.experiments.ladders": "isometry.lab.ladders",
    "isometry.experiments.collect": "isometry.lab.collect",
    "isometry.experiments.comparison": "isometry.lab.comparison",
    "isometry.experiments.returns": "isometry.lab.returns",
    "isometry.experiments.games_comparison": "isometry.lab.games_comparison",
    "isometry.supervised.PROFILES": "isometry.core.profile",
}
# Used by their own file alone: private now.
GONE = set(DOCUMENTED.pop("gone since"))


def lost(module, names):
    """Return the names that are not where they are said to be today."""
    found = []
    for name in names:
        place = MOVED.get(f"{module}.{name}", MOVED.get(module, module))
        if not hasattr(importlib.import_module(place), name):
            found.append(name)
    return found


@pytest.mark.parametrize("module", DOCUMENTED)
def test_a_name_that_was_documented_is_importable_from_todays_place(module):
    assert set(lost(module, DOCUMENTED[module])) <= GONE


def test_what_is_called_gone_is_gone():
    gone = {name for item in DOCUMENTED.items() for name in lost(*item)}
    assert gone == GONE


def test_the_changelog_names_every_module_that_moved():
    text = (ROOT / "CHANGELOG.md").read_text()
    for new in MOVED.values():
        package = new.rpartition(".")[0]
        assert new in text or package in text, new


def test_every_module_of_the_api_page_is_there_and_says_what_it_is():
    page = (ROOT / "book" / "api.md").read_text()
    modules = re.findall(r"automodule:: (\S+)", page)
    assert len(modules) > 20
    assert [m for m in modules if not importlib.import_module(m).__doc__] == []
