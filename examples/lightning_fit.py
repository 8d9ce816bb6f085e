"""Lightning with AdamO: a module makes its optimiser and its schedule.

python examples/lightning_fit.py   # needs lightning
"""

from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from isometry import AdamO

STEPS = 40  # of an epoch


class Classifier(lightning.LightningModule):
    """A small network that tells rings apart."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64))
        self.classifier = nn.Linear(64, 3)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of a batch."""
        points, labels = batch
        outputs = self.classifier(self.body(points).relu())
        return nn.functional.cross_entropy(outputs, labels)

    def configure_optimizers(self) -> tuple[list, list]:
        """Pull the body; the classifier is a head, and named here for who reads it."""
        options = {"relaxation_steps": STEPS, "exclude": ("classifier",)}
        optimizer = AdamO(self, lr=3e-3, **options)
        total = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total)
        return [optimizer], [{"scheduler": cycle, "interval": "step"}]


def rings() -> DataLoader:
    """Return points and the number of the ring that each lies in, in batches."""
    points = torch.rand(32 * STEPS, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    labels = (points.norm(dim=1) * 6).long().clamp(max=2)
    return DataLoader(TensorDataset(points, labels), batch_size=32)


def fit(epochs: int = 4, resume: str | None = None, **options: Any) -> Classifier:
    """Train, or go on from a checkpoint, and return the module."""
    lightning.seed_everything(0)
    options = {"accelerator": "cpu", "gradient_clip_val": 1.0, **options}
    trainer = lightning.Trainer(max_epochs=epochs, logger=False, **options)
    module = Classifier()
    trainer.fit(module, rings(), ckpt_path=resume)
    return module


if __name__ == "__main__":
    print(fit(enable_checkpointing=False).trainer.optimizers[0].describe())
