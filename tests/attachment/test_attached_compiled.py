"""Methods under torch.compile: of the model, of the loss, of the whole step."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional

import isometry

INPUTS = torch.randn(12, 6, generator=torch.Generator().manual_seed(1))
LABELS = torch.randint(3, (12,), generator=torch.Generator().manual_seed(2))
# Said by dynamo where it breaks a graph, of what it does itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor"),
    pytest.mark.filterwarnings("ignore:.torch.jit.script_method"),
    pytest.mark.filterwarnings("ignore:Dynamo"),
]

METHODS = {
    "redo+l2_init": {"redo_every": 2, "redo_threshold": 0.9},
    "adamo": {"isometry_strength": 10.0},
    "c_chain": {"churn_from": 1},
}
SEEN = {"regrama": {"grama_every": 2, "grama_threshold": 0.9}, "infer": {}}


def trained(how, method, parts, inputs=INPUTS, **settings):
    """Return the parameters after some steps of which something is compiled."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
    )
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    plastic = isometry.attach(model, adam, method, inputs=inputs, **settings)
    called = model
    if how == "model":
        called = torch.compile(model, backend="aot_eager", fullgraph=True)
    elif how == "in place":
        model.compile(backend="aot_eager")

    def loss_of(inputs, labels):
        return functional.cross_entropy(called(inputs), labels)

    if how == "loss":
        loss_of = torch.compile(loss_of, backend="aot_eager", fullgraph=True)

    def step():
        adam.zero_grad()
        for inputs, labels in zip(
            INPUTS.chunk(parts), LABELS.chunk(parts), strict=True
        ):
            loss = loss_of(inputs, labels)
            ((loss + plastic.penalty(loss)) / parts).backward()
        adam.step()

    if how == "step":
        step = torch.compile(step, backend="aot_eager")
    for _ in range(4):
        step()
        plastic.step()
    return {name: value.clone() for name, value in model.state_dict().items()}


QUICK = {("model", "redo+l2_init", 3), ("loss", "adamo", 1)}


@pytest.mark.parametrize(
    ("how", "method", "parts"),
    [
        pytest.param(*case, marks=[] if case in QUICK else [pytest.mark.slow])
        for case in product(["model", "in place", "loss", "step"], METHODS, [1, 3])
    ],
)
def test_what_is_compiled_trains_as_what_is_not(how, method, parts):
    """A compiled step of Adam is written otherwise: a rounding a step."""
    plain = trained("", method, parts, **METHODS[method])
    compiled = trained(how, method, parts, **METHODS[method])
    bound = 1e-6 if how == "step" else 0.0
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=bound, atol=bound)


@pytest.mark.slow
@pytest.mark.parametrize("method", SEEN)
def test_what_is_differentiated_by_activations_breaks_the_graph_and_is_the_same(method):
    plain = trained("", method, 1, **SEEN[method])
    assert_same(trained("in place", method, 1, **SEEN[method]), plain)


def test_a_first_pass_that_is_compiled_is_looked_at_outside_of_the_graph():
    settings = METHODS["redo+l2_init"]
    plain = trained("", "redo+l2_init", 1, **settings)
    assert_same(trained("in place", "redo+l2_init", 1, None, **settings), plain)


def assert_same(found, wanted):
    """Assert that two models hold the same, bit for bit."""
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
