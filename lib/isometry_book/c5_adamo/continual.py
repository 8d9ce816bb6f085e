"""Chapter 5, trained: spectra in a continual run, and what decides their width."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from isometry.core.matrices import singular_values
from isometry.core.profile import ByProfile
from isometry.core.settings import changed
from isometry.core.stacking import Parameters
from isometry.methods import METHODS, Roles
from isometry.supervised.benchmarks import BENCHMARKS
from isometry.supervised.data.sets import load
from isometry.supervised.networks.kinds import network_of
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import Pixels, scaled
from isometry.supervised.trainer import train

# One stream of random labels, small enough to be trained inside the chapter.
COMMON: dict[str, Any] = {
    "init": "orthogonal",
    "batch_size": 32,
    "images_per_task": 256,
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large a continual run of this chapter is.

    Attributes:
        seeds: Networks, trained as one stack.
        tasks: Of the stream.
        epochs: Of a task.
        width: Units a hidden layer.
        depth: Hidden layers.
        lr: Learning rate.
    """

    seeds: int
    tasks: int
    epochs: int
    width: int = 64
    depth: int = 3
    lr: float = 3e-3


SIZES = ByProfile(
    smoke=Sizes(seeds=2, tasks=4, epochs=5),
    laptop=Sizes(seeds=3, tasks=15, epochs=20),
    paper=Sizes(seeds=8, tasks=50, epochs=100, width=512, depth=4, lr=1e-4),
)


def stream_settings(sizes: Sizes, data: str) -> SupervisedSettings:
    """Return the settings of a continual run.

    Args:
        sizes: Of the run.
        data: A data set's name.
    """
    own = {key: value for key, value in asdict(sizes).items() if key != "seeds"}
    benchmark = BENCHMARKS.get("random_label_mnist")
    return benchmark.settings("paper", data=data, **COMMON, **own)


def stream_pixels(settings: SupervisedSettings) -> Pixels:
    """Return the images of this chapter's runs, read and scaled once.

    Args:
        settings: Name the data set and its scaling.
    """
    return scaled(load(settings.data), settings.input_scaling)


@dataclass(frozen=True, kw_only=True)
class SpectraRecord:
    """The spectra of a run's hidden weights and what each task showed.

    Attributes:
        steps: Optimiser steps at each record, from 0; ``(records,)``.
        singular_values: ``(records, members, layers, width)``, descending.
        online_accuracy: Mean over a task's steps before the update,
            ``(tasks, members)``, in [0, 1].
    """

    steps: Tensor
    singular_values: Tensor
    online_accuracy: Tensor


def record_spectra(
    method: str,
    settings: SupervisedSettings,
    pixels: Pixels,
    seeds: list[int],
    *,
    device: torch.device | str = "cpu",
    **method_settings: Any,
) -> SpectraRecord:
    """Train a stack on new random labels, task by task, and record its spectra.

    Args:
        method: Name of a method.
        settings: Sizes of the run.
        pixels: The data, from :func:`stream_pixels`.
        seeds: One member a seed.
        device: Where to train.
        **method_settings: The method's own settings by name.

    Returns:
        One record before training and one after each task.

    Raises:
        KeyError: If the method or a setting is not known.
    """
    chosen = METHODS.get(method)
    own = changed(chosen.settings, method_settings)
    network = network_of(chosen, own, settings, pixels)
    roles = network.roles()
    sigmas = [_hidden_spectra(network.stacked(seeds, 0), roles)]

    def look(done: int, parameters: Parameters) -> None:
        sigmas.append(_hidden_spectra(parameters, roles))

    benchmark = BENCHMARKS.get("random_label_mnist")
    own_run = (benchmark, chosen, own, settings, pixels, seeds)
    run = train(*own_run, device=device, observe=look)
    seen = pd.DataFrame(run.records).query("metric == 'online_accuracy'")
    accuracies = seen.pivot(index="task", columns="seed", values="value")[seeds]
    return SpectraRecord(
        steps=torch.arange(settings.tasks + 1) * settings.steps_per_task,
        singular_values=torch.stack(sigmas),
        online_accuracy=torch.tensor(accuracies.to_numpy(), dtype=torch.float32),
    )


def _hidden_spectra(parameters: Parameters, roles: Roles) -> Tensor:
    """Return the hidden weights' singular values, ``(members, layers, width)``."""
    weights = [parameters[name] for name, role in roles.items() if role == "hidden"]
    return torch.stack([singular_values(w.detach()).cpu() for w in weights], dim=1)
