"""What a tracer finds of models, and that it is true."""

import copy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

sys.path.insert(0, str(Path(__file__).parent))
import wired_models as models
from zeroing import check_units

from isometry.attachment.building import wire
from isometry.attachment.judging import Judge
from isometry.attachment.values import Data
from isometry.maxmin import MaxMin

TOKENS = torch.tensor([[1, 2, 3, 4], [4, 3, 2, 0]])
ADDED, SPLIT, SOFT = "added to those of", "splits its units up", "no nonlinearity"


def maxmin():
    return nn.Sequential(
        nn.Linear(3, 8), MaxMin(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)
    )


# Model, shape of an example, whose units can be replaced -> who reads them, and parts
# of the reasons of all others.
CASES = {
    "mlp": (models.MLP, (3,), {"0": "2"}, {}),
    "cnn": (models.CNN, (3, 8, 8), {"0": "3", "3": "8", "8": "10"}, {}),
    "conv1d": (models.CONV1D, (3, 12), {"0": "3", "3": "7"}, {}),
    "layer norm": (
        lambda: models.mixer(nn.LayerNorm)(),
        (3,),
        {"0": "3", "3": "6"},
        {},
    ),
    "batch norm": (models.mixer(nn.BatchNorm1d), (3,), {"0": "3", "3": "6"}, {}),
    "functional": (
        models.Functional,
        (1, 14, 14),
        {"conv1": "conv2", "conv2": "fc1", "fc1": "fc2"},
        {},
    ),
    "basic blocks": (
        models.basic_resnet,
        (3, 8, 8),
        {
            "conv1": "layer1.0.conv1 layer1.0.downsample.0",
            "layer1.0.conv1": "layer1.0.conv2",
            "layer1.1.conv1": "layer1.1.conv2",
        },
        {
            "layer1.0.conv2": f"{ADDED} layer1.0.downsample.0",
            "layer1.0.downsample.0": f"{ADDED} layer1.0.conv2",
            "layer1.1.conv2": f"{ADDED} layer1.0.conv2, layer1.0.downsample.0",
        },
    ),
    "bottleneck": (
        models.bottleneck_resnet,
        (3, 8, 8),
        {
            "layer1.0.conv1": "layer1.0.conv2",
            "layer1.0.conv2": "layer1.0.conv3",
        },
        {
            "conv1": f"{ADDED} layer1.0.conv3",
            "layer1.0.conv3": f"{ADDED} conv1",
        },
    ),
    "attention": (
        models.Attends,
        (5, 3),
        {"fc1": "fc2"},
        {
            "embed": f"{ADDED} attn.out_proj",
            **{f"attn.in_proj_weight[{i}]": SPLIT for i in range(3)},
            "attn.out_proj": f"{ADDED} embed",
        },
    ),
    "attention reads": (
        models.Reads,
        (5, 3),
        {"embed": " ".join(f"attn.in_proj_weight[{i}]" for i in range(3))},
        {
            **{f"attn.in_proj_weight[{i}]": SPLIT for i in range(3)},
            "attn.out_proj": f"{SOFT} stands between it and fc",
        },
    ),
    **{
        f"encoder, norm {'first' if first else 'last'}": (
            lambda first=first: models.Encoder(first, "relu" if first else "gelu"),
            (5, 3),
            {"block.linear1": "block.linear2"},
            {
                "embed": SOFT,
                **{f"block.self_attn.in_proj_weight[{i}]": SPLIT for i in range(3)},
                "block.self_attn.out_proj": f"{ADDED} embed",
                "block.linear2": f"{ADDED} embed, block.self_attn.out_proj",
            },
        )
        for first in (True, False)
    },
    "lstm": (
        models.Recurrent,
        (5, 3),
        {
            "embed": " ".join(f"rnn.weight_ih_l0[{i}]" for i in range(4)),
            "fc1": "fc2",
        },
        {f"rnn.weight_{k}h_l0[{i}]": "" for k in "ih" for i in range(4)},
    ),
    "gru": (
        lambda: models.Recurrent(nn.GRU),
        (5, 3),
        {
            "embed": " ".join(f"rnn.weight_ih_l0[{i}]" for i in range(3)),
            "fc1": "fc2",
        },
        {f"rnn.weight_{k}h_l0[{i}]": "" for k in "ih" for i in range(3)},
    ),
    "gated": (
        models.GLU,
        (3,),
        {"fc3": "head"},
        {
            "fc1": "multiplied by one another",
            "fc2": SOFT,
            "gate_proj": "multiplied by those of up_proj",
            "up_proj": "multiplied by those of gate_proj",
            "down_proj": SOFT,
        },
    ),
    "dense net": (
        models.DenseNet,
        (3, 6, 6),
        {"conv1a": "conv1"},
        {"conv0": "together with other layers", "conv1": "together with other layers"},
    ),
    "branches": (
        models.Branches,
        (3, 10, 10),
        {"a.0": "c.weight[:, 0:4]", "b.0": "c.weight[:, 4:9]", "c": "fc"},
        {},
    ),
    "a weight reads two": (
        models.SharedReader,
        (3,),
        {},
        {"a": "fc, which reads its units, reads b", "b": "reads a there as well"},
    ),
    "two read one": (
        models.TwoReaders,
        (3,),
        {"body.0": "body.2", "body.2": "actor critic"},
        {},
    ),
    "shuffled": (models.Shuffled, (3, 8, 8), {"conv2": "fc"}, {"conv1": SPLIT}),
    "pairs": (models.PairedMax, (3,), {"fc2": "fc3"}, {"fc1": SPLIT}),
    "maxmin": (maxmin, (3,), {"2": "4"}, {"0": SPLIT}),
    "crelu": (models.ConcatenatedReLU, (3,), {}, {"fc1": "different nonlinearities"}),
    "channels last": (
        models.ChannelsLast,
        (3, 6, 6),
        {"fc": "head"},
        {"conv": "fc does not read each of its units in one place"},
    ),
    "batch norm after": (
        models.NormAfter,
        (3,),
        {"fc2": "fc3"},
        {"fc1": "norm normalises them after"},
    ),
    "layer norm after": (
        lambda: models.NormAfter(nn.LayerNorm),
        (3,),
        {"fc2": "fc3"},
        {"fc1": "norm normalises them after"},
    ),
    "tied": (models.TiedAutoencoder, (4,), {}, {"weight": "in both directions"}),
    "raw": (models.Raw, (3,), {}, {"dense.weight_in": "no operator is known"}),
    "squeeze": (
        models.SqueezeExcite,
        (3, 6, 6),
        {"down": "up"},
        {"conv": "multiplied by those of up", "up": "multiplied by those of conv"},
    ),
    "decoder": (
        models.Decoder,
        (3, 6, 6),
        {"net.0": "net.2", "net.2": "net.6", "net.6": "net.10"},
        {},
    ),
    "output": (models.Output, (3,), {}, {"fc1": "an output of the model"}),
    "unknown": (models.Noise, (3,), {}, {"fc1": "not known what cumsum does"}),
    "groups": (
        models.Grouped,
        (3, 8, 8),
        {"conv2": "fc"},
        {"conv1": "depth reads its units in groups", "depth": "operator"},
    ),
    "overwritten": (
        models.Overwritten,
        (3, 6, 6),
        {},
        {"conv": "another view of its units was changed in place"},
    ),
    "scaled": (
        models.Scaled,
        (3,),
        {"fc1": "fc2"},
        {"fc2": "no module shows its activations"},
    ),
    "weight norm": (
        lambda: models.normed_reader(parametrizations.weight_norm),
        (3,),
        {},
        {"0": "what reads its units is made from 2.parametrizations"},
    ),
    "unpooled": (
        models.Unpooled,
        (3, 6, 6),
        {},
        {"conv1": "is computed beside them", "conv2": "not known what max_unpool2d"},
    ),
    "stateful": (models.Stateful, (3,), {}, {"fc1": "keeps its units beyond"}),
    "numpy": (models.Numpy, (3,), {"fc2": "fc3"}, {"fc1": "leave torch"}),
}


def built(name):
    make, shape, *_ = CASES[name]
    torch.manual_seed(1)
    model = make().double()
    return model, torch.randn(4, *shape, dtype=torch.float64)


def readers(wiring):
    return {
        layer.weight.removesuffix(".weight"): " ".join(
            name.removesuffix(".weight") for name in layer.outgoing
        )
        for layer in wiring.structure.layers
    }


@pytest.mark.parametrize("name", CASES)
def test_layers_are_wired_to_their_readers_or_refused_with_the_reason(name):
    *_, wired, refused = CASES[name]
    model, example = built(name)
    wiring = wire(model, example)
    assert readers(wiring) == wired
    found = {k.removesuffix(".weight"): why for k, why in wiring.refused.items()}
    assert found.keys() == refused.keys()
    for layer, part in refused.items():
        assert part in found[layer]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][2]])
def test_zero_outgoing_weights_are_zero_activations(name, training):
    model, example = built(name)
    model.train(training)
    moved = dict(check_units(model, wire(model, example), (example,), {}))
    assert any(moved.values())  # a unit that does nothing shows nothing


@pytest.mark.parametrize("labels", [None, TOKENS])
def test_a_tied_transformer_with_its_loss(labels):
    torch.manual_seed(1)
    model = models.GPT2().double()
    given = {"input_ids": TOKENS, "labels": labels}
    wiring = wire(model, kwargs=given)
    blocks = {f"h.{i}.c_fc": f"h.{i}.c_proj" for i in range(2)}
    assert readers(wiring) == blocks
    assert all(view.transposed for n, view in wiring.views.items() if "c_fc.w" in n)
    assert [head.weight for head in wiring.structure.heads] == ["wte.weight"]
    assert wiring.structure.bias_of("h.1.c_attn.weight[2]") == "h.1.c_attn.bias[2]"
    assert f"{ADDED} wte, wpe" in wiring.refused["h.0.attn_proj.weight"]
    assert any(dict(check_units(model, wiring, (), given)).values())


def test_layers_that_are_called_twice_are_seen_twice():
    torch.manual_seed(1)
    model = models.Twice().double()
    given = torch.randn(4, 3).double(), torch.randn(4, 3).double()
    wiring = wire(model, given)
    assert readers(wiring) == {"fc1": "fc2", "fc2": "fc3"}
    assert any(dict(check_units(model, wiring, given, {})).values())


@pytest.mark.parametrize(
    ("name", "owner", "check"),
    [("a weight reads two", Judge, "_shared"), ("unpooled", Data, "refuse")],
)
def test_without_a_refusal_replaced_units_would_do_harm(
    name, owner, check, monkeypatch
):
    monkeypatch.setattr(owner, check, lambda *_: None)
    model, example = built(name)
    with pytest.raises(AssertionError):
        list(check_units(model, wire(model, example), (example,), {}))


def test_a_missing_reader_is_found_out():
    model, example = built("basic blocks")
    wiring = wire(model, example)
    first = wiring.structure.layers[0]
    layers = replace(first, outgoing=first.outgoing[:1])
    structure = replace(wiring.structure, layers=(layers,))
    wrong = replace(wiring, structure=structure, points=wiring.points[:1])
    with pytest.raises(AssertionError):
        list(check_units(model, wrong, (example,), {}))


def test_a_point_before_the_nonlinearity_is_found_out():
    model, example = built("conv1d")
    wiring = wire(model, example)
    points = (wiring.points[0], replace(wiring.points[1], module="3"))
    with pytest.raises(AssertionError):
        list(check_units(model, replace(wiring, points=points), (example,), {}))


def test_a_marked_weight_is_wired_as_the_pass_shows_it():
    model, example = built("raw")
    model.dense["weight_in"].isometry = True
    wiring = wire(model, example)
    assert wiring.views["dense.weight_in"].transposed
    assert wiring.structure.layers[0].bias == "dense.bias_in"
    assert any(dict(check_units(model, wiring, (example,), {})).values())


def test_the_wrong_weights_are_never_views():
    for name in CASES:
        model, example = built(name)
        wiring = wire(model, example)
        owned = dict(copy.deepcopy(model).named_parameters())
        assert wiring.views.keys() == wiring.structure.roles.keys()
        shown = {view.parameter for view in wiring.views.values()}
        assert shown == owned.keys()
        for layer, point in zip(wiring.structure.layers, wiring.points, strict=True):
            size = wiring.views[layer.weight].of(owned[_parameter(wiring, layer)])
            for vector in layer.vectors():
                view = wiring.views[vector]
                assert view.of(owned[view.parameter]).shape == size.shape[:2]
            assert model.get_submodule(point.module) is not None


def _parameter(wiring, layer):
    return wiring.views[layer.weight].parameter
