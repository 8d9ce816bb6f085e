"""Deep linear networks as chains of weights, their products and initial draws.

A chain is a sequence of weights ``W_1, ..., W_L``, each ``(..., out, in)``, and the
network is ``f(x) = W_L ... W_1 x``. Leading dimensions are members of a stack.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from isometry.core.matrices import check_matrix
from isometry.core.messages import refusal, unknown

Draw = Literal["orthogonal", "gaussian", "drifted"]
DRAWS: tuple[Draw, ...] = ("orthogonal", "gaussian", "drifted")


def check_chain(weights: Sequence[Tensor]) -> None:
    """Refuse what is not a chain: each layer must take what the one before returns.

    Args:
        weights: ``L >= 1`` weights ``(..., out, in)``, first layer first.

    Raises:
        TypeError: If one is no floating-point tensor.
        ValueError: If there is none, one is no matrix, the sizes do not fit, or a
            value is not finite.
    """
    if len(weights) == 0:
        raise ValueError(refusal("at least one weight", "none", "pass [W_1, ..., W_L]"))
    for layer, weight in enumerate(weights, start=1):
        check_matrix(weight, f"W_{layer}")
        if not bool(torch.isfinite(weight).all()):
            raise ValueError(
                refusal(f"a finite W_{layer}", "inf or nan", "lower the learning rate")
            )
    for layer, (before, after) in enumerate(pairwise(weights), start=1):
        if before.shape[-2] != after.shape[-1]:
            raise ValueError(
                refusal(
                    f"W_{layer + 1} with {before.shape[-2]} inputs, as many as "
                    f"W_{layer} has outputs",
                    str(tuple(after.shape)),
                    "order the weights from the input to the output",
                )
            )


def prefix_products(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return ``P_0 = I, P_1 = W_1, ..., P_{L-1} = W_{L-1} ... W_1``.

    ``P_{l-1} x`` is what layer l receives: the forward half of its kernel term.

    Args:
        weights: A chain.

    Returns:
        L matrices ``(..., d_{l-1}, d_0)``.

    Source: arXiv 2606.09762, Eq. 7-9, notation ours.

    Example:
        >>> [p.item() for p in prefix_products([torch.ones(1, 1) * 2] * 3)]
        [1.0, 2.0, 4.0]
    """
    check_chain(weights)
    return unchecked_prefixes(weights)


def suffix_products(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return ``S_1 = W_L ... W_2, ..., S_{L-1} = W_L, S_L = I``.

    ``S_l`` carries the output of layer l to the network's output: the backward half of
    its kernel term.

    Args:
        weights: A chain.

    Returns:
        L matrices ``(..., d_L, d_l)``.

    Source: arXiv 2606.09762, Eq. 7-9, notation ours.

    Example:
        >>> [s.item() for s in suffix_products([torch.ones(1, 1) * 2] * 3)]
        [4.0, 2.0, 1.0]
    """
    check_chain(weights)
    return unchecked_suffixes(weights)


def unchecked_prefixes(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return the prefix products of weights that were checked before.

    Source: as :func:`prefix_products`.
    """
    first = weights[0]
    identity = torch.eye(first.shape[-1], dtype=first.dtype, device=first.device)
    products = [identity.expand(*first.shape[:-2], *identity.shape)]
    for weight in weights[:-1]:
        products.append(weight @ products[-1])
    return products


def unchecked_suffixes(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return the suffix products of weights that were checked before.

    Source: as :func:`suffix_products`.
    """
    transposed = [weight.mT for weight in reversed(weights)]
    return [product.mT for product in reversed(unchecked_prefixes(transposed))]


def end_to_end(weights: Sequence[Tensor]) -> Tensor:
    """Return the product ``W_L ... W_1``, which is the network as one matrix.

    Args:
        weights: A chain.

    Returns:
        ``(..., d_L, d_0)``.

    Source: definition.

    Example:
        >>> end_to_end([torch.ones(3, 2), torch.ones(1, 3)]).tolist()
        [[3.0, 3.0]]
    """
    return weights[-1] @ prefix_products(weights)[-1]


def draw_chain(
    sizes: Sequence[int],
    draw: Draw = "orthogonal",
    *,
    drift: float = 0.3,
    members: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> list[Tensor]:
    """Draw the weights of a deep linear network.

    * ``"orthogonal"``: uniform on the semi-orthogonal matrices; every singular value 1.
    * ``"gaussian"``: independent entries of variance 1 / fan_in.
    * ``"drifted"``: ``(Q + drift G) / sqrt(1 + drift^2)`` with Q orthogonal and G
      Gaussian as above, both independent: what random updates leave of an isometry.
      Drift 0 is orthogonal, and a very large drift is Gaussian.

    All three keep the expected squared length of a vector in square layers, so that
    they differ in their spectra and not in their scale.

    Args:
        sizes: ``d_0, d_1, ..., d_L``: the input's size, then every layer's output.
        draw: One of the three above.
        drift: How far ``"drifted"`` weights have gone, dimensionless, 0 or more.
        members: Leading dimensions of a stack of independent networks.
        generator: CPU generator of the weights; the global one if None.
        dtype: Type of the weights; float64, because products over many layers are.

    Returns:
        L weights ``(*members, d_l, d_{l-1})``.

    Raises:
        ValueError: If the draw is unknown, fewer than two sizes are given, a size is
            below 1, or the drift is negative.

    Source: orthogonal and Gaussian as in Saxe, McClelland & Ganguli, ICLR 2014; the
    drifted form is ours.

    Example:
        >>> [tuple(weight.shape) for weight in draw_chain([4, 3, 2])]
        [(3, 4), (2, 3)]
    """
    if draw not in DRAWS:
        raise ValueError(unknown("draw", draw, DRAWS))
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(
            refusal(
                "sizes d_0, ..., d_L of at least 1", list(sizes), "pass e.g. [8, 8]"
            )
        )
    if not drift >= 0:
        raise ValueError(refusal("drift >= 0", drift, "pass e.g. 0.3"))
    weights = []
    for fan_in, fan_out in pairwise(sizes):
        shape = (*members, fan_out, fan_in)
        noise = torch.randn(shape, generator=generator, dtype=dtype)
        if draw == "gaussian":
            weights.append(noise / fan_in**0.5)
            continue
        start = _haar(noise)
        if draw == "drifted":
            noise = torch.randn(shape, generator=generator, dtype=dtype)
            start = start + drift * noise / fan_in**0.5
            start = start / (1 + drift**2) ** 0.5
        weights.append(start)
    return weights


def _haar(gaussian: Tensor) -> Tensor:
    """Return the semi-orthogonal factor; uniform, because the signs are fixed."""
    tall = gaussian.shape[-2] >= gaussian.shape[-1]
    factor, triangle = torch.linalg.qr(gaussian if tall else gaussian.mT)
    diagonal = triangle.diagonal(dim1=-2, dim2=-1)
    factor = factor * torch.where(diagonal < 0, -1.0, 1.0)[..., None, :].to(factor)
    return factor if tall else factor.mT
