"""The monitor writes what diagnose finds, when it is time, and changes nothing."""

import csv
import statistics
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from isometry.core.seeding import generator
from isometry.diagnostics import PlasticityMonitor, diagnose

BATCH = torch.randn(16, 3, generator=generator(0, "inputs"))


def network():
    torch.manual_seed(0)
    layers = nn.Linear(3, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2)
    return nn.Sequential(*layers)


def trained(steps, **asked):
    """Return the weights after a training, and its monitor if there is one."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    monitor = PlasticityMonitor(model, BATCH, **asked) if asked else None
    for _ in range(steps):
        optimizer.zero_grad()
        model(BATCH).square().sum().backward()
        optimizer.step()
        if monitor is not None:
            monitor.step()
    return model, monitor


def test_a_monitored_training_ends_with_the_same_bits():
    plain, _ = trained(7)
    watched, monitor = trained(7, every=2)
    for one, other in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other)
    assert monitor.seconds > 0
    assert 0 < monitor.share() < 1


def test_numbers_are_those_of_diagnose_at_the_steps_that_are_due():
    written = []
    model, monitor = trained(
        5, every=2, to=lambda step, found: written.append((step, found))
    )
    assert [step for step, _ in written] == [0, 2, 4]
    # The last look came after the last step, so it is one at the model as it is now.
    found = diagnose(model, BATCH, jacobian=False, ntk=False)
    scalars = written[-1][1]
    assert scalars["weight/0.weight/gram_deviation"] == found.weights[0].gram_deviation
    assert scalars["activation/1/dead_fraction"] == found.activations[0].dead_fraction
    dormant = found.activations[0].dormant_fraction[0.025]
    assert scalars["activation/1/dormant_fraction(0.025)"] == dormant
    assert scalars["features/features/srank"] == found.features.srank
    assert monitor.last.to_dict() == found.to_dict()


def test_file_has_one_number_a_row_and_goes_on(tmp_path):
    path = tmp_path / "health.csv"
    _, monitor = trained(3, every=2, to=path)
    following = PlasticityMonitor(network(), BATCH, every=2, to=str(path))
    following.load_state_dict(monitor.state_dict())
    assert following.step() is None  # the fourth step
    found = following.step()
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["step", "tag", "value"]
    assert rows.count(rows[0]) == 1
    assert {row[0] for row in rows[1:]} == {"0", "2", "4"}
    exact = {(row[0], row[1]): float(row[2]) for row in rows[1:]}
    largest = found.weights[0].largest
    assert exact["4", "weight/0.weight/largest"] == largest


class Board:
    """Takes scalars as TensorBoard's writer does."""

    def __init__(self):
        self.seen = {}

    def add_scalar(self, tag, value, step):
        self.seen[tag, step] = value


class Run:
    """Takes scalars as a run of Weights & Biases does."""

    def __init__(self):
        self.seen = {}

    def log(self, found, step):
        self.seen |= {(tag, step): value for tag, value in found.items()}


@pytest.mark.parametrize("kind", [Board, Run])
@pytest.mark.parametrize("passed", [True, False])
def test_boards_are_written_whether_passed_or_named(monkeypatch, kind, passed):
    board = kind()
    if not passed:
        home = {"wandb": SimpleNamespace(run=board)}
        home["torch.utils.tensorboard"] = SimpleNamespace(SummaryWriter=lambda: board)
        for name, module in home.items():
            monkeypatch.setitem(sys.modules, name, module)
    name = "tensorboard" if kind is Board else "wandb"
    _, monitor = trained(3, every=2, to=board if passed else name)
    value = monitor.last.weights[0].largest
    assert board.seen["weight/0.weight/largest", 2] == value
    assert {step for _, step in board.seen} == {0, 2}


def test_kernel_and_several_inputs_can_be_asked_for():
    class Adding(nn.Linear):
        def forward(self, x, y):
            return {"sum": super().forward(x + y)}

    asked = {"ntk": True, "outputs": lambda o: o["sum"]}
    monitor = PlasticityMonitor(Adding(3, 2), (BATCH, BATCH), asked=asked)
    found = monitor.step()
    tag = "ntk/model/robust_condition_number"
    assert monitor.scalars(found)[tag] == found.ntk.robust_condition_number


@pytest.mark.slow
def test_a_look_costs_as_much_as_few_steps():
    """The page on AdamO says about ten; the bound leaves room for other machines."""
    inputs, targets = torch.randn(64, 784), torch.zeros(64, dtype=torch.long)
    layers = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(256, 10))
    optimizer = torch.optim.Adam(model.parameters())
    monitor = PlasticityMonitor(model, inputs)

    def seconds(act, times):
        begun = time.process_time()
        for _ in range(times):
            act()
        return (time.process_time() - begun) / times

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()

    for act in (step, monitor.step):
        act()  # warm
    ratios = [seconds(lambda: monitor.look(0), 1) / seconds(step, 50) for _ in range(5)]
    assert 1 < statistics.median(ratios) < 20


@pytest.mark.parametrize("every", [0, 1.5, True])
def test_a_period_is_a_whole_number(every):
    with pytest.raises(ValueError, match="a whole every >= 1"):
        PlasticityMonitor(network(), BATCH, every=every)


@pytest.mark.parametrize("to", [3, "health.txt"])
def test_what_cannot_be_written_to_is_refused(to):
    with pytest.raises(ValueError, match=r"somewhere to write, .* pass a path to a"):
        PlasticityMonitor(network(), BATCH, to=to)
