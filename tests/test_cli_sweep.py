"""The command line's sweep: what it prints, what it refuses, how it ends."""

import json
import re
from pathlib import Path

import pytest

from isometry.cli import main
from isometry.lab.run import run
from isometry.lab.store import load_results
from isometry.supervised.data import download
from isometry.sweep import job
from isometry.sweep.file import read_sweep

ROOT = Path(__file__).parents[1]
HEAD = """
profile = "smoke"
tune_seeds = "5:7"
report_seeds = "0:2"
continued = false
"""
BODY = """
[settings]
data = "digits"
tasks = 2
images_per_task = 40
epochs = 1
batch_size = 16
width = 8
depth = 1

[benchmarks.permuted_mnist]

[methods.adam]
lr = [1e-7, 1e-2]

[methods.adamo]
lr = 1e-2
isometry_strength = [0.1, 0.2]
"""


@pytest.fixture
def isometry(capsys, monkeypatch, tmp_path):
    """Return a function that runs a command and returns (status, out, err)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISOMETRY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")

    def offline(name, bad):
        raise ConnectionError("no connection")

    monkeypatch.setattr(download, "_download", offline)
    (tmp_path / "sweep.toml").write_text(HEAD + BODY)

    def command(text):
        with pytest.raises(SystemExit) as ended:
            main(text.split())
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return command


SWEEP = "sweep sweep.toml --workers 0 --device cpu --out store"


# --- refusals -------------------------------------------------------------------------

REFUSALS = [
    ("sweep", HEAD + BODY, "requires an argument"),
    ("sweep nowhere.toml", HEAD + BODY, "No such file or directory: nowhere.toml"),
    (
        "sweep sweep.toml --worker 2",
        HEAD + BODY,
        "Unknown option: --worker. Did you mean --workers",
    ),
    ("sweep sweep.toml --workers=two", HEAD + BODY, "two"),
    ("sweep sweep.toml --workers=-1", HEAD + BODY, "needed --workers >= 0, found -1"),
    (f"{SWEEP} --dask tcp://x:1", HEAD + BODY, "needed --workers or --dask, found"),
    ("sweep sweep.toml --device=tpu", HEAD + BODY, "needed a device auto, cpu or cuda"),
    (f"{SWEEP}/sweep.toml", HEAD + BODY, "store/sweep.toml"),
    ("report store --show profiles", HEAD + BODY, 'Did you mean "profile"?'),
    (SWEEP, "[settings", "needed a sweep file in TOML at sweep.toml, found "),
    (SWEEP, f"tasks = 3\n{HEAD}{BODY}", "unknown key of a sweep file 'tasks'; "),
    (SWEEP, f"{HEAD}{BODY}\n[methods.adma]", "unknown method 'adma'; did you mean 'ad"),
    (
        SWEEP,
        f"{HEAD}{BODY}\n[benchmarks.permuted_mnst]",
        "unknown benchmark 'permuted_mnst'; did you mean 'permuted_mnist'?",
    ),
    (SWEEP, f"{HEAD}{BODY}\nlrr = 3", "with adamo 'lrr'; did you mean 'lr'?"),
    (SWEEP, f"{HEAD}{BODY}\nbeta1 = 'high'", "needed a number for beta1, found 'high'"),
    (SWEEP, f"{HEAD}{BODY}\nbeta1 = []", "at least one value for beta1 in [methods.ad"),
    (SWEEP, f"{HEAD}{BODY}\nbeta1 = [0.5, 0.9]", "found 2 for adam, 4 for adamo; comp"),
    (
        SWEEP,
        HEAD.replace("0:2", "6:9") + BODY,
        "needed report_seeds on which nothing was chosen, found 6 in tune_seeds too",
    ),
    (
        SWEEP,
        (HEAD + BODY).replace("digits", "mnist"),
        "`isometry data fetch mnist`",
    ),
]


@pytest.mark.parametrize(("command", "content", "message"), REFUSALS)
def test_every_refusal_is_one_line(isometry, tmp_path, command, content, message):
    (tmp_path / "sweep.toml").write_text(content)
    if command.endswith("store/sweep.toml"):
        (tmp_path / "store").write_text("not a folder")
    status, out, err = isometry(command)
    assert status == 2
    assert err.startswith("isometry: ")
    assert err.count("\n") == 1
    assert message in err
    assert out.count("\n") <= 1, "at most what was asked for"


# --- what it prints -------------------------------------------------------------------


def test_a_sweep_prints_budget_report_and_choices(isometry, tmp_path):
    status, out, err = isometry(SWEEP)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == (
        "search budget: settings of each method: adam 2, adamo 2; "
        "chosen by online_accuracy on seeds 5,6, reported on seeds 0,1"
    )
    assert "minus adam" in lines[1]
    assert "P(> adam)" in lines[1]
    adam = next(line for line in lines if "lr=0.01 " in line and " adam " in line)
    assert "2            5,6" in adam
    assert "online_accuracy" in adam
    assert lines[-1] == "stored in store"
    assert set(load_results(tmp_path / "store")["seed"]) == {0, 1}
    assert isometry(SWEEP) == (0, out, "")


def test_a_report_shows_summary_profile_and_search_in_every_format(isometry):
    isometry(SWEEP)
    for show in ("summary", "profile", "search"):
        texts = {}
        for format in ("table", "csv", "json", "markdown"):
            status, text, err = isometry(
                f"report store --show {show} --format {format}"
            )
            assert (status, err) == (0, "")
            texts[format] = text
        rows = json.loads(texts["json"])
        assert {row["method"] for row in rows} == {"adam", "adamo"}
        assert len(texts["csv"].splitlines()) == len(rows) + 1
        assert "| --- |" in texts["markdown"]
        assert "adamo" in texts["table"]
    assert (
        "fraction of seeds whose plasticity is above"
        in (isometry("report store --show profile --metric plasticity")[1])
    )
    assert isometry("report store/tuning --show search")[1].startswith("no settings")


def test_budgets_that_differ_are_said_to(isometry, tmp_path):
    text = HEAD + "equal_budgets = false\n" + BODY + "beta1 = [0.5, 0.9]\n"
    (tmp_path / "sweep.toml").write_text(text)
    assert (
        "search budget, NOT EQUAL: settings of each method: adam 2, adamo 4;"
        in (isometry(SWEEP)[1])
    )


def test_without_tuning_seeds_it_says_that_all_settings_are_run(isometry, tmp_path):
    text = HEAD.replace('tune_seeds = "5:7"', "") + BODY
    (tmp_path / "sweep.toml").write_text(text)
    _, out, _ = isometry(SWEEP)
    line = "settings of each method: adam 2, adamo 2; all run on seeds 0,1"
    assert out.splitlines()[0] == line
    assert "adam(lr=0.01)" in out


def test_failures_are_listed_at_the_end_and_the_status_is_one(isometry, monkeypatch):
    def broken(benchmark, method, seeds, settings, **keywords):
        if method == "adam":
            raise MemoryError("too wide")
        return run(benchmark, method, seeds, settings, **keywords)

    monkeypatch.setattr(job, "run", broken)
    status, out, err = isometry(SWEEP)
    assert status == 1
    assert "adamo" in out
    lines = err.splitlines()
    assert lines[0] == "isometry: 2 runs failed twice; the same command tries again"
    assert len(lines) == 3
    name = "tune permuted_mnist adam lr=0.01 seeds 5,6"
    assert lines[2].startswith(f"isometry: {name}: MemoryError: too wide (see ")
    monkeypatch.undo()


def test_progress_is_a_line_a_run_where_there_is_no_terminal(isometry, monkeypatch):
    monkeypatch.setenv("ISOMETRY_PROGRESS", "1")
    _, _, err = isometry(SWEEP)
    lines = err.splitlines()
    assert len(lines) == 4 + 2
    assert lines[0].startswith(
        "tune permuted_mnist adam lr=1e-07 seeds 5,6: done; 1 of 6"
    )
    assert lines[-1].endswith("seeds 0,1: done; 6 of 6, 0:00:00 left")
    assert isometry(SWEEP)[2] == "", "what is there already is only counted"


def test_the_readmes_sweep_can_be_read(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (tmp_path / "readme.toml").write_text(text)
    budgets = read_sweep(tmp_path / "readme.toml").budgets()
    assert set(budgets) == {"adam", "adamo"}
    assert budgets["adam"] == budgets["adamo"] > 1
