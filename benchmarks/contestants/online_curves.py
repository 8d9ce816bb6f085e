"""Does an amortised AdamO learn what the literal one learns? Curves on a short stream.

The stream is permuted digits: the images of scikit-learn, their pixels in a new random
order in every task, each image seen once. A curve is the accuracy on each minibatch
before it is learned. Runs of one seed share weights, permutations and order, so that
differences are paired.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from isometry.adamo import AdamO, amortised_every, strength_for_relaxation
from isometry.core.seeding import generator
from isometry.core.statistics import paired_difference
from isometry.supervised.data.sets import load

SIZES = (64, 128, 128, 128, 10)
TASKS, BATCH, LR = 8, 16, 1e-3
RELAXATION = 100  # steps; a task has about ninety, so that the pull matters
STRENGTH = strength_for_relaxation(RELAXATION, LR)
LITERAL = "literal"
SETTINGS = {
    LITERAL: {"isometry_strength": STRENGTH},
    "every 10": {"isometry_strength": STRENGTH, "isometry_every": 10},
    "auto": {"isometry_strength": STRENGTH, "isometry_every": "auto"},
    "no pull": {"isometry_strength": 0.0},
}


def network(seed: int) -> nn.Sequential:
    """Return an orthogonal ReLU network."""
    layers: list[nn.Module] = []
    for index, (fan_in, out) in enumerate(pairwise(SIZES)):
        layers += [nn.Linear(fan_in, out), nn.ReLU()]
        draws = generator(seed, "weights", index)
        nn.init.orthogonal_(layers[-2].weight, generator=draws)
        nn.init.zeros_(layers[-2].bias)
    return nn.Sequential(*layers[:-1])


def online_accuracy(seed: int, options: dict) -> list[float]:
    """Return the mean accuracy before the update, of every task."""
    images = load("digits")
    pixels = images.train_images.flatten(1).float() / images.max_value
    labels = images.train_labels
    model = network(seed)
    optimizer = AdamO(model.parameters(), lr=LR, fused=True, **options)
    accuracies = []
    for task in range(TASKS):
        draws = generator(seed, "task", task)
        order = torch.randperm(pixels.shape[1], generator=draws)
        batches = torch.randperm(len(pixels), generator=draws).split(BATCH)
        hits = 0
        for batch in batches:
            outputs = model(pixels[batch][:, order])
            hits += int((outputs.argmax(1) == labels[batch]).sum())
            optimizer.zero_grad()
            cross_entropy(outputs, labels[batch]).backward()
            optimizer.step()
        accuracies.append(hits / len(pixels))
    return accuracies


def learning_curves(seeds: int) -> dict:
    """Return mean curves, and paired differences from the literal step's.

    ``within_seed_noise`` says whether the 95 % interval of the difference lies within
    one standard deviation over the seeds of the literal runs.
    """
    runs = {
        name: np.array([online_accuracy(seed, options) for seed in range(seeds)])
        for name, options in SETTINGS.items()
    }  # (seeds, tasks) each
    literal = runs[LITERAL].mean(1)
    noise = float(literal.std(ddof=1))
    settings = {}
    for name, accuracy in runs.items():
        each = accuracy.mean(1)
        settings[name] = {
            "mean": float(each.mean()),
            "deviation": float(each.std(ddof=1)),
            "curve": accuracy.mean(0).round(5).tolist(),
        }
        if name != LITERAL:
            found = paired_difference(each, literal, np.random.default_rng(0))
            settings[name] |= {
                "difference": float(found.estimate),
                "interval": [float(found.low), float(found.high)],
                "within_seed_noise": bool(max(-found.low, found.high) <= noise),
            }
    return {
        "stream": f"permuted digits, {TASKS} tasks, one pass each",
        "sizes": SIZES,
        "batch": BATCH,
        "lr": LR,
        "relaxation_steps": RELAXATION,
        "isometry_strength": STRENGTH,
        "auto_is_every": amortised_every(STRENGTH, LR),
        "seeds": seeds,
        "settings": settings,
    }
