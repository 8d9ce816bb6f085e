"""AdamO as one file takes the steps of the library's.

The bounds were written before the first run. Adam's part, strength 0, is bit for bit.
In the pull the file scales the deviation where the library scales the product: a few
roundings a step, of the weight's precision, and the steps are few.
"""

import copy
import inspect

import pytest
import torch
from single_file import PATH, single_file
from torch import nn
from torch.testing import assert_close

from isometry import AdamO
from isometry.adamo import param_groups
from isometry.core.seeding import generator

STEPS = 40
BOUND = {  # of entries of order one, after 40 steps
    torch.float64: {"rtol": 0, "atol": 1e-13},
    torch.float32: {"rtol": 0, "atol": 1e-5},
}
BIT_FOR_BIT = {"rtol": 0.0, "atol": 0.0}


single = single_file()


def drawn(shape, *key, dtype=torch.float64):
    return torch.randn(shape, generator=generator(0, *key), dtype=dtype)


def weights(shapes, dtype=torch.float64):
    made = [drawn(s, "weight", i, dtype=dtype) for i, s in enumerate(shapes)]
    return [nn.Parameter(w / max((1, *w.shape)) ** 0.5) for w in made]


def run(optimizer, params, steps=STEPS, first=0):
    for step in range(first, first + steps):
        for index, p in enumerate(params):
            p.grad = drawn(p.shape, "gradient", index, step, dtype=p.dtype)
        optimizer.step()
    return [p.detach().clone() for p in params]


SHAPES = [(6, 4), (4, 6), (5, 5), (1, 7), (7,), (), (8, 3, 3, 3), (4, 2, 5), (0, 3)]


@pytest.mark.parametrize("dtype", BOUND, ids=str)
@pytest.mark.parametrize("foreach", [None, False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"isometry_strength": 2.0},
        {"isometry_strength": 2.0, "weight_decay": 0.3},
        {"isometry_strength": 2.0, "isometry_lr": 3e-2, "weight_decay": 0.3},
        {"isometry_strength": 2.0, "isometry_every": 3, "maximize": True},
        {"isometry_strength": 20.0, "betas": (0.5, 0.8), "eps": 1e-3},
    ],
    ids=str,
)
def test_the_file_takes_the_steps_of_the_library(options, foreach, dtype):
    ours, theirs = weights(SHAPES, dtype), weights(SHAPES, dtype)
    start = [w.detach().clone() for w in ours]
    a = run(single.AdamO(ours, lr=1e-2, foreach=foreach, **options), ours)
    b = run(AdamO(theirs, lr=1e-2, foreach=foreach, **options), theirs)
    assert_close(a, b, **BOUND[dtype])
    if options.get("isometry_strength", 0) > 1:  # and the pull is no small part of them
        plain = weights(SHAPES, dtype)
        c = run(AdamO(plain, lr=1e-2, **(options | {"isometry_strength": 0})), plain)
        far = [x.ndim > 1 and x.numel() > 0 for x in start]
        assert [bool((x - y).norm() > 0.05) for x, y in zip(a, c, strict=True)] == far


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_zero_strength_is_adamw_bit_for_bit(foreach, decay, dtype):
    ours, theirs = weights(SHAPES, dtype), weights(SHAPES, dtype)
    options = {"lr": 1e-2, "weight_decay": decay, "foreach": foreach}
    a = run(single.AdamO(ours, isometry_strength=0.0, **options), ours)
    b = run(torch.optim.AdamW(theirs, **options), theirs)
    assert_close(a, b, **BIT_FOR_BIT)


def test_a_large_matrix_and_a_shortened_step_are_the_library_s():
    shapes = [(300, 200), (200, 300), (6, 6)]
    ours, theirs = weights(shapes), weights(shapes)
    for some in (ours, theirs):
        some[2].data.mul_(50)
    options = {"lr": 1e-2, "isometry_strength": 10.0}
    a = run(single.AdamO(ours, **options), ours, 5)
    b = run(AdamO(theirs, **options), theirs, 5)
    assert_close(a[:2], b[:2], **BOUND[torch.float64])
    assert_close(a[2], b[2], rtol=1e-13, atol=0)


def test_half_precision_weights_get_a_float32_gram_matrix():
    start = 1.5 * torch.linalg.qr(drawn((32, 32), "q", dtype=torch.float32)).Q
    ends = []
    for kind in (single.AdamO, AdamO):
        weight = nn.Parameter(start.bfloat16())
        weight.grad = torch.zeros_like(weight)
        kind([weight], isometry_strength=10.0, isometry_lr=1e-3).step()
        ends.append(weight.detach())
    # a change on the edge between two bfloat16 numbers may fall to either side
    assert_close(*ends, rtol=2**-8, atol=0)
    assert (ends[0] == ends[1]).float().mean() > 0.99


def test_autocast_does_not_reach_the_pull():
    ends = []
    for enabled in (False, True):
        params = weights([(32, 16)], torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            ends += run(single.AdamO(params, isometry_strength=10.0), params, 3)
    assert_close(*ends, **BIT_FOR_BIT)


def test_groups_of_a_model_and_a_schedule_are_the_library_s():
    def network():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layers = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten()
            model = nn.Sequential(*layers, nn.Linear(16, 8), nn.Tanh()).double()
            return model.append(nn.Sequential(nn.Linear(8, 3)).double())

    ends = []
    for kind in (single.AdamO, AdamO):
        model = network()
        groups = param_groups(model, exclude=("5",))
        groups[0]["isometry_lr"] = 0.02
        optimizer = kind(groups, lr=1e-2, isometry_strength=1.0, isometry_every=2)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 12)
        for step in range(16):  # the last steps at rate zero, which rests
            run(optimizer, list(model.parameters()), 1, step)
            schedule.step()
        ends.append([p.detach() for p in model.parameters()])
    assert_close(*ends, **BOUND[torch.float64])


@pytest.mark.parametrize("old", [AdamO, single.AdamO, torch.optim.AdamW])
@pytest.mark.parametrize("new", [AdamO, single.AdamO])
def test_checkpoints_are_exchanged(old, new, tmp_path):
    options = {"isometry_strength": 3.0, "isometry_every": 2}
    if old is torch.optim.AdamW:
        options = {"weight_decay": 0.0}
    first = weights(SHAPES)
    saving = old(first, lr=1e-2, **options)
    run(saving, first, 5)
    torch.save(saving.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    second = [nn.Parameter(w.detach().clone()) for w in first]
    loading = new(second, lr=1e-2, isometry_strength=3.0, isometry_every=2)
    loading.load_state_dict(state)
    if old is torch.optim.AdamW:
        loading.param_groups[0]["isometry_strength"] = 0.0
    exact = old is new or old is torch.optim.AdamW
    bound = BIT_FOR_BIT if exact else BOUND[torch.float64]
    assert_close(run(loading, second, 5, 5), run(saving, first, 5, 5), **bound)
    back = type(saving)(first, lr=1e-2)
    back.load_state_dict(copy.deepcopy(loading.state_dict()))


def test_a_copy_goes_on_bit_for_bit():
    params = weights(SHAPES)
    optimizer = single.AdamO(params, isometry_strength=5.0, isometry_every=2)
    run(optimizer, params, 3)
    twins, twin = copy.deepcopy((params, optimizer))
    assert_close(run(twin, twins, 4, 3), run(optimizer, params, 4, 3), **BIT_FOR_BIT)


@pytest.mark.parametrize("lr", [0.0, 1e-5, 1e-4, 1e-3, 0.1])
@pytest.mark.parametrize("isometry_lr", [None, 1e-2])
def test_its_keywords_have_the_defaults_of_the_library(lr, isometry_lr):
    params, options = [nn.Parameter(torch.eye(3))], {}
    if isometry_lr is not None:
        options = {"isometry_lr": isometry_lr}
    ours, theirs = (
        kind(params, lr=lr, **options).defaults for kind in (single.AdamO, AdamO)
    )
    strengths = [found.pop("isometry_strength") for found in (ours, theirs)]
    assert strengths[0] == pytest.approx(strengths[1], rel=1e-12)
    assert ours == {key: theirs[key] for key in ours}
    assert single.AdamO(params).defaults["lr"] == AdamO(params).defaults["lr"]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"lr": -1.0}, "Invalid lr: -1.0"),
        ({"lr": float("nan")}, "Invalid lr"),
        ({"betas": (0.9, 1.0)}, "Invalid betas"),
        ({"eps": -1e-8}, "Invalid eps"),
        ({"weight_decay": -0.1}, "Invalid weight_decay"),
        ({"weight_decay": 1.0, "lr": 1.0, "isometry_lr": 0.0}, "not below 1"),
        ({"isometry_strength": -1e-3}, "Invalid isometry_strength"),
        ({"isometry_lr": float("inf")}, "Invalid isometry_lr"),
        ({"isometry_every": 0}, "Invalid isometry_every"),
        ({"isometry_every": 1.5}, "Invalid isometry_every"),
        ({"isometry_strength": 300.0}, "over 1/4"),
        ({"params": [{"params": [torch.eye(2)], "isometry_lr": -1.0}]}, "isometry_lr"),
    ],
)
def test_bad_arguments_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        single.AdamO(**({"params": [torch.eye(2)]} | keywords))


def test_sparse_gradients_are_refused_before_anything_moves():
    layer = nn.Embedding(5, 3, sparse=True)
    before = layer.weight.detach().clone()
    layer(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse gradients"):
        single.AdamO(layer.parameters(), isometry_strength=10.0).step()
    assert torch.equal(layer.weight, before)


def test_it_is_one_short_file_of_torch_alone():
    lines = PATH.read_text().splitlines()
    assert len(lines) < 200
    assert "MIT" in lines[0]
    modules = {m.split()[1] for m in lines if m.startswith(("import ", "from "))}
    assert {m.split(".")[0] for m in modules} == {"typing", "torch"}
    keywords = inspect.signature(AdamO.__init__).parameters.keys()
    assert inspect.signature(single.AdamO.__init__).parameters.keys() <= keywords
