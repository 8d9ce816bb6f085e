"""The empirical neural tangent kernel of a network as it is."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from isometry.core.messages import refusal, unknown
from isometry.core.untouched import untouched
from isometry.ntk.arguments import (
    Arguments,
    Indexed,
    Inputs,
    Pick,
    arguments_of,
    joined,
)
from isometry.ntk.checks import (
    check_inputs,
    check_main,
    check_model,
    check_outputs,
    plain,
    unwrapped,
)
from isometry.ntk.consistency import contradiction
from isometry.ntk.jacobian import kernel_by_jacobian, rows_one_by_one
from isometry.ntk.layerwise import find_layers, kernel_by_layers

METHODS = ("auto", "layerwise", "jacobian")
CONTRADICTION = "a kernel that contradicts the gradient of the whole network"


@torch.no_grad()
def empirical_ntk(
    model: nn.Module,
    inputs: Inputs,  # (n, ...)
    other: Inputs | None = None,  # (n2, ...)
    *,
    method: str = "auto",
    chunk_size: int | None = None,
    outputs: Pick | None = None,
) -> Tensor:
    """Return ``K[i, j, a, b] = <df_a(x_i)/dtheta, df_b(x'_j)/dtheta>``.

    The model is left as it was, see ``isometry.core.untouched``; the
    kernel is the same inside autocast and inference mode.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``; the kernel is over its parameters that
            require a gradient. Dropout, batch norms and spectral norms must be in
            evaluation mode.
        inputs: ``(n, ...)``, of the model's dtype, on its device; or a tuple of
            positional or a dict of keyword arguments, tensors ``(n, ...)`` and what all
            inputs share.
        other: The second set of n2 inputs, in the same form; None: ``inputs`` again.
        method: ``"layerwise"``, the sum over layers of Eq. 7-8: linear, convolution and
            norm layers, tables, and scales, tokens and positions that all inputs share,
            each used once, joined by anything without parameters; ``"jacobian"``, brute
            force, any network; or ``"auto"``, the first where it applies and the second
            elsewhere.
        chunk_size: How many inputs are worked on at a time, at least 1; None: chosen
            so that a chunk stays small beside the kernel.
        outputs: Makes ``(n, m)`` of what the model returns, e.g. ``lambda o:
            o.logits[:, -1]``; None: the model returns ``(n, m)``.

    Returns:
        ``(n, n2, m, m)``, without a gradient.

    Raises:
        TypeError: If model or inputs are of the wrong type.
        ValueError: If inputs are empty, not finite, of the wrong rank; if the network
            is random, mixes the inputs of a batch or has weights that are not finite;
            or if ``"layerwise"`` is asked for where it does not apply.
        KeyError: If the method is not known.

    Source: arXiv 2606.09762, Sec. 2; Jacot et al., NeurIPS 2018.

    Example:
        >>> empirical_ntk(nn.Linear(3, 1, bias=False), torch.eye(3)).squeeze()
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    if method not in METHODS:
        raise KeyError(unknown("method", method, METHODS))
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(refusal("chunk_size >= 1", chunk_size, "pass None to choose"))
    model = unwrapped(model)
    parameter = check_model(model)
    with untouched(model, evaluation=False), torch.no_grad():
        network, rows, columns = _as_map(model, inputs, other, outputs, parameter)
        num_outputs = check_outputs(network, rows)
        if columns is not None:
            check_outputs(network, columns, "other")
        arguments = (network, rows, columns, num_outputs, chunk_size)
        kernel: Tensor | str = "brute force was asked for"
        if method != "jacobian":
            kernel = _sum_over_layers(*arguments)
        if isinstance(kernel, str) and method == "layerwise":
            raise _no_sum(_own_names(kernel, network))
        if isinstance(kernel, str):
            kernel = _product_of_jacobians(*arguments)
    return kernel.permute(1, 3, 0, 2)


def _as_map(
    model: nn.Module,
    inputs: Inputs,
    other: Inputs | None,
    outputs: Pick | None,
    parameter: Tensor,
) -> tuple[nn.Module, Tensor, Tensor | None]:
    """Return a map of one tensor to one tensor, and what it is taken at.

    That is the model itself where it is such a map of numbers; else one of indices.
    """
    simple = outputs is None and isinstance(other, Tensor | None)
    if simple and isinstance(inputs, Tensor) and inputs.is_floating_point():
        assert other is None or isinstance(other, Tensor)
        check_inputs(inputs, parameter)
        if other is not None:
            check_inputs(other, parameter, "other")
        return model, plain(inputs), None if other is None else plain(other)
    held = _checked(inputs, parameter, "inputs")
    count = len(held.main)
    index = torch.arange(count, device=parameter.device)
    following = None
    if other is not None:
        held = joined(held, _checked(other, parameter, "other"))
        following = torch.arange(count, len(held.main), device=parameter.device)
    return Indexed(model, held, outputs or _itself), index, following


def _itself(outputs: Tensor) -> Tensor:
    """Return what the model returns."""
    return outputs


def _checked(inputs: Inputs, parameter: Tensor, name: str) -> Arguments:
    """Return inputs as arguments, on the model's device; see `arguments_of`."""
    found = arguments_of(inputs, name)
    check_main(found.main, parameter, name)
    batched = {key: plain(found.values[key]) for key in found.batched}
    return replace(found, values={**found.values, **batched})


def _product_of_jacobians(
    model: nn.Module,
    inputs: Tensor,
    other: Tensor | None,
    num_outputs: int,
    chunk_size: int | None,
) -> Tensor:
    """Return the kernel ``(m, n, m, n2)`` by brute force, checked."""
    arguments = (model, inputs, other, num_outputs, chunk_size)
    try:
        kernel = kernel_by_jacobian(*arguments)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        kernel = None  # vmap cannot transform this network
    if kernel is None or _contradicted(model, kernel, inputs, other):
        kernel = kernel_by_jacobian(*arguments, rows_of=rows_one_by_one)
    return kernel


def _contradicted(
    model: nn.Module, kernel: Tensor, inputs: Tensor, other: Tensor | None
) -> bool:
    """Say whether a kernel disagrees with a plain gradient beyond rounding."""
    rounding = torch.finfo(kernel.dtype).eps ** 0.5
    return contradiction(model, kernel, inputs, other) > rounding


def _sum_over_layers(
    model: nn.Module,
    inputs: Tensor,
    other: Tensor | None,
    num_outputs: int,
    chunk_size: int | None,
) -> Tensor | str:
    """Return the kernel ``(m, n, m, n2)`` by layers, checked, or why it is none."""
    layers = find_layers(model)
    if isinstance(layers, str):
        return layers
    kernel = kernel_by_layers(model, layers, inputs, other, num_outputs, chunk_size)
    if isinstance(kernel, str):
        return kernel
    if _contradicted(model, kernel, inputs, other):
        return CONTRADICTION
    return kernel


@torch.no_grad()
def layer_kernels(
    model: nn.Module,
    inputs: Inputs,  # (n, ...)
    *,
    outputs: Pick | None = None,
) -> dict[str, Tensor]:
    """Return each layer's term of the kernel; their sum is the kernel.

    Args:
        model: A sum over layers in the sense of ``method="layerwise"``.
        inputs: ``(n, ...)``, or several, see :func:`empirical_ntk`.
        outputs: Makes ``(n, m)`` of what the model returns, as there.

    Returns:
        Name of the layer, or of a parameter outside of layers, to ``(n, n, m, m)``, in
        the order of the model's modules.

    Raises:
        TypeError: If model or inputs are of the wrong type.
        ValueError: Where :func:`empirical_ntk` raises it.

    Source: arXiv 2606.09762, Eq. 7-8.

    Example:
        >>> list(layer_kernels(nn.Sequential(nn.Linear(3, 2)), torch.eye(3)))
        ['0']
    """
    model = unwrapped(model)
    parameter = check_model(model)
    with untouched(model, evaluation=False), torch.no_grad():
        network, rows, _ = _as_map(model, inputs, None, outputs, parameter)
        num_outputs = check_outputs(network, rows)
        layers = find_layers(network)
        if isinstance(layers, str):
            raise _no_sum(_own_names(layers, network))
        terms: dict[str, Tensor] = {}
        for name in layers:
            term = kernel_by_layers(network, layers, rows, None, num_outputs, only=name)
            if isinstance(term, str):
                raise _no_sum(_own_names(term, network))
            terms[_own_names(name, network)] = term
        if _contradicted(network, torch.stack(list(terms.values())).sum(0), rows, None):
            raise _no_sum(CONTRADICTION)
    return {name: term.permute(1, 3, 0, 2) for name, term in terms.items()}


def _own_names(text: str, network: nn.Module) -> str:
    """Return a layer's name, or a sentence with one, as the model itself has it."""
    if not isinstance(network, Indexed):
        return text
    return text.removeprefix("model.").replace("'model.", "'")


def _no_sum(reason: str) -> ValueError:
    """Return the error that says why a kernel is no sum over layers."""
    do = 'use empirical_ntk with method="jacobian" or "auto"'
    return ValueError(refusal("a sum over layers", reason, do))


def ntk_matrix(kernel: Tensor) -> Tensor:
    """Return a kernel as the matrix of all outputs of all inputs.

    Args:
        kernel: ``(n, n2, m, m)``, see :func:`empirical_ntk`.

    Returns:
        ``(n * m, n2 * m)``; the row of output a at input i is ``i * m + a``.

    Raises:
        ValueError: If the kernel has another shape.

    Source: arXiv 2606.09762, Sec. 2, K = J J^T with J of shape (n m, P).

    Example:
        >>> ntk_matrix(torch.zeros(4, 3, 2, 2)).shape
        torch.Size([8, 6])
    """
    if kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3]:
        raise ValueError(
            refusal(
                "a kernel of shape (n, n2, m, m)",
                str(tuple(kernel.shape)),
                "pass what empirical_ntk returns",
            )
        )
    n, n2, m, _ = kernel.shape
    return kernel.permute(0, 2, 1, 3).reshape(n * m, n2 * m)
