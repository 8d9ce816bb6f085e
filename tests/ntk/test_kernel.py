"""What the kernel is of, what falls back to brute force, and what is refused."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from isometry.ntk import empirical_ntk, kernel, layerwise, ntk_matrix

DOUBLE = torch.float64


def normal(*shape, seed=0):
    return torch.randn(
        *shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed)
    )


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def brute_force(model, inputs):
    """The kernel from one backward pass for each output of each input."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for one in inputs.split(1):
        for output in model(one)[0]:
            parts = torch.autograd.grad(
                output,
                parameters,
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            rows.append(torch.cat([part.flatten() for part in parts]))
    jacobian = torch.stack(rows)
    return jacobian @ jacobian.T


class Wrapped(nn.Module):
    """A model given by its layers and one function of them."""

    def __init__(self, forward, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.run = forward

    def forward(self, inputs):
        return self.run(self, inputs)


class Doubled(nn.Linear):
    def forward(self, inputs):
        return 2 * super().forward(inputs)


def tied():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


def called_twice():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer)


def functional_use():
    return Wrapped(
        lambda self, x: torch.tanh(self.a(x)) @ self.a.weight, a=nn.Linear(4, 4)
    )


def also_a_penalty():
    def forward(self, x):
        return self.b(torch.tanh(self.a(x))) * self.a.weight.norm()

    return Wrapped(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 2))


def shuffled_parameter():
    def forward(self, x):
        return self.b(torch.tanh(self.a(x)) + self.c[torch.tensor([0, 0, 1, 2])])

    bare = nn.Parameter(torch.randn(4))
    return Wrapped(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 2), c=bare)


def used_twice():
    def forward(self, x):
        return self.b(torch.tanh(self.a(x) * self.c) + self.c)

    bare = nn.Parameter(torch.randn(4))
    return Wrapped(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 2), c=bare)


def viewed_and_used():
    def forward(self, x):
        return self.b(torch.tanh(self.a(x) * self.c[None])) * self.c.sum()

    bare = nn.Parameter(torch.randn(4))
    return Wrapped(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 2), c=bare)


def weighted_sum():
    def forward(self, x):
        return self.b(torch.add(self.a(x), self.c, alpha=3) * (2 * self.d))

    bare = {k: nn.Parameter(torch.randn(4)) for k in "cd"}
    return Wrapped(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 2), **bare)


def learned_input():
    def forward(self, x):
        prompt = self.prompt.weight[:1].expand(len(x), -1)
        return self.b(torch.tanh(self.a(x) * self.prompt(x)) + self.b(prompt)[:, :1])

    model = Wrapped(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 2))
    model.prompt = nn.Linear(4, 4)
    return model


def hooked_with_its_weight():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    model[0].register_forward_hook(lambda layer, x, z: z * layer.weight.sum())
    return model


def own_forward():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    weight, bias = model[0].weight, model[0].bias
    model[0].forward = lambda x: functional.linear(x, 3 * weight, bias)
    return model


def positions_before_batch():
    # Eight inputs of eight positions, swapped: the layer's first axis is no input.
    def forward(self, x):
        swapped = self.a(x.view(len(x), 8, 16).transpose(0, 1).contiguous())
        return self.b(torch.tanh(swapped).transpose(0, 1).flatten(1))

    return Wrapped(forward, a=nn.Linear(16, 3), b=nn.Linear(24, 2))


def learned_slope():
    return nn.Sequential(nn.Linear(4, 3), nn.PReLU(), nn.Linear(3, 2))


class Standardised(nn.Linear):
    def forward(self, inputs):
        weight = self.weight - self.weight.mean(1, keepdim=True)
        return functional.linear(inputs, weight, self.bias)


class Twice(nn.Linear):
    def forward(self, inputs):
        return super().forward(torch.tanh(super().forward(inputs)))


class OwnBias(nn.Linear):
    def forward(self, inputs):
        return functional.linear(inputs, self.weight) + 2 * self.bias


def standardised():
    return nn.Sequential(Standardised(4, 3), nn.Tanh(), nn.Linear(3, 2))


def twice_inside():
    return nn.Sequential(Twice(4, 4), nn.Tanh(), nn.Linear(4, 2))


def own_bias():
    return nn.Sequential(OwnBias(4, 3), nn.Tanh(), nn.Linear(3, 2))


# The one case that only the comparison with a plain gradient can tell.
HIDDEN = "positions before the batch"
FALLS_BACK = {
    "parameters shared between layers": (tied, 4),
    "a layer called twice": (called_twice, 4),
    "functional use of a weight": (functional_use, 4),
    "a weight used in and outside its layer": (also_a_penalty, 4),
    "a parameter whose entries are picked": (shuffled_parameter, 4),
    "a parameter used twice": (used_twice, 4),
    "a parameter used beside its view": (viewed_and_used, 4),
    "parameters with factors": (weighted_sum, 4),
    "a weight as a layer's input": (learned_input, 4),
    "a hook that uses the weight": (hooked_with_its_weight, 4),
    "a replaced forward": (own_forward, 4),
    HIDDEN: (positions_before_batch, 128),
    "a layer without a closed form": (learned_slope, 4),
    "a subclass with a weight of its own making": (standardised, 4),
    "a subclass that uses its weight twice": (twice_inside, 4),
    "a subclass that adds its bias itself": (own_bias, 4),
    "a parametrised weight": (
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3))),
        4,
    ),
}


@pytest.mark.parametrize("case", FALLS_BACK)
def test_auto_is_right_where_the_sum_over_layers_is_not(case):
    factory, features = FALLS_BACK[case]
    model, inputs = factory().to(DOUBLE), normal(8, features)
    matrix = ntk_matrix(empirical_ntk(model, inputs))
    torch.testing.assert_close(matrix, brute_force(model, inputs))
    with pytest.raises(ValueError, match="sum over layers"):
        empirical_ntk(model, inputs, method="layerwise")


@pytest.mark.parametrize("case", [c for c in FALLS_BACK if c != HIDDEN])
def test_structure_alone_tells_that_a_network_is_no_sum_over_layers(case, monkeypatch):
    monkeypatch.setattr(kernel, "contradiction", lambda *arguments: 0.0)
    factory, features = FALLS_BACK[case]
    with pytest.raises(ValueError, match="sum over layers"):
        empirical_ntk(factory().to(DOUBLE), normal(8, features), method="layerwise")


class ChannelNorm(nn.LayerNorm):
    """Over the channels of a map, as timm's LayerNorm2d."""

    def forward(self, inputs):
        moved = inputs.permute(0, 2, 3, 1)
        shape, eps = self.normalized_shape, self.eps
        moved = functional.layer_norm(moved, shape, self.weight, self.bias, eps)
        return moved.permute(0, 3, 1, 2)


class NormAct(nn.BatchNorm2d):
    """A batch norm with an activation in place, as timm's BatchNormAct2d."""

    def forward(self, inputs):
        arguments = self.running_mean, self.running_var, self.weight, self.bias
        found = functional.batch_norm(inputs, *arguments, self.training, 0.1, self.eps)
        return functional.silu(found, inplace=True)


class GroupAct(nn.GroupNorm):
    def forward(self, inputs):
        arguments = self.num_groups, self.weight, self.bias, self.eps
        return torch.tanh(functional.group_norm(inputs, *arguments))


class SamePad(nn.Conv2d):
    """Pads by itself, as timm's Conv2dSame."""

    def forward(self, inputs):
        padded = functional.pad(inputs, (0, 1, 1, 1))
        arguments = self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        return functional.conv2d(padded, *arguments)


class Scaled(nn.RMSNorm):
    def forward(self, inputs):
        return 3 * super().forward(inputs)


def of_subclasses():
    model = nn.Sequential(
        SamePad(2, 4, 3, stride=2, groups=2),
        ChannelNorm(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 1),
        NormAct(4),
        GroupAct(2, 4),
        nn.Flatten(),
        Scaled(4 * 3 * 2),
        Doubled(24, 3),
    ).to(DOUBLE)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    model[4].running_mean.normal_()
    return model.eval()


def test_subclasses_of_known_layers_are_seen_by_what_they_call(monkeypatch):
    model, inputs = of_subclasses(), normal(5, 2 * 25).view(5, 2, 5, 5)
    # Nothing but the structure: the comparison with a gradient is switched off.
    monkeypatch.setattr(kernel, "contradiction", lambda *arguments: 0.0)
    found = ntk_matrix(empirical_ntk(model, inputs, method="layerwise"))
    torch.testing.assert_close(found, brute_force(model, inputs))
    terms = kernel.layer_kernels(model, inputs)
    assert list(terms) == ["0", "1", "3", "4", "5", "7", "8"]
    model[1].weight.requires_grad_(False)
    found = ntk_matrix(empirical_ntk(model, inputs, method="layerwise"))
    torch.testing.assert_close(found, brute_force(model, inputs))


class Tokens(nn.Module):
    """Class token, positions, LayerScale, a norm and scales of its own."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(4, 6), nn.Linear(6, 3)
        shapes = {"cls": (1, 1, 6), "more": (1, 2, 6), "positions": (1, 6, 6)}
        shapes |= {"gamma": (6,), "gain": (6,), "shift": (6,), "places": (6, 1, 1)}
        shapes |= {"logit_scale": (), "one": (1,)}
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))

    def forward(self, x):
        x = self.embed(x.view(len(x), 3, 4))
        parts = self.cls.expand(len(x), -1, -1), self.more.repeat(len(x), 1, 1), x
        x = (torch.cat(parts, dim=1) + self.positions).relu_()
        x = x + self.gamma * torch.tanh(x)
        channels = x.mT.unsqueeze(-1)
        channels = self.gain[:, None, None] * channels
        channels = channels + self.shift.reshape(1, -1, 1, 1)
        mixed = torch.mul(channels.squeeze(-1).mT.unsqueeze(-1), self.places)
        pooled = mixed.flatten(2).mean(1).add(self.one)
        return self.head(torch.sin(pooled)) * self.logit_scale


@pytest.mark.parametrize("count", [1, 5])
def test_bare_parameters_that_all_inputs_share_are_diagonal_layers(count, monkeypatch):
    model, inputs = Tokens().to(DOUBLE), normal(count, 12)
    monkeypatch.setattr(kernel, "contradiction", lambda *arguments: 0.0)
    found = ntk_matrix(empirical_ntk(model, inputs, method="layerwise"))
    torch.testing.assert_close(found, brute_force(model, inputs))
    terms = kernel.layer_kernels(model, inputs)
    assert set(terms) == {"embed", "head", *dict(model.named_parameters(recurse=False))}
    model.requires_grad_(False)
    model.gamma.requires_grad_()
    found = ntk_matrix(terms["gamma"])
    torch.testing.assert_close(found, brute_force(model, inputs))


def test_a_hook_without_parameters_is_part_of_the_network():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).to(DOUBLE)
    model[0].register_forward_hook(lambda layer, x, z: z**2)
    model[2].register_forward_pre_hook(lambda layer, x: (x[0] + 1,))
    kernel = empirical_ntk(model, normal(5, 4), method="layerwise")
    expected = brute_force(model, normal(5, 4))
    torch.testing.assert_close(ntk_matrix(kernel), expected)


def test_a_network_that_vmap_cannot_transform_is_differentiated_output_by_output():
    def forward(self, x):
        return self.b(torch.tanh(self.a(x)) * (1 if x.sum().item() > 0 else -2))

    model = Wrapped(forward, a=nn.Linear(4, 3), b=nn.Linear(3, 2)).to(DOUBLE)
    inputs = normal(5, 4)
    inputs *= inputs.sum(1, keepdim=True).sign()  # one branch for all
    kernel = ntk_matrix(empirical_ntk(model, inputs, method="jacobian"))
    torch.testing.assert_close(kernel, brute_force(model, inputs))


def test_a_wrong_sum_over_layers_is_found_out(monkeypatch):
    def halved(*arguments):
        return layerwise.kernel_by_layers(*arguments) / 2

    monkeypatch.setattr(kernel, "kernel_by_layers", halved)
    model, inputs = nn.Linear(4, 2).to(DOUBLE), normal(5, 4)
    with pytest.raises(ValueError, match="contradicts"):
        empirical_ntk(model, inputs, method="layerwise")
    expected = brute_force(model, inputs)
    torch.testing.assert_close(ntk_matrix(empirical_ntk(model, inputs)), expected)


def test_kernel_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 2))
    before = {name: p.clone() for name, p in model.named_parameters()}
    inputs = torch.randn(5, 4)
    kept = inputs.clone()
    with torch.no_grad():
        kernel = empirical_ntk(model, inputs)
    assert not kernel.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model)
    torch.testing.assert_close(inputs, kept, rtol=0, atol=0)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, before[name], rtol=0, atol=0)


def test_row_of_output_a_at_input_i_is_i_m_plus_a():
    model, inputs = nn.Linear(4, 3).to(DOUBLE), normal(5, 4)
    kernel = empirical_ntk(model, inputs)
    matrix = ntk_matrix(kernel)
    torch.testing.assert_close(matrix[4 * 3 + 2, 1 * 3 + 2], kernel[4, 1, 2, 2])
    gram = (inputs[4] @ inputs[1] + 1).item()
    assert kernel[4, 1, 2, 2].item() == pytest.approx(gram)
    assert kernel[4, 1, 2, 1].item() == 0


LINEAR = nn.Linear(4, 2)
GOOD = torch.zeros(3, 4)


def not_finite():
    model = nn.Linear(4, 2)
    model.weight.data[0, 0] = float("nan")
    return model


def mixed_types():
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2).double())


def frozen():
    return nn.Linear(4, 2).requires_grad_(False)


def batch_mean():
    return Wrapped(lambda self, x: self.a(x - x.mean(0)), a=nn.Linear(4, 2))


def noisy():
    return Wrapped(lambda self, x: functional.dropout(self.a(x)), a=nn.Linear(4, 2))


def one_number():
    return Wrapped(lambda self, x: self.a(x).sum(1), a=nn.Linear(4, 2))


REFUSED = [
    ("not a model", lambda: torch.relu, GOOD, TypeError, "torch module"),
    ("integers", lambda: LINEAR, GOOD.long(), ValueError, "model accepts"),
    ("a list", lambda: LINEAR, [[0.0] * 4], TypeError, "tensors as inputs"),
    ("another dtype", lambda: LINEAR, GOOD.double(), TypeError, "dtype"),
    ("one vector", lambda: LINEAR, GOOD[0], ValueError, "batch"),
    ("no inputs", lambda: LINEAR, GOOD[:0], ValueError, "non-empty"),
    ("infinite input", lambda: LINEAR, GOOD / 0, ValueError, "finite inputs"),
    ("wrong width", lambda: LINEAR, torch.zeros(3, 5), ValueError, "accepts"),
    ("images", lambda: nn.Conv2d(1, 1, 1), torch.zeros(2, 1, 3, 3), ValueError, "m"),
    ("weights", not_finite, GOOD, ValueError, "finite weights"),
    ("types", mixed_types, GOOD, ValueError, "one dtype"),
    ("nothing trained", frozen, GOOD, ValueError, "requires a gradient"),
    (
        "dropout",
        lambda: nn.Sequential(LINEAR, nn.Dropout(0.1)),
        GOOD,
        ValueError,
        "eval",
    ),
    (
        "batch norm",
        lambda: nn.Sequential(LINEAR, nn.BatchNorm1d(2)),
        GOOD,
        ValueError,
        "eval",
    ),
    ("the batch's mean", batch_mean, torch.randn(3, 4), ValueError, "own input"),
    ("noise", noisy, torch.ones(3, 4), ValueError, "own input"),
    ("one number an input", one_number, GOOD, ValueError, "outputs of shape"),
]


@pytest.mark.parametrize(
    ("model", "inputs", "error", "message"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_what_has_no_kernel_is_refused_in_one_line(model, inputs, error, message):
    with pytest.raises(error, match=message) as caught:
        empirical_ntk(model(), inputs)
    assert "\n" not in str(caught.value)
    assert "needed" in str(caught.value)


def test_other_inputs_are_checked_too():
    with pytest.raises(ValueError, match="finite other"):
        empirical_ntk(LINEAR, GOOD, GOOD / 0)


def test_unknown_method_names_the_known_ones():
    with pytest.raises(KeyError, match="did you mean 'layerwise'"):
        empirical_ntk(LINEAR, GOOD, method="layer-wise")


def test_chunk_size_is_at_least_one():
    with pytest.raises(ValueError, match="chunk_size >= 1"):
        empirical_ntk(LINEAR, GOOD, chunk_size=0)


def test_matrix_needs_a_kernel():
    with pytest.raises(ValueError, match="kernel of shape"):
        ntk_matrix(torch.zeros(3, 3))


@pytest.mark.parametrize("method", ["auto", "jacobian"])
def test_parameter_without_a_dimension_has_its_part_in_the_kernel(method):
    model = Wrapped(lambda self, x: self.s * self.a(x), a=nn.Linear(2, 1, bias=False))
    model.s = nn.Parameter(torch.tensor(3.0))
    model.a.weight.data = torch.tensor([[1.0, 2.0]])
    # f = s w.x: s^2 x.x' + (w.x) (w.x') = 9 * 2 + 3 * 3.
    assert empirical_ntk(model, torch.ones(1, 2), method=method).item() == 27


@pytest.mark.parametrize(
    "block",
    [
        torch.inference_mode,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        lambda: torch.device("meta"),
    ],
    ids=["inference mode", "autocast", "another default device"],
)
@pytest.mark.parametrize("method", ["layerwise", "jacobian"])
def test_kernel_does_not_hang_on_the_callers_switches(block, method):
    model, inputs = nn.Linear(2, 2, bias=False), torch.tensor([[1.0, 2], [3, 1]])
    with block():
        kernel = empirical_ntk(model, inputs + 0, method=method)
    gram = torch.tensor([[5.0, 5], [5, 10]])  # x.x' for each output
    torch.testing.assert_close(kernel, gram[..., None, None] * torch.eye(2))


def test_one_graph_is_refused_in_words():
    edges = torch.tensor([[0, 1, 2], [1, 2, 0]])

    def one_graph(self, x):
        return self.a(torch.zeros_like(x).index_add(0, edges[1], x[edges[0]]))

    with pytest.raises(ValueError, match=r"each alone.*nodes of a graph"):
        empirical_ntk(Wrapped(one_graph, a=nn.Linear(4, 2)), torch.randn(3, 4))


class Attending(nn.Module):
    """Takes ids, a mask and a temperature, and returns a record."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 3)

    def forward(self, ids, mask=None, *, temperature=1.0):
        mask = torch.ones_like(ids) if mask is None else mask
        weights = (mask / mask.sum(1, keepdim=True)).unsqueeze(2)
        logits = self.head((self.table(ids) * weights).sum(1)) / temperature
        return SimpleNamespace(logits=logits, loss=None)


IDS = torch.tensor([[1, 2, 3], [4, 4, 6], [0, 5, 0], [2, 2, 2]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0], [0, 1, 1]])


def kernel_by_hand(model, rows, columns):
    """Return the kernel of `Attending` from one backward pass for each output."""

    def gradients(ids, mask):
        out = model(ids[None], mask[None], temperature=2.0).logits[0]
        each = [
            torch.autograd.grad(o, model.parameters(), retain_graph=True) for o in out
        ]
        return torch.stack([torch.cat([g.flatten() for g in one]) for one in each])

    left, right = (
        torch.stack([gradients(IDS[i], MASK[i]) for i in part])
        for part in (rows, columns)
    )
    return torch.einsum("iap,jbp->ijab", left, right)


@pytest.mark.parametrize("method", ["auto", "jacobian"])
def test_kernel_of_several_inputs_and_a_record_as_output(method):
    model = Attending().to(DOUBLE)
    asked = {"method": method, "outputs": lambda o: o.logits}
    keywords = {"ids": IDS, "mask": MASK, "temperature": 2.0}
    expected = kernel_by_hand(model, range(4), range(4))
    torch.testing.assert_close(empirical_ntk(model, keywords, **asked), expected)
    first, second = ({**keywords, "ids": IDS[p], "mask": MASK[p]} for p in HALVES)
    kernel = empirical_ntk(model, first, second, chunk_size=1, **asked)
    torch.testing.assert_close(kernel, expected[:3, 3:])


HALVES = slice(3), slice(3, 4)


def test_positional_inputs_are_a_tuple_and_ids_alone_a_tensor():
    model = Attending().to(DOUBLE)
    pick = {"outputs": lambda o: o.logits}
    alone = empirical_ntk(model, IDS, **pick)
    whole = empirical_ntk(model, (IDS, torch.ones_like(IDS)), **pick)
    torch.testing.assert_close(alone, whole)


def test_sum_over_layers_holds_for_several_inputs_too():
    model = Adding()
    x, y = torch.randn(3, 4), torch.randn(3, 2)
    kernel = empirical_ntk(model, (x, y), method="layerwise")
    gram = x @ x.mT + y @ y.mT + 2  # one for each bias
    torch.testing.assert_close(kernel, gram[..., None, None] * torch.eye(2))


def test_layer_terms_of_several_inputs_add_up_to_the_kernel():
    model = Adding()
    given = {"x": torch.randn(3, 4), "y": torch.randn(3, 2)}
    terms = kernel.layer_kernels(model, given, outputs=lambda o: 2 * o)
    assert list(terms) == ["a", "b"]
    gram = 4 * (given["y"] @ given["y"].mT + 1)
    torch.testing.assert_close(terms["b"], gram[..., None, None] * torch.eye(2))
    whole = empirical_ntk(model, given, outputs=lambda o: 2 * o)
    torch.testing.assert_close(terms["a"] + terms["b"], whole)


def test_what_is_not_used_has_no_term():
    layers = {
        "a": nn.Linear(4, 2),
        "b": nn.Linear(4, 2),
        "c": nn.Parameter(torch.ones(3)),
    }
    model = Wrapped(lambda self, x: self.a(x), **layers).to(DOUBLE)
    inputs = normal(5, 4)
    found = ntk_matrix(empirical_ntk(model, inputs, method="layerwise"))
    torch.testing.assert_close(found, brute_force(model, inputs))
    terms = kernel.layer_kernels(model, inputs)
    assert not terms["b"].any()
    assert not terms["c"].any()


@pytest.mark.parametrize("method", ["auto", "layerwise", "jacobian"])
def test_a_network_whose_parameters_do_nothing_has_the_kernel_zero(method):
    model = Wrapped(lambda self, x: 2 * x, a=nn.Linear(4, 2))
    assert not empirical_ntk(model, torch.ones(3, 4), method=method).any()


class ScaledTable(nn.Embedding):
    """As transformers' for BART and Gemma."""

    def forward(self, ids):
        return 3 * super().forward(ids)


@pytest.mark.parametrize("table", [nn.Embedding, ScaledTable])
@pytest.mark.parametrize("padding", [None, 0])
@pytest.mark.parametrize("shape", [(4, 3), (4,), (4, 2, 2)])
def test_a_table_is_a_linear_layer_on_rows_of_the_identity(shape, padding, table):
    model = nn.Sequential(
        table(5, 6, padding), nn.Tanh(), nn.Flatten(1), nn.LazyLinear(3)
    )
    ids = torch.randint(5, shape, generator=torch.Generator().manual_seed(1))
    model.to(DOUBLE)(ids)
    found = empirical_ntk(model, ids, method="layerwise")
    expected = brute_force(model, ids)
    torch.testing.assert_close(ntk_matrix(found), expected)
    half = empirical_ntk(model, ids[:1], ids[1:], method="layerwise", chunk_size=1)
    torch.testing.assert_close(half, found[:1, 1:])


@pytest.mark.parametrize("settings", [{"max_norm": 0.1}, {"scale_grad_by_freq": True}])
def test_a_table_whose_rows_are_not_plain_is_no_layer_of_the_sum(settings):
    model = nn.Sequential(
        nn.Embedding(5, 6, **settings), nn.Flatten(1), nn.Linear(18, 2)
    )
    ids = torch.randint(5, (4, 3), generator=torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match=r"'0\.weight' acts outside"):
        empirical_ntk(model, ids, method="layerwise")


@pytest.mark.parametrize("look", [empirical_ntk, kernel.layer_kernels])
def test_reason_against_a_sum_over_layers_has_the_models_own_names(look):
    model, method = learned_slope(), {"method": "layerwise"}
    more = method if look is empirical_ntk else {}
    with pytest.raises(
        ValueError, match=r"found parameter '1\.weight' acts outside of the layers"
    ):
        look(model, torch.randn(3, 4), outputs=lambda o: o, **more)


class Adding(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 2), nn.Linear(2, 2)

    def forward(self, x, y):
        return self.a(x) + self.b(y)


class Returning(nn.Linear):
    def forward(self, x, *_):
        return (super().forward(x),)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (
            (GOOD, torch.zeros(2, 5)),
            ValueError,
            r"3 entries .* found 1 of shape \(2, 5",
        ),
        ({"x": GOOD, "graph": object()}, TypeError, "found object as 'graph'; pass"),
        ({"x": 3}, TypeError, "found dict without any"),
        (
            {"x": GOOD[:, :3]},
            ValueError,
            r"accepts, found 'x' \(3, 3\), and the model said: mat1",
        ),
        (
            SimpleNamespace(x=GOOD, edge_index=torch.zeros(2, 5).long()),
            TypeError,
            "found SimpleNamespace, a graph, whose nodes hang on each other; wrap the",
        ),
        ((GOOD.double(),), TypeError, "of the model's dtype"),
        ((GOOD,), ValueError, "outputs of shape"),
    ],
)
def test_several_inputs_that_do_not_fit_are_refused(inputs, error, message):
    with pytest.raises(error, match=message):
        empirical_ntk(Returning(4, 2), inputs)
