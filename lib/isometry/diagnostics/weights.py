"""The spectra of a model's weights, each as a matrix ``(out, in)``."""

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrize

from isometry.adamo import gram_deviation
from isometry.core.matrices import as_matrix, effective_rank, singular_values
from isometry.diagnostics.records import WeightSpectrum
from isometry.maxmin import convolution_singular_values
from isometry.plasticity import stable_rank

# Entries of the matrices whose decomposition gives an operator norm, times their
# smaller side: about a second on one core.
MOST_OPERATOR_WORK = 2**28
Weights = dict[str, tuple[str, nn.Module, Tensor]]  # name -> kind, owner, weight


def _kind_of(module: nn.Module, weight: Tensor) -> str | None:
    """Return what a module's weight is, or None if it is no matrix.

    Example:
        >>> _kind_of(nn.Conv2d(3, 8, 5), torch.zeros(8, 3, 5, 5))
        'kernel'
    """
    if isinstance(module, _ConvNd) and weight.ndim >= 3:
        return "kernel" if module.groups == 1 else "grouped kernel"
    if weight.ndim != 2:
        return None
    embeds = isinstance(module, nn.Embedding | nn.EmbeddingBag)
    return "embedding" if embeds else "matrix"


def weights_of(model: nn.Module) -> tuple[Weights, list[str]]:
    """Return every weight that is a matrix or a kernel, and the names of the others.

    A parametrized weight is what the parametrization makes, not what it is made from.
    A tied weight is listed once, under all its names.

    Args:
        model: Any module.

    Returns:
        Name to kind, owner and weight ``(out, in, ...)``; and parameters of more than
        one dimension that are neither a matrix nor a kernel.
    """
    found: dict[int, tuple[list[str], str, nn.Module, Tensor]] = {}
    others: list[str] = []
    for place, module in model.named_modules():
        if isinstance(module, parametrize.ParametrizationList):
            continue
        own = dict(module.named_parameters(recurse=False, remove_duplicate=False))
        if parametrize.is_parametrized(module):
            own |= {key: getattr(module, key) for key in module.parametrizations}
        for key, weight in own.items():
            name = f"{place}.{key}" if place else key
            if not weight.is_floating_point() or weight.ndim < 2 or not weight.numel():
                continue
            kind = _kind_of(module, weight)
            if kind is None:
                others.append(name)
            else:
                entry = found.setdefault(id(weight), ([], kind, module, weight))
                entry[0].append(name)
    return {" = ".join(e[0]): e[1:] for e in found.values()}, others


def weight_spectrum(name: str, kind: str, weight: Tensor) -> WeightSpectrum:
    """Return the spectrum of one weight and its summaries.

    Args:
        name: What to call it.
        kind: See :class:`WeightSpectrum`.
        weight: ``(out, in)``, or a kernel ``(out, in, k, ...)``.

    Source: ours; the numbers' own sources are in :class:`WeightSpectrum`.

    Example:
        >>> weight_spectrum("w", "matrix", torch.diag(torch.tensor([2.0, 1.0]))).largest
        2.0
    """
    matrix = as_matrix(weight.detach())
    values = singular_values(matrix).double().cpu()
    largest, smallest = float(values[0]), float(values[-1])
    precision = matrix.dtype if matrix.dtype == torch.float64 else torch.float32
    floor = torch.finfo(precision).eps * max(matrix.shape) * largest
    return WeightSpectrum(
        name=name,
        kind=kind,
        shape=tuple(weight.shape),
        largest=largest,
        median=float(torch.quantile(values, 0.5)),
        smallest=smallest,
        condition_number=largest / max(smallest, floor) if largest else float("inf"),
        effective_rank=float(effective_rank(values)),
        stable_rank=float(stable_rank(values)),
        gram_deviation=float(gram_deviation(matrix)),
        operator_norm=None,
        singular_values=values,
    )


def operator_norm(module: nn.Module, kernel: Tensor, size: list[int]) -> float | None:
    """Return the norm of a convolution as an operator, or None where that is not cheap.

    Args:
        module: The convolution.
        kernel: ``(out, in, k, k)``.
        size: Height and width of the feature maps it is called with.

    Source: Sedghi, Gupta & Long, ICLR 2019; padding is taken as circular.
    """
    plain = isinstance(module, nn.Conv2d) and not isinstance(module, _ConvTransposeNd)
    if not plain or set(module.stride) != {1} or set(module.dilation) != {1}:  # type: ignore[arg-type]
        return None
    height, width = size
    fits = kernel.shape[2] <= height and kernel.shape[3] <= width
    out, channels = kernel.shape[:2]
    work = height * width * out * channels * min(out, channels)
    if module.groups != 1 or not fits or work > MOST_OPERATOR_WORK:
        return None
    return float(convolution_singular_values(kernel.detach().float(), height, width)[0])
