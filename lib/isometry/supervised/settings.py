"""The settings of a supervised run, one frozen dataclass for every benchmark."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from isometry.core.precision import Precision
from isometry.core.settings import require, setting

Network = Literal["mlp", "cnn", "transformer"]
Activation = Literal["relu", "leaky_relu", "tanh", "gelu", "maxmin", "identity", "sine"]
LEAST_DEPTH = {
    "mlp": (0, "an mlp"),
    "cnn": (2, "a cnn: convolutions and a dense layer"),
    "transformer": (1, "a transformer"),
}


@dataclass(frozen=True, kw_only=True)
class SupervisedSettings:
    """What a supervised run does, apart from the method.

    Source: ours; names and units in ``book/notation.md``.
    """

    data: str = setting("mnist", "Data set: digits, mnist, cifar10, cifar100.")
    tasks: int = setting(10, "Tasks in the stream, >= 1.")
    images_per_task: int = setting(1000, "Training images of a task, >= 1.")
    epochs: int = setting(1, "Passes over a task's images, >= 1.")
    batch_size: int = setting(64, "Images in a minibatch, >= 1.")
    reshuffle: bool = setting(True, "Whether each epoch draws a new order.")
    network: Network = setting("mlp", "Kind of network: mlp, cnn, transformer.")
    width: int = setting(
        128,
        "Units of a hidden layer, >= 1. A quarter of it are the channels of a cnn and "
        "the length of a transformer's tokens.",
    )
    depth: int = setting(
        4,
        "Hidden layers; the head is not counted. Of an mlp >= 0, where 0 is logistic "
        "regression; of a cnn (>= 2) the last one is dense, the others are "
        "convolutions; of a transformer (>= 1) it counts the blocks.",
    )
    activation: Activation = setting("relu", "Nonlinearity of the hidden layers.")
    negative_slope: float = setting(0.01, "Slope of leaky_relu below 0.")
    init: Literal["orthogonal", "default", "kaiming", "kaiming_uniform"] = setting(
        "orthogonal",
        "Initialisation; default: torch's own; kaiming: normal weights for ReLU; "
        "kaiming_uniform: uniform ones.",
    )
    init_gain: float = setting(
        1.0, "Gain of orthogonal hidden weights, > 0; 1 for another init."
    )
    input_scaling: Literal["standard", "unit", "running"] = setting(
        "standard",
        "standard: mean 0, variance 1 over the data; unit: x / max; running: the same, "
        "then each feature by its mean and variance in the stream so far.",
    )
    lr: float = setting(1e-3, "Learning rate, > 0.")
    reset_optimizer: bool = setting(False, "Whether each task resets the optimiser.")
    diagnose_every: int = setting(0, "Diagnose after every n-th task; 0: never.")
    test_images: int = setting(
        0, "Test on the first n of the test images, >= 0; 0: on all.", later=True
    )
    optimizer: Literal["adam", "sgd"] = setting(
        "adam",
        "What takes the step where the method brings no optimiser of its own: adam, "
        "sgd.",
        later=True,
    )
    momentum: float = setting(
        0.0, "Decay of sgd's momentum, in [0, 1); 0: none.", later=True
    )
    blend: float = setting(
        0.0,
        "Fraction of a task over which it replaces the one before, in [0, 1]; 0: at "
        "once. For gradual streams only.",
        later=True,
    )
    taper: float = setting(
        1.0,
        "Units of a hidden layer as a share of those of the one before, in (0, 1], "
        "rounded. Of an mlp only.",
        later=True,
    )
    precision: Precision = setting(
        "float32",
        "Of a training step's products: float32; tf32 (on CUDA); bfloat16 (network "
        "only, weights stay float32).",
        later=True,
    )

    def __post_init__(self) -> None:
        for key in (
            "tasks",
            "images_per_task",
            "epochs",
            "batch_size",
            "width",
        ):
            require(getattr(self, key) >= 1, key, f"{key} >= 1", getattr(self, key))
        least, kind = LEAST_DEPTH[self.network]
        needed = f"depth >= {least} for {kind}"
        require(self.depth >= least, "depth", needed, self.depth)
        for key in ("lr", "init_gain"):
            require(getattr(self, key) > 0, key, f"{key} > 0", getattr(self, key))
        require(0 < self.taper <= 1, "taper", "0 < taper <= 1", self.taper)
        narrows = self.network == "mlp" and self.depth >= 2
        needed = "taper=1 but for an mlp of two hidden layers or more"
        require(self.taper == 1 or narrows, "taper", needed, self.taper)
        require(0 <= self.blend <= 1, "blend", "0 <= blend <= 1", self.blend)
        needed = "0 <= momentum < 1"
        require(0 <= self.momentum < 1, "momentum", needed, self.momentum)
        kept = self.optimizer == "sgd" or self.momentum == 0
        needed = "optimizer=sgd for a momentum"
        require(kept, "momentum or optimizer", needed, self.optimizer)
        heard = self.init == "orthogonal" or self.init_gain == 1
        needed = f"init_gain=1 for init={self.init}, which has no such gain"
        require(heard, "init or init_gain", needed, self.init_gain)
        for key in ("diagnose_every", "test_images"):
            require(getattr(self, key) >= 0, key, f"{key} >= 0", getattr(self, key))
        size, images = self.batch_size, self.images_per_task
        needed = f"batch_size <= images_per_task ({images})"
        require(size <= images, "batch_size", needed, size)

    @property
    def steps_per_task(self) -> int:
        """Gradient steps of a task."""
        return self.epochs * ceil(self.images_per_task / self.batch_size)
