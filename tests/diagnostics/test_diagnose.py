"""The numbers of a look at a network are those of the definitions."""

import io
import json
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from isometry import MaxMin, diagnose
from isometry.core.seeding import generator
from isometry.diagnostics.jacobians import evenly, jacobian
from isometry.diagnostics.records import Spread
from isometry.maxmin import convolution_singular_values, isometric_mlp
from isometry.ntk import conditioning, empirical_ntk, ntk_matrix
from isometry.plasticity import (
    dead_fraction,
    dormant_fraction,
    duplicate_fraction,
    feature_effective_rank,
    srank,
    stable_rank,
    threshold_rank,
)

pytestmark = pytest.mark.usefixtures("double")


def drawn(model, scale=1.0):
    """Return the model with parameters drawn by name."""
    for name, parameter in model.named_parameters():
        draw = generator(0, name)
        fan = parameter[0].numel() if parameter.ndim > 1 else 1
        values = torch.randn(parameter.shape, generator=draw) * scale / fan**0.5
        parameter.data.copy_(values)
    return model


def batch(*shape):
    return torch.randn(shape, generator=generator(0, "inputs"))


def by_name(records):
    return {record.name: record for record in records}


class Residual(nn.Module):
    """Two convolutions with batch norms and a shortcut of its own."""

    def __init__(self, channels, out):
        super().__init__()
        self.first = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out)
        self.second = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, inputs):
        hidden = functional.relu(self.norm(self.first(inputs)))
        return functional.relu(self.second(hidden) + self.shortcut(inputs))


class Tokens(nn.Module):
    """A tiny transformer whose head is its embedding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.positions = nn.Parameter(torch.zeros(1, 5, 4))
        layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, norm_first=True)
        self.block = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.block(self.embedding(tokens) + self.positions))


class Functional(nn.Module):
    """Activations that are no modules."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 5), nn.Linear(5, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, inputs):
        hidden = torch.tanh(self.one(inputs))
        return self.head(self.two(hidden).relu_())


def perceptron():
    layers = [nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)]
    return drawn(nn.Sequential(*layers), scale=1.5)


# --- weights --------------------------------------------------------------------------


def test_weight_spectra_are_those_of_the_matrices():
    model = perceptron()
    found = diagnose(model, batch(5, 6)).weights
    assert [w.name for w in found] == ["0.weight", "2.weight", "4.weight"]
    for record, layer in zip(found, (model[0], model[2], model[4]), strict=True):
        values = torch.linalg.svdvals(layer.weight.detach())
        assert_close(record.singular_values, values)
        assert record.largest == values[0].item()
        assert record.condition_number == pytest.approx((values[0] / values[-1]).item())
        deviation = (values**2 - 1).square().sum().sqrt().item()
        assert record.gram_deviation == pytest.approx(deviation)
        assert record.shape == tuple(layer.weight.shape)


def test_summaries_of_huge_and_tiny_weights_are_finite_and_right():
    for scale in (1e25, 1e-30):
        layer = nn.Linear(2, 2, dtype=torch.float32)
        layer.weight.data = (scale * torch.eye(2)).float()
        spectrum = diagnose(layer, torch.zeros(1, 2).float(), jacobian=False).weights[0]
        assert spectrum.stable_rank == 2
        deviation = math.sqrt(2) * abs(layer.weight[0, 0].item() ** 2 - 1)
        assert spectrum.gram_deviation == pytest.approx(deviation)


def test_kernel_is_flattened_and_its_operator_is_told_apart():
    model = drawn(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Flatten()))
    (record,) = diagnose(model, batch(2, 2, 4, 4)).weights
    kernel = model[0].weight.detach()
    assert record.kind == "kernel"
    assert record.largest == pytest.approx(
        torch.linalg.matrix_norm(kernel.flatten(1), 2).item()
    )
    operator = convolution_singular_values(kernel, 4, 4)[0].item()
    assert record.operator_norm == pytest.approx(operator)
    assert record.operator_norm != pytest.approx(record.largest)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 4, 3, stride=2),
        nn.Conv2d(2, 4, 3, groups=2),
        nn.Conv2d(2, 4, 3, dilation=2),
        nn.ConvTranspose2d(2, 4, 3),
    ],
)
def test_operator_norm_is_left_open_where_the_formula_does_not_hold(layer):
    model = nn.Sequential(layer, nn.Flatten()).double()
    (record,) = diagnose(model, batch(2, 2, 6, 6)).weights
    assert record.operator_norm is None


def test_tied_weight_is_listed_once_under_both_names():
    found = diagnose(drawn(Tokens()), torch.zeros(2, 5).long())
    names = [w.name for w in found.weights]
    assert names[0] == "embedding.weight = head.weight"
    assert found.weights[0].kind == "embedding"
    assert not any(name.startswith("head") for name in names)
    assert "positions" in found.left_out


class Reader(nn.Module):
    """A class token, an LSTM, attention, and experts in one parameter."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.cls_token = nn.Parameter(torch.ones(1, 1, 4))
        self.ffn = MixtralExperts()

    def forward(self, inputs):
        hidden = self.rnn(inputs)[0] + self.cls_token
        return self.ffn(self.attention(hidden, hidden, hidden)[0])


class MixtralExperts(nn.Module):
    def __init__(self):
        super().__init__()
        self.down_proj = nn.Parameter(torch.ones(2, 3, 4))

    def forward(self, hidden):
        return torch.einsum("eoi,nti->nto", self.down_proj, hidden)


def test_every_matrix_of_a_packed_parameter_has_its_own_spectrum():
    model = drawn(Reader())
    model.ffn.down_proj.data[1] *= 2
    found = diagnose(model, batch(2, 3, 3), jacobian=False, ntk=False)
    values = {w.name: w.singular_values for w in found.weights}
    for name, whole in (
        ("rnn.weight_ih_l0", model.rnn.weight_ih_l0.chunk(4)),
        ("rnn.weight_hh_l0", model.rnn.weight_hh_l0.chunk(4)),
        ("attention.in_proj_weight", model.attention.in_proj_weight.chunk(3)),
        ("ffn.down_proj", model.ffn.down_proj),
        ("attention.out_proj.weight", [model.attention.out_proj.weight]),
    ):
        for i, part in enumerate(whole):
            key = f"{name} ({i + 1} of {len(whole)})" if len(whole) > 1 else name
            assert_close(values.pop(key), torch.linalg.svdvals(part.detach()))
    assert not values
    assert "a token or position" in found.left_out["cls_token"]


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_weight_of_torchs_older_norms_is_the_effective_one(norm):
    layer = norm(drawn(nn.Linear(4, 3)))
    with torch.no_grad():  # as a step of an optimiser: `weight` waits for the next call
        for parameter in layer.parameters():
            parameter.mul_(3)
    found = by_name(diagnose(layer, batch(2, 4)).weights)
    layer.eval()(batch(2, 4))
    assert list(found) == ["weight"]
    expected = torch.linalg.svdvals(layer.weight.detach())
    assert_close(found["weight"].singular_values, expected)


def test_parametrized_weight_is_the_effective_one():
    model = isometric_mlp(4, 4, 2, 2)
    for record in diagnose(model, batch(5, 4)).weights:
        assert "original" not in record.name
        assert record.gram_deviation < 1e-12


def test_singular_matrix_has_a_finite_condition_number_and_zero_an_infinite_one():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].weight.data.copy_(torch.ones(3, 3))
    model[1].weight.data.zero_()
    first, second = diagnose(model, batch(4, 3)).weights
    assert 1e12 < first.condition_number < math.inf
    assert second.condition_number == math.inf


# --- units ----------------------------------------------------------------------------


def test_units_are_measured_as_the_room_of_plasticity_measures_them():
    model, inputs = perceptron(), batch(40, 6)
    model[0].bias.data[:3] = -20.0
    model[2].bias.data[1] = -20.0
    for layer, unit, other in ((0, 3, 5), (2, 4, 0)):  # the latter twice as large
        model[layer].weight.data[unit] = 2 * model[layer].weight[other].detach()
        model[layer].bias.data[unit] = 2 * model[layer].bias[other].detach()
    found = diagnose(model, inputs, thresholds=(0.0, 0.5))
    assert [a.name for a in found.activations] == ["1", "3"]
    for record, depth in zip(found.activations, (2, 4), strict=True):
        rows = model[:depth](inputs).detach()
        assert record.dead_fraction == dead_fraction(rows).item() > 0
        assert record.duplicate_fraction == duplicate_fraction(rows).item() == 1 / 8
        for threshold in (0.0, 0.5):
            share = dormant_fraction(rows, threshold).item()
            assert record.dormant_fraction[threshold] == share
        values = torch.linalg.svdvals(rows)
        assert record.ranks.feature_effective_rank == pytest.approx(
            feature_effective_rank(rows).item()
        )
        assert record.ranks.stable_rank == pytest.approx(stable_rank(values).item())
        assert record.ranks.srank == srank(values).item()
        assert record.ranks.threshold_rank == threshold_rank(values).item()
    assert found.features == found.activations[1].ranks


def test_units_of_a_convolution_are_its_channels():
    model = drawn(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten()))
    model[0].weight.data[2] = 0
    model[0].bias.data[2] = -1
    inputs = batch(3, 1, 5, 5)
    (record,) = diagnose(model, inputs).activations
    rows = model[:2](inputs).detach().movedim(1, -1).reshape(-1, 4)
    assert (record.units, record.rows) == (4, 27)
    assert record.dead_fraction == 0.25 == dead_fraction(rows).item()


def test_activations_are_seen_whether_modules_functions_or_methods():
    found = diagnose(drawn(Functional()), batch(6, 4))
    assert [(a.name, a.function) for a in found.activations] == [
        ("tanh", "tanh"),
        ("relu", "relu"),
    ]


def test_module_that_is_used_twice_is_told_apart():
    relu = nn.ReLU()
    model = drawn(nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 3), relu))
    names = [a.name for a in diagnose(model, batch(4, 3)).activations]
    assert names == ["1", "1 (2)"]


def test_sorting_activation_counts_as_one():
    model = drawn(nn.Sequential(nn.Linear(4, 4), MaxMin(), nn.Linear(4, 2)))
    (record,) = diagnose(model, batch(6, 4)).activations
    assert (record.name, record.units) == ("1", 4)


# --- Jacobians ------------------------------------------------------------------------


def test_layer_jacobian_of_a_perceptron_is_gates_times_weight():
    model, inputs = perceptron(), batch(5, 6)
    found = diagnose(model, inputs).layer_jacobians
    assert [(j.name, j.by) for j in found] == [("1", "0.weight"), ("3", "2.weight")]
    for record, depth in zip(found, (0, 2), strict=True):
        gates = (model[: depth + 1](inputs) > 0).double()
        matrices = gates[:, :, None] * model[depth].weight.detach()
        values = torch.linalg.svdvals(matrices)
        assert record.largest.median == pytest.approx(values[:, 0].median().item())
        assert record.largest.maximum == pytest.approx(values[:, 0].max().item())
        assert record.smallest.minimum == pytest.approx(
            values[:, -1].min().item(), abs=1e-12
        )


def test_end_to_end_jacobian_is_that_of_autograd():
    model, inputs = perceptron(), batch(5, 6)
    found = diagnose(model, inputs).end_to_end
    whole = torch.stack(
        [torch.autograd.functional.jacobian(model, x[None])[0, :, 0] for x in inputs]
    )
    values = torch.linalg.svdvals(whole)
    assert found.shape == (3, 6)
    assert found.largest.minimum == pytest.approx(values[:, 0].min().item())
    assert found.median.median == pytest.approx(values[:, 1].median().item())
    assert found.smallest.maximum == pytest.approx(values[:, 2].max().item())


def test_isometric_network_has_only_ones():
    found = diagnose(isometric_mlp(6, 6, 2, 6), batch(5, 6))
    for record in (*found.layer_jacobians, found.end_to_end):
        for values in (record.smallest, record.median, record.largest):
            assert values.minimum == pytest.approx(1)
            assert values.maximum == pytest.approx(1)


def test_layers_before_an_addition_are_differentiated_by_their_own_input_alone():
    model = drawn(nn.Sequential(Residual(2, 3), nn.Flatten())).eval()
    inputs = batch(3, 2, 4, 4)
    found = diagnose(model, inputs).layer_jacobians
    assert [(j.name, j.by) for j in found] == [
        ("0.relu", "0.first.weight"),
        ("0.relu (2)", "0.second.weight"),
        ("0.relu (2)", "0.shortcut.weight"),
    ]
    block = model[0]
    hidden = block.norm(block.first(inputs)).relu().detach()
    gates = model(inputs) > 0

    def by_second(one):
        return block.second(one[None]).flatten()

    tops = [
        torch.linalg.matrix_norm(
            gate[:, None]
            * torch.autograd.functional.jacobian(by_second, one).flatten(1),
            2,
        ).item()
        for gate, one in zip(gates, hidden, strict=True)
    ]
    assert found[1].largest.maximum == pytest.approx(max(tops))
    assert found[1].largest.minimum == pytest.approx(min(tops))


def test_layer_of_a_sequence_is_taken_at_one_place():
    model = drawn(Tokens())
    tokens = torch.arange(10).reshape(2, 5) % 7
    found = diagnose(model, tokens)
    (record,) = found.layer_jacobians
    assert record.shape == (6, 4)
    block = model.block.layers[0].eval()
    with torch.no_grad():
        hidden = model.embedding(tokens) + model.positions
        hidden = hidden + block._sa_block(block.norm1(hidden), None, None)
        gates = (block.linear1(block.norm2(hidden)) > 0).double()[:, 2]
    values = torch.linalg.svdvals(gates[:, :, None] * block.linear1.weight.detach())
    assert record.largest.maximum == pytest.approx(values[:, 0].max().item())


def test_dense_connections_are_followed_to_the_nearest_layers():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(10))
            self.act = nn.Tanh()

        def forward(self, x):
            for layer in self.layers:
                x = x + layer(x)  # nothing stops the walk back
            return self.act(x)

    found = diagnose(drawn(Dense()), batch(3, 4))
    by = [f"layers.{i}.weight" for i in range(6, 10)]
    assert [j.by for j in found.layer_jacobians] == by
    reason = found.left_out["layer Jacobians of act by layers further back"]
    assert reason == "10 linear maps lead to it at once"


def test_inputs_may_be_numbers_without_a_dimension_of_their_own():
    class Curve(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def forward(self, x):
            return torch.tanh(self.layer(torch.stack([x, x**2], 1)))

    model, inputs = drawn(Curve()), batch(5)
    found = diagnose(model, inputs)
    assert found.end_to_end.shape == (3, 1)
    slope = torch.autograd.functional.jacobian(lambda x: model(x)[0], inputs[:1])
    one = diagnose(model, inputs[:1]).end_to_end
    assert one.largest.median == pytest.approx(slope.norm().item())


def test_large_layer_is_left_out_with_its_size():
    found = diagnose(perceptron(), batch(3, 6), max_layer_entries=50)
    reason = found.left_out["layer Jacobian of 3"]
    assert "8 x 8 entries" in reason
    assert [j.name for j in found.layer_jacobians] == ["1"]


def test_large_layer_is_taken_at_fewer_inputs(monkeypatch):
    model, inputs = perceptron(), batch(6, 6)
    monkeypatch.setattr("isometry.diagnostics.layer_jacobians.MOST_WORK", 2 * 8 * 8 * 8)
    first, second = diagnose(model, inputs).layer_jacobians
    assert (first.inputs, second.inputs) == (3, 2)  # 8 x 6 and 8 x 8
    monkeypatch.undo()
    _, expected = diagnose(model, inputs[:2]).layer_jacobians
    assert second == expected


class Folded(nn.Module):
    """Sequences whose places a layer takes for inputs."""

    def __init__(self, norm):
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 6), norm

    def forward(self, x):
        return self.norm(self.layer(x.flatten(0, 1))).relu().view(*x.shape[:2], 6)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(Residual(3, 4), Residual(4, 2)), (4, 3, 5, 5)),
        (nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.ReLU()), (4, 5)),
        (nn.Sequential(nn.Linear(5, 8), nn.ReLU(inplace=True)), (4, 5)),
        (nn.Sequential(nn.Linear(5, 8), nn.SiLU()), (4, 3, 5)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.Tanh()), (4, 3, 6, 6)),
        (Folded(nn.Identity()), (4, 3, 4)),
        (Folded(nn.LayerNorm(6)), (4, 3, 4)),
    ],
)
@pytest.mark.parametrize("work", [2**31, 1000])
def test_layer_jacobians_are_those_of_a_backward_pass_for_each_row(
    monkeypatch, model, shape, work
):
    limit = "isometry.diagnostics.layer_jacobians"
    monkeypatch.setattr(f"{limit}.MOST_WORK", work)
    found = diagnose(drawn(model).double(), batch(*shape), ntk=False)
    monkeypatch.setattr("isometry.diagnostics.jacobians.diagonal", lambda *_: None)
    expected = diagnose(model, batch(*shape), ntk=False)
    assert len(found.layer_jacobians) == len(expected.layer_jacobians) > 0
    for one, other in zip(
        numbers_of(found.layer_jacobians),
        numbers_of(expected.layer_jacobians),
        strict=True,
    ):
        assert one[0] == other[0]
        assert one[1] == pytest.approx(other[1], abs=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: nn.Linear(6, 8), (5, 6)),
        (lambda: nn.Linear(6, 8), (5, 3, 6)),
        (lambda: nn.Conv1d(6, 8, 2), (5, 6, 4)),
        (lambda: nn.Conv2d(6, 8, 2), (5, 6, 4, 4)),
    ],
)
def test_what_works_in_place_is_seen_as_what_does_not(layer, shape):
    found = []
    for in_place in (False, True):
        act = nn.ReLU(inplace=in_place)
        last = nn.LazyLinear(2)
        model = nn.Sequential(layer(), act, nn.Flatten(), last).double()
        model(batch(*shape))
        found.append(diagnose(drawn(model), batch(*shape)))
    assert str(found[0]) == str(found[1])
    assert found[0].layer_jacobians[0].depth == 1
    assert found[0].end_to_end.depth == 2


def numbers_of(records):
    """Return what Jacobians are called, and all their finite numbers."""
    for record in records:
        ends = [
            end
            for part in vars(record).values()
            if isinstance(part, Spread)
            for end in vars(part).values()
        ]
        named = record.name, record.by, record.shape, record.inputs
        yield named, [end for end in ends if math.isfinite(end)]


@pytest.mark.parametrize("entries", [1, 7, 2**24])
def test_jacobian_in_chunks_is_the_jacobian(monkeypatch, entries):
    monkeypatch.setattr("isometry.diagnostics.jacobians.CHUNK_ENTRIES", entries)
    sources = batch(3, 2, 2).requires_grad_()
    weight = batch(5, 4)
    outputs = (sources.flatten(1) @ weight.T).sin()
    expected = (sources.flatten(1) @ weight.T).cos()
    found = jacobian(outputs, sources)
    assert_close(found, (expected[:, :, None] * weight).detach())


def test_outputs_beyond_the_cap_are_chosen_evenly():
    model, inputs = drawn(nn.Sequential(nn.Linear(3, 9))), batch(4, 3)
    found = diagnose(model, inputs, max_outputs=3)
    rows = model[0].weight.detach()[evenly(9, 3)]
    top = torch.linalg.matrix_norm(rows, 2).item()
    assert found.end_to_end.largest.median == pytest.approx(top)
    assert found.ntk_shape == (4, 3)


# --- the kernel -----------------------------------------------------------------------


def test_kernel_is_conditioned_as_the_room_of_the_ntk_does():
    model, inputs = perceptron(), batch(40, 6)
    found = diagnose(model, inputs, max_ntk_inputs=5)
    expected = conditioning(ntk_matrix(empirical_ntk(model, inputs[:5])))
    assert found.ntk_shape == (5, 3)
    assert found.ntk.condition_number == pytest.approx(expected.condition_number)
    assert_close(found.ntk.eigenvalues, expected.eigenvalues)


def test_kernel_of_outputs_with_places_is_taken_of_all_of_them():
    model = drawn(nn.Sequential(nn.Conv2d(1, 2, 3)))
    found = diagnose(model, batch(3, 1, 4, 4))
    assert found.ntk_shape == (3, 8)
    assert len(found.ntk.eigenvalues) == 24


# --- caps and what is left out --------------------------------------------------------


def test_caps_and_switches_do_what_they_say():
    model, inputs = perceptron(), batch(40, 6)
    found = diagnose(
        model, inputs, max_inputs=20, max_jacobian_inputs=4, ntk=False, jacobian=False
    )
    assert found.inputs == 20
    assert {a.rows for a in found.activations} == {20}
    assert found.left_out == {"Jacobians": "not asked for", "NTK": "not asked for"}
    assert (found.ntk, found.end_to_end, found.layer_jacobians) == (None, None, ())
    assert diagnose(model, inputs, max_jacobian_inputs=4).jacobian_inputs == 4


def left_out(model, inputs):
    return diagnose(model, inputs).left_out


def test_whole_numbers_leave_out_derivatives_by_the_inputs_and_say_so():
    reasons = left_out(drawn(Tokens()), torch.zeros(2, 5).long())
    assert reasons["end-to-end Jacobian"] == "the inputs are whole numbers"
    assert "NTK" not in reasons, "it is a derivative by the parameters"


class Conditioned(nn.Module):
    """Takes numbers, ids, a mask and a flag; returns a record, as others' models do."""

    def __init__(self):
        super().__init__()
        self.table, self.first = nn.Embedding(5, 4), nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, numbers, ids=None, mask=None, double=False):
        hidden = torch.relu(self.first(numbers) * mask + self.table(ids))
        return {"logits": self.head(hidden) * (2 if double else 1), "loss": None}


def test_several_inputs_and_keywords_are_looked_at_as_the_same_model_of_one():
    model = drawn(Conditioned(), 2.0)
    ids, mask, numbers = torch.tensor([0, 3, 3, 1]), batch(4, 4) > 0, batch(4, 3)

    class Bound(nn.Module):
        """The same, with all but the numbers bound, for whole batches and prefixes."""

        def __init__(self):
            super().__init__()
            self.own = model

        def forward(self, numbers):
            c = len(numbers)
            return self.own(numbers, ids[:c], mask[:c], double=True)["logits"]

    expected = diagnose(Bound(), numbers).to_dict(spectra=True)
    keywords = {"numbers": numbers, "ids": ids, "mask": mask, "double": True}
    for inputs in (keywords, (numbers, ids, mask, True)):
        found = diagnose(model, inputs, outputs=lambda o: o["logits"])
        assert found.layer_jacobians
        shown = found.to_dict(spectra=True)
        assert [w["name"] for w in shown["weights"]] == [
            w["name"].removeprefix("own.") for w in expected["weights"]
        ]
        for part in ("end_to_end", "features", "inputs", "parameters", "ntk_shape"):
            assert shown[part] == expected[part], part
        # `Bound` cannot take the fourth input alone, as the kernel does: by hand.
        kernel = empirical_ntk(model, inputs, outputs=lambda o: o["logits"])
        exact = conditioning(ntk_matrix(kernel)).condition_number
        assert found.ntk.condition_number == pytest.approx(exact)


def test_arguments_that_do_not_fit_are_refused_in_words():
    model, pick = Conditioned(), {"outputs": lambda o: o["logits"]}
    edges = torch.zeros(2, 7).long()
    with pytest.raises(ValueError, match=r"4 entries in all inputs.*nodes of a graph"):
        diagnose(model, (batch(4, 3), edges), **pick)
    with pytest.raises(TypeError, match="found Linear; pass a tensor, a tuple"):
        diagnose(model, nn.Linear(1, 1), **pick)
    with pytest.raises(TypeError, match=r"found dict; pass outputs=, e.g. lambda"):
        diagnose(model, (batch(2, 3), torch.zeros(2).long(), torch.ones(2, 4)))


def test_frozen_model_has_jacobians_but_no_kernel():
    model = perceptron().requires_grad_(False)
    found = diagnose(model, batch(4, 6))
    assert "requires a gradient" in found.left_out["NTK"]
    assert found.end_to_end is not None
    assert len(found.layer_jacobians) == 2


def test_model_that_mixes_its_inputs_says_so():
    model = nn.Sequential(
        nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.ReLU()
    )
    reasons = left_out(model, batch(6, 3))
    assert "rest of the batch" in reasons["Jacobians"]
    assert "rest of the batch" in reasons["NTK"]


def test_network_without_activations_says_so():
    reasons = left_out(drawn(nn.Sequential(nn.Linear(3, 3))), batch(4, 3))
    assert reasons == {"layer Jacobians": "no activation follows a linear layer"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_is_looked_at_as_it_is(dtype):
    model = perceptron().to(dtype)
    found = diagnose(model, batch(8, 6).to(dtype))
    assert found.end_to_end.largest.median > 0
    assert {p.dtype for p in model.parameters()} == {dtype}


def partly_compiled(model):
    model[0] = torch.compile(model[0], backend="eager")
    return model


def compiled_in_place(model):
    model.compile(backend="eager")
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "wrap",
    [partly_compiled, compiled_in_place, nn.DataParallel],
    ids=lambda w: w.__name__,
)
def test_wrapped_and_compiled_parts_change_nothing(wrap):
    expected = diagnose(perceptron(), batch(5, 6)).to_dict(spectra=True)
    found = diagnose(wrap(perceptron()), batch(5, 6)).to_dict(spectra=True)
    for record in found["weights"]:
        record["name"] = record["name"].replace("_orig_mod.", "")
    for part in ("weights", "ntk", "end_to_end", "features"):
        assert found[part] == expected[part], part
    kernel = empirical_ntk(wrap(perceptron()), batch(5, 6))
    assert_close(kernel, empirical_ntk(perceptron(), batch(5, 6)))


def test_compiled_model_is_looked_at_under_its_own_names():
    model = perceptron()
    compiled = torch.compile(model, backend="eager")
    assert diagnose(compiled, batch(4, 6)).weights[0].name == "0.weight"


# --- forms ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def looked_at():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    model = drawn(nn.Sequential(Residual(1, 2), nn.Flatten(), nn.Linear(32, 3)))
    model[2].weight.data.zero_()
    found = diagnose(model, batch(6, 1, 4, 4))
    torch.set_default_dtype(before)
    return found


def test_dict_is_strict_json_and_holds_spectra_on_request(looked_at):
    short, long = looked_at.to_dict(), looked_at.to_dict(spectra=True)
    assert json.loads(json.dumps(short, allow_nan=False)) == short
    json.dumps(long, allow_nan=False)
    assert "singular_values" not in short["weights"][0]
    assert len(long["weights"][0]["singular_values"]) == 2
    assert short["weights"][3]["condition_number"] is None, "infinite"
    assert set(short["activations"][0]["dormant_fraction"]) == {"0.0", "0.025", "0.1"}


def test_frame_has_one_number_a_row_and_all_of_them(looked_at):
    frame = looked_at.to_frame()
    assert list(frame.columns) == ["part", "name", "metric", "value"]
    assert not frame.duplicated(["part", "name", "metric"]).any()
    assert set(frame["part"]) == {
        "weight",
        "activation",
        "features",
        "layer_jacobian",
        "end_to_end",
        "ntk",
    }
    row = frame[(frame["name"] == "0.first.weight") & (frame["metric"] == "largest")]
    assert row["value"].item() == looked_at.weights[0].largest
    chosen = frame[frame["metric"] == "dormant_fraction(0.1)"]
    assert len(chosen) == len(looked_at.activations)


def test_text_holds_every_layer_and_fits_a_terminal(looked_at):
    text = str(looked_at)
    assert max(map(len, text.splitlines())) <= 110
    assert "\x1b" not in text
    for part in ("0.first.weight", "0.relu (2)", "outputs", "condition number"):
        assert part in text
    assert repr(looked_at) == text


def test_condition_number_that_rounding_decides_is_printed_as_a_bound(looked_at):
    model = nn.Sequential(nn.Linear(2, 2, dtype=torch.float64))
    model[0].weight.data.copy_(torch.ones(2, 2))
    text = str(diagnose(model, batch(3, 2), ntk=False))
    assert "above " in text
    model[0].weight.data.copy_(torch.diag(torch.tensor([1.0, 1e-3])))
    assert "above " not in str(diagnose(model, batch(3, 2), ntk=False))


def test_rich_prints_the_same_tables(looked_at):
    from rich.console import Console

    file = io.StringIO()
    Console(width=160, file=file).print(looked_at)
    assert "0.shortcut.weight" in file.getvalue()


def test_html_is_whole_and_escapes_names(looked_at):
    from bs4 import BeautifulSoup

    page = BeautifulSoup(looked_at._repr_html_(), "html.parser")
    captions = [caption.text for caption in page.find_all("caption")]
    assert len(captions) == 4
    for table in page.find_all("table"):
        columns = len(table.select("thead th"))
        assert {len(row.find_all("td")) for row in table.select("tbody tr")} == {
            columns
        }
    model = nn.Sequential()
    model.add_module("<b>", nn.Linear(2, 2))
    assert "&lt;b&gt;.weight" in diagnose(model, batch(2, 2))._repr_html_()


def test_plot_shows_every_layer_and_says_what_is_left_out(looked_at):
    import matplotlib.pyplot as plt

    weights, jacobians, units, kernel = looked_at.plot().axes
    assert [t.get_text() for t in weights.get_yticklabels()] == [
        w.name for w in looked_at.weights
    ]
    assert len(jacobians.get_yticklabels()) == 4
    assert len(units.patches) == 2 * len(looked_at.activations)
    assert len(kernel.lines[0].get_ydata()) == 18
    linear = nn.Sequential(nn.Linear(2, 2))
    bare = diagnose(linear, batch(2, 2), ntk=False, jacobian=False)
    texts = [[t.get_text() for t in ax.texts] for ax in bare.plot().axes]
    assert texts == [[], ["left out"], ["left out"], ["left out"]]
    plt.close("all")


def test_plot_of_a_deep_network_names_only_some_layers():
    import matplotlib.pyplot as plt

    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(50)))
    axes = diagnose(model, batch(2, 2), ntk=False, jacobian=False).plot().axes
    assert len(axes[0].get_yticklabels()) <= 20
    plt.close("all")


# --- refusals -------------------------------------------------------------------------


class Pair(nn.Linear):
    def forward(self, inputs):
        return super().forward(inputs), inputs


class Summed(nn.Linear):
    def forward(self, inputs):
        return super().forward(inputs).sum(0)


class Chosen(nn.Linear):
    def forward(self, inputs):
        return super().forward(inputs).argmax(1)


def broken_weights():
    model = nn.Linear(3, 2)
    model.weight.data[0, 0] = torch.nan
    return model


def overflowing():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    for parameter in model.parameters():
        parameter.data.fill_(1e300)
    return model


LINEAR = nn.Linear(3, 2, dtype=torch.float64)
GOOD = torch.ones(4, 3, dtype=torch.float64)
REFUSALS = [
    (lambda: diagnose("model", GOOD), TypeError, "a torch module, found str"),
    (
        lambda: diagnose(LINEAR, [1.0]),
        TypeError,
        "as inputs, found list without",
    ),
    (
        lambda: diagnose(LINEAR, SimpleNamespace(x=GOOD, edge_index=GOOD.long())),
        TypeError,
        "found SimpleNamespace, a graph",
    ),
    (
        lambda: diagnose(LINEAR, (GOOD, torch.zeros(2, 7).long())),
        ValueError,
        r"found 1 of shape \(2, 7\); give what all share .* nodes of a graph",
    ),
    (lambda: diagnose(LINEAR, GOOD[:0]), ValueError, r"non-empty batch .*\(0, 3\)"),
    (lambda: diagnose(LINEAR, GOOD.sum()), ValueError, "a non-empty batch"),
    (lambda: diagnose(LINEAR, GOOD / 0), ValueError, "finite inputs"),
    (lambda: diagnose(LINEAR, GOOD.float()), TypeError, "dtype torch.float64, found"),
    (lambda: diagnose(LINEAR, GOOD.to("meta")), ValueError, "device cpu, found meta"),
    (
        lambda: diagnose(LINEAR, GOOD.long()),
        ValueError,
        r"inputs that the model accepts, found int64 of shape \(4, 3\), and the model",
    ),
    (
        lambda: diagnose(LINEAR, GOOD[:, :2]),
        ValueError,
        r"float64 of shape \(4, 2\), and the model said: mat1",
    ),
    (
        lambda: diagnose(nn.Embedding(3, 2).double(), torch.tensor([[5]])),
        ValueError,
        "the model said: index out of range",
    ),
    (lambda: diagnose(nn.ReLU(), GOOD), ValueError, "one weight matrix, found none in"),
    (
        lambda: diagnose(nn.LayerNorm(3, dtype=torch.float64), GOOD),
        ValueError,
        "one weight matrix, found none in LayerNorm",
    ),
    (
        lambda: diagnose(Pair(3, 2).double(), GOOD),
        TypeError,
        "output, found tuple; pass outputs=",
    ),
    (lambda: diagnose(Chosen(3, 2).double(), GOOD), TypeError, "found torch.int64"),
    (
        lambda: diagnose(Summed(3, 2).double(), GOOD),
        ValueError,
        r"outputs of shape \(4, ...\), one for each input, found \(2,\)",
    ),
    (lambda: diagnose(broken_weights(), GOOD), ValueError, "infinity in 'weight'"),
    (lambda: diagnose(overflowing(), GOOD), ValueError, "finite outputs"),
    (
        lambda: diagnose(nn.LazyLinear(3, dtype=torch.float64), GOOD),
        ValueError,
        "parameters with values",
    ),
    (
        lambda: diagnose(nn.Linear(3, 2, device="meta"), GOOD),
        ValueError,
        "parameters with values",
    ),
    (lambda: diagnose(LINEAR, GOOD, max_inputs=0), ValueError, "max_inputs >= 1"),
    (lambda: diagnose(LINEAR, GOOD, max_outputs=1.5), ValueError, "max_outputs >= 1"),
    (lambda: diagnose(LINEAR, GOOD, max_ntk_inputs=-1), ValueError, "max_ntk_inputs"),
    (
        lambda: diagnose(LINEAR, GOOD, max_jacobian_inputs=True),
        ValueError,
        "max_jacobian_inputs",
    ),
    (
        lambda: diagnose(LINEAR, GOOD, max_layer_entries=0),
        ValueError,
        "max_layer_entries >= 1",
    ),
    (
        lambda: diagnose(LINEAR, GOOD, outputs=lambda o: o.logits),
        ValueError,
        "what outputs= can take, found Tensor, of which AttributeError",
    ),
    (lambda: diagnose(LINEAR, GOOD, thresholds=(-1.0,)), ValueError, "thresholds >= 0"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSALS)
def test_what_cannot_be_looked_at_is_refused_in_one_line(call, error, message):

    with pytest.raises(error, match=message) as caught:
        call()
    line = str(caught.value)
    assert line.startswith("needed ")
    assert "\n" not in line


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_cuda_device_all_is_found_and_the_random_state_kept():
    model, inputs = perceptron().cuda(), batch(8, 6).cuda()
    before = torch.cuda.get_rng_state()
    found = diagnose(model, inputs)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert found.left_out == {}
    cpu = diagnose(perceptron(), batch(8, 6))
    assert found.end_to_end.largest.median == pytest.approx(
        cpu.end_to_end.largest.median
    )
