"""The kernel of an optimiser that has a rate of its own for every parameter.

Gradient descent moves the outputs by the kernel J J^T. Adam divides every entry of the
gradient by a number of its own, so to first order it moves them by J D J^T, where the
diagonal D holds one over these numbers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from isometry.core.matrices import long_product
from isometry.core.messages import refusal
from isometry.core.untouched import untouched
from isometry.ntk.capture import Trace, traces
from isometry.ntk.checks import (
    check_inputs,
    check_model,
    check_outputs,
    plain,
    trainable_parameters,
)
from isometry.ntk.jacobian import jacobian_rows
from isometry.ntk.layerwise import find_layers

UNITS = 16  # of a layer, whose Gram matrices are held at a time


@torch.no_grad()
def preconditioned_ntk(
    model: nn.Module,
    inputs: Tensor,  # (n, ...)
    scales: Mapping[str, Tensor],
) -> Tensor:
    """Return ``K[i, j, a, b] = <df_a(x_i)/dtheta, D df_b(x_j)/dtheta>``.

    A perceptron's kernel is a sum over its linear layers; for other networks the
    Jacobian is formed.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``, see :func:`isometry.ntk.empirical_ntk`.
        inputs: ``(n, ...)``, of the model's dtype, on its device.
        scales: The diagonal D: for every trainable parameter, by its name, a tensor of
            its shape, >= 0. Ones give the kernel itself.

    Returns:
        ``(n, n, m, m)``, without a gradient.

    Raises:
        TypeError: If model or inputs are of the wrong type.
        ValueError: If a kernel cannot be taken (:func:`isometry.ntk.empirical_ntk`), or
            the scales do not fit the parameters.

    Source: definition; for Adam, D = 1 / (sqrt(v_hat) + eps), Kingma & Ba 2015.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> twice = {"weight": torch.tensor([[2.0, 1.0]])}
        >>> preconditioned_ntk(layer, torch.eye(2), twice).squeeze()
        tensor([[2., 0.],
                [0., 1.]])
    """
    check_inputs(inputs, check_model(model))
    check_scales(model, scales)
    with untouched(model, evaluation=False), torch.no_grad():
        inputs = plain(inputs)
        check_outputs(model, inputs)
        layers = find_layers(model)
        linear = isinstance(layers, dict) and inputs.ndim == 2
        if linear and all(isinstance(x, nn.Linear) for x in layers.values()):  # type: ignore[union-attr]
            found = traces(model, layers, inputs)  # type: ignore[arg-type]
            if not isinstance(found, str):
                return torch.stack([_linear_term(t, scales) for t in found]).sum(0)
        rows = jacobian_rows(model, inputs)
        kernel: Tensor = torch.zeros((), dtype=inputs.dtype, device=inputs.device)
        for row, name in zip(rows, trainable_parameters(model), strict=True):
            scaled = row * scales[name].flatten()
            term = long_product(scaled.flatten(0, 1), row.flatten(0, 1))
            count, outputs = row.shape[:2]
            term = term.view(count, outputs, count, outputs)
            kernel = kernel + term.permute(0, 2, 1, 3)
    return kernel


def check_scales(model: nn.Module, scales: Mapping[str, Tensor]) -> None:
    """Refuse scales that do not fit a model's trainable parameters.

    Args:
        model: Whose parameters they belong to.
        scales: One a trainable parameter, by its name, >= 0.

    Raises:
        ValueError: If one is missing, of another shape, negative or not finite.
    """
    for name, parameter in trainable_parameters(model).items():
        scale = scales.get(name)
        if scale is None or scale.shape != parameter.shape:
            found = "none" if scale is None else str(tuple(scale.shape))
            needed = f"scales of shape {tuple(parameter.shape)} for {name!r}"
            raise ValueError(refusal(needed, found, "pass one a trainable parameter"))
        if not bool(scale.isfinite().all()) or bool((scale < 0).any()):
            needed, do = f"finite scales >= 0 for {name!r}", "look at the optimiser"
            raise ValueError(refusal(needed, f"{scale.min().item():.3g}", do))


def _linear_term(trace: Trace, scales: Mapping[str, Tensor]) -> Tensor:
    """Return a linear layer's term, ``(n, n, m, m)``.

    With B the sensitivities and h the inputs, the entry (p, q) of the weight adds
    ``B[a, i, p] B[b, j, p] h[i, q] h[j, q] D[p, q]``: for each unit p a Gram matrix of
    the inputs with weights of its own.
    """
    h, b = trace.input, trace.sensitivity  # (n, q), (m, n, p)
    gram = h.new_zeros(b.shape[-1], len(h), len(h))  # (p, n, n)
    for name, own in trace.module.named_parameters():
        if not own.requires_grad:
            continue
        scale = scales[f"{trace.name}.{name}" if trace.name else name]
        if name == "bias":
            gram += scale[:, None, None]
            continue
        for start in range(0, len(scale), UNITS):
            part = slice(start, start + UNITS)
            gram[part] += (h * scale[part, None, :]) @ h.mT
    rows = b.permute(1, 0, 2)  # (n, m, p)
    term = [
        (rows[i] * gram[:, i].mT.unsqueeze(1)) @ rows.mT for i in range(len(h))
    ]  # each (n, m, m): outputs of input i by those of every input
    return torch.stack(term)
