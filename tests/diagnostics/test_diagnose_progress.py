"""A long look says on standard error what it takes, a short one nothing."""

import io
import sys
import time

import pytest
import torch
from torch import nn

from isometry import diagnose
from isometry.core.seeding import generator
from isometry.diagnostics import progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture(params=[io.StringIO, Terminal])
def stream(request):
    return request.param()


def look(monkeypatch, stream, after):
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "AFTER", after)
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    diagnose(model, torch.randn(4, 6, generator=generator(0, "inputs")))


def test_a_long_look_says_what_it_takes_and_how_far_it_is(monkeypatch, stream):
    monkeypatch.setenv("ISOMETRY_PROGRESS", "1")
    times = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(times)))
    look(monkeypatch, stream, 0.0)
    said = stream.getvalue()
    assert said.startswith("isometry: diagnose takes about 0 s\n")
    for what in ("Jacobian of 1,", "kernel,", "singular values of 2.weight,"):
        assert what in said
    assert said.endswith("\r" if stream.isatty() else "left\n")


def test_a_short_look_says_nothing(monkeypatch, stream):
    monkeypatch.setenv("ISOMETRY_PROGRESS", "1")
    look(monkeypatch, stream, 1e9)
    assert not stream.getvalue()


@pytest.mark.parametrize("asked", ["0", None])
def test_nothing_is_said_where_it_is_not_wanted(monkeypatch, stream, asked):
    if asked is None:
        monkeypatch.delenv("ISOMETRY_PROGRESS")
    else:
        monkeypatch.setenv("ISOMETRY_PROGRESS", asked)
    look(monkeypatch, stream, 0.0)
    wanted = asked is None and stream.isatty()
    assert bool(stream.getvalue()) == wanted
