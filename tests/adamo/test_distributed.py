"""Two processes of gloo take the steps of one, and resume where they stopped."""

from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("distributed_steps.py")
# Gradients are added up in another order; the largest was 2e-7, of weights near one.
CLOSE = 1e-6
SAME_STEPS = [
    "DDP",
    "ZeRO",
    "FSDP2",
    "FSDP2, a loop over weights",
    "FSDP2, fused",
    "FSDP2, every third step",
    "tensor parallel",
]
RESUMED = [
    "checkpoint, model first",
    "checkpoint, optimiser first",
    "checkpoint, at once",
    "checkpoint on disk",
]
pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
    reason="this build of torch has no gloo",
)


@pytest.fixture(scope="module")
def found(in_two_processes):
    """What both processes found, all in one start of them."""
    return in_two_processes(SCRIPT)


@pytest.mark.parametrize("kind", SAME_STEPS)
def test_two_processes_take_the_steps_of_one(found, kind):
    assert found[kind] <= CLOSE


@pytest.mark.parametrize("order", RESUMED)
def test_a_distributed_checkpoint_moves_nothing_and_resumes(found, order):
    assert found[order] == 0.0


@pytest.mark.parametrize("kind", ["FSDP1", "FSDP1, original parameters"])
def test_flattened_weights_are_refused(found, kind):
    model, parameters = found[kind].split(" | ")
    assert "found FullyShardedDataParallel, which flattens them; use" in model
    assert "found a flat parameter of FullyShardedDataParallel; use" in parameters
