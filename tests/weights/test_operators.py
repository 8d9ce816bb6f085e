import warnings

import pytest
import stand_ins as models
import torch
from torch import nn
from torch.testing import assert_close

from isometry.weights import (
    Operator,
    Place,
    by_shape,
    find_head,
    marked,
    operator_of,
    register,
    split,
    weights_of,
)
from isometry.weights.rules import RULES


def kinds(model, dims=0):
    """Return what each parameter of more than one dimension is, and how it lies."""
    return {
        w.names[0]: (w.operator.kind, w.operator.parts, w.operator.axis)
        if not w.operator.why
        else w.operator.kind
        for w in weights_of(model, dims)
        if w.operator.kind not in ("vector", "gain")
    }


def old(norm, layer):
    with warnings.catch_warnings():  # deprecated, and in many checkpoints
        warnings.simplefilter("ignore", FutureWarning)
        return norm(layer)


MATRIX, KERNEL = ("matrix", 1, 0), ("kernel", 1, 0)


def packed(parts, axis=0):
    return ("packed matrices", parts, axis)


LAYERS = {
    "linear": (nn.Linear(2, 3), {"weight": MATRIX}),
    "bilinear": (nn.Bilinear(2, 3, 4), {"weight": "unknown"}),
    "convolution": (nn.Conv2d(2, 3, 3), {"weight": KERNEL}),
    "transposed": (nn.ConvTranspose1d(2, 3, 3), {"weight": KERNEL}),
    "grouped": (nn.Conv2d(4, 4, 3, groups=2), {"weight": "grouped kernel"}),
    "embedding": (nn.Embedding(5, 3), {"weight": "table"}),
    "bag": (nn.EmbeddingBag(5, 3), {"weight": "table"}),
    "norm": (nn.LayerNorm((4, 3)), {}),
    "rnn": (nn.RNN(2, 3), {"weight_ih_l0": MATRIX, "weight_hh_l0": MATRIX}),
    "lstm": (
        nn.LSTM(2, 4, proj_size=3),
        {"weight_ih_l0": packed(4), "weight_hh_l0": packed(4), "weight_hr_l0": MATRIX},
    ),
    "gru cell": (
        nn.GRUCell(2, 4),
        {"weight_ih": packed(3), "weight_hh": packed(3)},
    ),
    "attention": (
        nn.MultiheadAttention(4, 2, add_bias_kv=True),
        {
            "in_proj_weight": packed(3),
            "bias_k": "table",
            "bias_v": "table",
            "out_proj.weight": MATRIX,
        },
    ),
    "attention, other widths": (
        nn.MultiheadAttention(4, 2, kdim=3, vdim=5),
        {f"{x}_proj_weight": MATRIX for x in "qkv"} | {"out_proj.weight": MATRIX},
    ),
    "weight norm": (
        nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)),
        {f"parametrizations.weight.original{i}": "parametrised" for i in (0, 1)},
    ),
    "weight norm of a grouped kernel": (
        nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3, groups=2)),
        {f"parametrizations.weight.original{i}": "parametrised" for i in (0, 1)},
    ),
    "weight norm, older": (
        old(nn.utils.weight_norm, nn.Linear(2, 3)),
        {"weight_g": "parametrised", "weight_v": "parametrised"},
    ),
    "spectral norm": (
        nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3)),
        {"parametrizations.weight.original": "parametrised"},
    ),
    "spectral norm, older": (
        old(nn.utils.spectral_norm, nn.Linear(2, 3)),
        {"weight_orig": "parametrised"},
    ),
    "complex": (
        nn.Linear(2, 3, dtype=torch.complex64),
        {"weight": "unknown", "bias": "unknown"},
    ),
    "lazy": (nn.LazyConv2d(3, 3), {"weight": KERNEL}),
    "unknown": (models.Dense(), {"mixing": "unknown"}),
}

LIBRARIES = {
    "GPT-2": (
        models.GPT2(),
        {
            "wte.weight": "table",
            "wpe.weight": "table",
            "h.0.c_attn.weight": packed(3, axis=1),
            "h.0.c_proj.weight": MATRIX,
        },
    ),
    "ViT, DeiT": (
        models.VisionTransformer(),
        {
            "cls_token": "token",
            "pos_embed": "token",
            "patch_embed.weight": KERNEL,
            "blocks.0.qkv.weight": packed(3),
            "blocks.0.proj.weight": MATRIX,
            "blocks.1.gamma": "scale",
            "head.weight": MATRIX,
            "head_dist.weight": MATRIX,
        },
    ),
    "Swin": (
        models.WindowAttention(),
        {
            "relative_position_bias_table": "table",
            "qkv.weight": packed(3),
            "proj.weight": MATRIX,
        },
    ),
    "Phi-3": (models.GroupedQueries(), {"qkv_proj.weight": packed((8, 4, 4))}),
    "BLOOM": (
        models.BloomAttention(),
        {"query_key_value.weight": "packed matrices", "dense.weight": MATRIX},
    ),
    "Mamba": (
        models.MambaMixer(),
        {
            "A_log": "decay",
            "conv1d.weight": "grouped kernel",
            "in_proj.weight": packed(2),
            "x_proj.weight": packed((2, 4, 4)),
            "dt_proj.weight": MATRIX,
            "out_proj.weight": MATRIX,
        },
    ),
    "Mixtral": (
        models.MixtralExperts(),
        {"gate_up_proj": packed(2), "down_proj": packed(1)},
    ),
    "Llama 4": (
        models.Llama4TextExperts(),
        {"gate_up_proj": packed(2, axis=1), "down_proj": packed(1)},
    ),
    "GPT-OSS": (
        models.GptOssExperts(),
        {"gate_up_proj": "packed matrices", "down_proj": packed(1)},
    ),
    "LeViT": (models.LeViT(), {"qkv.linear.weight": "packed matrices"}),
    "gated": (models.GluMlp(), {"fc1.weight": packed(2), "fc2.weight": MATRIX}),
    "ResNet": (
        models.ResNet(),
        {"conv1.weight": KERNEL, "layer1.0.weight": KERNEL, "fc.weight": MATRIX},
    ),
    "low rank": (
        models.LoraLinear(),
        {
            "base_layer.weight": MATRIX,
            "lora_A.default.weight": "adapter",
            "lora_B.default.weight": "adapter",
        },
    ),
    "low rank, of kernels": (
        models.LoraConv2d(),
        {
            "base_layer.weight": KERNEL,
            "lora_A.default.weight": "adapter",
            "lora_B.default.weight": "adapter",
        },
    ),
    "an adapter by what the layer declares": (
        nn.Sequential(models.PeanutLinear()),
        {
            "0.base_layer.weight": MATRIX,
            "0.peanut_A.default.weight": "adapter",
            "0.peanut_encoders.default.0.weight": "adapter",
            "0.peanut_encoders.default.0.bias": "adapter",
            "0.loha_w.default": "adapter",
        },
    ),
    "a layer in another's place": (
        models.SavedLinear(),
        {"original_module.weight": MATRIX, "modules_to_save.default.weight": MATRIX},
    ),
    "low rank, in the layer": (
        models.LoralibLinear(),
        {"weight": MATRIX, "lora_A": "adapter"},
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_operator_of_torchs_layers(name):
    model, expected = LAYERS[name]
    assert kinds(model) == expected


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_operators_of_models_in_use(name):
    model, expected = LIBRARIES[name]
    assert kinds(model) == expected


@pytest.mark.parametrize("name", LAYERS | LIBRARIES)
def test_every_parameter_is_listed_once_in_the_models_order(name):
    model = (LAYERS | LIBRARIES)[name][0]
    found = weights_of(model)
    assert [id(w.place.weight) for w in found] == [id(p) for p in model.parameters()]
    assert [w.names[0] for w in found] == [n for n, _ in model.named_parameters()]
    assert [w.index for w in found] == list(range(len(found)))
    assert all(w.operator.why for w in found if w.operator.kind == "vector")


def test_an_lstm_uses_four_matrices():
    # the gates are blocks of rows: the layer's own equations, with the blocks apart
    layer, inputs = nn.LSTM(3, 4, bias=False), torch.randn(1, 3)
    _, (hidden, cell) = layer(inputs[None])
    operator = {w.names[0]: w.operator for w in weights_of(layer)}["weight_ih_l0"]
    i, f, g, o = (inputs @ w.T for w in operator.split(layer.weight_ih_l0))
    expected = i.sigmoid() * g.tanh()
    assert_close(cell[0], expected)
    assert_close(hidden[0], o.sigmoid() * expected.tanh())
    assert f.shape == i.shape


def test_attention_uses_three_matrices():
    layer, inputs = nn.MultiheadAttention(4, 1, bias=False), torch.randn(5, 4)
    operator = weights_of(layer)[0].operator
    q, k, v = (inputs @ w.T for w in operator.split(layer.in_proj_weight))
    mixed = torch.softmax(q @ k.T / 2, -1) @ v
    assert_close(layer(inputs, inputs, inputs)[0], mixed @ layer.out_proj.weight.T)


@pytest.mark.parametrize(
    ("shape", "members", "parts", "axis", "first"),
    [
        ((6, 2), 0, 3, 0, (2, 2)),
        ((2, 6), 0, 2, 1, (2, 3)),
        ((5, 6, 2), 1, (1, 5), 0, (5, 1, 2)),
        ((5, 2, 6), 1, (4, 2), 1, (5, 2, 4)),
        ((5, 2), 0, 1, 0, (5, 2)),
    ],
)
def test_parts_are_views_that_make_up_the_weight(shape, members, parts, axis, first):
    weight = torch.randn(shape)
    found = split(weight, members, parts, axis)
    assert found[0].shape == first
    assert torch.equal(torch.cat(found, dim=members + axis), weight)
    for part in found:
        part.zero_()
    assert not weight.any()


def test_a_weight_with_two_uses_is_what_the_stricter_one_says():
    model = models.GPT2()
    del model.wte
    model.plain = nn.Linear(8, 11, bias=False)
    model.plain.weight = model.lm_head.weight
    model.table = nn.Embedding(11, 8)
    model.table.weight = model.lm_head.weight
    (tied,) = (w for w in weights_of(model) if len(w.names) == 3)
    assert tied.operator.kind == "table"
    assert tied.name == "lm_head.weight = plain.weight = table.weight"
    model = nn.Module()
    model.lstm, model.plain = nn.LSTM(3, 2), nn.Linear(3, 8)
    model.plain.weight = model.lstm.weight_ih_l0
    assert weights_of(model)[0].operator.why == "tied, with uses of different kinds"


def test_a_registered_module_is_known_and_its_subclasses_too():
    class Denser(models.Dense):
        pass

    @register(models.Dense)
    def dense(place):
        return Operator(kind="matrix") if place.key == "mixing" else None

    try:
        assert kinds(Denser()) == {"mixing": MATRIX}
    finally:
        del RULES[models.Dense]


def test_the_shape_decides_of_what_is_not_known_in_a_stack():
    model = nn.Module()
    model.weight, model.kernel = (
        nn.Parameter(torch.ones(5, 3, 2)),
        nn.Parameter(torch.ones(5, 3, 2, 1)),
    )
    model.bias = nn.Parameter(torch.ones(5, 3))
    assert kinds(model, dims=1) == {"weight": MATRIX, "kernel": KERNEL}


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (True, Operator(kind="matrix")),
        (False, Operator(kind="matrix", why="its attribute isometry is False")),
        ({"parts": 3, "axis": 1}, Operator(kind="packed matrices", parts=3, axis=1)),
        (None, None),
    ],
)
def test_a_parameter_may_say_what_it_is(mark, expected):
    layer = models.Dense()
    layer.mixing.isometry = mark
    assert marked(layer.mixing) == expected
    place = Place(path="", key="mixing", module=layer, parent=None, weight=layer.mixing)
    unmarked = "unknown" if mark is None else expected.kind
    assert operator_of(place).kind == unmarked


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("no", "needed isometry True, False or keywords .* found no;"),
        ({"part": 3}, "unknown keyword of a layout 'part'; did you mean 'parts'"),
        (
            {"parts": 2},
            r"needed 2 parts along axis 0, found a weight of shape \(3, 3\)",
        ),
        ({"parts": (1, 1)}, "give sizes that add up"),
    ],
)
def test_a_mark_that_makes_no_sense_is_refused(mark, message):
    weight = nn.Parameter(torch.ones(3, 3))
    weight.isometry = mark
    with pytest.raises(ValueError, match=message):
        marked(weight)


@pytest.mark.parametrize(
    ("parameter", "kind"),
    [
        (torch.ones(2, 2), "matrix"),
        (torch.ones(2, 2, 3), "kernel"),
        (torch.ones(()), "vector"),
        (torch.ones(0, 2), "matrix"),
        (torch.ones(2, 2, dtype=torch.int8), "unknown"),
    ],
)
def test_the_kind_by_the_shape_alone(parameter, kind):
    assert by_shape(parameter).kind == kind
    assert bool(by_shape(parameter).why) == (
        kind in ("vector", "unknown") or not parameter.numel()
    )


class Hidden(nn.Module):
    """A hidden layer called fc, and a last one without a name that says so."""

    def __init__(self):
        super().__init__()
        self.fc, self.out = nn.Linear(2, 3), nn.Linear(3, 1)


HEADS = {
    "fc": (models.ResNet(), {"fc"}),
    "head and head_dist": (models.VisionTransformer(), {"head", "head_dist"}),
    "lm_head": (models.GPT2(), {"lm_head"}),
    "two nets": (models.Actor(), {"action_net", "value_net"}),
    "two sequences": (models.CleanRL(), {"critic.2", "actor.2"}),
    "several side by side": (
        models.SoftActorCritic(),
        {"actor.mu", "actor.log_std", "critic.qf0.2", "critic.qf1.2"},
    ),
    "a classifier made first": (models.Roberta(), {"classifier.out_proj"}),
    "a layer of a common name": (models.Whisper(), {"proj_out"}),
    "numbered layers": (models.Tutorial(), {"fc3"}),
    "hidden fc": (Hidden(), set()),
    "a hidden conv_head": (models.EfficientNet(), {"classifier"}),
    "a hidden sequence called head": (models.SelecSls(), {"fc"}),
    "a head of convolutions": (models.Segmenter(), {"decode_head.conv_seg"}),
    "no linear layer": (models.ConvNet(), {"fc"}),
    "none": (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), set()),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_found_by_their_names(name):
    model, expected = HEADS[name]
    head = find_head(model, weights_of(model))
    assert {n.rpartition(".")[0] for n in head.names} == expected


def test_a_head_without_a_name_has_a_candidate():
    for name, candidate in (("hidden fc", "out"), ("none", "1")):
        model = HEADS[name][0]
        assert find_head(model, weights_of(model)).candidate == candidate
    convolutions = nn.Sequential(nn.Conv2d(1, 1, 1))
    assert find_head(convolutions, weights_of(convolutions)).candidate is None
    backbone = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    assert find_head(backbone, weights_of(backbone)).candidate is None


class Secretive(nn.Linear):
    """As torchrl's losses: with a way of its own to name parameters."""

    def named_parameters(self, prefix="", recurse=True):
        return super().named_parameters(prefix, recurse)


def test_modules_may_name_their_parameters_in_their_own_way():
    found = weights_of(nn.Sequential(nn.Linear(2, 3, bias=False), Secretive(3, 1)))
    assert [w.name for w in found] == ["0.weight", "1.weight", "1.bias"]
    assert [w.operator.kind for w in found] == ["matrix", "matrix", "vector"]
