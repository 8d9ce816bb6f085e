"""A small network as methods see it, made by hand, and its training in float64."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
import torch

from isometry.core.seeding import generator
from isometry.core.stacking import stack
from isometry.methods import METHODS, Layer, Structure, Training

SIZES = (3, 5, 4, 2)  # inputs, two hidden layers, outputs


def names_of(normalised):
    """Return the shape of every parameter."""
    shapes = {}
    for i in (0, 1):
        shapes[f"h{i}.w"] = (SIZES[i + 1], SIZES[i])
        shapes[f"h{i}.b"] = (SIZES[i + 1],)
        if normalised:
            shapes[f"h{i}.g"] = shapes[f"h{i}.o"] = (SIZES[i + 1],)
    return {**shapes, "out.w": (SIZES[3], SIZES[2]), "out.b": (SIZES[3],)}


def network(parameters, inputs):
    """Return logits and hidden activations of the small network with ReLU."""
    hidden, seen = inputs, []
    for i in (0, 1):
        weight, bias = parameters[f"h{i}.w"], parameters[f"h{i}.b"]
        hidden = (hidden @ weight.mT + bias.unsqueeze(1)).relu()
        seen.append(hidden)
    return hidden @ parameters["out.w"].mT + parameters["out.b"].unsqueeze(1), seen


def structure_of(normalised=False, activation="relu"):
    shapes = names_of(normalised)
    role = {"w": "hidden", "b": "vector", "g": "gain", "o": "offset"}
    roles = {name: role[name[-1]] for name in shapes} | {"out.w": "head"}
    extra = [{"gain": f"h{i}.g", "offset": f"h{i}.o"} for i in (0, 1)]
    layers = tuple(
        Layer(
            weight=f"h{i}.w",
            bias=f"h{i}.b",
            outgoing=("h1.w", "out.w")[i : i + 1],
            **(extra[i] if normalised else {}),
        )
        for i in (0, 1)
    )

    def fresh(seed, *labels):
        drawn = {}
        for name, shape in shapes.items():
            draw = generator(seed, "fresh", name, *labels)
            drawn[name] = torch.randn(shape, generator=draw).double()
        return drawn

    return Structure(
        roles=roles,
        layers=layers,
        heads=(Layer(weight="out.w", bias="out.b"),),
        activation=activation,
        spread={"h0.w": 0.5, "h1.w": 0.25, "out.w": 2.0},
        fresh=fresh,
        function=network,
    )


@dataclass
class Toy:
    """A stack of the small network with a method's parts, ready to step."""

    method: object
    seeds: list = field(default_factory=lambda: [7, 8, 9])
    normalised: bool = False
    changes: dict = field(default_factory=dict)

    def __post_init__(self):
        from isometry.core.settings import changed

        self.settings = changed(self.method.settings, self.changes)
        self.structure = structure_of(self.normalised)
        start = stack([self.structure.fresh(seed) for seed in self.seeds])
        self.parameters = {n: p.requires_grad_() for n, p in start.items()}
        training = Training(
            structure=self.structure,
            parameters=self.parameters,
            seeds=self.seeds,
            settings=self.settings,
            lr=1e-2,
        )
        self.state = {}
        if self.method.start is not None:
            self.state = self.method.start(training)
        training = replace(training, state=self.state)
        self.optimizer = self.method.optimizer(training)
        self.training = replace(training, optimizer=self.optimizer)

    def copy(self):
        """Return the parameters as they are, as numpy arrays."""
        return {n: p.detach().numpy().copy() for n, p in self.parameters.items()}

    def draw(self, *labels):
        """Return a random number of each parameter's shape, by name."""
        return {
            n: torch.randn(p.shape, generator=generator(1, n, *labels)).double()
            for n, p in self.parameters.items()
        }

    def adam_step(self, *labels):
        """Let the optimiser take a step on random gradients."""
        for name, gradient in self.draw("gradient", *labels).items():
            self.parameters[name].grad = gradient
        self.optimizer.step()

    def before(self):
        """Let the method act before a step."""
        with torch.no_grad():
            self.method.before_step(self.training)

    def after(self, step, seen=(), gradients=(), **more):
        """Let the method act after a step."""
        more |= {"activations": seen, "gradients": gradients}
        with torch.no_grad():
            self.method.after_step(replace(self.training, step=step, **more))

    def switch(self, **more):
        """Let the method act before a second task."""
        with torch.no_grad():
            self.method.before_task(replace(self.training, task=1, **more))

    def penalty(self, **more):
        return self.method.penalty(replace(self.training, **more))

    def add_gradient(self):
        with torch.no_grad():
            self.method.penalty_gradient_(self.training)


@pytest.fixture
def toy():
    """Return a function that makes a toy of a method by name, settings as keywords."""

    def make(name, normalised=False, seeds=(7, 8, 9), **changes):
        method = METHODS.get(name)
        return Toy(method, list(seeds), normalised, changes)

    return make


@pytest.fixture
def structures():
    """Return what makes the small network's structure."""
    return SimpleNamespace(of=structure_of, sizes=SIZES)
