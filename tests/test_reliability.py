"""The attacks of ``benchmarks/reliability.py`` in short, and their page."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from isometry.lab.store import COLUMNS, write_file

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
# Name -> tries that take seconds in all; the rest needs workers, a cluster or a disk.
SHORT = {
    "kill_supervised": 4,
    "interrupt": 10,
    "damage_checkpoints": 25,
    "damage_results": 25,
    "limit_files": 3,
    "nonsense_lines": 30,
    "nonsense_files": 30,
}
REST = {
    "kill_image": 4,
    "kill_target": 4,
    "kill_games": 4,
    "kill_sweep": 4,
    "kill_dask": 4,
    "interrupt": 14,
    "fill_disk": 3,
}


@pytest.fixture
def attacks(monkeypatch):
    """Let the attacks be imported."""
    monkeypatch.syspath_prepend(BENCHMARKS)


def report_of(tries, path):
    """Return the report of attacks that are made now."""
    named = [f"{name}={count}" for name, count in tries.items()]
    command = [sys.executable, "benchmarks/reliability.py", "--report", str(path)]
    subprocess.run([*command, *named], cwd=ROOT, check=True, capture_output=True)
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    "tries",
    [SHORT, pytest.param(REST, marks=pytest.mark.slow)],
    ids=["short", "rest"],
)
def test_nothing_is_lost_or_silently_wrong_under_attack(attacks, tmp_path, tries):
    from attacks.page import failures

    if "kill_dask" in tries:
        pytest.importorskip("distributed")
    report = report_of(tries, tmp_path / "report.json")
    examples = [row["examples"] for row in report["attacks"].values()]
    assert failures(report) == {}, examples
    for name, row in report["attacks"].items():
        assert row["tries"] >= tries[name] or "no disk may" in str(row["details"]), name


def test_the_page_says_what_the_report_says(attacks):
    from attacks.page import paged

    report = json.loads((BENCHMARKS / "reports" / "reliability.json").read_text())
    page = (ROOT / "book" / "reliability.md").read_text()
    assert page == paged(page, report)
    assert "book/reliability" in (ROOT / "_toc.yml").read_text()


def test_every_failure_in_the_report_is_explained(attacks):
    from attacks.page import failures

    report = json.loads((BENCHMARKS / "reports" / "reliability.json").read_text())
    assert failures(report) == {}


# --- what compares can see a difference -----------------------------------------------


@pytest.fixture
def stores(tmp_path):
    """Return the contents of a store, and a copy of it to change."""

    def write(store, changes=(), seeds=(0, 1), **more):
        rows = {(seed, task): seed + task / 3 for seed in seeds for task in (0, 1)}
        rows |= dict(changes)
        frame = [("b", "adam", "1", s, t, "m", v) for (s, t), v in rows.items()]
        status = {str(seed): "finished" for seed in seeds}
        run = {"seeds": list(seeds), "status": status, "seconds": len(str(store))}
        record = {"benchmark": "b", "runs": [run], **more}
        path = store / "b" / "adam-1.parquet"
        write_file(path, pd.DataFrame(frame, columns=COLUMNS), record)
        return store

    return write


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, ""),
        ({"changes": {(1, 1): 4 / 3 + 1e-15}.items()}, "wrong"),
        ({"changes": {(1, 1): float("nan")}.items()}, "wrong"),
        ({"seeds": (0,)}, "lost"),
        ({"seeds": (0, 1, 2)}, "wrong"),
        ({"settings": {"lr": 1}}, "wrong"),
    ],
)
def test_a_comparison_sees_each_difference_and_no_other(
    attacks, stores, tmp_path, change, kind
):
    from attacks.stores import compared, contents

    whole = contents(stores(tmp_path / "whole"))
    assert compared(stores(tmp_path / "another", **change), whole)[0] == kind


def test_a_comparison_sees_files_that_are_missing_or_too_many(
    attacks, stores, tmp_path
):
    from attacks.stores import compared, contents

    one = stores(tmp_path / "one")
    two = stores(tmp_path / "two")
    shutil.copy(two / "b/adam-1.parquet", two / "b/adam-2.parquet")
    assert compared(one, contents(two))[0] == "lost"
    assert compared(two, contents(one))[0] == "wrong"
