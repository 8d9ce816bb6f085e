"""Random programs: whatever a tracer wires of them, replaced units do nothing."""

import random
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent))
from zeroing import UnseenError, check_units

from isometry.attachment.building import wire

EXAMPLE = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0)).double()
LARGEST = 300  # entries of a tensor


class OverPlaces(nn.Module):
    """A layer for channels in front, on tensors with channels last."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.mT).mT


# Of the width. Most keep it, so that results meet in sums and shared readers.
LAYERS = (
    lambda width: nn.Linear(width, 6),
    lambda width: nn.Linear(width, 6),
    lambda width: nn.Linear(width, 6, bias=False),
    lambda width: nn.Linear(width, 4),
    lambda width: nn.ReLU(),
    lambda width: nn.ReLU(inplace=True),
    lambda width: nn.Tanh(),
    lambda width: nn.Softplus(),
    lambda width: nn.SiLU(),
    lambda width: nn.Dropout(0.3),
    lambda width: nn.Identity(),
    lambda width: nn.LayerNorm(width),
    lambda width: OverPlaces(nn.BatchNorm1d(width)),
    lambda width: OverPlaces(nn.Conv1d(width, 5, 2)),
    lambda width: OverPlaces(nn.MaxPool1d(2)),
)
FUNCTIONS = (
    torch.relu,
    torch.tanh,
    functional.gelu,
    torch.sigmoid,
    torch.relu_,
    lambda x: 0.5 * x,
    lambda x: x + 0.5,
    lambda x: x.mean(1, keepdim=True),
    lambda x: x.amax(1, keepdim=True),
    lambda x: x.flip(1),
    lambda x: x.flip(2),
    lambda x: x.chunk(2, 2)[0],
    lambda x: x[..., 1:],
    lambda x: x[:, 1:],
    lambda x: x.mT,
    lambda x: x.unflatten(2, (2, -1)).mT.flatten(2),
    lambda x: x.unflatten(2, (2, -1)).flatten(2),
    lambda x: x.flatten(1).unsqueeze(1),
    lambda x: x.mT.flatten(1).unsqueeze(1),
    lambda x: x.cumsum(1),
    lambda x: x.clone(),
    lambda x: torch.where(x > 0, x, 0.3 * x),
    lambda x: functional.pad(x, (0, 0, 0, 1)),
)
PAIRS = (
    torch.add,
    torch.mul,
    lambda x, y: x * torch.sigmoid(y),
    lambda x, y: x.add_(y),
    lambda x, y: torch.cat([x, y], 1),
    lambda x, y: torch.cat([x, y], 2),
)


class Program(nn.Module):
    """Some twenty operations on what there is, mostly on the last result."""

    def __init__(self, seed):
        super().__init__()
        self.draw = random.Random(seed)
        self.layers = nn.ModuleList()
        self.steps = []
        torch.manual_seed(seed)
        values = [EXAMPLE.clone()]
        for _ in range(self.draw.randint(6, 20)):
            step = self.chosen(values)
            try:
                value = self.taken(step, [v.clone() for v in values])
            except (RuntimeError, ValueError):
                continue  # the shapes do not fit
            if 0 < value.numel() <= LARGEST:
                self.steps.append(step)
                values.append(value)
        ends = {len(values) - 1, self.draw.randrange(len(values))}
        self.ends = sorted(ends) if self.draw.random() < 0.3 else [len(values) - 1]
        widths = [values[end].shape[2] for end in self.ends]
        self.heads = nn.ModuleList(nn.Linear(width, 2) for width in widths)
        self.double()

    def chosen(self, values):
        draw, last = self.draw, len(values) - 1
        one = last if draw.random() < 0.8 else draw.randrange(len(values))
        kinds, weights = ("layer", "again", "function", "pair"), (7, 2, 2, 1)
        kind = draw.choices(kinds, weights)[0]
        if kind == "layer":
            layer = draw.choice(LAYERS)(values[one].shape[2])
            self.layers.append(layer.double())
            return "layer", len(self.layers) - 1, (one,)
        if kind == "again" and self.layers:
            return "layer", draw.randrange(len(self.layers)), (one,)
        if kind == "pair":
            other = draw.randrange(max(0, len(values) - 4), len(values))
            return "pair", draw.randrange(len(PAIRS)), (one, other)
        return "function", draw.randrange(len(FUNCTIONS)), (one,)

    def taken(self, step, values):
        kind, number, places = step
        tables = {"layer": self.layers, "function": FUNCTIONS, "pair": PAIRS}
        value = tables[kind][number](*(values[place] for place in places))
        if value.ndim != 3:
            raise ValueError(value.shape)
        return value

    def forward(self, x):
        values = [x.clone()]
        for step in self.steps:
            values.append(self.taken(step, values))
        return [
            head(values[end]) for head, end in zip(self.heads, self.ends, strict=True)
        ]


def check(seeds):
    """Check programs, and return how many layers were wired and how many not."""
    wired = refused = 0
    for seed in seeds:
        program = Program(seed)
        for training in (True, False):
            wiring = wire(program.train(training), EXAMPLE)
            try:
                list(check_units(program, wiring, (EXAMPLE,), {}, most=1))
            except UnseenError:
                continue
            wired += len(wiring.structure.layers)
            refused += len(wiring.refused)
    return wired, refused


def test_what_is_wired_of_random_programs_is_true():
    wired, refused = check(range(120))
    assert wired >= 50
    assert refused >= 50


@pytest.mark.slow
def test_what_is_wired_of_many_random_programs_is_true():
    wired, _ = check(range(120, 1500))
    assert wired >= 500
