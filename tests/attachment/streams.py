"""A stream of the supervised benchmark, trained in a user's own loop."""

import math
from itertools import islice

import torch
from torch import nn
from torch.nn import functional

from isometry.attachment.front import attach
from isometry.attachment.wiring import Point, View, Wiring
from isometry.core.denormals import denormals_flushed
from isometry.core.seeding import generator
from isometry.lab.run import plan
from isometry.methods import get
from isometry.methods.linearity import AdaLin
from isometry.methods.structure import DRAWN
from isometry.supervised.networks.kinds import network_of
from isometry.supervised.networks.mlp import as_module
from isometry.supervised.trainer import train
from isometry.supervised.training import batches, stacked_tasks

SMALL = {
    "data": "digits",
    "tasks": 3,
    "images_per_task": 42,
    "epochs": 2,
    "batch_size": 16,
    "width": 16,
    "depth": 2,
}


# So that in a dozen steps each method acts.
OFTEN = {
    "redo": {"redo_every": 3, "redo_window": 2, "redo_threshold": 0.5},
    "regrama": {"grama_every": 3, "grama_threshold": 0.9},
    "cbp": {"replacement_rate": 0.05, "maturity": 3},
    "snr": {"snr_every": 3, "snr_least": 16, "snr_most": 48},
    "cpr": {"cpr_every": 3},
    "selective_reinit": {"reinit_every": 3, "reinit_rate": 0.1},
    "shrink_perturb": {"perturb_every": 3, "shrink": 0.01},
    "hare_tortoise": {"hare_every": 4},
    "c_chain": {"churn_from": 2},
    "l2_er": {"er_every": 3},
    "adamo": {"isometry_strength": 1.0},
    "adam_isometry": {"isometry_strength": 0.1},
}


def planned(method, network="mlp", **changes):
    """Return a small plan in which the method acts."""
    sizes = {"network": network} | ({"depth": 3} if network == "cnn" else {})
    often = [OFTEN.get(part, {}) for part in method.split("+")]
    acting = {key: value for part in often for key, value in part.items()}
    return plan("permuted_mnist", method, SMALL | sizes | acting | changes, "smoke")


def registry_form(plan_, pixels, seeds):
    """Return the parameters after a run in the library's own trainer."""
    run = train(
        plan_.benchmark,
        plan_.method,
        plan_.method_settings,
        plan_.settings,
        pixels,
        list(seeds),
    )
    return run.parameters


class StackedMember(nn.Module):
    """One member as a torch module that computes as the stack does, kernel by kernel.

    Args:
        network: The stacked network.
        own: One member's parameters.
    """

    def __init__(self, network, own):
        super().__init__()
        self.network = network
        self.own = nn.ParameterDict(
            {name.replace(".", "/"): nn.Parameter(p.clone()) for name, p in own.items()}
        )
        self.draws = None  # (step) -> generators, where units are drawn
        self.step = 0
        depth = network.architecture.depth
        self.seen = nn.ModuleList(nn.Identity() for _ in range(depth))

    def forward(self, inputs):
        """Return the logits."""
        stacked = {n.replace("/", "."): p.unsqueeze(0) for n, p in self.own.items()}
        draws = None if self.draws is None else self.draws(self.step)
        self.step += 1
        logits, activations = self.network.watched(stacked, inputs.unsqueeze(0), draws)
        for seen, hidden in zip(self.seen, activations, strict=True):
            seen(hidden[0])
        return logits[0]


def stacked_member(network, own):
    """Return the module and its wiring, with the registry's names."""
    module = StackedMember(network, own)
    names = {name: f"own.{name.replace('.', '/')}" for name in own}
    return module, _wiring(
        network, names, [f"seen.{i}" for i in range(len(module.seen))]
    )


def exported_member(network, own):
    """Return the member as torch's own layers, and its wiring."""
    stacked = {name: p.unsqueeze(0) for name, p in own.items()}
    module = as_module(network, stacked, 0)
    paths, points = [], []
    for path, child in module.named_children():
        if isinstance(child, nn.Linear | nn.Conv2d):
            paths.append({"weight": f"{path}.weight", "bias": f"{path}.bias"})
        elif isinstance(child, nn.LayerNorm | nn.GroupNorm):
            paths[-1] |= {"gain": f"{path}.weight", "offset": f"{path}.bias"}
        elif not isinstance(child, nn.Flatten | nn.Unflatten):
            points.append(path)
            if isinstance(child, AdaLin):
                paths[-1]["alpha"] = f"{path}.alpha"
    layers = [f"hidden.{i}" for i in range(len(paths) - 1)] + ["head"]
    names = {
        f"{layer}.{kind}": path
        for layer, own_paths in zip(layers, paths, strict=True)
        for kind, path in own_paths.items()
        if f"{layer}.{kind}" in own
    }
    return module, _wiring(network, names, points)


def _wiring(network, names, points):
    """Return the wiring of a member, with the registry's structure."""
    structure = network.structure()
    kernels = [len(network.shapes()[layer.weight]) > 2 for layer in structure.layers]
    return Wiring(
        structure=structure,
        views={name: View(parameter=path) for name, path in names.items()},
        points=tuple(
            Point(module=path, dim=1 if kernel else -1)
            for path, kernel in zip(points, kernels, strict=True)
        ),
    )


def changed_settings(plan_):
    """Return the method's settings that differ from its defaults."""
    default = get(plan_.method.name).settings
    names = list(vars(plan_.method_settings))
    found = {n: getattr(plan_.method_settings, n) for n in names}
    return {n: v for n, v in found.items() if v != getattr(default, n)}


@denormals_flushed()
def attached_form(plan_, pixels, seed, member=stacked_member, optimizer=None, **more):
    """Return the parameters after the run in a user's loop, and the attached."""
    settings, method = plan_.settings, plan_.method
    network = network_of(method, plan_.method_settings, settings, pixels)
    module, wiring = member(network, network.initial(seed, 0))
    made = None if optimizer is None else optimizer(module.parameters(), settings.lr)
    if network.architecture.activation in DRAWN:
        kind = network.architecture.activation
        module.draws = lambda step: [generator(seed, "method", kind, step)]
    plastic = attach(
        module,
        made,
        method.name,
        wiring=wiring,
        seed=seed,
        **({"lr": settings.lr} if made is None else {}),
        **changed_settings(plan_),
        **more,
    )
    for index in range(settings.tasks):
        task = plan_.benchmark.task(pixels, settings, seed, index)
        task = stacked_tasks([task], torch.device("cpu"))
        if index:
            steps = math.ceil(settings.images_per_task / settings.batch_size)
            first_pass = islice(batches(task, settings, [seed], index), steps)
            plastic.new_task([(x[0], y[0]) for x, y in first_pass])
        for inputs, labels in batches(task, settings, [seed], index):
            loss = functional.cross_entropy(module(inputs[0]), labels[0])
            loss = loss + plastic.penalty(loss)
            plastic.optimizer.zero_grad()
            loss.backward()
            plastic.optimizer.step()
            plastic.step()
    own = dict(module.named_parameters())
    found = {n: own[view.parameter].detach() for n, view in wiring.views.items()}
    return found, plastic
