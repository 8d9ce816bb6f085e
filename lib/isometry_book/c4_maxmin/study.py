"""The experiments of chapter 4: MaxMin networks, their isometry and what they fit.

Each function returns tidy numbers; two studies put them together for the store.
"""

import pandas as pd
import torch
from torch import Tensor, nn

from isometry.core.seeding import generator
from isometry.lab.store import TIDY
from isometry.maxmin import (
    GroupSort,
    isometric_mlp,
    jacobian_singular_values,
    orthogonal_linear,
)
from isometry_book.c4_maxmin.critics import wasserstein
from isometry_book.c4_maxmin.fits import deep_training, expressiveness
from isometry_book.c4_maxmin.sizes import SIZES, Sizes
from isometry_book.study import Study

PRECISIONS = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
}
WIDTH = 16  # of the networks whose Jacobians are taken


def _jacobian_spectra(
    seed: int, depth: int, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Return the Jacobian's singular values of MaxMin and ReLU with the same weights.

    Source: arXiv 2606.09762, Sec. 3.
    """
    inputs = torch.randn(1, WIDTH, generator=generator(seed, "input"), dtype=dtype)
    return {
        name: jacobian_singular_values(model.to(dtype), inputs)[0].double()
        for name, model in _twins(seed, depth).items()
    }


def _twins(seed: int, depth: int) -> dict[str, nn.Sequential]:
    """Return a MaxMin and a ReLU network with the same orthogonal weights."""
    draws = generator(seed, "jacobian", depth)
    network = isometric_mlp(
        WIDTH,
        WIDTH,
        depth,
        WIDTH,
        parametrized=False,
        generator=draws,
        dtype=torch.float64,
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1, generator=draws)
    rectified = nn.Sequential(
        *(nn.ReLU() if isinstance(layer, GroupSort) else layer for layer in network)
    )
    return {"maxmin": network, "relu": rectified}


def jacobians(sizes: Sizes) -> pd.DataFrame:
    """Return extremes of the Jacobian's singular values against depth, the task.

    Args:
        sizes: Depths and seeds.

    Source: arXiv 2606.09762, Sec. 3.
    """
    rows = []
    for depth in sizes.depths:
        for seed in range(sizes.seeds):
            for method, values in _jacobian_spectra(seed, depth).items():
                found = {
                    "largest_singular_value": values[0],
                    "smallest_singular_value": values[-1],
                    "deviation": (values - 1).abs().max(),
                }
                rows += [
                    ("jacobian_depth", method, seed, depth, metric, value.item())
                    for metric, value in found.items()
                ]
    return pd.DataFrame(rows, columns=TIDY)


def precisions(sizes: Sizes) -> pd.DataFrame:
    """Return how far from one the singular values are in each type, against depth.

    Args:
        sizes: Depths and seeds.
    """
    rows = []
    for depth in sizes.depths:
        for method, dtype in PRECISIONS.items():
            for seed in range(sizes.seeds):
                network = _twins(seed, depth)["maxmin"].to(dtype)
                draws = generator(seed, "input")
                inputs = torch.randn(1, WIDTH, generator=draws).to(dtype)
                values = jacobian_singular_values(network, inputs)
                worst = (values.double() - 1).abs().max().item()
                rows.append(
                    ("jacobian_precision", method, seed, depth, "deviation", worst)
                )
    return pd.DataFrame(rows, columns=TIDY)


def distances(sizes: Sizes, pairs: int = 200) -> pd.DataFrame:
    """Return how much of the distance between two inputs is left, against depth.

    Isometry almost everywhere is local: within one region of the network. Sorting
    folds space, and a fold brings points of two regions closer together.

    Args:
        sizes: Depths and seeds.
        pairs: How many pairs of independent inputs.
    """
    rows = []
    for depth in sizes.depths:
        for seed in range(sizes.seeds):
            draws = generator(seed, "pairs")
            first, second = torch.randn(
                2, pairs, WIDTH, generator=draws, dtype=torch.float64
            )
            for method, network in _twins(seed, depth).items():
                with torch.no_grad():
                    after = (network(first) - network(second)).norm(dim=1)
                left = (after / (first - second).norm(dim=1)).mean().item()
                rows.append(("distance", method, seed, depth, "share_left", left))
    return pd.DataFrame(rows, columns=TIDY)


def backward_norms(sizes: Sizes) -> pd.DataFrame:
    """Return what a semi-orthogonal layer makes of the length of a gradient (Eq. 14).

    Methods: ``"square"``; ``"wide"``, more inputs than outputs; ``"tall"``, fewer. A
    back-propagated gradient v becomes ``W^T v``.

    Args:
        sizes: How many seeds; each has shapes of its own.

    Source: arXiv 2606.09762, Eq. 14.
    """
    rows = []
    for seed in range(10 * sizes.seeds):
        draws = generator(seed, "backward norms")
        small, extra = torch.randint(2, 33, (2,), generator=draws).tolist()
        shapes = {
            "square": (small, small),
            "wide": (small + extra, small),
            "tall": (small, small + extra),
        }
        for method, (fan_in, out) in shapes.items():
            layer = orthogonal_linear(
                fan_in, out, parametrized=False, generator=draws, dtype=torch.float64
            )
            v = torch.randn(out, generator=draws, dtype=torch.float64)
            ratio = (layer.weight.detach().T @ v).norm() / v.norm()
            expected = min(1.0, (fan_in / out) ** 0.5)
            for metric, value in (
                ("norm_ratio", ratio.item()),
                ("root_of_shares", expected),
            ):
                rows.append(("backward_norm", method, seed, 0, metric, value))
    return pd.DataFrame(rows, columns=TIDY)


def _isometry_numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return the tidy numbers of chapter 4 but for what networks fit."""
    parts = [
        jacobians(sizes),
        precisions(sizes),
        distances(sizes),
        backward_norms(sizes),
        deep_training(sizes, data),
    ]
    return pd.concat(parts, ignore_index=True)


def _fit_numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return what networks with orthogonal weights fit; needs no images."""
    return pd.concat([expressiveness(sizes), wasserstein(sizes)], ignore_index=True)


MAXMIN = Study(name="maxmin", sizes=SIZES, run=_isometry_numbers)
LIPSCHITZ = Study(name="lipschitz", sizes=SIZES, run=_fit_numbers)
STUDIES = (MAXMIN, LIPSCHITZ)
