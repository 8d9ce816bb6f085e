"""The campaign: each of its files is a command that the command line knows."""

import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from isometry.suites.suite import read_suite
from isometry.sweep.file import read_sweep
from isometry_book.studies import STUDIES

SCRIPT = Path(__file__).parents[2] / "sweeps" / "campaign.py"
FILES = sorted((SCRIPT.parent / "campaign").glob("*.toml"))
command = runpy.run_path(str(SCRIPT))["command"]


def asked(tmp_path, text):
    """Return the command for a file, without Python and its module."""
    path = tmp_path / "file.toml"
    path.write_text(text)
    start, *rest = command(path, "store")
    assert start == sys.executable
    assert rest[:2] == ["-m", "isometry"]
    return [str(word).replace(str(path), "FILE") for word in rest[2:]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[methods.adam]", "sweep FILE --out store"),
        (
            'study = "kernel"\nprofile = "laptop"\ndata = "digits"',
            "study kernel --profile=laptop --data=digits --out store",
        ),
        ('suite = "matched_adamo"', "suite run matched_adamo --out store"),
        (
            'suite = "matched_adamo"\nrows = ["Adam", "CBP"]',
            "suite run matched_adamo --only=Adam --only=CBP --out store",
        ),
    ],
)
def test_a_file_is_a_sweep_a_study_or_a_suite(tmp_path, text, words):
    assert asked(tmp_path, text) == words.split()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_of_the_campaign_names_what_there_is(path):
    content = tomllib.loads(path.read_text())
    if "suite" in content:
        assert read_suite(content["suite"]).only(content.get("rows", []))
        assert content.keys() <= {"suite", "rows"}
    elif "study" in content:
        assert content["study"] in STUDIES.names()
        assert content.keys() == {"study", "profile", "data"}
    else:
        assert read_sweep(path).searches


def test_a_label_with_spaces_reaches_the_suite(tmp_path):
    (tmp_path / "file.toml").write_text(
        'suite = "matched_adamo"\nrows = ["No such row"]'
    )
    done = subprocess.run(
        command(tmp_path / "file.toml", str(tmp_path / "store")),
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "unknown row of suite matched_adamo 'No such row'" in done.stderr
