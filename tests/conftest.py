"""What all tests share: no progress bars, the same examples every time."""

import json
import os
import subprocess
import sys

import hypothesis
import pytest
import torch

os.environ["ISOMETRY_PROGRESS"] = "0"
# The same examples on every machine; no deadline, for cores are shared.
hypothesis.settings.register_profile(
    "project", derandomize=True, deadline=None, max_examples=50
)
hypothesis.settings.load_profile("project")


@pytest.fixture
def double():
    """Let new tensors be float64, for mathematics that is held exactly."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="session")
def digits():
    """The embedded digits as flat, scaled vectors: 1,500 to train on, 297 to test."""
    from isometry.supervised.data.sets import load
    from isometry.supervised.streams import scaled

    return scaled(load("digits"), "standard")


@pytest.fixture(scope="module")
def in_two_processes(tmp_path_factory):
    """Run a script of ours as two processes of one group; return what it prints."""

    def run(script):
        place = str(tmp_path_factory.mktemp("group") / "store")
        both = [
            subprocess.Popen(
                [sys.executable, str(script), str(rank), place],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]
        try:
            (out, errors), _ = (process.communicate(timeout=300) for process in both)
        finally:
            for process in both:
                process.kill()
        assert both[0].returncode == 0, errors
        return json.loads(out)

    return run
