"""What the page on adding a method promises, of methods in a temporary file."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from isometry.cli import main
from isometry.methods import METHODS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "book" / "add-a-method.md"
NEW = ("mean_square", "norm_cap", "noisy_sgd", "halved_heads")
COMBINED = ("layernorm+mean_square", "mean_square+noisy_sgd", "norm_cap+halved_heads")
SMALL = (
    "--set=data=digits --set=tasks=2 --set=images_per_task=40 --set=epochs=1 "
    "--set=batch_size=16 --set=width=8 --set=depth=1"
)


@pytest.fixture
def file(tmp_path):
    """A file with the methods of the page, as a reader would write it."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    path = tmp_path / "methods_of_the_page.py"
    path.write_text("\n".join(block for block in blocks if "register(" in block))
    return path


@pytest.fixture
def command(file, capsys, monkeypatch, tmp_path):
    """Return a function that runs a command where the file has been imported."""
    monkeypatch.chdir(tmp_path)
    before = set(METHODS.names())
    spec = importlib.util.spec_from_file_location(file.stem, file)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))

    def run(line):
        with pytest.raises(SystemExit) as ended:
            main(line.split())
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    yield run
    for name in set(METHODS.names()) - before:
        METHODS.remove(name)


def test_a_new_method_is_listed_run_and_reported(command):
    status, out, _ = command("list methods")
    assert status == 0
    assert set(NEW) <= {line.split()[0] for line in out.splitlines()}
    for name in (*NEW, *COMBINED):
        status, out, err = command(
            f"run permuted_mnist --method {name} {SMALL} --seeds 0:2 --out store"
        )
        assert (status, err) == (0, "")
        assert name in out
    status, out, _ = command("report store")
    assert status == 0
    for name in (*NEW, *COMBINED):
        assert name in out


def test_a_new_method_is_searched_beside_the_others(command):
    (table,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    Path("mean_square.toml").write_text(table)
    status, out, err = command("sweep mean_square.toml --workers 0 --out store")
    assert (status, err) == (0, "")
    assert "adam 4, mean_square 4;" in out
    status, out, _ = command("report store --show search")
    assert status == 0
    (row,) = [line.split() for line in out.splitlines() if "mean_square" in line]
    assert row[2].startswith("lr=")
    assert row[3].startswith("strength=")
    assert int(row[4]) >= 4, "a search goes on"
    assert row[5] == "100,101"
    status, out, _ = command("report store")
    assert "mean_square" in out


def test_a_new_method_has_its_own_settings_and_refusals(command):
    status, out, err = command(
        f"run permuted_mnist --method mean_square {SMALL} --set strength=-1"
    )
    assert (status, out) == (2, "")
    assert "needed strength >= 0, found -1.0; change strength" in err
    _, _, err = command(
        f"run permuted_mnist --method norm_cap {SMALL} --set strength=1"
    )
    assert "unknown setting of permuted_mnist with norm_cap 'strength'" in err
    for name in ("noisy_sgd", "mean_square+noisy_sgd"):
        line = f"run permuted_mnist --method {name} {SMALL} --set beta1=0.5"
        _, _, err = command(line)
        assert f"unknown setting of permuted_mnist with {name} 'beta1'" in err


def test_the_contract_tests_run_over_a_new_method_and_pass(file):
    contracts = Path(__file__).with_name("test_every_method.py")
    chosen = " or ".join(NEW)
    arguments = [f"-p{file.stem}", "-pno:cacheprovider", "-q", str(contracts), "-k"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, chosen],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(file.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    passed = int(re.search(r"(\d+) passed", done.stdout).group(1))
    assert passed >= 15 * len(NEW)


def test_a_new_method_that_mixes_its_members_fails_the_contract_tests(file):
    text = file.read_text()
    mixed = text.replace("sum((-2, -1)) / smaller", "sum((-2, -1)).mean() / smaller")
    assert mixed != text
    file.write_text(mixed)
    contracts = Path(__file__).with_name("test_every_method.py")
    arguments = [f"-p{file.stem}", "-pno:cacheprovider", "-q", str(contracts), "-k"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "mean_square and own"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(file.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout[-3000:]
    assert "test_its_penalty_is_each_members_own[mean_square]" in done.stdout
