"""Models in all the forms that users have them: wiring changes none of them."""

import copy
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

sys.path.insert(0, str(Path(__file__).parent))
import wired_models as models
from zeroing import check_units

from isometry.attachment.building import wire

EXAMPLE = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def state(model):
    """Return all that a look might change."""
    return {
        "tensors": {k: v.clone() for k, v in model.state_dict().items()},
        "versions": [p._version for p in model.parameters()],
        "gradients": [p.grad for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()
        ],
        "drawn": torch.get_rng_state(),
    }


def same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if key == "tensors":
            assert value.keys() == other[key].keys()
            assert all(torch.equal(value[k], other[key][k]) for k in value)
        elif key == "drawn":
            assert torch.equal(value, other[key])
        else:
            assert value == other[key]


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_left_as_it_was(training):
    model = models.basic_resnet().train(training)
    model.fc.requires_grad_(False)
    model.conv1.weight.grad = torch.ones_like(model.conv1.weight)
    before = state(model)
    wiring = wire(model, EXAMPLE)
    wiring.structure.fresh(0, "task", 1)
    same(before, state(model))


def test_an_example_is_left_as_it_was():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = models.MLP()

        def forward(self, x):
            return self.net(x.mul_(2))

    example = torch.ones(4, 3)
    wire(InPlace(), example)
    assert torch.equal(example, torch.ones(4, 3))


def simplified(wiring):
    """Return a wiring without what is a function."""
    structure = wiring.structure
    return (
        structure.roles,
        structure.layers,
        structure.inner,
        structure.heads,
        structure.activation,
        structure.spread,
        wiring.views,
        [(p.module, p.dim, p.function) for p in wiring.points],
        wiring.refused,
        wiring.running,
    )


@pytest.mark.parametrize(
    "form",
    [
        lambda model: torch.compile(model, backend="eager"),
        nn.DataParallel,
        lambda model: model.eval(),
        lambda model: model.to(memory_format=torch.channels_last),
        copy.deepcopy,
    ],
)
def test_wrapped_and_copied_models_are_wired_as_they_were_written(form):
    model = models.basic_resnet()
    expected = simplified(wire(model, EXAMPLE))
    assert simplified(wire(form(model), EXAMPLE)) == expected


def test_compiled_parts_are_wired_as_they_were_written():
    model = models.basic_resnet()
    expected = [layer.weight for layer in wire(model, EXAMPLE).structure.layers]
    model.layer1 = torch.compile(model.layer1, backend="eager")
    names = [layer.weight for layer in wire(model, EXAMPLE).structure.layers]
    assert [name.replace("_orig_mod.", "") for name in names] == expected


def test_a_distributed_model_is_wired_as_it_was_written():
    model = models.basic_resnet()
    expected = simplified(wire(model, EXAMPLE))
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        assert simplified(wire(wrapped, EXAMPLE)) == expected
    finally:
        dist.destroy_process_group()


def test_channels_last_kernels_have_their_units_in_a_view():
    model = models.basic_resnet().double().to(memory_format=torch.channels_last)
    example = EXAMPLE.double().to(memory_format=torch.channels_last)
    assert all(dict(check_units(model, wire(model, example), (example,), {})).values())


@pytest.mark.parametrize(
    "around",
    [
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        torch.no_grad,
        torch.inference_mode,
    ],
)
def test_a_call_in_another_mode_finds_the_same(around):
    model = models.basic_resnet()
    expected = simplified(wire(model, EXAMPLE))
    with around():
        assert simplified(wire(model, EXAMPLE)) == expected


def test_a_model_that_casts_by_itself_is_wired():
    class Casting(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = models.CNN()

        def forward(self, x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return self.net(x).float()

    wiring = wire(Casting(), EXAMPLE)
    assert [layer.weight for layer in wiring.structure.layers] == [
        f"net.{i}.weight" for i in (0, 3, 8)
    ]
    assert wiring.refused == {}


def test_keywords_and_a_tensor_alone_are_examples():
    model = models.Twice()
    one, two = torch.ones(2, 3), torch.zeros(2, 3)
    expected = simplified(wire(model, (one, two)))
    assert simplified(wire(model, one, {"other": two})) == expected


def test_frozen_parameters_are_spared_and_bar_their_layers():
    model = models.CNN()
    model[3].requires_grad_(False)
    wiring = wire(model, EXAMPLE)
    assert wiring.structure.roles["3.weight"] == "spared"
    assert wiring.refused == {
        "0.weight": "3, which reads its units, is frozen",
        "3.weight": "its weight is frozen",
    }
    assert [layer.weight for layer in wiring.structure.layers] == ["8.weight"]


def test_frozen_gains_are_no_part_of_a_layer():
    model = models.CNN()
    model[4].weight.requires_grad_(False)
    layer = wire(model, EXAMPLE).structure.layers[1]
    assert (layer.gain, layer.offset) == (None, "4.bias")


def test_lazy_layers_are_refused_until_they_have_a_shape():
    model = nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(2))
    with pytest.raises(ValueError, match=r"0\.weight, a lazy one; call the model once"):
        wire(model, torch.ones(4, 3))
    model(torch.ones(4, 3))
    wiring = wire(model, torch.ones(4, 3))
    assert [layer.weight for layer in wiring.structure.layers] == ["0.weight"]


def test_the_head_is_named_or_what_the_model_returns():
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4), nn.Softmax(-1))
    assert wire(model, torch.ones(4, 3)).structure.heads[0].weight == "2.weight"
    two = wire(models.TwoReaders(), torch.ones(4, 3)).structure.heads
    assert {head.weight for head in two} == {"actor.weight", "critic.weight"}
    named = wire(models.TwoReaders(), torch.ones(4, 3), head="actor")
    assert [head.weight for head in named.structure.heads] == ["actor.weight"]
    with pytest.raises(ValueError, match="unknown part of a parameter's name 'acto'"):
        wire(models.TwoReaders(), torch.ones(4, 3), head="acto")


def test_a_model_without_parameters_is_refused():
    with pytest.raises(ValueError, match="needed a model with parameters, found none"):
        wire(nn.ReLU(), torch.ones(4, 3))


def test_places_are_counted_for_each_sample():
    structure = wire(models.CNN(), EXAMPLE).structure
    assert [layer.places for layer in structure.layers] == [36, 9, 1]


def test_running_statistics_are_named_where_a_norm_keeps_them():
    kept = wire(models.CNN(), EXAMPLE).running
    model = models.CNN()
    model[4] = nn.BatchNorm2d(6, track_running_stats=False)
    assert kept == {"3.weight": ("4",)}
    assert wire(model, EXAMPLE).running == {}


def test_a_shared_bias_is_no_layers_own():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(3, 6), nn.Linear(6, 6)
            self.fc2.bias = self.fc1.bias
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            return self.head(torch.relu(self.fc2(torch.relu(self.fc1(x)))))

    structure = wire(Shared(), torch.ones(4, 3)).structure
    assert [layer.bias for layer in structure.layers] == [None, None]
    assert structure.roles["fc1.bias"] == "vector"


def test_activations_are_let_go_during_the_pass():
    gone = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(3, 6), nn.Linear(6, 2)

        def forward(self, x):
            hidden = torch.relu(self.fc1(x))
            reference = StorageWeakRef(hidden.untyped_storage())
            found = self.fc2(hidden)
            del hidden
            gone.append(reference.expired())
            return found

    wire(Watching(), torch.ones(4, 3))
    assert gone == [True]
