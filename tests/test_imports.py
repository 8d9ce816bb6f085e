"""What a name or a command costs: which libraries it loads, and which it leaves."""

import subprocess
import sys
from pathlib import Path

import pytest

import isometry

BENCH = (
    "isometry: needed the extra bench, found no cyclopts; "
    "pip install 'plasticity-by-isometry[bench]'\n"
)
HEAVY = {
    "IPython",
    "distributed",
    "gymnasium",
    "matplotlib",
    "numba",
    "pandas",
    "pooch",
    "pyarrow",
    "requests",
    "rich",
    "scipy",
    "sklearn",
    "torch._dynamo",
}
NAMES = """
from isometry import AdamO, GroupSort, MaxMin, diagnose, empirical_ntk
import isometry.methods
"""
COMMAND = """
from isometry import catalogue
from isometry.cli import main
catalogue._edited = lambda module: False  # as in an installed package
"""
COMMANDS = (
    COMMAND
    + """
for arguments in {}:
    try:
        main(arguments)
    except SystemExit as ended:
        assert not ended.code
"""
)
LISTS = COMMANDS.format(
    [
        ["list", what]
        for what in ("methods", "learners", "benchmarks", "games", "claims")
    ]
)
STORED = str(Path(__file__).parents[1] / "results" / "permuted_mnist")
REPORTS = COMMANDS.format([["report", STORED], ["report", STORED, "--format", "csv"]])
HELP = COMMANDS.format(
    [["--help"], ["run", "--help"], ["__complete", "run", "x", "--method", ""]]
)


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (NAMES, HEAVY),
        (LISTS, HEAVY | {"torch", "numpy", "cyclopts"}),
        (REPORTS, {"torch"}),
        (HELP, HEAVY - {"rich"} | {"torch", "numpy"}),
    ],
    ids=["names", "lists", "reports", "help"],
)
def test_a_name_or_a_command_loads_nothing_heavy_that_it_does_not_need(code, unwanted):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(done.stdout.splitlines()[-1].split())
    assert modules & unwanted == set()


# --- torch alone ----------------------------------------------------------------------

# Lets a process import torch, what torch requires, and ours.
ALONE = """
import re, sys
from importlib.metadata import packages_distributions, requires

def required(name, found):
    if name not in found:
        found.add(name)
        for line in requires(name) or []:
            if "extra ==" not in line and "platform" not in line:
                required(plain(re.match(r"[\\w.-]+", line)[0]), found)
    return found

def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()

there = required("torch", set()) | {"plasticity-by-isometry"}
for package, distributions in packages_distributions().items():
    if not there & set(map(plain, distributions)):
        sys.modules[package] = None
"""
USED = """
import torch
from torch import nn
from isometry import AdamO, MaxMin, attach, diagnose, empirical_ntk

model = nn.Sequential(nn.Linear(6, 8), MaxMin(), nn.Linear(8, 8), nn.Linear(8, 3))
optimizer = AdamO(model, lr=1e-3, relaxation_steps=100)
inputs = torch.randn(5, 6)
before = model[0].weight.detach().clone()
model(inputs).square().mean().backward()
optimizer.step()
assert not torch.equal(model[0].weight, before)
print(optimizer.describe())
found = diagnose(model, inputs)
assert "0.weight" in str(found)
assert found.to_dict()["parameters"] == sum(p.numel() for p in model.parameters())
assert empirical_ntk(model, inputs).shape == (5, 5, 3, 3)
plain = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
sgd = torch.optim.SGD(plain.parameters(), lr=0.1)
plastic = attach(plain, sgd, "redo+l2_init", redo_every=2)
for _ in range(2):
    sgd.zero_grad()
    (plain(inputs).square().mean() + plastic.penalty()).backward()
    sgd.step()
    plastic.step()
plastic.new_task(inputs)
assert "0.weight" in str(plastic.report())
torch.save(model.state_dict(), "weights.pt")
torch.save(inputs, "inputs.pt")
from isometry.diagnostics.batches import inputs_of
from isometry.diagnostics.checkpoints import state_of
from pathlib import Path
assert set(state_of(Path("weights.pt"))) == set(model.state_dict())
assert torch.equal(inputs_of(Path("inputs.pt")), inputs)
"""
REFUSED = """
from importlib import import_module
import isometry
from pathlib import Path

root = Path(isometry.__file__).parent
opened = []
for file in sorted(root.rglob("*.py")):
    parts = ("isometry", *file.relative_to(root).with_suffix("").parts)
    name = ".".join(part for part in parts if part != "__init__")
    if file.stem == "__main__":
        continue
    try:
        opened.append(import_module(name).__name__)
    except ImportError as error:
        if type(error) is not ImportError or "\\n" in str(error):
            print(name, repr(error))
        elif not str(error).startswith("needed the extra "):
            print(name, error)
assert "isometry.methods" in opened and "isometry.adamo" in opened, opened
"""


def alone(code, folder, *arguments):
    """Run code where nothing but torch and what it requires can be imported."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE + code, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
    )


def test_torch_is_enough_for_what_a_training_loop_needs(tmp_path):
    done = alone(USED, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_module_opens_with_torch_alone_or_names_its_extra(tmp_path):
    done = alone(REFUSED, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "status", "out", "err"),
    [
        ("--version", 0, isometry.__version__, ""),
        (
            "--help",
            0,
            "isometry list methods | learners | benchmarks | games | claims",
            "",
        ),
        ("list methods", 0, "adamo  ", ""),
        ("list games", 0, "minatar/breakout  ", ""),
        ("list claims", 0, "permuted-mnist  ", ""),
        ("run permuted_mnist --method adam", 2, "", BENCH),
        ("diagnose a.pt --model a:b --inputs c.pt", 2, "", BENCH),
        ("report results", 2, "", BENCH),
    ],
)
def test_the_command_without_its_extra_answers_or_says_what_to_install(
    tmp_path, arguments, status, out, err
):
    done = alone(f"{COMMAND}main()", tmp_path, *arguments.split())
    assert done.returncode == status
    assert out in done.stdout
    assert done.stderr == err
