import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from isometry.adamo import AdamO, gram_deviation, isometry_step_, with_isometry
from isometry.core.seeding import generator

OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.1}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 1e-3}),
    "adam": (torch.optim.Adam, {"lr": 1e-3}),
    "adafactor": (torch.optim.Adafactor, {"lr": 1e-2}),
    "muon": (getattr(torch.optim, "Muon", None), {"lr": 1e-2}),
}


def made(name, weight):
    kind, options = OPTIMIZERS[name]
    if kind is None:
        pytest.skip(f"torch {torch.__version__} has no such optimiser")
    return kind([weight], **options), options["lr"]


def parameter(*shape, seed=0):
    draw = generator(seed, "weight")
    return nn.Parameter(torch.randn(shape, generator=draw, dtype=torch.float64))


def set_gradient(weight, step):
    draw = generator(step, "gradient")
    weight.grad = torch.randn(weight.shape, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_step_is_the_optimisers_own_plus_the_pull_at_the_weights_before(name):
    weight, twin = parameter(6, 4), parameter(6, 4)
    optimizer, lr = made(name, weight)
    plain, _ = made(name, twin)
    with_isometry(optimizer, isometry_strength=0.5)
    for step in range(5):
        before = weight.detach().clone()
        twin.data.copy_(before)
        for w in (weight, twin):
            set_gradient(w, step)
        optimizer.step()
        plain.step()
        pull = isometry_step_(before.clone(), lr * 0.5) - before
        assert_close(weight.detach(), twin.detach() + pull)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zero_strength_changes_nothing(name):
    weight, twin = parameter(6, 4), parameter(6, 4)
    optimizer, _ = made(name, weight)
    plain, _ = made(name, twin)
    with_isometry(optimizer, isometry_strength=0.0)
    for step in range(3):
        for w, o in ((weight, optimizer), (twin, plain)):
            set_gradient(w, step)
            o.step()
    assert torch.equal(weight, twin)


@pytest.mark.parametrize("every", [1, 3, "auto"])
def test_adam_with_isometry_is_adamo(every):
    weight, twin = parameter(6, 4), parameter(6, 4)
    options = {"isometry_strength": 0.7, "isometry_every": every}
    ours = AdamO([weight], lr=1e-2, **options)
    theirs = with_isometry(torch.optim.Adam([twin], lr=1e-2), **options)
    for step in range(20):
        for w, o in ((weight, ours), (twin, theirs)):
            set_gradient(w, step)
            o.step()
    assert_close(weight, twin)


def test_a_closure_is_observed_at_its_first_evaluation():
    weight = parameter(5, 5)
    target = torch.eye(5, dtype=torch.float64)
    lbfgs = torch.optim.LBFGS([weight], lr=0.1, max_iter=4)
    twin = parameter(5, 5)
    plain = torch.optim.LBFGS([twin], lr=0.1, max_iter=4)
    with_isometry(lbfgs, isometry_strength=0.1)
    before = weight.detach().clone()

    def closure_of(w):
        def closure():
            w.grad = None
            loss = (w - target).square().sum()
            loss.backward()
            return loss

        return closure

    first = lbfgs.step(closure_of(weight))
    assert_close(first, plain.step(closure=closure_of(twin)))
    pull = isometry_step_(before.clone(), 0.01) - before
    assert_close(weight.detach(), twin.detach() + pull)


def test_groups_added_later_are_pulled_and_their_own_values_hold():
    first, second, third = (3 * torch.eye(3, dtype=torch.float64) for _ in range(3))
    weights = [nn.Parameter(w) for w in (first, second, third)]
    sgd = torch.optim.SGD([{"params": weights[:1], "isometry_strength": 0.0}], lr=0.01)
    with_isometry(sgd, isometry_strength=0.1)
    sgd.add_param_group({"params": weights[1:2]})
    sgd.add_param_group({"params": weights[2:], "isometry_lr": 0.02})
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    sgd.step()
    deviation = [float(gram_deviation(w.detach())) for w in weights]
    start = float(gram_deviation(3 * torch.eye(3, dtype=torch.float64)))
    assert deviation[0] == start > deviation[1] > deviation[2]


def test_states_are_exchanged_with_the_plain_optimiser():
    weight, twin = parameter(4, 4), parameter(4, 4)
    plain = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    set_gradient(weight, 0)
    plain.step()
    ours = torch.optim.SGD([twin], lr=0.2, momentum=0.9)
    with_isometry(ours, isometry_strength=0.3)
    ours.load_state_dict(copy.deepcopy(plain.state_dict()))
    group = ours.param_groups[0]
    assert (group["lr"], group["isometry_strength"]) == (0.1, 0.3)
    plain.load_state_dict(copy.deepcopy(ours.state_dict()))
    set_gradient(twin, 1)
    ours.step()


def test_a_scaler_that_skips_skips_the_pull_as_well():
    weight = nn.Parameter(2 * torch.eye(3))
    optimizer = with_isometry(torch.optim.SGD([weight], lr=0.1, fused=True))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    scaler.scale((weight * torch.inf).sum()).backward()
    scaler.step(optimizer)
    assert torch.equal(weight, 2 * torch.eye(3))


@pytest.mark.parametrize(
    ("optimizer", "keywords", "error", "message"),
    [
        (nn.ReLU(), {}, TypeError, "a torch optimiser, found ReLU"),
        (AdamO([parameter(2, 2)]), {}, ValueError, "without the isometry step"),
        (
            torch.optim.SGD([parameter(2, 2)], lr=0.1),
            {"isometry_strength": -1.0},
            ValueError,
            "finite isometry_strength",
        ),
        (
            torch.optim.SGD([parameter(2, 2)], lr=0.1),
            {"isometry_strength": 5.0},
            ValueError,
            "<= 0.25",
        ),
        (
            torch.optim.SGD([{"params": [parameter(2)], "isometry_strength": 1.0}]),
            {},
            ValueError,
            "at least 2 dimensions",
        ),
    ],
)
def test_bad_arguments_are_refused(optimizer, keywords, error, message):
    with pytest.raises(error, match=message):
        with_isometry(optimizer, **keywords)
