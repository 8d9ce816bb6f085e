"""A look at a model leaves no trace on it: each promise, one test."""

import copy
import random
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from isometry.core.seeding import generator
from isometry.core.untouched import untouched
from isometry.diagnostics import diagnose
from isometry.ntk import empirical_ntk


class Counting(nn.Module):
    """Counts its calls, keeps its last output, and draws noise, as some layers do."""

    def __init__(self):
        super().__init__()
        self.calls = 0
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("nothing", None)

    def forward(self, inputs):
        self.calls += 1
        self.last = inputs
        self.seen += 1
        self.nothing = inputs.mean()
        torch.rand(3)
        return inputs


class Merging(nn.Linear):
    """Changes its weight when its mode is set, as adapters of low rank do."""

    def train(self, mode=True):
        with torch.no_grad():
            self.weight.add_(1)
        return super().train(mode)


def network():
    draw = generator(0, "network")
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        Counting(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4 * 16, 8),
        nn.GELU(),
        nn.Linear(8, 3),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) / 3)
    return model


@pytest.fixture
def model():
    return network()


@pytest.fixture
def images():
    return torch.randn(6, 1, 4, 4, generator=generator(0, "images"))


def test_every_submodule_keeps_its_own_mode(model, images):
    model.train()
    model[1].eval()
    model[5].eval()
    before = [module.training for module in model.modules()]
    diagnose(model, images)
    assert [module.training for module in model.modules()] == before


def test_modes_are_set_without_train_and_eval(images):
    model = nn.Sequential(nn.Flatten(), Merging(16, 3))
    before = model[1].weight.detach().clone()
    diagnose(model, images)
    assert torch.equal(model[1].weight, before)


def test_dropout_is_off_during_the_look_whatever_the_mode(model, images):
    trained, evaluated = diagnose(model.train(), images), diagnose(model.eval(), images)
    assert trained.to_dict() == evaluated.to_dict()
    assert "NTK" not in trained.left_out


def test_running_statistics_and_all_other_buffers_keep_their_values(model, images):
    before = copy.deepcopy(dict(model.named_buffers()))
    places = {name: buffer.data_ptr() for name, buffer in model.named_buffers()}
    diagnose(model.train(), images)
    after = dict(model.named_buffers())
    assert after.keys() == before.keys()
    assert model[3].nothing is None
    for name, value in before.items():
        assert torch.equal(after[name], value)
        assert after[name].data_ptr() == places[name]


def test_attributes_that_forward_writes_are_put_back(model, images):
    diagnose(model, images)
    assert model[3].calls == 0
    assert not hasattr(model[3], "last")


def test_gradients_are_the_same_tensors_with_the_same_values(model, images):
    functional.cross_entropy(model(images), torch.zeros(6).long()).backward()
    model[0].weight.grad = None
    held = [p.grad for p in model.parameters()]
    values = [None if g is None else g.clone() for g in held]
    diagnose(model, images)
    for parameter, gradient, value in zip(
        model.parameters(), held, values, strict=True
    ):
        assert parameter.grad is gradient
        assert gradient is None or torch.equal(gradient, value)


def test_frozen_parameters_stay_frozen_and_the_others_trained(model, images):
    model[0].requires_grad_(False)
    before = [p.requires_grad for p in model.parameters()]
    diagnose(model, images)
    assert [p.requires_grad for p in model.parameters()] == before


def test_parameters_keep_value_identity_type_and_place(model, images):
    before = [(p, p.data_ptr(), p.dtype, p.clone()) for p in model.parameters()]
    versions = [p._version for p in model.parameters()]
    diagnose(model, images)
    for now, (held, place, dtype, value) in zip(
        model.parameters(), before, strict=True
    ):
        assert now is held
        assert (now.data_ptr(), now.dtype) == (place, dtype)
        assert torch.equal(now, value)
    assert [p._version for p in model.parameters()] == versions


def test_own_hooks_stay_and_no_other_is_left(model, images):
    calls = []
    model[6].register_forward_hook(lambda *_: calls.append(1))

    def hooks():
        return [
            [list(getattr(m, name)) for name in vars(m) if name.endswith("_hooks")]
            for m in model.modules()
        ]

    before = hooks()
    diagnose(model, images)
    assert hooks() == before
    assert calls, "the model's own hooks run"


def test_global_random_state_is_where_it_was(model, images):
    before = torch.get_rng_state()
    diagnose(model, images)
    assert torch.equal(torch.get_rng_state(), before)


def test_inputs_keep_value_and_gradient_setting(model, images):
    before = images.clone()
    images.requires_grad_()
    diagnose(model, images)
    assert torch.equal(images, before)
    assert images.requires_grad
    assert images.grad is None


def test_switches_of_torch_are_as_they_were(model, images):
    fused = torch.backends.mha.get_fastpath_enabled()
    with torch.no_grad():
        diagnose(model, images)
        assert not torch.is_grad_enabled()
    assert torch.backends.mha.get_fastpath_enabled() == fused


def test_a_model_can_be_looked_at_where_gradients_are_off(model, images):
    expected = diagnose(model, images).to_dict()
    with torch.inference_mode():
        found = diagnose(model, images)
    assert found.to_dict() == expected


def test_all_is_put_back_after_an_error_too(model):
    model.train()
    hooked = [len(m._forward_hooks) for m in model.modules()]
    with pytest.raises(ValueError, match="inputs that the model accepts"):
        diagnose(model, torch.ones(2, 1, 5, 5))
    assert all(module.training for module in model.modules())
    assert model[3].calls == 0
    assert float(model[3].seen) == 0
    assert [len(m._forward_hooks) for m in model.modules()] == hooked


def test_what_a_block_breaks_is_put_back(model):
    weight = model[0].weight
    with untouched(model):
        model[1].running_mean.fill_(torch.nan)
        model[3].seen = torch.ones(())
        weight.requires_grad_(False)
        weight.grad = torch.ones_like(weight)
        model[0].weight = nn.Parameter(torch.zeros(1))
        model.extra = 3
    assert torch.equal(model[1].running_mean, torch.zeros(4))
    assert float(model[3].seen) == 0
    assert model[0].weight is weight
    assert weight.requires_grad
    assert weight.grad is None
    assert not hasattr(model, "extra")


class Remembering(nn.Linear):
    """Writes into all that it holds, in place, as caches and logs do."""

    def __init__(self):
        super().__init__(3, 3)
        self.log = []
        self.cache = {"a": [1], "b": 2}
        self.kept = deque([1, 2], maxlen=2)
        self.names = {"first"}
        self.pairs = ([0],)
        self.scale = torch.ones(2)
        self.counts = np.zeros(2)
        self.draw = torch.Generator().manual_seed(3)
        self.numbers = np.random.default_rng(3)
        self.dice = random.Random(3)

    def forward(self, inputs):
        self.log.append(inputs.mean().item())
        self.cache["a"].append(3)
        self.cache["c"] = self.cache.pop("b", 2)
        self.kept.append(5)
        self.names.add("second")
        self.pairs[0][0] += 1
        self.scale += 1
        self.counts += 1
        torch.rand(1, generator=self.draw)
        self.numbers.random()
        self.dice.random()
        with torch.no_grad():
            self.weight.clamp_(-0.1, 0.1)
        return super().forward(inputs)

    def state(self):
        numbers = self.scale.tolist(), self.counts.tolist(), self.weight.tolist()
        drawn = self.draw.get_state().tolist(), self.numbers.bit_generator.state
        held = self.log, self.cache, list(self.cache), self.kept, self.names, self.pairs
        return copy.deepcopy((held, numbers, drawn, self.dice.getstate()))


@pytest.mark.parametrize(
    "look", [diagnose, empirical_ntk], ids=["diagnose", "empirical_ntk"]
)
def test_what_forward_writes_in_place_is_put_back(look):
    model = Remembering()
    held, before = model.cache["a"], model.state()
    look(model, torch.eye(3))
    assert model.state() == before
    assert model.cache["a"] is held


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, spectral_norm])
def test_power_iterations_of_spectral_norms_do_not_go_on(norm):
    model = nn.Sequential(norm(nn.Linear(4, 3)), nn.ReLU(), nn.Linear(3, 2)).train()
    before = copy.deepcopy(model.state_dict())
    diagnose(model, torch.randn(5, 4))
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        empirical_ntk(model, torch.randn(5, 4))
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_random_states_of_numpy_and_python_are_where_they_were():
    class Drawing(nn.Linear):
        def forward(self, inputs):
            np.random.random()  # noqa: NPY002  the global state is what is meant
            random.random()
            return super().forward(inputs)

    before = np.random.get_state()[1:3], random.getstate()  # noqa: NPY002
    diagnose(Drawing(3, 2), torch.eye(3))
    after = np.random.get_state()[1:3], random.getstate()  # noqa: NPY002
    assert str(after) == str(before)
    assert np.array_equal(after[0][0], before[0][0])


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_mode_of_a_scripted_model_is_put_back():
    model = torch.jit.trace(nn.Sequential(nn.Linear(3, 2)), torch.eye(3)).train()
    with untouched(model):
        assert not model.training
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("around", ["autocast", "inference", "another device"])
def test_what_is_found_does_not_hang_on_the_callers_switches(model, images, around):
    expected = diagnose(model, images).to_dict(spectra=True)
    blocks = {
        "autocast": torch.autocast("cpu", dtype=torch.bfloat16),
        "inference": torch.inference_mode(),
        "another device": torch.device("meta"),
    }
    with blocks[around]:
        found = diagnose(model, images)
    assert found.to_dict(spectra=True) == expected


def test_model_from_inference_mode_is_refused_with_the_way_out():
    with torch.inference_mode():
        model = nn.Linear(3, 2)
    for look in (diagnose, empirical_ntk):
        with pytest.raises(ValueError, match=r"copy.deepcopy\(model\)"):
            look(model, torch.eye(3))
    assert diagnose(copy.deepcopy(model), torch.eye(3)).weights
