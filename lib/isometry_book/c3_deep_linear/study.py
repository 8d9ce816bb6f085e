"""The experiments of chapter 3: deep linear networks, their kernels and their learning.

The study puts all tidy numbers together. Everything is float64 on the CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from isometry.core.profile import ByProfile
from isometry.core.seeding import generator
from isometry.lab.store import TIDY
from isometry.linear import (
    condition_number,
    deep_linear_ntk,
    draw_chain,
    end_to_end,
    gradient_flow,
    gram_eigenvalues,
    hidden_anisotropy,
    isotropic_without_isometry,
    kernel_eigenvalues,
    kernel_matrix,
    mode_flow,
    whiten,
)
from isometry.supervised.data.sets import load
from isometry_book.c3_deep_linear.learning import (
    DEPTH_DRAWS,
    chains,
    random_change,
    slowest_change,
    steps_to_learn,
)
from isometry_book.study import Study


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiments are.

    Attributes:
        seeds: How many networks of each kind.
        depths: Numbers of layers.
        width: Units per layer.
        budget: Most gradient steps that a network may take.
        networks: How many random networks Eq. 9 is checked on.
    """

    seeds: int
    depths: tuple[int, ...]
    width: int
    budget: int
    networks: int


SIZES = ByProfile(
    smoke=Sizes(seeds=3, depths=(2, 8, 32), width=8, budget=100, networks=10),
    laptop=Sizes(
        seeds=5,
        depths=(2, 4, 8, 16, 32, 64, 128, 256),
        width=8,
        budget=200,
        networks=50,
    ),
    paper=Sizes(
        seeds=10,
        depths=(2, 4, 8, 16, 32, 64, 128, 256),
        width=16,
        budget=1000,
        networks=200,
    ),
)
INPUTS = ("isotropic", "images", "centred", "whitened", "whitened, unit length")


def equation_nine(sizes: Sizes) -> pd.DataFrame:
    """Return the relative error of Eq. 9 on random orthogonal networks.

    Task i is a network with its own width, depth and number of inputs.

    Args:
        sizes: How many networks.

    Source: arXiv 2606.09762, Eq. 9.
    """
    rows = []
    for task in range(sizes.networks):
        draws = generator(task, "equation nine")
        width, count = torch.randint(2, 17, (2,), generator=draws).tolist()
        depth = int(torch.randint(1, 65, (), generator=draws))
        weights = draw_chain([width] * (depth + 1), generator=draws)
        inputs = torch.randn(count, width, generator=draws, dtype=torch.float64)
        identity = torch.eye(width, dtype=torch.float64)
        expected = depth * torch.kron(inputs @ inputs.T, identity)
        error = kernel_matrix(deep_linear_ntk(weights, inputs)) - expected
        relative = (error.norm() / expected.norm()).item()
        for metric, value in (
            ("relative_error", relative),
            ("width", width),
            ("depth", depth),
        ):
            rows.append(("deep_linear_kernel", "orthogonal", 0, task, metric, value))
    return pd.DataFrame(rows, columns=TIDY)


def hidden_layers(
    sizes: Sizes, conditions: Sequence[float] = (1.0, 2.0, 4.0, 8.0)
) -> pd.DataFrame:
    """Compare isometric layers with layers that only multiply to an isometry.

    Both networks have two layers and compute the same orthogonal map of the same
    orthonormal inputs. Task i is the i-th condition number of the first layer.

    Args:
        sizes: Seeds, width and budget.
        conditions: Condition numbers of the first layer, at least 1.

    Source: ours, for the claim of arXiv 2606.09762, Sec. 2.
    """
    width = sizes.width
    inputs = torch.eye(width, dtype=torch.float64)
    changes = random_change(width, sizes.seeds)
    rows: list[tuple[Any, ...]] = []
    for seed in range(sizes.seeds):
        draws = generator(seed, "hidden layers")
        rotation, other = draw_chain([width] * 3, generator=draws)
        for task, condition in enumerate(conditions):
            pairs = {
                "isometric layers": [other, rotation @ other.T],
                "isometric product": hidden_anisotropy(rotation, condition),
            }
            slowest = slowest_change(pairs["isometric product"], inputs)
            for method, weights in pairs.items():
                values = kernel_eigenvalues(weights, inputs)
                product = end_to_end(weights)
                deviation = (product.mT @ product - inputs).abs().max()
                found = {
                    "condition_number": condition_number(values),
                    "product_deviation": deviation,
                    "steps_random": steps_to_learn(
                        weights, inputs, changes[seed], sizes.budget
                    ),
                    "steps_slowest": steps_to_learn(
                        weights, inputs, slowest, sizes.budget
                    ),
                }
                rows += [
                    ("deep_linear_layers", method, seed, task, key, value.item())
                    for key, value in found.items()
                ]
    return pd.DataFrame(rows, columns=TIDY)


def _exception() -> pd.DataFrame:
    """Return condition numbers of four layers without isometry and of their kernel."""
    weights = isotropic_without_isometry()
    inputs = torch.eye(2, dtype=torch.float64)
    layers = [torch.linalg.cond(weight).item() for weight in weights]
    found = {
        "kernel": condition_number(kernel_eigenvalues(weights, inputs)).item(),
        "flattest layer": min(layers),
        "product": torch.linalg.cond(end_to_end(weights)).item(),
    }
    rows = [
        ("deep_linear_exception", method, 0, 0, "condition_number", value)
        for method, value in found.items()
    ]
    return pd.DataFrame(rows, columns=TIDY)


def depth_and_drift(sizes: Sizes) -> pd.DataFrame:
    """Return condition numbers and learning times against depth; the task is the depth.

    Args:
        sizes: Depths, seeds, width and budget.

    Source: ours, after Saxe, McClelland & Ganguli, ICLR 2014.
    """
    inputs = torch.eye(sizes.width, dtype=torch.float64)
    change = random_change(sizes.width, sizes.seeds)
    rows = []
    for depth in sizes.depths:
        # One stack for all draws: the many small products then cost little more.
        drawn = [
            chains(label, depth, sizes.width, sizes.seeds) for label in DEPTH_DRAWS
        ]
        weights = [torch.stack(layer) for layer in zip(*drawn, strict=True)]
        condition = condition_number(kernel_eigenvalues(weights, inputs))
        steps = steps_to_learn(weights, inputs, change, sizes.budget)
        for row, label in enumerate(DEPTH_DRAWS):
            for metric, values in (("condition_number", condition), ("steps", steps)):
                rows += [
                    ("deep_linear_depth", label, seed, depth, metric, value)
                    for seed, value in enumerate(values[row].tolist())
                ]
    return pd.DataFrame(rows, columns=TIDY)


def depth_spectra(sizes: Sizes) -> dict[str, dict[int, list[float]]]:
    """Return the kernel's eigenvalues over the largest, for the first seed.

    Args:
        sizes: Depths and width.

    Returns:
        By label of :data:`DEPTH_DRAWS` and depth, in descending order.
    """
    inputs = torch.eye(sizes.width, dtype=torch.float64)
    spectra: dict[str, dict[int, list[float]]] = {}
    for label in DEPTH_DRAWS:
        spectra[label] = {}
        for depth in sizes.depths:
            values = kernel_eigenvalues(chains(label, depth, sizes.width, 1), inputs)[0]
            spectra[label][depth] = (values / values[0]).tolist()
    return spectra


def input_batches(data: str, seeds: int) -> dict[str, Tensor]:
    """Return batches of the same size under different input priors, one per seed.

    The size is an eighth of the dimension, at most 64. Whitening uses the mean and
    covariance of up to 10,000 training images.

    Args:
        data: Name of a data set.
        seeds: How many batches.

    Returns:
        By the names in :data:`INPUTS`, ``(seeds, n, d)``, float64.
    """
    images = load(data)
    pixels = images.train_images.flatten(1)
    count = min(64, pixels.shape[1] // 8)
    draws = generator(0, "input batches", data)
    order = torch.randperm(len(pixels), generator=draws)
    batch = pixels[order[: seeds * count]].double() / images.max_value
    reference = pixels[order[-10_000:]].double() / images.max_value
    noise = torch.randn(batch.shape, generator=draws, dtype=torch.float64)
    white = whiten(batch, reference, tolerance=1e-3)
    unit = white / white.norm(dim=1, keepdim=True) * white.shape[1] ** 0.5
    rows = (noise, batch, batch - reference.mean(0), white, unit)
    stacks = [part.view(seeds, count, -1) for part in rows]
    return dict(zip(INPUTS, stacks, strict=True))


def _input_priors(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return the condition number of ``X X^T`` under several input priors."""
    benchmark, metric = f"input_prior_{data}", "condition_number"
    rows = []
    for method, batches in input_batches(data, sizes.seeds).items():
        for seed, batch in enumerate(batches):
            value = condition_number(gram_eigenvalues(batch)).item()
            rows.append((benchmark, method, seed, 0, metric, value))
    return pd.DataFrame(rows, columns=TIDY)


def mode_curves(
    depth: int, targets: Sequence[float], times: Sequence[float], width: int = 8
) -> tuple[Tensor, Tensor]:
    """Return singular values over time: of all layers, integrated, and of the theory.

    The layers are random orthogonal matrices, the inputs are whitened, and the task
    keeps the network's singular vectors and changes its singular values from one to
    the targets.

    Args:
        depth: Number of layers.
        targets: Singular values to learn; the others shall stay at one.
        times: When to look, ascending from 0, learning-rate units.
        width: Units per layer.

    Returns:
        Two tensors ``(len(times), len(targets))``.

    Source: Saxe, McClelland & Ganguli, ICLR 2014.
    """
    weights = draw_chain([width] * (depth + 1), generator=generator(0, "modes", depth))
    start = end_to_end(weights)
    basis = draw_chain([width, width], generator=generator(0, "basis"))[0]
    wanted = torch.ones(width, dtype=start.dtype)
    wanted[: len(targets)] = torch.tensor(targets, dtype=start.dtype)
    # P = (P basis) basis^T has these singular vectors, all singular values being one.
    target = start @ basis @ torch.diag(wanted) @ basis.T
    inputs = torch.eye(width, dtype=start.dtype)
    flow = gradient_flow(weights, inputs, target.T, times)
    modes = ((start @ basis).T @ flow @ basis).diagonal(dim1=1, dim2=2)
    theory = [mode_flow(1.0, value, depth, times) for value in targets]
    return modes[:, : len(targets)], torch.from_numpy(np.stack(theory, 1))


def _numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return all tidy numbers of chapter 3; the input prior is of these images."""
    parts = [
        equation_nine(sizes),
        hidden_layers(sizes),
        _exception(),
        depth_and_drift(sizes),
        _input_priors(sizes, data),
    ]
    return pd.concat(parts, ignore_index=True)


DEEP_LINEAR = Study(name="deep_linear", sizes=SIZES, run=_numbers)
STUDIES = (DEEP_LINEAR,)
