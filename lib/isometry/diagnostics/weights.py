"""The spectra of a model's weights, each as a matrix ``(out, in)``."""

import re
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils import parametrize

from isometry.core.matrices import as_matrix, effective_rank, singular_values_by_gram
from isometry.diagnostics.records import WeightSpectrum
from isometry.maxmin import convolution_singular_values
from isometry.plasticity import stable_rank
from isometry.weights import Operator, Place, adapters_of, operator_of

# Entries of the matrices whose decomposition gives an operator norm, times their
# smaller side: about a second on one core.
MOST_OPERATOR_WORK = 2**28
SPECTRUM_SECONDS = 1e-10  # about, of one core, for an entry and unit of that side
NO_MATRIX = "it is neither a matrix nor a convolution's kernel"
Weights = dict[str, tuple[str, nn.Module, Tensor]]  # name -> kind, owner, weight
# Kinds of :class:`isometry.weights.Operator` with a spectrum worth a look, though a
# pull may leave them alone: by their names here.
SHOWN = {
    "matrix": "matrix",
    "kernel": "kernel",
    "packed matrices": "matrix",
    "grouped kernel": "grouped kernel",
}
EMBEDDINGS = nn.Embedding, nn.EmbeddingBag
MADE = re.compile(r"(.+)_(g|v|orig)$")  # by torch's older weight and spectral norms


def _own_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's weights by name: those it computes with.

    One with a parametrization, or of torch's older norms, is what is made of it.
    """
    named = module.named_parameters(recurse=False, remove_duplicate=False)
    own: dict[str, Tensor] = dict(named)
    if parametrize.is_parametrized(module):
        made_of = module.parametrizations
        assert isinstance(made_of, nn.ModuleDict)
        own |= {key: getattr(module, key) for key in made_of}
    for key in list(own):
        made = MADE.match(key)
        effective = getattr(module, made[1], None) if made else None
        if made and isinstance(effective, Tensor):
            del own[key]
            own[made[1]] = effective
    return own


def _operator(place: Place) -> Operator:
    """Return what a weight is; that it is spared, or its parts unclear, hides nothing.

    Example:
        >>> layer = nn.Conv2d(3, 8, 5)
        >>> _operator(Place(path="", key="weight", module=layer, parent=None,
        ...                 weight=layer.weight)).kind
        'kernel'
    """
    found = operator_of(place)
    if (
        isinstance(place.module, nn.Embedding | nn.EmbeddingBag)
        and place.key == "weight"
    ):
        return Operator(kind="embedding")
    if found.kind not in SHOWN:
        return found
    if found.kind == "packed matrices" and found.why and place.weight.ndim > 2:
        return found
    parts = 1 if found.why else found.parts
    return replace(found, kind=SHOWN[found.kind], why="", parts=parts)


def weights_of(model: nn.Module) -> tuple[Weights, dict[str, str]]:
    """Return every weight that is a matrix or a kernel, and what the others are.

    A parametrized weight is what the parametrization makes, not what it is made from.
    A tied weight is listed once, under all its names. Of several matrices in one
    parameter (the gates of an LSTM; query, key and value) each is one.

    Args:
        model: Any module that has run once: torch's older weight norm makes the weight
            in ``forward``.

    Returns:
        Name to kind, owner and weight ``(out, in, ...)``; and parameters of more than
        one dimension that are neither a matrix nor a kernel, with what they are.
    """
    modules = dict(model.named_modules())
    found: dict[int, tuple[list[str], Operator, nn.Module, Tensor]] = {}
    others: dict[str, str] = {}
    adapters = adapters_of(modules)
    for path, module in modules.items():
        if isinstance(module, parametrize.ParametrizationList):
            continue
        parent = modules.get(path.rpartition(".")[0]) if path else None
        for key, weight in _own_weights(module).items():
            name = f"{path}.{key}" if path else key
            if not weight.is_floating_point() or weight.ndim < 2 or not weight.numel():
                continue
            place = Place(
                path=path,
                key=key,
                module=module,
                parent=parent,
                weight=weight,
                adapter=f"{name}.".startswith(adapters),
            )
            operator = _operator(place)
            if operator.why:
                others[name] = f"{NO_MATRIX}: {operator.why}"
            else:
                entry = found.setdefault(id(weight), ([], operator, module, weight))
                entry[0].append(name)
    weights: Weights = {}
    for names, operator, module, weight in found.values():
        parts = _parts(operator, weight)
        for index, part in enumerate(parts):
            which = f" ({index + 1} of {len(parts)})" if len(parts) > 1 else ""
            weights[" = ".join(names) + which] = operator.kind, module, part
    return weights, others


def _parts(operator: Operator, weight: Tensor) -> list[Tensor]:
    """Return the matrices of a weight, member by member.

    Example:
        >>> pairs = Operator(kind="matrix", members=1, parts=2)
        >>> len(_parts(pairs, torch.ones(3, 4, 5)))
        6
    """
    parts = operator.split(weight)
    if not operator.members:
        return parts
    members = [part.flatten(0, operator.members - 1).unbind() for part in parts]
    return [part for member in zip(*members, strict=True) for part in member]


def spectrum_seconds(weight: Tensor) -> float:
    """Return about how many seconds of one core the spectrum of a weight takes.

    Args:
        weight: ``(out, in, ...)``.

    Example:
        >>> spectrum_seconds(torch.ones(100, 1000)) < 0.01
        True
    """
    return SPECTRUM_SECONDS * weight.numel() * min(as_matrix(weight.detach()).shape)


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
    values = singular_values_by_gram(matrix).double().cpu()
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
        # ||Gram - I||_F from the values: squares of large weights overflow in float32.
        gram_deviation=float((values.square() - 1).norm()),
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
