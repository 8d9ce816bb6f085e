"""Networks that Adam has taken away from isometry: what chapter 5 pulls back.

The regulariser's variants and the methods that control a part of the spectrum are
compared on the same networks. They have a layer of every shape, begin orthogonal and
learn the same images with ever new random labels.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.seeding import generator
from isometry.supervised.data.sets import load
from isometry.supervised.streams import chosen_images, scaled
from isometry_book.c4_maxmin.fits import cross_entropy
from isometry_book.c4_maxmin.training import Batch, draw_stack, train

HIDDEN = (96, 64, 64)  # units of the hidden layers
LAYERS = ("widening", "narrowing", "square", "head")
IMAGES = 256
BATCH = 32
LR = 3e-3
PER_TASK = 100  # steps


@dataclass(frozen=True, kw_only=True)
class Drifted:
    """A stack of ReLU networks before and after continual training, in float64.

    Attributes:
        initial: The orthogonal weights, one ``(seeds, out, in)`` a layer, see
            :data:`LAYERS`.
        weights: The same after training.
        biases: After training, one ``(seeds, out)`` a layer.
        inputs: The images, ``(seeds, images, in)``.
    """

    initial: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    inputs: Tensor

    def activations(self) -> list[Tensor]:
        """Return what each hidden layer makes of the images, ``(seeds, n, units)``."""
        hidden, found = self.inputs, []
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = torch.relu(hidden @ weight.mT + bias.unsqueeze(1))
            found.append(hidden)
        return found


def drifted_network(seeds: int, steps: int, data: str = "digits") -> Drifted:
    """Train a stack with Adam on new random labels every :data:`PER_TASK` steps.

    Args:
        seeds: How many networks.
        steps: Optimiser steps, at least 1.
        data: A data set's name.

    Raises:
        ValueError: If there is no seed or no step.
    """
    if seeds < 1 or steps < 1:
        found = f"{seeds} seeds, {steps} steps"
        raise ValueError(refusal("at least one seed and one step", found, "ask more"))
    pixels = scaled(load(data), "standard")
    chosen = [chosen_images(pixels, IMAGES, seed) for seed in range(seeds)]
    inputs = torch.stack([pixels.train_inputs[index] for index in chosen])
    sizes = [inputs.shape[-1], *HIDDEN, pixels.num_classes]
    stack = draw_stack("relu_orthogonal", sizes, seeds)
    stack = replace(stack, family=replace(stack.family, held=False))
    initial = tuple(weight.detach().double() for weight in stack.weights)
    classes = pixels.num_classes

    def batch(step: int) -> Batch:
        found = []
        for seed in range(seeds):
            draw = generator(seed, "labels", step // PER_TASK)
            labels = torch.randint(classes, (IMAGES,), generator=draw)
            draw = generator(seed, "batch", step)
            rows = torch.randint(IMAGES, (BATCH,), generator=draw)
            found.append((inputs[seed, rows], labels[rows]))
        return torch.stack([x for x, _ in found]), torch.stack([y for _, y in found])

    train(stack, batch, cross_entropy, steps=steps, lr=LR)
    return Drifted(
        initial=initial,
        weights=tuple(weight.detach().double() for weight in stack.weights),
        biases=tuple(bias.detach().double().squeeze(1) for bias in stack.biases),
        inputs=inputs.double(),
    )
