"""AdamO in the loops of others: rests, schedules, scalers, checkpoints, numbers."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from isometry.adamo import (
    AdamO,
    isometry_gradient,
    isometry_step_,
    param_groups,
    relaxation_steps,
    with_isometry,
)
from isometry.core.seeding import generator


def parameter(*shape, seed=0):
    draw = generator(seed, "weight")
    return nn.Parameter(torch.randn(shape, generator=draw, dtype=torch.float64))


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LSTM(3, 2))
        model.head = nn.Linear(2, 1)
    return model.double()


def run(optimizer, weights, steps, first=0):
    for step in range(first, first + steps):
        for seed, weight in enumerate(weights):
            draw = generator(seed, "gradient", step)
            weight.grad = torch.randn(weight.shape, generator=draw).to(weight)
        optimizer.step()


def wrapped(params, lr, **isometry):
    return with_isometry(torch.optim.Adam(params, lr=lr), **isometry)


@pytest.mark.parametrize("make", [AdamO, wrapped])
@pytest.mark.parametrize("every", [1, 2, "auto"])
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_a_group_at_rate_zero_rests_and_counts_nothing(make, every, kind):
    if kind is torch.tensor and every == "auto":
        every = 3
    weight, twin = parameter(3, 3), parameter(3, 3)
    options = {"isometry_lr": 0.02, "isometry_strength": 1.0, "isometry_every": every}
    resting, plain = (make([w], lr=0.1, **options) for w in (weight, twin))
    group, before = resting.param_groups[0], weight.detach().clone()
    group["lr"] = kind(0.0)
    for _ in range(3):
        weight.grad = torch.zeros_like(weight)
        resting.step()
    assert torch.equal(weight, before)
    assert group["isometry_count"] == group["isometry_due"] == 0
    group["lr"] = kind(0.1)
    for optimizer, w in ((resting, weight), (plain, twin)):
        for _ in range(4):
            w.grad = torch.zeros_like(w)
            optimizer.step()
    assert torch.equal(weight, twin)
    assert not torch.equal(weight, before)


@pytest.mark.parametrize("make", ["adamo", "sgd"])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("every", [1, 3, "auto"])
def test_a_skipped_step_is_not_counted(make, fused, every):
    options = {"isometry_strength": 3.0, "isometry_every": every}

    def made(weight):
        if make == "adamo":
            return AdamO([weight], lr=1e-2, fused=fused, **options)
        sgd = torch.optim.SGD([weight], lr=1e-2, fused=fused)
        return with_isometry(sgd, **options)

    weight, twin = (nn.Parameter(parameter(3, 3).detach().float()) for _ in range(2))
    scaled, plain = made(weight), made(twin)
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0, growth_interval=1000)
    for step in range(7):
        if step in (1, 4):  # overflows, which the twin never sees
            weight.grad = None
            scaler.scale((weight * torch.inf).sum()).backward()
            scaler.step(scaled)
            scaler.update(1.0)
        for w in (weight, twin):
            w.grad = None
        scaler.scale(weight.sum()).backward()
        scaler.step(scaled)
        scaler.update(1.0)
        twin.sum().backward()
        plain.step()
    assert_close(weight, twin)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("make", ["adamo", "sgd"])
def test_a_checkpoint_of_one_group_is_dealt_out(frozen, named, make):
    model, twin = network(), network()
    for m in (model, twin):
        m[1].bias.requires_grad_(not frozen)
    given = model.named_parameters() if named else model.parameters()
    kind = torch.optim.AdamW if make == "adamo" else torch.optim.SGD
    more = {} if make == "adamo" else {"momentum": 0.9}
    old = kind(given, lr=3e-3, **more)
    run(old, [p for p in model.parameters() if p.requires_grad], 2)
    if make == "adamo":
        new = AdamO(twin, isometry_strength=0.5)
    else:
        new = torch.optim.SGD(param_groups(twin), lr=1e-3)
        with_isometry(new, isometry_strength=0.5)
    new.load_state_dict(copy.deepcopy(old.state_dict()))
    key = "exp_avg" if make == "adamo" else "momentum_buffer"
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        if a.requires_grad:
            assert torch.equal(old.state[a][key], new.state[b][key])
    strengths = [group["isometry_strength"] for group in new.param_groups]
    assert strengths == [0.5, 0.0]
    assert [group["lr"] for group in new.param_groups] == [3e-3, 3e-3]
    run(new, [p for p in twin.parameters() if p.requires_grad], 1)


def test_named_groups_of_any_kind_find_their_parameters():
    # as transformers' Trainer makes them: with and without decay
    model, twin = network(), network()
    named = list(model.named_parameters())
    groups = [
        {"params": [(n, p) for n, p in named if p.ndim > 1], "weight_decay": 0.1},
        {"params": [(n, p) for n, p in named if p.ndim == 1], "weight_decay": 0.0},
    ]
    old = torch.optim.AdamW(groups, lr=3e-3)
    run(old, list(model.parameters()), 2)
    new = AdamO(twin, weight_decay=0.2)
    new.load_state_dict(copy.deepcopy(old.state_dict()))
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(old.state[a]["exp_avg"], new.state[b]["exp_avg"])
    # where the old groups disagree, the new one keeps its own
    assert [group["weight_decay"] for group in new.param_groups] == [0.1, 0.2]
    assert [group["lr"] for group in new.param_groups] == [3e-3, 3e-3]


@pytest.mark.parametrize(
    ("old", "message"),
    [
        (
            lambda: nn.Sequential(nn.Embedding(5, 4), nn.Linear(3, 4), nn.LSTM(3, 2)),
            "size of optimizer's group|different number of parameter groups",
        ),
        (
            lambda: list(network().parameters())[::-1],
            r"needed exp_avg of shape .* found shape",
        ),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(old, message):
    made = old()
    weights = list(made.parameters()) if isinstance(made, nn.Module) else made
    theirs = torch.optim.AdamW(weights)
    run(theirs, weights, 1)
    with pytest.raises(ValueError, match=message):
        AdamO(network()).load_state_dict(theirs.state_dict())


def test_a_checkpoint_says_nothing_of_what_parameters_are():
    weights = [parameter(6, 2), parameter(6, 2)]
    saved = AdamO([weights[0]], isometry_strength=2.0).state_dict()
    weights[1].isometry = {"parts": 3}
    optimizer = AdamO([weights[1]])
    optimizer.load_state_dict(saved)
    assert optimizer.describe().rows[0].why == "3 matrices, blocks of rows"
    assert optimizer.param_groups[0]["isometry_strength"] == 2.0


def test_a_state_is_plain_data(tmp_path):
    optimizer = AdamO(network())
    run(optimizer, [p for g in optimizer.param_groups for p in g["params"]], 1)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    AdamO(network()).load_state_dict(loaded)


COPIES = [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("kind", ["SGD", "NAdam", "RMSprop", "RAdam", "Adafactor"])
def test_a_copy_of_a_wrapped_optimiser_goes_on_when_it_is_wrapped(copied, kind):
    weight = parameter(3, 3)
    first = with_isometry(
        getattr(torch.optim, kind)([weight], lr=0.01),
        isometry_strength=2.0,
        isometry_every=2,
    )
    run(first, [weight], 3)
    twin = copied(first)
    assert with_isometry(twin) is twin
    other = twin.param_groups[0]["params"][0]
    run(first, [weight], 3, first=3)
    run(twin, [other], 3, first=3)
    assert torch.equal(weight, other)
    with pytest.raises(ValueError, match="that has it; call with_isometry once"):
        with_isometry(twin)


def test_an_optimiser_that_was_loaded_first_can_be_wrapped():
    weight, twin = parameter(3, 3), parameter(3, 3)
    first = wrapped([weight], lr=0.01, isometry_strength=2.0, isometry_every=2)
    run(first, [weight], 3)
    resumed = torch.optim.Adam([twin], lr=0.01)
    resumed.load_state_dict(copy.deepcopy(first.state_dict()))
    with torch.no_grad():
        twin.copy_(weight)
    with_isometry(resumed)
    run(first, [weight], 3, first=3)
    run(resumed, [twin], 3, first=3)
    assert torch.equal(weight, twin)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}])
def test_zero_strength_is_adamw_with_amsgrad_too(amsgrad, options):
    ours, theirs = parameter(4, 3), parameter(4, 3)
    given = (1e-2, (0.8, 0.9), 1e-7, 0.1, amsgrad)  # in AdamW's order
    a = AdamO([ours], *given, isometry_strength=0, **options)
    b = torch.optim.AdamW([theirs], *given, **options)
    for optimizer, weight in ((a, ours), (b, theirs)):
        run(optimizer, [weight], 10)
    assert torch.equal(ours, theirs)
    assert ("max_exp_avg_sq" in a.state[ours]) == amsgrad


@pytest.mark.parametrize("rate", [1e-3, 0.2])
@pytest.mark.parametrize("parts", [1, 2])
def test_gradients_go_through_a_differentiable_step(rate, parts):
    # rate 0.2 shortens the step of the second weight
    def stepped(start, gradient):
        weight = start.clone()
        if parts > 1:
            weight.isometry = {"parts": parts}
        weight.grad = gradient
        AdamO([weight], 0.1, isometry_strength=10 * rate, differentiable=True).step()
        return weight

    for scale in (0.5, 3.0):
        start = (scale * parameter(4, 3)).detach().requires_grad_()
        draw = parameter(4, 3, seed=1).detach().requires_grad_()
        assert torch.autograd.gradcheck(stepped, (start, draw))
        plain = nn.Parameter(start.detach().clone())
        if parts > 1:
            plain.isometry = {"parts": parts}
        plain.grad = draw.detach().clone()
        AdamO([plain], lr=0.1, isometry_strength=10 * rate).step()
        # torch's differentiable Adam corrects its moments in single precision
        assert_close(stepped(start, draw).detach(), plain.detach(), rtol=0, atol=1e-6)


NUMBERS = {
    "lr": np.float32(1e-2),
    "betas": (np.float64(0.9), np.float64(0.99)),
    "eps": np.float32(1e-8),
    "weight_decay": np.float32(0.01),
    "isometry_strength": np.float32(0.5),
    "isometry_lr": np.float64(0.01),
    "isometry_every": np.int64(2),
}


@pytest.mark.parametrize("grouped", [False, True])
def test_numbers_of_numpy_are_numbers(grouped, tmp_path):
    plain = {k: v if isinstance(v, tuple) else v.item() for k, v in NUMBERS.items()}
    plain["betas"] = (0.9, 0.99)
    weights = [parameter(3, 3), parameter(3, 3)]
    for weight, values in zip(weights, (NUMBERS, plain), strict=True):
        given = [{"params": [weight], **values}] if grouped else [weight]
        optimizer = AdamO(given, **({} if grouped else values))
        run(optimizer, [weight], 4)
        torch.save(optimizer.state_dict(), tmp_path / "state.pt")
        torch.load(tmp_path / "state.pt", weights_only=True)
        optimizer.param_groups[0]["lr"] = np.float32(0.001)  # as by a schedule
        run(optimizer, [weight], 2, first=4)
    assert torch.equal(*weights)


@pytest.mark.parametrize("make", [AdamO, wrapped])
@pytest.mark.parametrize("every", [1, 4, "auto"])
def test_a_rate_that_a_schedule_lifts_past_the_limit_warns_once(make, every):
    weight = parameter(3, 3)
    optimizer = make([weight], lr=0.01, isometry_strength=4.0, isometry_every=every)
    run(optimizer, [weight], 4)
    optimizer.param_groups[0]["lr"] = 0.3
    with pytest.warns(UserWarning, match="<= 0.25, .* lifted by a schedule") as seen:
        run(optimizer, [weight], 8)
    assert len(seen) == 1
    assert torch.isfinite(weight).all()


@pytest.mark.parametrize("isometry_lr", [None, 2e-3])
def test_a_strength_may_be_said_by_its_time(isometry_lr):
    options = {"lr": 1e-3, "isometry_lr": isometry_lr}
    optimizer = AdamO([parameter(2, 2)], relaxation_steps=500, **options)
    strength = optimizer.param_groups[0]["isometry_strength"]
    rate = 1e-3 if isometry_lr is None else isometry_lr
    assert relaxation_steps(strength, rate) == pytest.approx(500)
    groups = [
        {"params": [parameter(2, 2)], "relaxation_steps": 100, "lr": 1e-2},
        {"params": [parameter(2, 2)]},
    ]
    optimizer = AdamO(groups, relaxation_steps=500, **options)
    other = optimizer.param_groups[0]["isometry_strength"]
    rate = 1e-2 if isometry_lr is None else isometry_lr
    assert relaxation_steps(other, rate) == pytest.approx(100)
    assert optimizer.param_groups[1]["isometry_strength"] == strength
    assert optimizer.defaults["isometry_strength"] == strength


def test_the_pull_alone_without_a_gradient_is_the_paper_s():
    weight = parameter(4, 3)
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    AdamO([weight], lr=1e-3, isometry_strength=2.0).step()
    assert_close(weight.detach(), before - 2e-3 * isometry_gradient(before))
    assert_close(weight.detach(), isometry_step_(before.clone(), 2e-3))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*_prims_common.*:FutureWarning")  # of torch itself
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_compiled_step_of_a_model_equals_the_eager_one(backend, whole):
    model, twin = network().float(), network().float()
    options = {"lr": torch.tensor(1e-2), "isometry_strength": 1.0}
    ours, plain = (AdamO(m, **options) for m in (model, twin))
    inputs = torch.tensor([1, 2, 3])

    def train(net, optimizer, step):
        optimizer.zero_grad()
        net[1](net[0](inputs)).square().sum().backward()
        step()

    def compiled():
        train(model, ours, ours.step)

    step = torch.compile(compiled if whole else ours.step, backend=backend)
    for _ in range(3):
        train(twin, plain, plain.step)
        step() if whole else train(model, ours, step)
    both = zip(model.parameters(), twin.parameters(), strict=True)
    for a, b in both:
        assert_close(a, b)
