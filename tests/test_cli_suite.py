"""The command line's suites: what it prints, what it refuses, how it ends."""

import json
import runpy
import shutil
from pathlib import Path

import pytest

from isometry.cli import main

ROOT = Path(__file__).parents[1]
conftest = runpy.run_path(str(ROOT / "tests" / "suites" / "conftest.py"))
HERE = "--workers 0 --device cpu --out store"


@pytest.fixture
def isometry(capsys, monkeypatch, tmp_path):
    """Return a function that runs a command and returns (status, out, err)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("isometry.suites.suite.FOLDER", tmp_path)
    (tmp_path / "small.toml").write_text(conftest["SMALL"])
    (tmp_path / "published.toml").write_text("")

    def command(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["suite", *arguments[:-1], *arguments[-1].split()])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lst"], 'Unknown command "lst". Did you mean "list"?'),
        (["show"], "requires an argument"),
        (["show smal"], "unknown suite 'smal'; did you mean 'small'? known: small, "),
        (["show small --format html"], "html"),
        (["run smal"], "unknown suite 'smal'; did you mean 'small'?"),
        (["run small --only Adm"], "unknown row of suite small 'Adm'; did you mean"),
        (["run small --workers=-1"], "needed --workers >= 0, found -1"),
        (["run small --device tpu"], "needed a device auto, cpu or cuda, found tpu"),
        ([f"run small {HERE}/small.toml"], "store/small.toml"),
    ],
)
def test_every_refusal_is_one_line(isometry, tmp_path, arguments, message):
    if arguments[-1].endswith("store/small.toml"):
        (tmp_path / "store").write_text("not a folder")
    status, out, err = isometry(*arguments)
    assert status == 2
    assert err.startswith("isometry: ")
    assert err.count("\n") == 1
    assert message in err
    assert out == ""


def test_a_row_that_cannot_be_is_named_by_the_list(isometry, tmp_path):
    bad = conftest["SMALL"].replace("lr = 1e-2", "lrr = 1e-2")
    (tmp_path / "small.toml").write_text(bad)
    status, out, err = isometry("list")
    assert (status, out) == (2, "")
    assert err.startswith("isometry: suite small, row Adam: unknown setting ")
    assert err.count("\n") == 1


def test_the_list_names_suites_and_reductions(isometry):
    status, out, err = isometry("list")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "small          A small table, 3 rows",
        "small-reduced  A small table, reduced, 3 rows",
    ]


def test_a_run_prints_the_table_and_a_second_one_the_same(isometry):
    run = ["run", "small", "--only", "Adam", "--only", "L2 Init, slower", HERE]
    status, out, err = isometry(*run)
    assert (status, err) == (0, "")
    assert out.startswith("A small table\nTwo tasks of the digits.\nAll rows: data=dig")
    assert "Adam: wider" in out
    assert out.count("not run yet") == 2
    assert isometry(*run) == (0, out, "")
    assert isometry("show small --out store") == (0, out, "")
    _, text, _ = isometry("show small --out store --format json")
    rows = json.loads(text)
    assert [row["seeds"] for row in rows] == ["3 of 3", "2 of 2", "0 of 3"]
    shutil.rmtree("store")


def test_a_row_that_fails_ends_with_status_one_and_a_line_each(isometry, tmp_path):
    bad = conftest["SMALL"].replace("width = 9", "images_per_task = 9999")
    (tmp_path / "small.toml").write_text(bad)
    status, out, err = isometry(f"run small {HERE}")
    assert status == 1
    lines = err.splitlines()
    assert lines[0] == ("isometry: 1 run failed twice; the same command tries again")
    assert "L2 Init, slower" in lines[1]
    assert len(lines) == 2
    assert out.count("not run yet") == 2
