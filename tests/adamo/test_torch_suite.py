"""What torch's own suite asks of every optimiser, asked of AdamO.

The ideas are those of its test_optim.py, beside what the other tests here hold: steps
against the reference, kernels against each other, checkpoints, schedules, scalers.
"""

import copy
import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.testing import assert_close

from isometry.adamo import AdamO, with_isometry
from isometry.core.seeding import generator

KERNELS = [{"foreach": False}, {"foreach": True}, {"fused": True}]
BIT_FOR_BIT = {"rtol": 0.0, "atol": 0.0}
OPTIONS = {"lr": 1e-2, "isometry_strength": 2.0, "isometry_every": 2}


def wrapped(params, lr=1e-2, foreach=None, fused=None, weight_decay=0.0, **isometry):
    options = {"foreach": foreach, "fused": fused, "weight_decay": weight_decay}
    isometry = {"isometry_strength": 2.0, **isometry}
    return with_isometry(torch.optim.AdamW(params, lr=lr, **options), **isometry)


KINDS = [AdamO, wrapped]


def drawn(shape, *key, dtype=torch.float64):
    return torch.randn(shape, generator=generator(0, *key), dtype=torch.float64).to(
        dtype
    )


def parameters(shapes=((4, 3), (3,), (2, 3, 2, 2)), dtype=torch.float64):
    made = (drawn(s, "weight", i, dtype=dtype) for i, s in enumerate(shapes))
    return [nn.Parameter(0.5 * w) for w in made]


def run(optimizer, params, steps, first=0):
    for step in range(first, first + steps):
        for index, p in enumerate(params):
            p.grad = drawn(p.shape, "gradient", index, step, dtype=p.dtype)
        optimizer.step()
    return [p.detach().clone() for p in params]


# --- steps that do nothing -----------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_step_without_gradients_does_nothing(kind, kernel, decay):
    params = parameters()
    before = [p.detach().clone() for p in params]
    optimizer = kind(params, weight_decay=decay, **kernel)
    optimizer.step()
    assert_close([p.detach() for p in params], before, **BIT_FOR_BIT)
    assert not optimizer.state


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_a_step_with_zero_gradients_is_the_pull_alone(kernel):
    params, twins = parameters(), parameters()
    optimizer = AdamO(params, lr=1e-2, isometry_strength=2.0, **kernel)
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert_close(params[1], twins[1], **BIT_FOR_BIT)
    assert [torch.equal(p, t) for p, t in zip(params, twins, strict=True)] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradients_at_all_are_asked_for_by_zero_grad(kind):
    params = parameters()
    optimizer = kind(params)
    run(optimizer, params, 1)
    optimizer.zero_grad(set_to_none=False)
    assert all(not p.grad.any() for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


# --- hooks, closures, printing -------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_all_hooks_run_once_and_in_order(kind):
    params, calls = parameters(), []

    def note(name):
        return lambda *_: calls.append(name)

    optimizer = kind(params)
    handles = [
        register_optimizer_step_pre_hook(note("global before")),
        register_optimizer_step_post_hook(note("global after")),
        optimizer.register_step_pre_hook(note("before")),
        optimizer.register_step_post_hook(note("after")),
    ]
    try:
        run(optimizer, params, 2)
    finally:
        for handle in handles:
            handle.remove()
    order = ["global before", "before", "after", "global after"]
    assert calls == order * 2
    run(optimizer, params, 1)
    assert calls == order * 2


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_of_checkpoints_may_change_them(kind):
    params = parameters()
    optimizer = kind(params, lr=1e-2)
    run(optimizer, params, 2)
    seen = []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("saving"))
    optimizer.register_state_dict_post_hook(lambda o, s: {**s, "note": 7})
    state = optimizer.state_dict()
    assert state["note"] == 7
    assert seen == ["saving"]

    def halve(_, state):
        groups = [{**g, "lr": g["lr"] / 2} for g in state["param_groups"]]
        return {**state, "param_groups": groups}

    optimizer.register_load_state_dict_pre_hook(halve)
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 5e-3
    assert seen == ["saving", "loaded"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_closure_is_called_once_and_its_loss_returned(kind):
    params, twins, calls = parameters(), parameters(), []
    optimizer, plain = kind(params), kind(twins)

    def closure():
        assert torch.is_grad_enabled()
        calls.append(0)
        optimizer.zero_grad()
        loss = sum(p.square().sum() for p in params)
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    sum(t.square().sum() for t in twins).backward()
    assert plain.step() is None
    assert len(calls) == 1
    expected = sum(t.square().sum() for t in parameters())
    assert_close(loss.detach(), expected.detach())
    assert_close(params, twins, **BIT_FOR_BIT)


def test_it_can_be_printed():
    text = repr(AdamO(parameters(), lr=3e-4, isometry_strength=0.5))
    assert text.startswith("AdamO (")
    assert "lr: 0.0003" in text
    assert "isometry_strength: 0.5" in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_may_be_taken_in_the_backward_pass(kind):
    # an optimiser for each parameter, stepped by a hook once its gradient is there
    def network():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()

    model, twin = network(), network()
    each = {p: kind([p], lr=1e-2) for p in model.parameters()}
    whole = kind(list(twin.parameters()), lr=1e-2)

    def hook(p):
        each[p].step()
        each[p].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(hook)
    for step in range(4):
        inputs = drawn((5, 3), "inputs", step)
        model(inputs).square().sum().backward()
        twin(inputs).square().sum().backward()
        whole.step()
        whole.zero_grad()
    assert_close(model.state_dict(), twin.state_dict())


# --- copies and checkpoints ----------------------------------------------------------


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
def test_copies_have_all_public_attributes(copied):
    params = parameters()
    optimizer = AdamO(params, **OPTIONS)
    run(optimizer, params, 3)
    twin = copied(optimizer)
    public = {key for key in vars(optimizer) if not key.startswith("_")}
    assert public <= vars(twin).keys()
    assert twin.defaults == optimizer.defaults
    assert twin.state_dict().keys() == optimizer.state_dict().keys()
    twins = twin.param_groups[0]["params"]
    assert_close(run(twin, twins, 2, 3), run(optimizer, params, 2, 3), **BIT_FOR_BIT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_a_checkpoint_is_a_picture_of_the_state(kind, kernel):
    params = parameters()
    optimizer = kind(params, isometry_every=2, **kernel)
    run(optimizer, params, 3)
    saved = [p.detach().clone() for p in params], optimizer.state_dict()
    first = copy.deepcopy(saved[1])
    optimizer.load_state_dict(saved[1])
    again = optimizer.state_dict()
    assert again["param_groups"] == first["param_groups"]
    assert_close(again["state"], first["state"], **BIT_FOR_BIT)
    frozen = copy.deepcopy(saved)
    ends = []
    for _ in range(2):  # from one checkpoint twice
        for p, value in zip(params, frozen[0], strict=True):
            p.data.copy_(value)
        optimizer.load_state_dict(copy.deepcopy(frozen[1]))
        ends.append(run(optimizer, params, 3, 3))
    assert_close(*ends, **BIT_FOR_BIT)


LATER = ("amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("isometry", [False, True])
def test_checkpoints_from_before_a_setting_existed_are_loaded(kind, isometry):
    params = parameters()
    optimizer = kind(params)
    strength = optimizer.param_groups[0]["isometry_strength"]
    run(optimizer, params, 2)
    state = copy.deepcopy(optimizer.state_dict())
    for group in state["param_groups"]:
        for key in [*group]:
            if key in LATER or (isometry and key.startswith("isometry_")):
                del group[key]
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["isometry_strength"] == strength > 0
    run(optimizer, params, 1, 2)


def test_the_number_of_steps_may_have_been_a_number():
    params, twins = parameters(), parameters()
    optimizer, other = AdamO(params, **OPTIONS), AdamO(twins, **OPTIONS)
    run(optimizer, params, 3)
    run(other, twins, 3)
    state = copy.deepcopy(optimizer.state_dict())
    for values in state["state"].values():
        values["step"] = values["step"].item()
    optimizer.load_state_dict(state)
    assert_close(run(optimizer, params, 2, 3), run(other, twins, 2, 3), **BIT_FOR_BIT)


@pytest.mark.parametrize("saved_with", [False, True])
@pytest.mark.parametrize("loaded_with", [False, True])
def test_checkpoints_with_and_without_names_are_loaded(saved_with, loaded_with):
    def made(named):
        params = parameters()
        names = [(f"layer.{i}", p) for i, p in enumerate(params)]
        return params, AdamO(names if named else params, **OPTIONS)

    params, optimizer = made(saved_with)
    run(optimizer, params, 3)
    twins, twin = made(loaded_with)
    for p, t in zip(params, twins, strict=True):
        t.data.copy_(p)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert_close(run(twin, twins, 3, 3), run(optimizer, params, 3, 3), **BIT_FOR_BIT)


# --- parameters and groups -----------------------------------------------------------


@pytest.mark.parametrize(
    "given", [iter, tuple, lambda p: OrderedDict(enumerate(p)).values()]
)
def test_parameters_come_in_any_order_that_stays(given):
    params = parameters()
    optimizer = AdamO(given(params))
    assert optimizer.param_groups[0]["params"] == params
    optimizer.add_param_group({"params": nn.Parameter(torch.eye(2))})
    assert len(optimizer.param_groups[1]["params"]) == 1


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (lambda p: p[0], TypeError, "iterable of Tensors or dicts"),
        (lambda p: [{"params": set(p)}], TypeError, "ordered collections"),
        (lambda p: [p[0], p[0]], UserWarning, "duplicate parameters"),
        (lambda p: [{"params": p[0]}, {"params": p[0]}], ValueError, "more than one"),
        (lambda p: [("weight", p[0]), p[1]], ValueError, "with/without names"),
        (lambda p: [{"params": p, "lr": -1.0}], ValueError, "finite lr"),
        (lambda p: [p[0] * 2], ValueError, "non-leaf"),
        (lambda p: ["weight"], TypeError, "Tensors|not str|params"),
        (lambda p: [], ValueError, "empty parameter list"),
    ],
)
def test_wrong_parameters_are_refused_as_torch_refuses_them(given, error, message):
    for kind in (torch.optim.AdamW, AdamO):
        if message == "finite lr" and kind is not AdamO:
            continue
        with pytest.raises(error, match=message):
            kind(given(parameters()))


def test_every_setting_of_a_group_holds_for_it_alone():
    weights = [nn.Parameter(w.detach().clone()) for w in parameters(((3, 3),)) * 3]
    alone = [nn.Parameter(w.detach().clone()) for w in weights]
    settings = [
        {},
        {"lr": 3e-2, "weight_decay": 0.2, "betas": (0.5, 0.9), "eps": 1e-3},
        {"isometry_strength": 3.0, "isometry_every": 3, "maximize": True},
    ]
    groups = [{"params": [w], **s} for w, s in zip(weights, settings, strict=True)]
    optimizer = AdamO(groups, **OPTIONS)
    single = [
        AdamO([w], **{**OPTIONS, **s}) for w, s in zip(alone, settings, strict=True)
    ]
    for step in range(7):
        run(optimizer, weights, 1, step)
        for index, (one, w) in enumerate(zip(single, alone, strict=True)):
            w.grad = drawn(w.shape, "gradient", index, step)
            one.step()
    assert_close(weights, alone, **BIT_FOR_BIT)


# --- precisions and layouts ----------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_a_group_may_mix_shapes_and_precisions(kernel):
    kinds = [torch.float32, torch.float64, torch.bfloat16, torch.float32]
    shapes = [(3, 2), (2, 4), (4, 4), ()]

    def made():
        return [
            nn.Parameter(0.5 * drawn(s, "weight", i, dtype=d))
            for i, (s, d) in enumerate(zip(shapes, kinds, strict=True))
        ]

    params, alone = made(), made()
    run(AdamO(params, **OPTIONS, **kernel), params, 4)
    single = [AdamO([w], **OPTIONS, **kernel) for w in alone]
    for step in range(4):
        for index, (one, w) in enumerate(zip(single, alone, strict=True)):
            w.grad = drawn(w.shape, "gradient", index, step, dtype=w.dtype)
            one.step()
    assert_close(params, alone)


@pytest.mark.parametrize("kernel", KERNELS[:2], ids=str)
def test_complex_parameters_are_pairs_of_real_ones(kernel):
    number = nn.Parameter(drawn((3, 2), "weight", dtype=torch.complex128))
    pair = nn.Parameter(torch.view_as_real(number.detach()).clone())
    other = AdamO([pair], lr=1e-2, isometry_strength=0.0, **kernel)
    optimizer = AdamO([number], lr=1e-2, isometry_strength=2.0, **kernel)
    for step in range(5):
        for w, kind in ((number, optimizer), (pair, other)):
            w.grad = None
            z = torch.view_as_real(w) if w.is_complex() else w
            (z.square() * drawn((3, 2, 2), "slope", step)).sum().backward()
            kind.step()
    assert_close(torch.view_as_real(number.detach()), pair.detach())


# Not fused: on a CPU torch's kernel reads such gradients wrongly, AdamW's as well.
@pytest.mark.parametrize("kernel", KERNELS[:2], ids=str)
def test_gradients_need_not_be_contiguous(kernel):
    params, twins = parameters(((4, 6),)), parameters(((4, 6),))
    optimizer, plain = (AdamO(p, **OPTIONS, **kernel) for p in (params, twins))
    for step in range(4):
        gradient = drawn((6, 4), "gradient", step)
        params[0].grad, twins[0].grad = gradient.T, gradient.T.contiguous()
        optimizer.step()
        plain.step()
    assert_close(params, twins)


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_the_default_precision_does_not_matter(default, kernel):
    shapes = ((4, 3), (3,))
    expected = parameters(shapes, torch.float32)
    run(AdamO(expected, **OPTIONS, **kernel), expected, 4)
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        params = parameters(shapes, torch.float32)
        run(AdamO(params, **OPTIONS, **kernel), params, 4)
    finally:
        torch.set_default_dtype(before)
    assert_close(params, expected, rtol=0, atol=1e-6)


def test_a_sparse_gradient_among_others_is_refused_before_the_pull():
    params = parameters(((3, 3), (4, 2)))
    before = [p.detach().clone() for p in params]
    params[0].grad = torch.ones(3, 3, dtype=torch.float64)
    params[1].grad = torch.eye(4, 2, dtype=torch.float64).to_sparse()
    with pytest.raises(RuntimeError, match="sparse gradients"):
        AdamO(params, isometry_strength=2.0).step()
    assert_close([p.detach() for p in params], before, **BIT_FOR_BIT)


SCHEDULES = [
    lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.8),
    lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=3),
    lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kernel", [{"foreach": False}, {"fused": True}], ids=str)
def test_a_schedule_changes_a_rate_that_is_a_tensor(schedule, kernel):
    ends = []
    for lr in (1e-2, torch.tensor(1e-2, dtype=torch.float64)):
        params = parameters()
        optimizer = AdamO(params, lr=lr, isometry_strength=2.0, **kernel)
        made = schedule(optimizer)
        for step in range(5):
            run(optimizer, params, 1, step)
            made.step()
        ends.append([p.detach().clone() for p in params])
    # torch rounds a rate that is a tensor to single precision
    assert_close(*ends, rtol=1e-6, atol=1e-8)
