"""Others' optimisers under attach: steps within steps, memory under names, packages."""

import contextlib
import copy
import io

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import isometry
from isometry.adamo import with_isometry
from isometry.core.seeding import generator

INPUTS = torch.randn(32, 1, 5, 5, generator=generator(1))
LABELS = torch.randint(3, (32,), generator=generator(2))
RESETS = {"redo_every": 2, "redo_window": 1, "redo_threshold": 0.9}


def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


class Wrapping(torch.optim.Adam):
    """Calls its base's step, and keeps where each parameter began under a name."""

    def step(self, closure=None):
        own = [p for group in self.param_groups for p in group["params"]]
        if "_wrap" not in self.state:
            self.state["_wrap"] = {p: {"ref": p.detach().clone()} for p in own}
            self.state["_wrap"]["steps"] = 0
        self.state["_wrap"]["steps"] += 1
        return super().step(closure)


class Merging(torch.optim.Optimizer):
    """Momentum that sees a kernel as a matrix, as kron-torch does."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            state = self.state[p]
            gradient = p.grad.flatten(1) if p.ndim > 2 else p.grad
            if not state:
                state["momentum_buffer"] = torch.zeros_like(gradient)
                state["Q"] = [torch.eye(len(p))]
            state["momentum_buffer"].mul_(0.9).add_(gradient)
            p.sub_(state["momentum_buffer"].view_as(p), alpha=self.defaults["lr"])


def trained(optimizer_of, method, steps=4, **settings):
    """Return a model, its optimiser and what is attached, after some steps."""
    model = network()
    optimizer = optimizer_of(model.parameters())
    plastic = isometry.attach(model, optimizer, method, inputs=INPUTS, **settings)
    for _ in range(steps):
        step(model, optimizer, plastic)
    return model, optimizer, plastic


def step(model, optimizer, plastic):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(INPUTS), LABELS)
    (loss + plastic.penalty(loss)).backward()
    with contextlib.redirect_stdout(io.StringIO()):  # kron-torch tells its sizes
        optimizer.step()
    plastic.step()


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-2)


def wrapping(parameters):
    torch.optim.Adam([nn.Parameter(torch.zeros(1))])  # so that its step has hooks
    return Wrapping(parameters, lr=1e-2)


@pytest.mark.parametrize("method", ["papo", "adamo", "layernorm+adamo", "head_decay"])
def test_a_step_within_a_step_is_one_step(method):
    settings = {"isometry_strength": 0.5} if "adamo" in method else {}
    plain, wrapped = (trained(o, method, **settings)[0] for o in (adam, wrapping))
    for p, q in zip(plain.parameters(), wrapped.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_step_within_a_step_is_one_step_for_with_isometry():
    ends = []
    for made in (adam, wrapping):
        model = network()
        optimizer = with_isometry(made(model.parameters()), isometry_strength=0.5)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(INPUTS), LABELS).backward()
            optimizer.step()
        ends.append([p.detach() for p in model.parameters()])
    assert all(torch.equal(p, q) for p, q in zip(*ends, strict=True))


class Failing(Wrapping):
    """Raises inside its second step."""

    def step(self, closure=None):
        loss = super().step(closure)
        if self.state["_wrap"]["steps"] == 2:
            raise RuntimeError
        return loss


def test_a_step_that_raises_is_not_the_end():
    torch.optim.Adam([nn.Parameter(torch.zeros(1))])
    model, optimizer, plastic = trained(lambda p: Failing(p, lr=1e-2), "papo", 1)
    with pytest.raises(RuntimeError):
        step(model, optimizer, plastic)
    with pytest.raises(ValueError, match="gradients that no step has used"):
        plastic.step()
    step(model, optimizer, plastic)
    assert plastic.state_dict()["steps"] == 2


def test_a_new_unit_begins_where_it_was_put_in_memory_under_a_name():
    model, optimizer, plastic = trained(wrapping, "redo", 2, **RESETS)
    assert sum(row.replaced for row in plastic.report().layers) > 0
    for i in (3, 5):  # what a new unit reads with, and what reads it
        weight, start = model[i].weight, network()[i].weight
        kept = optimizer.state["_wrap"][weight]["ref"]
        moved = kept != start
        assert 0 < int(moved.sum()) < moved.numel()
        assert torch.equal(kept[moved], weight[moved])
        assert not torch.equal(kept, weight)
        assert not optimizer.state[weight]["exp_avg"][moved].any()


def test_what_has_no_parameter_is_forgotten_with_the_rest():
    model, optimizer, plastic = trained(wrapping, "fresh")
    plastic.new_task()
    assert not optimizer.state
    step(model, optimizer, plastic)
    kept = optimizer.state["_wrap"]
    assert kept["steps"] == 1
    assert not torch.equal(kept[model[0].weight]["ref"], network()[0].weight)


def test_memory_of_a_kernel_as_a_matrix_is_that_of_its_units():
    model, optimizer, plastic = trained(lambda p: Merging(p, 1e-2), "redo", 2, **RESETS)
    replaced = {row.layer: row.replaced for row in plastic.report().layers}
    assert replaced["0.weight"] > 0
    memory = optimizer.state[model[0].weight]["momentum_buffer"]
    assert memory.shape == (4, 4)
    empty = (memory == 0).all(1)
    assert 0 < int(empty.sum()) <= replaced["0.weight"]


# --- the packages, where they are -----------------------------------------------------


def trac(parameters):
    package = pytest.importorskip("trac_optimizer")
    torch.optim.Adam([nn.Parameter(torch.zeros(1))])
    wrapped = package.start_trac("/dev/null", torch.optim.Adam, s_prev=0.1)
    return wrapped(parameters, lr=1e-2)


def kron(parameters):
    package = pytest.importorskip("kron_torch")
    return package.Kron(parameters, lr=1e-2)


@pytest.fixture
def eager():
    """Let kron-torch run without a compiler."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


def test_a_reset_moves_the_reference_of_trac():
    model, optimizer, plastic = trained(trac, "redo", 2, **RESETS)
    assert sum(row.replaced for row in plastic.report().layers) > 0
    kept, start = optimizer.state["_trac"], network()
    reference, weight = kept[model[3].weight]["ref"], model[3].weight
    moved = reference != start[3].weight
    assert 0 < int(moved.sum()) < moved.numel()
    assert torch.equal(reference[moved], weight[moved])
    twin = copy.deepcopy((model, optimizer))
    assert_close(twin[0].state_dict(), model.state_dict())
    assert twin[1].state["_trac"][twin[0][3].weight]["ref"] is not reference


class Halving(torch.optim.Adam):
    """Goes half as far as its base."""

    def step(self, closure=None):
        own = [p for group in self.param_groups for p in group["params"]]
        before = [p.detach().clone() for p in own]
        loss = super().step(closure)
        with torch.no_grad():
            for p, old in zip(own, before, strict=True):
                p.lerp_(old, 0.5)
        return loss


def halving(parameters):
    torch.optim.Adam([nn.Parameter(torch.zeros(1))])
    return Halving(parameters, lr=1e-2)


@pytest.mark.parametrize("made", [halving, trac])
def test_beside_a_wrapped_step_the_isometry_step_is_taken_whole(made):
    """What it adds to a weight is no part of the step that the wrapper changes."""
    ends = {}
    for strength in (0.0, 0.5):
        model = network()
        start = model[3].weight.detach().clone()
        plastic = isometry.attach(
            model,
            made(model.parameters()),
            "adamo",
            inputs=INPUTS,
            isometry_strength=strength,
        )
        step(model, plastic.optimizer, plastic)
        ends[strength] = model[3].weight.detach() - start
    alone = network()
    sgd = torch.optim.SGD(alone.parameters(), lr=1e-2)
    with_isometry(sgd, isometry_strength=0.5)
    start = alone[3].weight.detach().clone()
    for p in alone.parameters():
        p.grad = torch.zeros_like(p)
    sgd.step()
    pull = alone[3].weight.detach() - start
    assert float(pull.abs().max()) > 1e-4
    assert_close(ends[0.5] - ends[0.0], pull, rtol=1e-3, atol=1e-6)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "method", ["l2_init", "redo", "adamo", "papo", "fire", "fresh"]
)
@pytest.mark.parametrize("made", [trac, kron])
def test_the_packages_learn_and_go_on_over_a_task(made, method):
    settings = RESETS if method == "redo" else {}
    model, optimizer, plastic = trained(made, method, 30, **settings)
    loss = nn.functional.cross_entropy(model(INPUTS), LABELS)
    plastic.new_task((INPUTS, LABELS))
    for _ in range(30):
        step(model, optimizer, plastic)
    late = nn.functional.cross_entropy(model(INPUTS), LABELS)
    assert torch.isfinite(late)
    if method in ("l2_init", "adamo", "papo"):
        assert late < loss


@pytest.mark.usefixtures("eager")
def test_a_reset_clears_the_momentum_of_kron_and_leaves_its_factors():
    model, optimizer, plastic = trained(kron, "redo", 2, **RESETS)
    replaced = {row.layer: row.replaced for row in plastic.report().layers}
    state = optimizer.state[model[0].weight]
    assert state["momentum_buffer"].shape == tuple(state["merged_shape"])
    empty = (state["momentum_buffer"].view(4, -1) == 0).all(1)
    assert 0 < int(empty.sum()) <= replaced["0.weight"]
    assert all(factor.diagonal().all() for factor in state["Q"] if factor.ndim == 2)
