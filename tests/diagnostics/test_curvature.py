"""The Hessian's spectrum: that of the full matrix, closed forms, and its estimate."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.diagnostics import hessian_spectrum
from isometry.maxmin import MaxMin

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


def looked_at(model, inputs, targets, seed=0, **asked):
    draw = generator(seed, "probes")
    return hessian_spectrum(model, inputs, targets, generator=draw, **asked)


def full_hessian(model, inputs, targets, loss):
    """Return the Hessian by differences of gradients, over what is trained."""
    own = [p for p in model.eval().parameters() if p.requires_grad]
    start = nn.utils.parameters_to_vector(own).detach()

    def gradient(vector):
        nn.utils.vector_to_parameters(vector, own)
        found = torch.autograd.grad(loss(model(inputs), targets), own)
        return nn.utils.parameters_to_vector(found)

    steps = 1e-5 * torch.eye(len(start))
    rows = [(gradient(start + s) - gradient(start - s)) / 2e-5 for s in steps]
    nn.utils.vector_to_parameters(start, own)
    return torch.stack(rows)


class Attention(nn.Module):
    """One layer of a transformer over numbers, with a head on the mean."""

    def __init__(self):
        super().__init__()
        self.block = nn.TransformerEncoderLayer(4, 2, 5, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, inputs):
        return self.head(self.block(inputs).mean(1))


MODELS = {
    "tanh": (nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), (4,)),
    "relu": (nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), (4,)),
    "maxmin": (nn.Sequential(nn.Linear(4, 6), MaxMin(), nn.Linear(6, 3)), (4,)),
    "norms": (
        nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.GELU(), nn.Flatten(),
            nn.Linear(8, 3),
        ),
        (1, 4, 4),
    ),
    "attention": (Attention(), (3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_small_hessian_has_the_eigenvalues_of_the_full_matrix(name):
    model, shape = MODELS[name]
    model = drawn(model.double(), 1.5)
    inputs, targets = batch(5, *shape), torch.tensor([0, 1, 2, 0, 1])
    found = looked_at(model, inputs, targets)
    whole = full_hessian(model, inputs, targets, functional.cross_entropy)
    values = torch.linalg.eigvalsh((whole + whole.T) / 2)
    assert (found.exact, found.parameters) == (True, len(whole))
    # Differences of gradients are wrong by 1e-16 / 1e-5 and 1e-5 squared.
    assert_close(found.nodes[0], values, atol=1e-8, rtol=1e-7)
    assert found.largest == pytest.approx(values[-1].item())
    assert found.smallest == pytest.approx(values[0].item())
    expected = functional.cross_entropy(model(inputs), targets).item()
    assert found.loss == pytest.approx(expected)
    for eps in (1e-3, 0.1):
        count = (values.abs() > eps).sum().item()
        sure = {"rank": count, "error": 0, "blur": 0, "at_least": count}
        assert vars(found.rank(eps)) == sure
        count = (values.abs() > eps * values.abs().max()).sum().item()
        assert found.rank(eps, relative=True).rank == count


def deep_linear(first, second):
    model = nn.Sequential(
        nn.Linear(first.shape[1], len(first), bias=False),
        nn.Linear(second.shape[1], len(second), bias=False),
    )
    model[0].weight.data, model[1].weight.data = first, second
    return model


@pytest.mark.parametrize("max_exact", [512, 1])
def test_two_linear_layers_at_their_minimum_have_sums_of_squares(max_exact):
    # L = ||B A - T||^2 / (in out) on the unit vectors: at B A = T its Hessian has
    # 2 / (in out) times the squares of a singular value of B plus one of A.
    first, second = batch(6, 4), batch(5, 6).flip(0)
    model, inputs = deep_linear(first, second), torch.eye(4)
    targets = model(inputs).detach()
    asked = {"loss": functional.mse_loss, "max_exact": max_exact, "steps": 60}
    found = looked_at(model, inputs, targets, **asked)
    of = [torch.linalg.svdvals(w).square() for w in (first, second)]
    expected = (of[0][:, None] + of[1]).flatten() * 2 / 20
    assert found.loss == pytest.approx(0)
    for nodes in found.nodes:
        assert_close(nodes[nodes > 1e-9].sort().values, expected.sort().values)
    assert found.rank(1e-9).at_least == 20


@pytest.mark.parametrize("max_exact", [512, 1])
def test_rank_at_a_minimum_is_the_dimension_of_matrices_of_that_rank(max_exact):
    out, inner, features = 7, 3, 6
    model = deep_linear(batch(inner, features), batch(out, inner))
    inputs = batch(20, features)
    targets = model(inputs).detach()
    asked = {"loss": functional.mse_loss, "max_exact": max_exact, "steps": 39}
    rank = looked_at(model, inputs, targets, **asked).rank(1e-10)
    assert rank.at_least == inner * (out + features - inner)
    assert rank.rank == pytest.approx(rank.at_least, abs=4 * rank.error)


def medium():
    """Return a network of 763 parameters, with its task, and its exact spectrum."""
    layers = [nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, 23), nn.Tanh()]
    model = drawn(nn.Sequential(*layers, nn.Linear(23, 3, bias=False)), 2.0)
    inputs = batch(60, 10)
    targets = torch.arange(60) % 3
    return model, inputs, targets


@pytest.mark.parametrize("steps", [30, 80, 200])
def test_estimates_of_the_rank_lie_within_their_errors_and_above_their_bound(steps):
    model, inputs, targets = medium()
    exact = looked_at(model, inputs, targets, max_exact=800)
    found = looked_at(model, inputs, targets, probes=6, steps=steps)
    assert not found.exact
    for eps in (1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0):
        true, rank = exact.rank(eps).rank, found.rank(eps)
        assert rank.at_least <= true
        assert abs(rank.rank - true) <= rank.blur + 4 * rank.error


def test_estimates_are_right_on_average_where_steps_resolve_the_threshold():
    model, inputs, targets = medium()
    true = looked_at(model, inputs, targets, max_exact=800).rank(0.3).rank
    scores = []
    for seed in range(8):
        found = looked_at(model, inputs, targets, seed, probes=6, steps=50).rank(0.3)
        assert found.blur < 0.3 * true
        assert found.error < 0.2 * true
        scores.append((found.rank - true) / found.error)
    assert abs(sum(scores) / 8) < 4 * 1.3 / 8**0.5  # Student's, 5 degrees


def test_density_has_the_mass_and_the_trace_of_the_spectrum():
    model, inputs, targets = medium()
    points = torch.linspace(-3, 12, 3001)
    exact = looked_at(model, inputs, targets, max_exact=800)
    found = looked_at(model, inputs, targets, probes=20)
    for one, tolerance in ((exact, 1e-6), (found, 0.1)):
        density = one.density(points, 0.05)
        assert torch.trapezoid(density, points).item() == pytest.approx(1)
        mean = torch.trapezoid(points * density, points).item()
        assert mean == pytest.approx(exact.nodes.mean().item(), rel=tolerance)
    assert found.largest == pytest.approx(exact.largest)
    assert found.smallest == pytest.approx(exact.smallest)


def test_a_loss_that_is_linear_in_the_parameters_has_no_curvature():
    model = nn.Linear(3, 2)
    for max_exact in (512, 1):
        asked = {"loss": lambda o, t: (o * t).sum(), "max_exact": max_exact}
        found = looked_at(model, batch(4, 3), batch(4, 2), **asked)
        assert found.rank(1e-12).rank == 0
        assert found.largest == 0


def test_same_generator_same_numbers_and_the_model_is_left_as_it_was():
    model, inputs, targets = medium()
    model.train()
    before = {n: p.clone() for n, p in model.state_dict().items()}
    one, other = (looked_at(model, inputs, targets, steps=9) for _ in range(2))
    assert torch.equal(one.nodes, other.nodes)
    another = looked_at(model, inputs, targets, seed=1, steps=9)
    assert not torch.equal(one.nodes, another.nodes)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, before[n]) for n, p in model.state_dict().items())


def test_frozen_parameters_take_no_part():
    model, inputs, targets = medium()
    model[0].requires_grad_(False)
    model[2].requires_grad_(False)
    found = looked_at(model, inputs, targets)
    assert found.parameters == 69
    whole = full_hessian(model, inputs, targets, functional.cross_entropy)
    assert_close(found.nodes[0], torch.linalg.eigvalsh(whole), atol=1e-8, rtol=1e-7)


def test_one_output_of_several_is_picked():
    class Pair(nn.Linear):
        def forward(self, inputs):
            return {"logits": super().forward(inputs), "loss": None}

    model = drawn(Pair(3, 2).double())
    targets = torch.tensor([0, 1, 0, 1])
    found = looked_at(model, batch(4, 3), targets, outputs=lambda o: o["logits"])
    assert found.parameters == 8


class Once(torch.autograd.Function):
    """The identity, with a backward pass that has none of its own."""

    @staticmethod
    def forward(ctx, inputs):
        return inputs.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient


class OnlyOnce(nn.Linear):
    def forward(self, inputs):
        return Once.apply(super().forward(inputs))


class Distances(nn.Linear):
    """Distances to points, of which torch has first derivatives alone."""

    def __init__(self):
        super().__init__(3, 2, dtype=torch.float64)

    def forward(self, inputs):
        return torch.cdist(inputs, self.weight)


LINEAR = nn.Linear(3, 2, dtype=torch.float64)
INPUTS = torch.ones(4, 3, dtype=torch.float64)
LABELS = torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: looked_at(LINEAR, INPUTS, LABELS[:3]), "4 targets, .* found 3; pass"),
        (lambda: looked_at(LINEAR, INPUTS, LABELS, probes=1), "probes >= 2, for an er"),
        (lambda: looked_at(LINEAR, INPUTS, LABELS, steps=0), "a whole steps >= 1, fou"),
        (
            lambda: looked_at(LINEAR, INPUTS, LABELS, max_exact=0),
            "whole max_exact >= 1",
        ),
        (lambda: looked_at(LINEAR, INPUTS / 0, LABELS), "needed finite inputs"),
        (
            lambda: looked_at(LINEAR, INPUTS, LABELS + 5),
            r"targets that the loss accepts, found \(4,\), torch.int64, and the loss s",
        ),
        (
            lambda: looked_at(LINEAR, INPUTS, LABELS, loss=lambda o, t: o.sum(1)),
            r"a loss that is a scalar, found shape \(4,\); take its mean",
        ),
        (
            lambda: looked_at(LINEAR, INPUTS, LABELS, loss=lambda o, t: o.sum() / 0),
            "needed a finite loss, found",
        ),
        (
            lambda: looked_at(
                LINEAR, INPUTS, LABELS, loss=lambda o, t: o.detach().sum()
            ),
            "hangs on the parameters, found one without a gradient",
        ),
        (
            lambda: looked_at(OnlyOnce(3, 2).double(), INPUTS, LABELS),
            "differentiated twice, found a function marked with once_differentiable",
        ),
        (
            lambda: looked_at(Distances(), INPUTS, LABELS),
            "differentiated twice, found the derivative for '_cdist_backward' is not",
        ),
        (
            lambda: looked_at(LINEAR, INPUTS, LABELS).rank(0.0),
            "eps > 0, found 0.0; pas",
        ),
        (
            lambda: looked_at(LINEAR, INPUTS, LABELS).rank(1.0, relative=True),
            "0 < eps < 1, a share, found 1.0",
        ),
        (
            lambda: looked_at(LINEAR, INPUTS, LABELS).density(torch.zeros(1), 0.0),
            "width > 0, found 0.0",
        ),
    ],
)
def test_what_has_no_hessian_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
