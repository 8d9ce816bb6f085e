"""AdamO in collections of optimisers: what their suites ask of every optimiser.

The one file is given the base class of the collection, which is all that a pull request
changes in it. Run in an environment of its own with the extra ``integrations``.
"""

import importlib

import pytest
import torch
from single_file import single_file
from torch import nn
from torch.testing import assert_close

from isometry import AdamO
from isometry.core.seeding import generator

# Others' code, which warns of what it likes.
pytestmark = pytest.mark.filterwarnings("default")
BIT_FOR_BIT = {"rtol": 0.0, "atol": 0.0}
KINDS = ["file", "library"]


def adapted():
    """Return the one file's AdamO as pytorch_optimizer would have it."""
    pytest.importorskip("pytorch_optimizer")
    base = importlib.import_module("pytorch_optimizer.base.optimizer").BaseOptimizer

    class InCollection(single_file(base).AdamO):
        def __init__(self, params, lr=1e-3, **options):
            self.validate_learning_rate(lr)
            super().__init__(params, lr, **options)

    return InCollection


def made(kind, params, **options):
    return (AdamO if kind == "library" else adapted())(params, **options)


@pytest.fixture
def package():
    return pytest.importorskip("pytorch_optimizer")


def network(dtype=torch.float32):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))
    return model.to(dtype)


def blobs(dtype=torch.float32):
    labels = (torch.arange(60) % 2).unsqueeze(1)
    noise = torch.randn(60, 2, generator=generator(0, "blobs"))
    return (noise + 4 * labels - 2).to(dtype), labels.float()


def train(model, optimizer, steps, dtype=torch.float32, closure=False):
    inputs, labels = blobs(dtype)
    losses = []

    def loss_of():
        optimizer.zero_grad()
        outputs = model(inputs)
        outputs = outputs.real if outputs.is_complex() else outputs.float()
        loss = nn.functional.binary_cross_entropy_with_logits(outputs, labels)
        loss.backward()
        return loss

    for _ in range(steps):
        loss = loss_of()
        losses.append(loss.item())
        optimizer.step(loss_of) if closure else optimizer.step()
    return losses


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"lr": -1e-2}, "NegativeLRError"),
        ({"eps": -1e-6}, ValueError),
        ({"weight_decay": -1e-3}, ValueError),
        ({"betas": (-0.1, 0.1)}, ValueError),
        ({"betas": (0.1, -0.1)}, ValueError),
        ({"isometry_strength": -0.1}, ValueError),
    ],
)
def test_bad_settings_are_refused_before_the_parameters_are_seen(
    package, options, error
):
    if error == "NegativeLRError":
        errors = importlib.import_module("pytorch_optimizer.base.exception")
        error = errors.NegativeLRError
    with pytest.raises(error):
        adapted()(None, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_and_frozen_gradients_and_empty_groups_do_nothing(package, kind):
    active, idle = (torch.zeros(2, 2, requires_grad=True) for _ in range(2))
    frozen = torch.zeros(2, 2)
    groups = [{"params": []}, {"params": [active, idle]}, {"params": [frozen]}]
    optimizer = made(kind, groups)
    (active.grad,) = torch.autograd.grad(active.sum(), active, create_graph=True)
    assert optimizer.step(lambda: 0.1) == 0.1
    optimizer.zero_grad(set_to_none=True)
    assert_close([idle, frozen], [torch.zeros(2, 2)] * 2, check_layout=False)
    assert active.grad is None
    assert bool((active < 0).all())


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_gradients_are_refused(package, kind):
    weight = torch.ones(2, 2, requires_grad=True)
    weight.grad = torch.eye(2).to_sparse()
    with pytest.raises(RuntimeError, match="sparse gradients"):
        made(kind, [weight]).step()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_two_blobs_are_learnt(package, kind, foreach, dtype):
    model = network(dtype)
    optimizer = made(
        kind,
        model.parameters(),
        lr=0.1,
        weight_decay=1e-3,
        isometry_strength=0.1,
        foreach=foreach,
    )
    losses = train(model, optimizer, 10, dtype)
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_resumes_bit_for_bit_with_closures(package, kind, tmp_path):
    def fresh():
        model = network()
        options = {"isometry_strength": 2.0, "isometry_every": 2}
        return model, made(kind, model.parameters(), lr=0.01, **options)

    model, optimizer = fresh()
    train(model, optimizer, 3, closure=True)
    torch.save((model.state_dict(), optimizer.state_dict()), tmp_path / "saved.pt")
    twin, resumed = fresh()
    weights, state = torch.load(tmp_path / "saved.pt", weights_only=True)
    resumed.load_state_dict(state)
    twin.load_state_dict(weights)
    for some in ((model, optimizer), (twin, resumed)):
        train(*some, 3, closure=True)
    assert_close(twin.state_dict(), model.state_dict(), **BIT_FOR_BIT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("foreach", [False, True])
def test_maximising_is_minimising_the_negative(package, kind, foreach):
    ends = []
    for maximize in (False, True):
        weight = torch.full((2, 2), 2.0, requires_grad=True)
        weight.grad = torch.full((2, 2), 0.5 if maximize else -0.5)
        options = {"maximize": maximize, "foreach": foreach}
        made(kind, [weight], isometry_strength=5.0, **options).step()
        ends.append(weight.detach())
    assert_close(*ends, **BIT_FOR_BIT)
    assert bool((ends[0] != 2).all())


def test_the_registry_and_the_factory_know_it(package, monkeypatch):
    room = importlib.import_module("pytorch_optimizer.optimizer")
    monkeypatch.setitem(room.OPTIMIZERS, "adamo", adapted())
    model, twin = network(), network()
    options = {"lr": 0.05, "isometry_strength": 1.0, "weight_decay": 0.1}
    optimizer = package.create_optimizer(model, "AdamO", **options)
    decays = {g["weight_decay"]: len(g["params"]) for g in optimizer.param_groups}
    assert decays == {0.1: 2, 0.0: 2}  # not of biases
    groups = [
        {"params": [p for p in twin.parameters() if p.ndim > 1]},
        {"params": [p for p in twin.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    train(model, optimizer, 20)
    train(twin, AdamO(groups, **options), 20)
    # float32, 20 steps of a learning network
    assert_close(model.state_dict(), twin.state_dict(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_lookahead_before_its_first_look_is_the_optimiser_itself(package, kind):
    model, twin = network(), network()
    inner, plain = (
        made(kind, m.parameters(), lr=0.05, isometry_strength=1.0)
        for m in (model, twin)
    )
    train(model, package.Lookahead(inner, k=10), 5)
    train(twin, plain, 5)
    assert_close(model.state_dict(), twin.state_dict(), **BIT_FOR_BIT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrapper", ["OrthoGrad", "TRAC", "ScheduleFreeWrapper"])
def test_wrappers_of_the_collection_take_it(package, kind, wrapper):
    model = network()
    inner = made(kind, model.parameters(), lr=0.1, isometry_strength=0.1)
    optimizer = getattr(package, wrapper)(inner)
    if hasattr(optimizer, "train"):
        optimizer.train()
    losses = train(model, optimizer, 15)
    assert losses[-1] < losses[0]
    assert torch.isfinite(torch.tensor(losses)).all()


def test_zij_takes_it_with_its_own_base_class(monkeypatch):
    zij = pytest.importorskip("zij")
    registry = importlib.import_module("zij.registry")
    for table in (registry._REGISTRY, registry._CONSTRUCTION):
        monkeypatch.setitem(table, "adamo", "held")  # taken away after the test
        del table["adamo"]
    registry._register(single_file(zij.Optimizer).AdamO)
    assert "adamo" in zij.list_optimizers("adam*")
    assert zij.construction_of("adamo") == "params"
    model, twin = network(), network()
    options = {"lr": 0.1, "isometry_strength": 0.1, "isometry_every": 2}
    optimizer = zij.load_optimizer("AdamO")(model.parameters(), **options)
    assert isinstance(optimizer, zij.Optimizer)
    schedule = zij.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.9)
    plain = AdamO(twin.parameters(), **options)
    plain_schedule = torch.optim.lr_scheduler.StepLR(plain, step_size=1, gamma=0.9)
    losses = []
    for _ in range(10):
        losses += train(model, optimizer, 1)
        train(twin, plain, 1)
        schedule.step()
        plain_schedule.step()
    assert losses[-1] < losses[0] / 2
    assert_close(model.state_dict(), twin.state_dict(), rtol=0, atol=1e-5)
