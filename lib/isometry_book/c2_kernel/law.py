"""The live experiments of chapter 2: what conditioning does, and what opens the gap.

Everything is float64 on the CPU and takes seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from isometry.core.messages import refusal, unknown
from isometry.core.profile import ByProfile
from isometry.core.seeding import generator
from isometry.ntk import conditioning, empirical_ntk, ntk_matrix
from isometry.ntk.capture import traces
from isometry.ntk.layerwise import find_layers
from isometry.supervised.data.sets import load
from isometry_book.c2_kernel.networks import network, white_inputs
from isometry_book.c2_kernel.wide import wide_condition_number

INPUTS = ("white", "images", "whitened")
GAINS = {"relu": 2**0.5, "gelu": 2**0.5}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the chapter's live experiments are.

    Attributes:
        depths: Hidden layers of the law.
        widths: Units of a hidden layer of the law.
        seeds: Networks for each point of the law.
        inputs: Inputs at which kernels are taken.
        wide: Units of the network that is trained beside its linearisation.
        tasks: Random tasks over which learning is averaged.
        drawn: Networks of which one kernel entry is taken, see ``moments``.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    seeds: int
    inputs: int
    wide: int
    tasks: int
    drawn: int


SIZES = ByProfile(
    smoke=Sizes(
        depths=(1, 4, 8),
        widths=(32, 64),
        seeds=3,
        inputs=16,
        wide=256,
        tasks=2,
        drawn=500,
    ),
    laptop=Sizes(
        depths=(1, 2, 4, 8, 16, 32),
        widths=(32, 64, 128, 256),
        seeds=5,
        inputs=16,
        wide=512,
        tasks=4,
        drawn=1000,
    ),
    paper=Sizes(
        depths=(1, 2, 4, 8, 16, 32, 64),
        widths=(32, 64, 128, 256, 512),
        seeds=20,
        inputs=32,
        wide=2048,
        tasks=16,
        drawn=10_000,
    ),
)


def probe_inputs(kind: str, count: int, features: int, seed: int = 0) -> Tensor:
    """Return inputs of norm one on average.

    Args:
        kind: ``"white"``: orthonormal; ``"images"``: digits, brought to ``features``
            pixels by a random rotation; ``"whitened"``: the same images with their
            Gram matrix made the identity.
        count: How many, at most ``features``.
        features: Length of an input, at least 64 for images.
        seed: Of the choice.

    Returns:
        ``(count, features)``, float64.

    Raises:
        KeyError: If the kind is not known.

    Source: ours; the prior is arXiv 2606.09762, Sec. 2.3.
    """
    if kind not in INPUTS:
        raise KeyError(unknown("kind of inputs", kind, INPUTS))
    if kind == "white":
        return white_inputs(count, features, seed)
    images = torch.as_tensor(load("digits").train_images).double().flatten(1)
    draw = generator(seed, "kernel", "images")
    chosen = images[torch.randperm(len(images), generator=draw)[:count]]
    rotation = white_inputs(chosen.shape[1], features, seed)
    chosen = (chosen / chosen.norm(dim=1, keepdim=True)) @ rotation
    if kind == "images":
        return chosen
    left, _, right = torch.linalg.svd(chosen, full_matrices=False)
    return left @ right


def gap_law(
    depths: Sequence[int],
    widths: Sequence[int],
    activations: Sequence[str],
    *,
    seeds: int,
    count: int,
    num_outputs: int = 8,
    inputs: Sequence[str] = ("white",),
    biases: Sequence[str] = ("none",),
) -> pd.DataFrame:
    """Return how anisotropic the kernel is when every weight is exactly orthogonal.

    Args:
        depths: Hidden layers.
        widths: Units of a hidden layer, also the inputs' length; at least ``count``,
            and at least 64 for images.
        activations: Keys of :data:`isometry_book.c2_kernel.networks.ACTIVATIONS`.
            ReLU and GELU have gain sqrt(2), so that signals neither grow nor vanish.
        seeds: Networks for each combination.
        count: Inputs n.
        num_outputs: m.
        inputs: Kinds of :func:`probe_inputs`.
        biases: ``"none"``, ``"zero"`` (trained, zero now) or ``"normal"`` (of standard
            deviation 0.3).

    Returns:
        One row a network: the settings, ``condition_number``,
        ``robust_condition_number``, ``effective_rank`` (over n m), and what
        :func:`_bound_factors` returns.

    Source: ours; arXiv 2606.09762, Sec. 4.1, leaves the gap open.
    """
    scales = {"none": None, "zero": 0.0, "normal": 0.3}
    rows = []
    grid = product(depths, widths, activations, inputs, biases, range(seeds))
    for depth, width, activation, kind, bias, seed in grid:
        model = network(
            [width] * (depth + 1) + [num_outputs],
            activation,
            seed=seed,
            gain=GAINS.get(activation, 1.0),
            bias_scale=scales[bias],
        )
        data = probe_inputs(kind, count, width, seed)
        summary = conditioning(ntk_matrix(empirical_ntk(model, data)))
        rows.append(
            {
                "depth": depth,
                "width": width,
                "activation": activation,
                "inputs": kind,
                "bias": bias,
                "seed": seed,
                "condition_number": summary.condition_number,
                "robust_condition_number": summary.robust_condition_number,
                "effective_rank": summary.effective_rank / (count * num_outputs),
                **_bound_factors(model, data),
            }
        )
    return pd.DataFrame(rows)


@torch.no_grad()
def _bound_factors(model: nn.Sequential, inputs: Tensor) -> dict[str, float]:
    """Return what chapter 2's theorem says of a network at these inputs."""
    layers = find_layers(model)
    found = layers if isinstance(layers, str) else traces(model, layers, inputs)
    if isinstance(found, str):
        raise ValueError(refusal("linear layers", found, "use kernel_networks.network"))
    low, high, forward, backward = 0.0, 0.0, 1.0, 1.0
    for trace in found:
        ones = float(getattr(trace.module, "bias", None) is not None)
        gram = torch.linalg.eigvalsh(trace.input @ trace.input.mT + ones)
        blocks = torch.einsum("aid,bid->iab", trace.sensitivity, trace.sensitivity)
        own = torch.linalg.eigvalsh(blocks)
        ends = [
            float(x.clamp_min(0)) for x in (gram[0], gram[-1], own.min(), own.max())
        ]
        forward = max(forward, ends[1] / ends[0] if ends[0] else torch.inf)
        backward = max(backward, ends[3] / ends[2] if ends[2] else torch.inf)
        low, high = low + ends[0] * ends[2], high + ends[1] * ends[3]
    bound = high / low if low else torch.inf
    return {"forward": forward, "backward": backward, "bound": bound}


def _with_excess(law: pd.DataFrame, count: int) -> pd.DataFrame:
    """Add to a law how far each network is from infinite width."""
    wide = {depth: wide_condition_number(depth, count) for depth in set(law["depth"])}
    excess = law["robust_condition_number"] / law["depth"].map(wide)
    return law.assign(aspect=law["depth"] / law["width"], excess=excess)


def law_fit(law: pd.DataFrame, power: float | None = None) -> pd.DataFrame:
    """Fit ``log(excess) = a (depth / width)^p`` to the part with depth / width <= 1/4.

    Args:
        law: From :func:`_with_excess`.
        power: Fix p at this value; None fits it.

    Returns:
        Columns ``activation, a, p, error``: least squares of the logarithm of the
        median log excess over the logarithm of the ratio; the error is the root mean
        square of what is left of each network's log excess.

    Source: ours, a fit to measurements and no theorem.
    """
    rows = []
    for activation, group in law[law["aspect"] <= 0.25].groupby(
        "activation", sort=False
    ):
        middle = np.log(group.groupby("aspect")["excess"].median())
        x, y = np.log(middle.index.to_numpy()), np.log(middle.to_numpy())
        p = np.polyfit(x, y, 1)[0] if power is None else power
        log_a = (y - p * x).mean()
        fitted = np.exp(log_a) * group["aspect"] ** p
        error = float(((np.log(group["excess"]) - fitted) ** 2).mean() ** 0.5)
        row = {"activation": activation, "a": float(np.exp(log_a)), "p": float(p)}
        rows.append(row | {"error": error})
    return pd.DataFrame(rows)


def law_of(sizes: Sizes) -> pd.DataFrame:
    """Return the law over depths and widths, ReLU and MaxMin, with its excess.

    Args:
        sizes: How large.
    """
    law = gap_law(
        sizes.depths,
        sizes.widths,
        ("relu", "maxmin"),
        seeds=sizes.seeds,
        count=sizes.inputs,
    )
    return _with_excess(law, sizes.inputs)


def gap_table(sizes: Sizes) -> pd.DataFrame:
    """Return the robust condition number of each activation, bias and kind of inputs.

    Four hidden layers of 64 units, median over seeds.

    Args:
        sizes: How large.

    Returns:
        One row an activation, one column a combination of inputs and bias.
    """
    activations = ("identity", "tanh", "gelu", "maxmin", "leaky_relu", "relu")
    law = gap_law(
        (4,),
        (64,),
        activations,
        seeds=sizes.seeds,
        count=sizes.inputs,
        inputs=INPUTS,
        biases=("none", "zero"),
    )
    law["case"] = law["inputs"] + law["bias"].map({"none": "", "zero": ", bias"})
    columns = [kind + bias for kind in INPUTS for bias in ("", ", bias")]
    table = law.pivot_table(
        index="activation",
        columns="case",
        values="robust_condition_number",
        aggfunc="median",
    )
    return table.loc[list(activations), columns]
