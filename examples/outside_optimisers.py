"""TRAC and PSGD Kron from their own packages, each beside methods of this project.

python examples/outside_optimisers.py   # needs trac-optimizer and kron-torch
"""

import os

import torch
from kron_torch import Kron
from torch import nn
from trac_optimizer import start_trac

import isometry

TRAC = start_trac(os.devnull, torch.optim.Adam, s_prev=1e-2)  # wraps any optimiser
OPTIMISERS = {
    "trac": lambda parameters: TRAC(parameters, lr=1e-2),
    "kron": lambda parameters: Kron(parameters, lr=3e-3),
}


def tasks(count):
    """Yield noisy points of four classes, coordinates in a new order each time."""
    draw = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(4, 16, generator=draw)
    for _ in range(count):
        order = torch.randperm(16, generator=draw)
        labels = torch.randint(4, (256,), generator=draw)
        noise = torch.randn(256, 16, generator=draw)
        yield (centres[labels] + noise)[:, order], labels


def train(name, method, count=3, **settings):
    """Return the model, what is attached, and each task's first and last loss."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = OPTIMISERS[name](model.parameters())
    plastic = isometry.attach(model, optimizer, method, **settings)
    losses = []
    for index, (inputs, labels) in enumerate(tasks(count)):
        if index:
            plastic.new_task((inputs, labels))
        seen = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), labels)
            (loss + plastic.penalty(loss)).backward()
            optimizer.step()
            plastic.step()
            seen.append(loss.item())
        losses.append((seen[0], seen[-1]))
    return model, plastic, losses


if __name__ == "__main__":
    torch.compiler.set_stance("force_eager")  # kron-torch compiles: a minute or more
    for name in OPTIMISERS:
        print(name, train(name, "redo+l2_init", redo_every=20)[2])
