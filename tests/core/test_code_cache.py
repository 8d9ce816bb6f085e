"""Compiled games on disk: found by the next process, never taken for other code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isometry.core import code_cache

# What a new process plays, and how often numba compiled for it.
PLAYS = """
import hashlib, json
import numpy as np
from numba.core import event
from isometry.rl import make_vec
compiled = []
class Compiled(event.Listener):
    def on_start(self, event): compiled.append(str(event.data["dispatcher"]))
    def on_end(self, event): pass
event.register("numba:compile", Compiled())
envs = make_vec("minatar/freeway", 4, seed=0, sticky=0.1)
seen = hashlib.sha256(envs.reset()[0].tobytes())
for actions in np.random.default_rng(0).integers(3, size=(2600, 4)):
    boards, rewards, *_ = envs.step(actions)
    seen.update(boards.tobytes() + rewards.tobytes())
print(json.dumps([len(compiled), seen.hexdigest()]))
"""
LINE = "isometry: compiling minatar_freeway, some seconds, once on a machine\n"


def played(folder, **environment):
    """Play in a new process; return compilations, what was seen, and its stderr."""
    own = {"NUMBA_CACHE_DIR": str(folder), "ISOMETRY_PROGRESS": "1"}
    environment = {**os.environ, **own, **environment}
    done = subprocess.run(
        [sys.executable, "-c", PLAYS],
        env=environment, capture_output=True, check=True, text=True,
    )  # fmt: skip
    return *json.loads(done.stdout), done.stderr


def test_a_machine_compiles_a_game_once_and_says_so(tmp_path):
    compilations, first, said = played(tmp_path)
    assert compilations > 0
    assert said == LINE
    assert played(tmp_path) == (0, first, "")
    # Code that checks bounds is other code, and a broken file is none.
    quiet = {"NUMBA_BOUNDSCHECK": "1", "ISOMETRY_PROGRESS": "0"}
    compilations, *seen = played(tmp_path, **quiet)
    assert compilations > 0
    assert seen == [first, ""]
    for file in (tmp_path / "isometry").iterdir():
        file.write_bytes(file.read_bytes()[:1000])
    assert played(tmp_path)[1:] == (first, LINE)
    assert played(tmp_path) == (0, first, "")


def test_games_are_played_where_nothing_can_be_kept(tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert played(tmp_path / "file")[2] == LINE


def test_code_of_other_rules_has_another_name(monkeypatch, tmp_path):
    monkeypatch.setattr(code_cache, "__file__", str(tmp_path / "core/cache.py"))
    (tmp_path / "rl").mkdir()
    named = {}
    for room in ("rl", "", "core"):
        for step, text in enumerate(("x = 1", "x = 2", "x = 1")):
            (tmp_path / "rl/rules.py").write_text(text)
            code_cache._sources_and_versions.cache_clear()
            named[room, step] = code_cache._sources_and_versions(room)
    code_cache._sources_and_versions.cache_clear()
    for room in ("rl", ""):
        assert named[room, 0] == named[room, 2] != named[room, 1]
    assert named["core", 0] == named["core", 1]


@pytest.mark.parametrize("chosen", ["", "/elsewhere"])
def test_code_stands_in_numbas_folder_or_the_users_cache(chosen, monkeypatch):
    monkeypatch.setattr("numba.config.CACHE_DIR", chosen)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *a, **k: Path("/cache"))
    expected = "/elsewhere/isometry" if chosen else "/cache/code"
    assert code_cache.code_folder() == Path(expected)
