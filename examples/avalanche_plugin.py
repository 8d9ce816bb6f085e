"""Avalanche with a plugin that keeps any strategy plastic, by any method's name.

python examples/avalanche_plugin.py   # needs avalanche-lib
"""

import torch
from avalanche.benchmarks import benchmark_from_datasets
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.training import Naive
from avalanche.training.plugins import SupervisedPlugin
from torch import nn
from torch.utils.data import TensorDataset

from isometry import AdamO, attach


class Plasticity(SupervisedPlugin):
    """A method of ``isometry list methods``, or several: ``"redo+l2_init"``."""

    def __init__(self, method: str, **settings):
        super().__init__()
        self.method, self.settings, self.plastic = method, settings, None

    def before_training_exp(self, strategy, **_):
        """Put the method to work, or tell it that a new task begins."""
        if self.plastic is None:
            both = (strategy.model, strategy.optimizer)
            self.plastic = attach(*both, self.method, **self.settings)
        else:
            self.plastic.new_task(next(iter(strategy.dataloader))[:2])

    def before_backward(self, strategy, **_):
        """Add the penalty to the loss."""
        strategy.loss = strategy.loss + self.plastic.penalty()

    def after_update(self, strategy, **_):
        """Let the method follow the optimiser's step."""
        self.plastic.step()


def train(plugin: Plasticity, tasks: int = 3, epochs: int = 8) -> Naive:
    """Train on tasks whose inputs are ordered differently; return the strategy."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    model.add_module("head", nn.Linear(64, 4))
    optimizer = AdamO(model, lr=3e-3, relaxation_steps=100)  # spares the head
    sizes = {"train_mb_size": 32, "train_epochs": epochs, "evaluator": None}
    strategy = Naive(model=model, optimizer=optimizer, plugins=[plugin], **sizes)
    for task, inputs in enumerate(torch.randn(tasks, 1024, 8)):
        labels = inputs.roll(task, 1).unflatten(1, (4, 2)).prod(2).argmax(1)
        data = TensorDataset(inputs, labels)
        data.targets = labels.tolist()
        made = benchmark_from_datasets(train=[as_classification_dataset(data)])
        strategy.train(made.train_stream)
    return strategy


if __name__ == "__main__":
    print(train(Plasticity("redo+l2_init", redo_every=100)).plugins[0].plastic.report())
