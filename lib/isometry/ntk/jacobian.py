"""The kernel by brute force: per-input Jacobians, contracted chunk by chunk.

Nothing is assumed of the network beyond what :mod:`isometry.ntk.checks` asks. The cost
is that of the definition, ``n n2 m^2`` inner products over all P parameters.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from isometry.core.matrices import long_product
from isometry.core.precision import exact_matmul
from isometry.ntk.checks import trainable_parameters

# Entries of the Jacobian that are held at a time, 2^27 (1 GiB in float64).
CHUNK_ENTRIES = 2**27

RowsOf = Callable[[nn.Module, Tensor], list[Tensor]]


def jacobian_rows(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Return the Jacobian of the outputs, one matrix a parameter.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``.
        inputs: ``(n, ...)``.

    Returns:
        For each trainable parameter of k entries, ``(n, m, k)``.

    Source: definition; ``torch.func``.
    """
    parameters = trainable_parameters(model)
    # A parameter is replaced wherever a layer holds it, and each layer once: torch's
    # own handling of ties leaves a layer that has two names with a foreign tensor.
    owner = {id(p): name for name, p in parameters.items()}
    places = {
        f"{layer}.{key}" if layer else key: owner[id(p)]
        for layer, module in model.named_modules()
        for key, p in module.named_parameters(recurse=False, remove_duplicate=False)
        if id(p) in owner
    }

    def outputs(values: dict[str, Tensor], one: Tensor) -> Tensor:
        placed = {place: values[name] for place, name in places.items()}
        called = functional_call(model, placed, (one.unsqueeze(0),), tie_weights=False)
        return called.squeeze(0)

    detached = {name: p.detach() for name, p in parameters.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        jacobian = vmap(jacrev(outputs), in_dims=(None, 0))(detached, inputs)
    # A parameter may have no dimension of its own.
    return [jacobian[n].reshape(*jacobian[n].shape[:2], -1) for n in parameters]


def rows_one_by_one(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Return what :func:`jacobian_rows` does, by one backward pass for each output.

    Slow, and right for every network that can be trained: those that ``vmap`` cannot
    transform, and those that hold on to a parameter where it cannot be replaced.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``.
        inputs: ``(n, ...)``.

    Source: definition.
    """
    parameters = list(trainable_parameters(model).values())
    rows: list[list[Tensor]] = []
    with torch.enable_grad():
        for one in inputs.split(1):
            for output in model(one)[0]:
                gradients = torch.autograd.grad(
                    output,
                    parameters,
                    retain_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
                rows.append([g.flatten() for g in gradients])
    return [
        torch.stack(column).unflatten(0, (len(inputs), -1))
        for column in zip(*rows, strict=True)
    ]


def kernel_by_jacobian(
    model: nn.Module,
    inputs: Tensor,
    other: Tensor | None,
    num_outputs: int,
    chunk_size: int | None = None,
    rows_of: RowsOf = jacobian_rows,
) -> Tensor:
    """Return the kernel as ``(m, n, m, n2)`` from Jacobians of ``chunk_size`` inputs.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``.
        inputs: ``(n, ...)``.
        other: ``(n2, ...)``, or None for the inputs themselves.
        num_outputs: m.
        chunk_size: Inputs whose Jacobian is held at a time; None: as many as
            ``CHUNK_ENTRIES`` allows.
        rows_of: How a chunk's Jacobian is found.

    Source: definition, K = J J^T.
    """
    entries = num_outputs * sum(p.numel() for p in trainable_parameters(model).values())
    chunk = chunk_size or max(1, CHUNK_ENTRIES // entries)
    second = inputs if other is None else other
    shape = (num_outputs, len(inputs), num_outputs, len(second))
    kernel = next(iter(trainable_parameters(model).values())).new_empty(shape)
    with exact_matmul(inputs.device):
        for i in range(0, len(inputs), chunk):
            rows = rows_of(model, inputs[i : i + chunk])
            for j in range(i if other is None else 0, len(second), chunk):
                same = other is None and i == j
                columns = rows if same else rows_of(model, second[j : j + chunk])
                block: Tensor | float = 0.0
                for row, column in zip(rows, columns, strict=True):
                    pair = row.flatten(0, 1), column.flatten(0, 1)
                    block = block + long_product(*pair)
                assert isinstance(block, Tensor)
                block = block.view(len(rows[0]), num_outputs, -1, num_outputs)
                kernel[:, i : i + chunk, :, j : j + chunk] = block.permute(1, 0, 3, 2)
                if other is None and i != j:
                    transposed = block.permute(3, 2, 1, 0)
                    kernel[:, j : j + chunk, :, i : i + chunk] = transposed
    return kernel
