"""What the page on adding a benchmark promises, of a stream in a temporary file."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from isometry.cli import main
from isometry.supervised import BENCHMARKS
from isometry.supervised.streams import permuted

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "book" / "add-a-benchmark.md"
NEW = "noisy_permuted_mnist"
SMALL = (
    "--profile smoke --set data=digits --set tasks=2 --set images_per_task=40 "
    "--set epochs=1 --set width=8"
)


@pytest.fixture
def file(tmp_path):
    """A file with the stream of the page, as a reader would write it."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    path = tmp_path / "stream_of_the_page.py"
    path.write_text("\n".join(block for block in blocks if "register(" in block))
    return path


@pytest.fixture
def stream(file):
    """The registered benchmark; forgotten after the test."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield BENCHMARKS.get(NEW)
    BENCHMARKS.remove(NEW)


def contract_tests(file, chosen):
    """Run the contract tests of benchmarks with the file as a plugin."""
    contracts = Path(__file__).with_name("test_every_benchmark.py")
    arguments = [f"-p{file.stem}", "-pno:cacheprovider", "-q", str(contracts), "-k"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, chosen],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(file.parent)},
        capture_output=True,
        text=True,
    )


@pytest.mark.usefixtures("stream")
def test_a_new_benchmark_is_listed_run_and_reported(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def said(line):
        with pytest.raises(SystemExit) as ended:
            main(line.split())
        out, err = capsys.readouterr()
        assert (ended.value.code or 0, err) == (0, "")
        return out

    assert NEW in {line.split()[0] for line in said("list benchmarks").splitlines()}
    for method in ("adam", "adamo"):
        out = said(f"run {NEW} --method {method} {SMALL} --seeds 0:2 --out store")
        assert method in out
    out = said("report store --metric test_accuracy")
    assert all(word in out for word in (NEW, "adam", "adamo"))


def test_half_of_the_labels_are_drawn_and_the_test_labels_are_right(stream, digits):
    settings = stream.settings("smoke", data="digits", images_per_task=1000)
    ours, clean = (made(digits, settings, 3, 2) for made in (stream.task, permuted))
    assert torch.equal(ours.inputs, clean.inputs)
    assert torch.equal(ours.test_labels, clean.test_labels)
    changed = (ours.labels != clean.labels).double().mean().item()
    # One in ten of the drawn labels is right by chance; five standard errors.
    assert abs(changed - 0.45) < 5 * (0.45 * 0.55 / 1000) ** 0.5


def test_the_contract_tests_run_over_a_new_benchmark_and_pass(file):
    done = contract_tests(file, NEW)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) >= 10


def test_a_new_benchmark_that_draws_from_nowhere_fails_the_contract_tests(file):
    text = file.read_text()
    unseeded = text.replace("own.labels.shape, generator=draw", "own.labels.shape")
    assert unseeded != text
    file.write_text(unseeded)
    done = contract_tests(file, f"{NEW} and functions")
    assert done.returncode == 1, done.stdout[-3000:]
    assert f"test_its_tasks_are_functions_of_seed_and_number[{NEW}]" in done.stdout
