"""Two processes of gloo decide alike, and as one process on the whole minibatch."""

from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("attached_processes.py")
# Gradients are added up in another order, over five steps of weights near one.
CLOSE = 1e-5
REPLACING = ("redo", "snr", "cbp", "regrama")
KINDS = (*REPLACING, "l2_er", "adamo+l2_init", "shrink_perturb", "dash")
pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
    reason="this build of torch has no gloo",
)


@pytest.fixture(scope="module")
def found(in_two_processes):
    """What both processes found, all in one start of them."""
    return in_two_processes(SCRIPT)


@pytest.mark.parametrize("method", KINDS)
def test_two_processes_do_what_one_does(found, method):
    assert found[method]["between the two"] == 0.0
    assert found[method]["to one process"] <= CLOSE


@pytest.mark.parametrize("method", REPLACING)
def test_units_were_replaced_in_both(found, method):
    assert found[method]["replaced"] > 0


def test_minibatches_of_two_sizes_are_refused(found):
    assert found["sizes"].startswith("needed minibatches of one size in all processes")
