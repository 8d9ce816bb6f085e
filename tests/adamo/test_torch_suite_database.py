"""torch's own database of optimisers and their settings, run on AdamO.

It comes with torch, in ``torch.testing._internal``, and wants expecttest: the extra
``integrations``. Its import would freeze flags of the process, and is kept from it.
"""

import copy
import importlib
import warnings
from unittest import mock

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from isometry.adamo import AdamO, isometry_gradient, with_isometry
from isometry.core.seeding import generator

pytest.importorskip("expecttest")

BIT_FOR_BIT = {"rtol": 0.0, "atol": 0.0}
KERNELS = [{}, {"foreach": False}, {"foreach": True}, {"fused": True}]
PRECISIONS = [torch.float32, torch.float64, torch.bfloat16, torch.complex64]
NAMES = [
    *("ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS"),
    *("Muon", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD", "SparseAdam"),
]


@pytest.fixture(scope="module")
def database():
    """The database by name; of a later torch it may hold more."""
    with warnings.catch_warnings(), mock.patch("torch.backends.disable_global_flags"):
        warnings.simplefilter("ignore")
        room = "torch.testing._internal.common_optimizers"
        found = importlib.import_module(room).optim_db
    assert not torch.backends.flags_frozen()
    return {info.name: info for info in found}


@pytest.fixture(scope="module")
def settings(database):
    """What AdamW and Adam are tried with, as keywords."""
    names = ("AdamW", "Adam")
    inputs = [i for n in names for i in database[n].optim_inputs_func("cpu")]
    assert len(inputs) >= 10
    return [each.kwargs for each in inputs]


def drawn(shape, *key, dtype=torch.float64):
    draw = generator(0, *key)
    kind = torch.complex128 if dtype.is_complex else torch.float64
    return torch.randn(shape, generator=draw, dtype=kind).to(dtype)


def parameters(dtype, shapes=((4, 3), (3,), (2, 3, 2, 2), (5, 5))):
    made = (drawn(s, "weight", i, dtype=dtype) for i, s in enumerate(shapes))
    return [nn.Parameter(0.5 * w) for w in made]


def run(optimizer, params, steps, first=0, closure=None):
    for step in range(first, first + steps):
        for index, p in enumerate(params):
            p.grad = drawn(p.shape, "gradient", index, step, dtype=p.dtype)
        optimizer.step(closure)
    return [p.detach().clone() for p in params]


def test_the_database_knows_every_optimiser_that_is_tried(database):
    assert set(NAMES) <= database.keys()


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_every_setting_of_adamw_at_strength_zero_is_adamw(settings, kernel, dtype):
    if dtype.is_complex and kernel.get("fused"):
        pytest.skip("torch's fused kernels take no complex numbers")
    for options in settings:
        options = {"weight_decay": 0.0, **options, **kernel}
        ours, theirs = parameters(dtype), parameters(dtype)
        a = run(AdamO(ours, isometry_strength=0.0, **options), ours, 4)
        b = run(torch.optim.AdamW(theirs, **options), theirs, 4)
        assert_close(a, b, **BIT_FOR_BIT)


# The bounds are those of torch's suite for its own kernels, where it states one.
CLOSE = {
    torch.float32: {},
    torch.float64: {},
    torch.bfloat16: {"rtol": 5e-3, "atol": 5e-3},
    torch.complex64: {},
}


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("kernel", KERNELS[2:], ids=str)
def test_kernels_of_every_setting_agree(settings, kernel, dtype):
    if dtype.is_complex and kernel.get("fused"):
        pytest.skip("torch's fused kernels take no complex numbers")
    for options in settings:
        options = {**options, "isometry_strength": 2.0, "isometry_every": 2}
        ours, plain = parameters(dtype), parameters(dtype)
        tested = AdamO(ours, **options, **kernel)
        loop = AdamO(plain, **options, foreach=False)
        for step in range(6):
            run(tested, ours, 1, step)
            run(loop, plain, 1, step)
            assert_close(ours, plain, **CLOSE[dtype])
            for p, q in zip(ours, plain, strict=True):  # as torch's suite: step by step
                p.data.copy_(q)


@pytest.mark.parametrize("setting", range(10))
def test_every_schedule_of_adam_goes_in_the_right_direction(
    database, settings, setting
):
    for schedules in database["Adam"].scheduler_inputs:
        options = settings[setting]
        weight, bias = parameters(torch.float64, ((10, 5), (10,)))
        inputs = drawn((5,), "inputs")
        groups = [{"params": [weight]}, {"params": [bias], "lr": 1e-2}]
        optimizer = AdamO(groups, isometry_strength=0.1, **{**options, "lr": 1e-2})
        made = [schedule(optimizer) for schedule in schedules]
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            loss = (weight @ inputs + bias).square().sum()
            loss.backward()
            losses.append(loss.item())
            optimizer.step()
            for each in made:
                plateau = isinstance(each, torch.optim.lr_scheduler.ReduceLROnPlateau)
                each.step(losses[-1]) if plateau else each.step()
        assert (losses[-1] > losses[0]) == options.get("maximize", False)


# What AdamO allows on purpose: groups with names beside groups without.
ALLOWED = "all optimizer param groups should be with/without names."


@pytest.mark.parametrize("name", ["AdamW", "Adam"])
def test_what_torch_refuses_is_refused_in_the_same_way(database, name):
    inputs = database[name].optim_error_inputs_func("cpu", torch.float32)
    assert len(inputs) >= 9
    for each in inputs:
        given = each.optimizer_error_input
        params = given.params
        if params is None:
            params = parameters(torch.float32)
        if given.desc == ALLOWED:
            assert len(AdamO(params, **given.kwargs).param_groups) == 2
            continue
        kind = each.error_type
        with pytest.raises(kind) if kind is not UserWarning else pytest.warns(kind):
            AdamO(params, **given.kwargs)


def closure_for(info, params):
    """Return a closure for the one optimiser that needs it."""
    return (
        (lambda: sum(p.sum() for p in params)) if info.step_requires_closure else None
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_optimiser_of_torch_takes_the_pull_beside_its_own_step(database, name):
    info = database[name]
    shapes = ((4, 3), (5, 5)) if name == "Muon" else ((4, 3), (3,), (2, 3, 2, 2))
    dtype = torch.float64
    for given in info.optim_inputs_func("cpu"):
        plain, zero, ours = (parameters(dtype, shapes) for _ in range(3))
        sparse = info.only_supports_sparse_grads
        made = [info.optim_cls(p, **given.kwargs) for p in (plain, zero, ours)]
        with_isometry(made[1], isometry_strength=0.0)
        pull = 1e-3
        with_isometry(made[2], isometry_strength=1.0, isometry_lr=pull)
        before = [p.detach().clone() for p in ours]
        for optimizer, params in zip(made, (plain, zero, ours), strict=True):
            for index, p in enumerate(params):
                gradient = drawn(p.shape, "gradient", index)
                p.grad = gradient.to_sparse() if sparse else gradient
            optimizer.step(closure_for(info, params))
        assert_close(zero, plain, **BIT_FOR_BIT)
        for p, q, w in zip(ours, plain, before, strict=True):
            change = torch.zeros_like(w)
            if w.ndim > 1 and not sparse:
                matrix = isometry_gradient(w.flatten(1))
                change = pull * matrix.view(w.shape)
            assert_close(p.detach(), q.detach() - change)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "SparseAdam"])
def test_every_optimiser_of_torch_resumes_with_the_pull(database, name):
    info = database[name]
    shapes = ((4, 3), (5, 5)) if name == "Muon" else ((4, 3), (3,))
    for given in info.optim_inputs_func("cpu"):

        def made(params, options=given.kwargs):
            optimizer = info.optim_cls(params, **options)
            pull = {"isometry_strength": 1.0, "isometry_lr": 1e-3}
            return with_isometry(optimizer, isometry_every=2, **pull)

        params, twins = (parameters(torch.float64, shapes) for _ in range(2))
        optimizer = made(params)
        run(optimizer, params, 3, closure=closure_for(info, params))
        state = copy.deepcopy(optimizer.state_dict())
        for p, t in zip(params, twins, strict=True):
            t.data.copy_(p)
        twin = made(twins)
        twin.load_state_dict(state)
        a = run(optimizer, params, 3, 3, closure_for(info, params))
        b = run(twin, twins, 3, 3, closure_for(info, twins))
        # torch rounds a product that NAdam keeps when it is loaded, without us as well
        assert_close(a, b, **({} if name == "NAdam" else BIT_FOR_BIT))
