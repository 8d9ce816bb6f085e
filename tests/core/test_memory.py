"""What cannot fit into memory is refused before it is asked for."""

from types import SimpleNamespace

import pytest
import torch

from isometry.core import memory
from isometry.core.memory import check_memory, check_training, memory_of

CPU = torch.device("cpu")


def network(*shapes):
    return SimpleNamespace(shapes=lambda: dict(enumerate(shapes)))


def test_the_memory_is_that_of_the_machine_or_of_its_container(monkeypatch, tmp_path):
    whole = memory_of(CPU)
    assert 2**28 < whole < 2**50
    files = tmp_path / "max", tmp_path / "limit", tmp_path / "nowhere"
    files[0].write_text("max\n")
    files[1].write_text("1000000\n")
    monkeypatch.setattr(memory, "LIMITS", (files[0], files[2]))
    assert memory_of(CPU) >= whole
    monkeypatch.setattr(memory, "LIMITS", files)
    assert memory_of(CPU) == 1_000_000


def test_a_run_is_refused_by_weights_and_data_of_all_members(monkeypatch):
    monkeypatch.setattr(memory, "memory_of", lambda device: 10_000_000)
    settings = SimpleNamespace(depth=2)
    # Two members: 16 bytes of each of 250,000 weights, and 1 MB of data.
    fits = network((500, 499), (500,))
    check_training(fits, [0, 1], settings, 1_000_000, CPU)
    for bad in (
        lambda: check_training(fits, [0, 1, 2], settings, 0, CPU),
        lambda: check_training(fits, [0, 1], settings, 1_000_001, CPU),
        lambda: check_training(network((500, 501)), [0, 1], settings, 10**6, CPU),
        lambda: check_training(fits, [0, 1], SimpleNamespace(depth=10**9), 0, CPU),
    ):
        with pytest.raises(ValueError, match="needed what fits into the memory"):
            bad()


def test_of_a_depth_that_no_machine_has_not_even_the_shapes_are_asked_for():
    with pytest.raises(ValueError, match="at least, of 1 networks with their data"):
        check_training(None, [0], SimpleNamespace(depth=10**15), 0, CPU)


def test_what_fits_is_let_through():
    check_memory(memory_of(CPU), "all of it", CPU, "nothing")
    with pytest.raises(ValueError, match=r"found .* GiB, at least, of more; do this"):
        check_memory(memory_of(CPU) + 1, "more", CPU, "do this")
