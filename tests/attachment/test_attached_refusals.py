"""What isometry.attach cannot do, it says in one line."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import isometry
from isometry.methods import METHODS
from isometry.methods.method import Method

INPUTS = torch.randn(12, 6, generator=torch.Generator().manual_seed(1))


def model_of(last=3):
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, last))


def sgd_of(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def attached(method="l2", **keywords):
    model = model_of()
    return model, isometry.attach(model, sgd_of(model), method, **keywords)


def attach(method, own=False, **keywords):
    model = model_of()
    return isometry.attach(model, None if own else sgd_of(model), method, **keywords)


def twice():
    model, _ = attached()
    isometry.attach(model, sgd_of(model), "redo")


def twice_in_a_wrapper():
    model, _ = attached()
    isometry.attach(torch.compile(model, backend="eager"), sgd_of(model), "redo")


def of_others():
    isometry.attach(model_of(), sgd_of(model_of()), "l2")


def not_an_optimiser():
    isometry.attach(model_of(), "Adam", "l2")


def frozen():
    model = model_of()
    optimizer = sgd_of(model)
    isometry.attach(model.requires_grad_(False), optimizer, "l2")


def lazy():
    model = nn.Sequential(nn.LazyLinear(3))
    isometry.attach(model, sgd_of(model), "l2")


def stepped_without(backward, step, forward=True):
    model, plastic = attached("redo", inputs=INPUTS)
    if forward:
        loss = model(INPUTS).sum()
    if backward:
        loss.backward()
    if step:
        plastic.optimizer.step()
    plastic.step()


def unseen():
    model, plastic = attached("redo", inputs=INPUTS)
    model.eval()
    model(INPUTS).sum().backward()
    plastic.optimizer.step()
    plastic.step()


def too_early(call):
    _, plastic = attached()
    getattr(plastic, call)()


def after_detach():
    _, plastic = attached(inputs=INPUTS)
    plastic.detach()
    plastic.penalty()


def changed(change):
    model, plastic = attached(inputs=INPUTS)
    change(model)
    model(INPUTS).sum().backward()
    plastic.optimizer.step()
    plastic.step()


def new_head(model):
    model[2] = nn.Linear(8, 3)


def in_other_memory(model):
    model[0].weight.data = model[0].weight.data.clone()


def without_batch():
    _, plastic = attached("dash", inputs=INPUTS)
    plastic.new_task()


def without_loss():
    model, plastic = attached("sphere", inputs=INPUTS)
    model(INPUTS)
    plastic.penalty()


def another_state():
    _, plastic = attached(inputs=INPUTS)
    _, other = attached("redo", inputs=INPUTS)
    plastic.load_state_dict(other.state_dict())


def functional_relu():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, inputs):
            return self.second(self.first(inputs).relu())

    model = Functional()
    isometry.attach(model, sgd_of(model), "leaky_relu", inputs=INPUTS)


def features_in_maps():
    model = nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten()
    )
    model.append(nn.Linear(24, 3))
    isometry.attach(model, sgd_of(model), "infer", inputs=INPUTS)


def no_units():
    model = nn.Sequential(nn.Linear(6, 3))
    isometry.attach(model, sgd_of(model), "redo", inputs=INPUTS)


REFUSALS = [
    (lambda: attach("rédo"), KeyError, "unknown method 'rédo'"),
    (lambda: attach("redo+snr"), ValueError, "both replace units"),
    (lambda: attach("redo", every=3), KeyError, "unknown setting 'every'"),
    (lambda: attach("redo", redo_every=0), ValueError, "redo_every >= 1"),
    (lambda: attach("redo", beta1=0.5), ValueError, "found SGD and beta1; set it in"),
    (lambda: attach("redo", lr=0.5), ValueError, "found SGD and lr"),
    (lambda: attach("upgd"), ValueError, "optimizer=None for upgd"),
    (lambda: attach("upgd", own=True), ValueError, "lr > 0"),
    (lambda: attach("upgd", own=True, lr=0.1), ValueError, "needed inputs="),
    (lambda: attach("crelu"), ValueError, "doubles outputs"),
    (lambda: attach("layernorm"), ValueError, "needed inputs= for layernorm"),
    (
        lambda: attach("maxmin", maxmin_start="isometric", inputs=INPUTS),
        ValueError,
        "torch.nn.init.orthogonal_",
    ),
    (
        lambda: attach("adamo", isometry_strength=10.0, inputs=INPUTS),
        ValueError,
        "isometry_strength",
    ),
    (twice, ValueError, "found one with a method attached"),
    (twice_in_a_wrapper, ValueError, "found one with a method attached"),
    (of_others, ValueError, "an optimiser of this model's parameters"),
    (not_an_optimiser, TypeError, "a torch optimiser, or None, found str"),
    (frozen, ValueError, "a parameter that needs a gradient, found none"),
    (lazy, ValueError, "a lazy '0."),
    (no_units, ValueError, "a hidden layer with units of its own"),
    (lambda: stepped_without(0, 0), ValueError, "found no backward pass"),
    (lambda: stepped_without(0, 1), ValueError, "found no backward pass"),
    (lambda: stepped_without(0, 0, 0), ValueError, "found no backward pass"),
    (lambda: stepped_without(1, 0), ValueError, "found gradients that no step has"),
    (unseen, ValueError, "a forward pass in training mode since the last step"),
    (lambda: too_early("penalty"), ValueError, "a forward pass of the model before"),
    (lambda: too_early("step"), ValueError, "a forward pass of the model before step"),
    (lambda: too_early("new_task"), ValueError, "pass inputs= to isometry.attach"),
    (lambda: too_early("report"), ValueError, "before report()"),
    (after_detach, ValueError, "found penalty() after detach()"),
    (lambda: changed(new_head), ValueError, "the model as it was attached"),
    (lambda: changed(in_other_memory), ValueError, "'0.weight' in other memory"),
    (without_batch, ValueError, "first minibatch for dash, found new_task() without"),
    (without_loss, ValueError, "the loss for sphere, found penalty()"),
    (another_state, ValueError, "a state of l2, found that of 'redo'"),
    (features_in_maps, ValueError, "read unit by unit for infer, found 1.weight"),
    (functional_relu, ValueError, "that of first.weight in code"),
]


@pytest.mark.parametrize(("call", "kind", "said"), REFUSALS)
def test_what_cannot_be_done_is_said_in_one_line(call, kind, said):
    with pytest.raises(kind, match=re.escape(said)) as caught:
        call()
    assert "\n" not in str(caught.value.args[0])


class OneStream(nn.Module):
    """A residual stream: one layer has units of its own."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.up, self.down = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, inputs):
        stream = self.stem(inputs)
        return self.head(stream + self.down(self.up(stream).relu()))


NETWORKS = {
    "one layer": lambda: nn.Sequential(nn.Linear(6, 3)),
    "one stream": OneStream,
    "maps to the head": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 4, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 3),
    ),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS.names())
def test_a_method_works_on_a_small_network_or_says_why_not(method, network):
    torch.manual_seed(0)
    model, labels = NETWORKS[network](), torch.arange(8) % 3
    inputs = torch.randn(8, 6)
    given = torch.optim.Adam(model.parameters(), lr=1e-3)
    refused = None
    try:
        try:
            plastic = isometry.attach(model, given, method, inputs=inputs)
        except ValueError as error:
            if "optimizer=None" not in str(error):
                raise
            plastic = isometry.attach(model, None, method, lr=1e-3, inputs=inputs)
        for task in range(2):
            if task:
                plastic.new_task((inputs, labels))
            for _ in range(2):
                plastic.optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(inputs), labels)
                (loss + plastic.penalty(loss)).backward()
                plastic.optimizer.step()
                plastic.step()
    except ValueError as error:
        refused = str(error)
    line = r"needed [^\n]+, found [^\n]+; [^\n]+$"
    assert refused is None or re.match(line, refused)
    assert all(p.isfinite().all() for p in model.parameters())


def test_the_page_names_the_methods_from_which_a_mark_keeps_a_parameter():
    page = (Path(__file__).parents[2] / "book" / "use-methods.md").read_text()
    line = page[page.index("* A parameter with `parameter.isometry") :].split("\n* ")[0]
    named = set(re.findall("`([a-z_]+)`", line))
    assert named == {m.name for m in METHODS if m.to_isometry and not m.parts}


def test_no_name_of_a_keyword_is_a_setting_of_a_method():
    own = {"inputs", "lr", "seed", "initialise", "wiring", "process_group"}
    for method in METHODS:
        assert not own & set(vars(method.settings))


def test_what_was_refused_can_be_attached_again():
    model = model_of()
    plain = nn.Sequential(nn.Linear(6, 3))
    optimizer = sgd_of(plain)
    for _ in range(2):
        with pytest.raises(ValueError, match="a hidden layer with units"):
            isometry.attach(plain, optimizer, "redo", inputs=INPUTS)
    isometry.attach(plain, optimizer, "l2", inputs=INPUTS)
    isometry.attach(model, sgd_of(model), "redo", inputs=INPUTS)


def test_a_method_that_needs_the_first_minibatch_says_so(monkeypatch):
    def act(training):
        training.inputs.mean()

    asking = Method(name="asking", summary="", source="", before_task=act)
    monkeypatch.setitem(METHODS._entries, "asking", asking)
    _, plastic = attached("asking", inputs=INPUTS)
    with pytest.raises(ValueError, match="first minibatch for asking"):
        plastic.new_task()
    plastic.new_task(INPUTS)
