"""A folder with one small suite, as the package's own."""

import pytest

SMALL = """
title = "A small table"
box = "Two tasks of the digits."
notes = ["An open question."]
benchmark = "permuted_mnist"
profile = "smoke"
seeds = "0:3"

[settings]
data = "digits"
tasks = 3
images_per_task = 40
epochs = 1
batch_size = 16
width = 8
depth = 1

[[measures]]
name = "all"
metric = "online_accuracy"

[[measures]]
name = "last 2"
metric = "online_accuracy"
last = 2

[[rows]]
label = "Adam"
method = "adam"
settings = { lr = 1e-2 }

[[rows]]
label = "L2 Init, slower"
method = "l2_init"
seeds = "0:2"
settings = { lr = 1e-3, width = 9 }
note = "Nothing of it is known."

[reduced]
how = "One task less."
seeds = "5:7"
settings = { tasks = 2 }

[[changes]]
of = "Adam"
label = "wider"
why = "Does the width matter?"
settings = { width = 10 }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder of suites that stands in the place of the package's."""
    own = tmp_path / "suites"
    own.mkdir()
    (own / "small.toml").write_text(SMALL)
    (own / "published.toml").write_text("")
    monkeypatch.setattr("isometry.suites.suite.FOLDER", own)
    return own


@pytest.fixture
def small(folder):
    """Return what reads the small suite, or its reduction."""
    from isometry.suites.suite import read_suite

    return read_suite
