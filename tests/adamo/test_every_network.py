"""AdamO on the parts of networks in use: what is pulled, what is spared and named."""

import copy
import pickle

import pytest
import stand_ins as models
import torch
from torch import nn
from torch.testing import assert_close

from isometry.adamo import (
    AdamO,
    describe,
    gram_deviation,
    mark,
    param_groups,
    with_isometry,
)
from isometry.core.matrices import singular_values
from isometry.core.seeding import generator


def pull(model, steps=150, make=AdamO, **options):
    """Take steps without any gradient: what moves is the pull alone."""
    optimizer = make(model, lr=0.1, isometry_strength=1.0, **options)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    for _ in range(steps):
        optimizer.step()
    return optimizer


def drawn(model, scale=0.3):
    """Give a model random weights, all in double precision."""
    model.double()
    with torch.no_grad():
        for number, weight in enumerate(model.parameters()):
            draw = generator(number, "weight")
            weight.copy_(scale * torch.randn(weight.shape, generator=draw))
    return model


def largest_deviation(matrices):
    return max(float(gram_deviation(m.detach()).max()) for m in matrices)


PACKED = {
    "attention": (
        nn.MultiheadAttention(4, 2),
        lambda m: m.in_proj_weight.split(4),
    ),
    "lstm": (nn.LSTM(3, 4), lambda m: m.weight_hh_l0.split(4)),
    "gru": (nn.GRU(3, 4), lambda m: m.weight_ih_l0.split(4)),
    "gpt-2": (models.GPT2(), lambda m: m.h[0].c_attn.weight.split(8, dim=1)),
    "grouped queries": (
        models.GroupedQueries(),
        lambda m: m.qkv_proj.weight.split([8, 4, 4]),
    ),
    "experts": (
        models.MixtralExperts(),
        lambda m: [*m.gate_up_proj.split(16, dim=1), m.down_proj],
    ),
    "experts, transposed": (
        models.Llama4TextExperts(),
        lambda m: [*m.gate_up_proj.split(16, dim=2), m.down_proj],
    ),
}


@pytest.mark.parametrize("name", PACKED)
def test_packed_matrices_become_isometries_one_by_one(name):
    model, matrices = PACKED[name]
    model = drawn(copy.deepcopy(model))
    pull(model, exclude=())
    assert largest_deviation(matrices(model)) < 1e-6


@pytest.mark.parametrize("every", [1, 3, "auto"])
@pytest.mark.parametrize("make", [AdamO, "wrapped"])
def test_packed_and_apart_take_the_same_steps(every, make):
    packed = drawn(nn.LSTM(3, 4, bias=False))
    gates = [
        nn.Parameter(gate.detach().clone())
        for weight in packed.parameters()
        for gate in weight.split(4)
    ]

    def wrapped(params, **options):
        params = param_groups(params) if isinstance(params, nn.Module) else params
        own = {k: options.pop(k) for k in tuple(options) if k.startswith("isometry")}
        return with_isometry(torch.optim.Adam(params, **options), **own)

    make = wrapped if make == "wrapped" else make
    options = {"lr": 1e-2, "isometry_strength": 2.0, "isometry_every": every}
    first, second = make(packed, **options), make(gates, **options)
    for step in range(6):
        draw = generator(step, "gradient")
        for number, weight in enumerate(packed.parameters()):
            weight.grad = torch.randn(weight.shape, generator=draw).double()
            for gate, part in zip(
                gates[4 * number :], weight.grad.split(4), strict=False
            ):
                gate.grad = part.clone()
        first.step()
        second.step()
    moved = [gate for weight in packed.parameters() for gate in weight.split(4)]
    assert_close([w.detach() for w in moved], [w.detach() for w in gates])


SPARED = {
    "tokens and positions": (models.VisionTransformer(), ["cls_token", "pos_embed"]),
    "bias table": (models.WindowAttention(), ["relative_position_bias_table"]),
    "decays": (models.MambaMixer(), ["A_log", "conv1d.weight"]),
    "layer scale": (models.LayerScale(4), ["gamma"]),
    "interleaved": (models.BloomAttention(), ["query_key_value.weight"]),
    "adapter": (
        models.LoraLinear(),
        ["lora_A.default.weight", "lora_B.default.weight"],
    ),
    "weight norm": (
        nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), nn.Linear(3, 3)
        ),
        ["0.parametrizations.weight.original0", "0.parametrizations.weight.original1"],
    ),
    "heads": (models.Actor(), ["action_net.weight", "value_net.weight"]),
}


@pytest.mark.parametrize("name", SPARED)
def test_what_is_no_operator_is_spared_and_named(name):
    model, spared = SPARED[name]
    model = drawn(copy.deepcopy(model))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    exclude = ("head",) if name in ("heads", "tokens and positions") else ()
    table = pull(model, steps=3, exclude=exclude).describe()
    rows = {row.name: row for row in table}
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert list(rows) == trained
    for parameter in spared:
        assert torch.equal(dict(model.named_parameters())[parameter], before[parameter])
        assert rows[parameter].why
    for row in table:
        moved = not torch.equal(
            dict(model.named_parameters())[row.name], before[row.name]
        )
        assert row.pulled == moved, row


def test_the_table_is_read_by_people():
    layers = nn.Sequential(nn.LSTM(2, 3, bias=False), nn.LazyLinear(2), models.Dense())
    model = nn.ModuleDict({"a": layers, "head": nn.Linear(2, 1)})
    assert str(AdamO(model).describe()).splitlines() == [
        "a.0.weight_ih_l0  12x2  packed matrices  pulled: 4 matrices, blocks of rows",
        "a.0.weight_hh_l0  12x3  packed matrices  pulled: 4 matrices, blocks of rows",
        "a.1.weight        -     matrix           pulled: from its first forward on",
        "a.1.bias          -     vector           spared: a vector",
        "a.2.mixing        3x3   unknown          spared: no operator is known for it",
        "head.weight       1x2   matrix           spared: the head",
        "head.bias         1     vector           spared: a vector",
    ]


def test_parameters_alone_are_taken_by_their_shapes():
    optimizer = AdamO([torch.ones(2, 2), torch.ones(2)], isometry_strength=0.0)
    assert [r.cells() for r in optimizer.describe()] == [
        ("group0.0", "2x2", "matrix", "spared: isometry_strength is 0"),
        ("group0.1", "2", "vector", "spared: a vector"),
    ]


def test_experts_are_described_as_members():
    table = describe(AdamO(models.MixtralExperts()))
    assert [row.why for row in table] == [
        "each member by itself, 2 matrices, blocks of rows",
        "each member by itself",
    ]


def test_a_lazy_layer_joins_at_its_first_forward():
    model = nn.Sequential(nn.LazyLinear(6), nn.Flatten(), nn.LazyLinear(3))
    optimizer = AdamO(model, lr=0.05, isometry_strength=1.0, exclude=("2",))
    model(torch.ones(2, 4)).sum().backward()
    start = gram_deviation(model[0].weight.detach())
    for _ in range(200):
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert gram_deviation(model[0].weight.detach()) < 1e-3 * start
    assert next(iter(optimizer.describe())).shape == (6, 4)


def test_a_marked_parameter_is_spared_by_any_optimiser_it_is_given_to():
    for make in (
        lambda p: AdamO(p, lr=0.1, isometry_strength=1.0),
        lambda p: with_isometry(torch.optim.SGD(p, lr=0.1), isometry_strength=1.0),
    ):
        spared, free = (nn.Parameter(2 * torch.eye(3)) for _ in range(2))
        spared.isometry = False
        optimizer = make([spared, free])
        spared.grad, free.grad = torch.zeros(3, 3), torch.zeros(3, 3)
        optimizer.step()
        assert torch.equal(spared, 2 * torch.eye(3))
        assert not torch.equal(free, 2 * torch.eye(3))
        assert describe(optimizer).rows[0].why == "its attribute isometry is False"


def test_a_framework_that_makes_its_own_groups_gets_a_marked_model():
    # as transformers' Trainer: two groups of bare parameters, with and without decay
    model = drawn(models.VisionTransformer())
    expected = pull(copy.deepcopy(model), steps=5).describe()
    mark(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimizer = AdamO(groups, lr=0.05, isometry_strength=1.0)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {row.name for row in expected if row.pulled}
    parts = model.blocks[0].qkv.weight.detach().split(8)
    alone = [nn.Parameter(p.clone()) for p in before["blocks.0.qkv.weight"].split(8)]
    twin = AdamO(alone, lr=0.05, isometry_strength=1.0)
    for weight in alone:
        weight.grad = torch.zeros_like(weight)
    twin.step()
    assert_close(list(parts), [w.detach() for w in alone])


def test_names_are_excluded_by_the_optimiser_itself():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1))
    optimizer = AdamO(model.named_parameters(), exclude=("1", "2.weight"))
    why = {row.name: row.why for row in optimizer.describe()}
    assert why["0.weight"] == ""
    assert why["1.weight"] == why["2.weight"] == "excluded"
    groups = [{"params": list(model[0].named_parameters())}]
    twin = copy.deepcopy(AdamO(groups, exclude=("weight",)))
    assert not any(row.pulled for row in twin.describe())
    twin = pickle.loads(pickle.dumps(twin))
    twin.add_param_group({"params": [("x.weight", nn.Parameter(torch.ones(2, 2)))]})
    assert twin.describe().rows[-1].why == "excluded"


def test_the_head_is_spared_by_the_name_that_it_has():
    for model, head in ((models.ResNet(), "fc"), (models.Actor(), "action_net")):
        rows = {row.name: row for row in AdamO(model).describe()}
        assert rows[f"{head}.weight"].why == "the head"


def test_a_missing_head_is_a_warning_that_names_the_last_linear_layer():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with pytest.warns(
        UserWarning,
        match=r"'2' is the last .*exclude=\('2',\)",
    ):
        pulled, _ = param_groups(model)
    assert len(pulled["params"]) == 2
    param_groups(model, exclude=())
    param_groups(model, exclude=("2",))


def test_a_network_of_unknown_parts_is_a_warning():
    with pytest.warns(UserWarning, match="operator is known, found none, and mixing"):
        param_groups(models.Dense())
    model = models.Dense()
    model.mixing.isometry = True
    assert param_groups(model)[0]["params"] == [model.mixing]


def test_there_are_two_groups_with_names_whatever_the_network():
    for model in (
        models.VisionTransformer(),
        models.MambaMixer(),
        models.GPT2(),
        nn.LSTM(2, 3),
    ):
        groups = param_groups(model, exclude=())
        names = [name for group in groups for name in group["param_names"]]
        assert sorted(names) == sorted(name for name, _ in model.named_parameters())
        assert len(groups) == 2
        optimizer = AdamO(groups)
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2, 2))]})
        assert optimizer.param_groups[2]["param_names"] == ["group2.0"]


def test_names_that_come_later_are_taken_too():
    optimizer = AdamO([nn.Parameter(torch.ones(2, 2))])
    optimizer.add_param_group({"params": [("late", nn.Parameter(torch.ones(2, 2)))]})
    names = [group["param_names"] for group in optimizer.param_groups]
    assert names == [["group0.0"], ["late"]]


GOOD = [torch.ones(2, 2)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: AdamO(nn.Linear(2, 2).parameters(), exclude=("weight",)),
            "parameters with names, to exclude some of them, found parameters alone",
        ),
        (
            lambda: AdamO(nn.Linear(2, 2).named_parameters(), exclude=("wait",)),
            "unknown part of .* 'wait'; did you mean 'weight'",
        ),
        (
            lambda: AdamO([{"params": [torch.ones(2, 2)], "isometry_strenght": 1.0}]),
            "unknown key of a group 'isometry_strenght'; did you mean 'isometry_stren",
        ),
        (
            lambda: AdamO([torch.ones(2, 2).to(torch.float8_e4m3fn)]),
            r"of bfloat16, float32 or float64, found torch.float8_e4m3fn in a",
        ),
        (
            lambda: AdamO([torch.ones(2, 2).half()]),
            r"float64, found torch.float16 in a weight of shape \(2, 2\); keep it",
        ),
        (
            lambda: AdamO([torch.full((2, 2), 1e12)]),
            r"Gram matrix has a square in torch.float32, found a norm of 2.0e\+12",
        ),
        (
            lambda: AdamO([torch.full((2, 2), 1e80, dtype=torch.float64)]),
            r"Gram matrix has a square in torch.float64, found a norm of 2.0e\+80",
        ),
        (
            lambda: AdamO(
                [torch.ones(2, 2)], relaxation_steps=10, isometry_strength=1.0
            ),
            "relaxation_steps or isometry_strength, found both",
        ),
        (
            lambda: AdamO([torch.ones(2, 2)], lr=0.0, relaxation_steps=10),
            "steps > 0 and isometry_lr > 0",
        ),
        (
            lambda: AdamO([torch.ones(2, 2)], relaxation_steps=0.1),
            "<= 0.25",
        ),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_trained_singular_values_of_each_gate_are_near_one():
    model = drawn(nn.LSTM(3, 6))
    pull(model)
    gates = model.weight_hh_l0.detach().split(6)
    assert_close(
        torch.stack([singular_values(g) for g in gates]), torch.ones(4, 6).double()
    )
