"""Command lines and files that nobody meant: an answer or one line, never a traceback.

Each test has a fixed budget of examples, the same every time; ``-m slow`` has more.
"""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isometry.cli import main
from isometry.core.settings import keys
from isometry.lab import run as lab_run
from isometry.lab.choices import CHOICE_VERSION, read_choice
from isometry.lab.plans import plan
from isometry.lab.store import COLUMNS, StoreError, read_file, write_file
from isometry.sweep.file import read_sweep

FEW, MANY = 150, 5_000
CALM = {"suppress_health_check": list(HealthCheck), "deadline": None}

# --- command lines --------------------------------------------------------------------

BENCHMARKS = ("permuted_mnist", "random_label_mnist", "continual_minatar", "other", "")
METHODS = ("adam", "adamo", "adamo_maxmin", "redo", "layernorm+redo", "fresh", "+", "x")
KEYS = sorted(
    {
        key
        for benchmark in ("gradual_permuted_mnist", "continual_minatar")
        for method in ("adamo", "redo", "snr")
        for part in (plan(benchmark, method),)
        for key in (*keys(part.settings), *keys(part.method_settings))
    }
)
NASTY = """
0 1 -1 2 3 0.5 1e-3 1e30 -1e30 1e309 nan inf none true false off '' , = é ½ 1_0 0x10
999999999999999999999 -9223372036854775809 1.0 adam sgd cnn relu transformer maxmin
digits mnist orthogonal default
"""
VALUES = st.one_of(
    st.sampled_from([*NASTY.split(), "", "\x00", "\u2028", " "]),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=6),
)
KEY = st.sampled_from(KEYS) | st.text(max_size=4)
PAIRS = st.lists(st.builds("--set={}={}".format, KEY, VALUES), max_size=4)
SEEDS = st.one_of(
    st.sampled_from(["0:2", "3", "-1:1", "1,1", "5:2", ":", "0:8:2", "1.5", "", "٣"]),
    st.builds("{}:{}".format, st.integers(), st.integers()),
    st.integers().map(str),
    st.text(max_size=5),
)
RUNS = st.builds(
    lambda benchmark, method, seeds, profile, device, pairs: [
        *("run", benchmark, f"--method={method}", f"--seeds={seeds}"),
        *(f"--profile={profile}", f"--device={device}", *pairs),
    ],
    st.sampled_from(BENCHMARKS),
    st.sampled_from(METHODS) | st.text(max_size=4),
    SEEDS,
    st.sampled_from(["smoke", "laptop", "paper", "small"]),
    st.sampled_from(["cpu", "auto", "cuda:77", "tpu", "meta", ""]),
    PAIRS,
)
WORDS = """
run sweep collect report diagnose data list fetch path verify methods games adam .
--method --seeds --set --out --metric --format --show --workers --dask --model -h
--help --version json csv nowhere -1 0 x.npy json:dumps sys:exit
"""
LINES = st.lists(
    st.sampled_from(WORDS.split()) | st.text(max_size=4), max_size=6
).filter(lambda line: line[:2] != ["data", "fetch"] and "--dask" not in line[1:])


def said(line):
    """Return exit status, output and errors of a command; let others out."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(line)
    return ended.value.code or 0, out.getvalue(), err.getvalue()


def check_line(line):
    status, out, err = said(line)
    assert status in (0, 1, 2), line
    if status == 2:
        assert out == "", line
        assert err.startswith("isometry: "), line
        assert err.count("\n") == 1, line
        assert len(err.strip()) > len("isometry: ") + 8, line


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Let commands work in an empty folder, and stop where they would train."""

    def reached(*arguments):
        raise StoreError("all is well, this would be trained")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISOMETRY_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(lab_run, "_execute", reached)


@pytest.mark.parametrize(
    "budget", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("lines", [RUNS, LINES], ids=["runs", "words"])
def test_a_command_line_is_answered_or_refused_in_a_line(elsewhere, lines, budget):
    @settings(max_examples=budget, **CALM)
    @given(lines)
    def every(line):
        check_line(line)

    every()


# --- files ----------------------------------------------------------------------------


def damaged(content):
    """Return a strategy of what may become of a file's bytes."""
    size = len(content)
    place = st.integers(0, size)
    flips = st.tuples(place, st.integers(1, 255))

    def flipped(places):
        changed = bytearray(content)
        for at, bits in places:
            changed[at % size] ^= bits
        return bytes(changed)

    return st.one_of(
        st.lists(flips, min_size=1, max_size=8).map(flipped),
        place.map(lambda at: content[:at]),
        place.map(lambda at: content[at:]),
        st.tuples(place, place).map(lambda two: content[: two[0]] + content[two[1] :]),
        st.tuples(place, st.binary(max_size=40)).map(
            lambda two: content[: two[0]] + two[1] + content[two[0] :]
        ),
        st.tuples(place, place).map(
            lambda two: (
                content[: min(two)] + bytes(max(two) - min(two)) + content[max(two) :]
            )
        ),
        st.binary(max_size=200),
    )


SWEEP = b"""
tune_seeds = "100:103"
report_seeds = "0:8"
members = 4
[settings]
data = "digits"
width = [8, 16]
[benchmarks.permuted_mnist]
tasks = 10
[search]
lr = [3e-4, 1e-3, 3e-3]
[ladders]
lr = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
[methods.adam]
[methods.adamo]
"""


def results(folder):
    path = folder / "adam-0123456789.parquet"
    rows = [("b", "adam", "0123456789", s, t, "m", 0.5) for s in (0, 1) for t in (0, 1)]
    write_file(path, pd.DataFrame(rows, columns=COLUMNS), {"runs": [{"seeds": [0, 1]}]})
    return path


def made(folder, name, write):
    write(folder / name)
    return folder / name


def choice_of(path):
    path.write_text(json.dumps({"choice_version": CHOICE_VERSION, "chosen": {"lr": 1}}))


def looked_at(part):
    """Return a function that lets ``isometry diagnose`` read a file as a part of it."""

    def look(path):
        command = {"--model": "collections:OrderedDict", "--inputs": "whole.npy"}
        named = {**command, part: str(path)}
        checkpoint = named.pop("checkpoint", "whole.pt")
        options = [word for pair in named.items() for word in pair]
        check_line(["diagnose", checkpoint, *options])

    return look


STATE = {"weight": torch.ones(2, 3), "bias": torch.zeros(2), "more": [1, "a", (2.5,)]}
FILES = {
    "results": (results, read_file),
    "sweep": (lambda f: made(f, "s.toml", lambda p: p.write_bytes(SWEEP)), read_sweep),
    "choice": (lambda f: made(f, "a.choice.json", choice_of), read_choice),
    "checkpoint": (
        lambda f: made(f, "c.pt", lambda p: torch.save(STATE, p)),
        looked_at("checkpoint"),
    ),
    "old checkpoint": (
        lambda f: made(
            f,
            "c.pt",
            lambda p: torch.save(STATE, p, _use_new_zipfile_serialization=False),
        ),
        looked_at("checkpoint"),
    ),
    "npy": (
        lambda f: made(f, "x.npy", lambda p: np.save(p, np.ones((2, 3), ">f4"))),
        looked_at("--inputs"),
    ),
    "npz": (
        lambda f: made(f, "x.npz", lambda p: np.savez(p, x=np.ones((2, 3)))),
        looked_at("--inputs"),
    ),
    "pt": (
        lambda f: made(f, "x.pt", lambda p: torch.save(torch.ones(2, 3), p)),
        looked_at("--inputs"),
    ),
}


@pytest.mark.parametrize(
    "budget", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_read_or_refused_in_a_line(
    tmp_path, monkeypatch, kind, budget
):
    monkeypatch.chdir(tmp_path)
    make, read = FILES[kind]
    torch.save(STATE, "whole.pt")
    np.save("whole.npy", np.ones((2, 3)))
    path = make(tmp_path)
    content = path.read_bytes()
    target = path.with_name(f"damaged{''.join(path.suffixes)}")

    @settings(max_examples=budget, **CALM)
    @given(damaged(content))
    def every(changed):
        target.write_bytes(changed)
        try:
            read(target)
        except (ValueError, KeyError, StoreError) as error:
            line = str(error.args[0])
            assert "\n" not in line
            assert len(line) > 8

    every()
    assert Path(path).read_bytes() == content
