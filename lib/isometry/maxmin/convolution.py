"""Convolutions as operators: their true singular values, and what a kernel tells."""

import torch
from torch import Tensor

from isometry.core.messages import refusal


def convolution_singular_values(
    kernel: Tensor,  # (out, in, k, k)
    height: int,
    width: int,
) -> Tensor:
    """Return all singular values of a convolution with circular padding and stride 1.

    The Fourier transform splits the operator into one ``(out, in)`` matrix for each
    frequency; its singular values are those of all these matrices together.

    Args:
        kernel: ``(out, in, k_1, k_2)``, k_1 <= height and k_2 <= width.
        height: Of the feature maps, pixels.
        width: Of the feature maps, pixels.

    Returns:
        ``(height * width * min(out, in),)``, descending.

    Raises:
        ValueError: If the kernel is no 4-D tensor or larger than the feature map.

    Source: Sedghi, Gupta & Long, ICLR 2019.

    Example:
        >>> identity = torch.zeros(1, 1, 3, 3)
        >>> identity[0, 0, 1, 1] = 1
        >>> values = convolution_singular_values(identity, 4, 4)
        >>> torch.allclose(values, torch.ones(16))
        True
    """
    if kernel.ndim != 4 or kernel.shape[2] > height or kernel.shape[3] > width:
        raise ValueError(
            refusal(
                f"a kernel (out, in, k, k) with k at most {height} and {width}",
                str(tuple(kernel.shape)),
                "enlarge the feature map or reshape the kernel",
            )
        )
    transfer = torch.fft.fft2(kernel, s=(height, width)).permute(2, 3, 0, 1)
    return torch.linalg.svdvals(transfer).flatten().sort(descending=True).values


def orthogonal_kernel(
    out_channels: int,
    in_channels: int,
    size: int,
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Return a kernel whose matrix ``(out, in * size * size)`` is semi-orthogonal.

    This is what a Gram penalty on the flattened kernel leads to. It does not make the
    convolution an isometry: a pixel lies in ``size^2`` patches, so the operator's
    singular values reach up to ``size``. They all equal ``size`` if
    ``out >= in * size^2``, and spread below it otherwise.

    Args:
        out_channels: Rows of the matrix.
        in_channels: Channels of each input.
        size: Height and width of the kernel.
        generator: CPU generator of the kernel; the global one if None.
        dtype: Type of the kernel.

    Returns:
        ``(out, in, size, size)``.

    Source: definition; the bound is derived in chapter 4.

    Example:
        >>> orthogonal_kernel(4, 2, 3).shape
        torch.Size([4, 2, 3, 3])
    """
    kernel = torch.empty(out_channels, in_channels, size, size, dtype=dtype)
    return torch.nn.init.orthogonal_(kernel, generator=generator)
