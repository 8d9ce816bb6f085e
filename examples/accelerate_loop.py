"""Accelerate with AdamO: a loop with accumulated gradients, saved and gone on with.

python examples/accelerate_loop.py   # needs accelerate
"""

import tempfile

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from isometry import AdamO
from isometry.adamo import describe


def network() -> nn.Sequential:
    """Return a small network with a head."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
    model.add_module("head", nn.Linear(64, 1))
    return model


def batches() -> DataLoader:
    """Return inputs and a smooth function of them."""
    inputs = torch.randn(1024, 8, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(inputs, inputs.cos().prod(1, True)), 16)


def train(epochs: int, load: str = "", save: str = "", half: bool = False):
    """Train, from a saved state and to one if they are given."""
    options = {"gradient_accumulation_steps": 2, "cpu": True}
    accelerator = Accelerator(**options, mixed_precision="bf16" if half else "no")
    model = network()
    # Made of the model before prepare(), which keeps its groups: the head is spared.
    optimizer = AdamO(model, lr=3e-3, relaxation_steps=100, isometry_every=2)
    model, optimizer, data = accelerator.prepare(model, optimizer, batches())
    if load:
        accelerator.load_state(load)
    losses = []
    for inputs, targets in (batch for _ in range(epochs) for batch in data):
        with accelerator.accumulate(model):
            loss = nn.functional.mse_loss(model(inputs), targets)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    if save:
        accelerator.save_state(save)
    return model, optimizer, losses


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        train(4, save=folder)
        model, optimizer, losses = train(4, load=folder)
    print(describe(optimizer), f"last loss {losses[-1]:.3f}", sep="\n")
