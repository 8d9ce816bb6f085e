"""The kernel by brute force: per-input Jacobians, contracted chunk by chunk.

Nothing is assumed of the network beyond what :mod:`isometry.ntk.checks` asks. The cost
is that of the definition, ``n n2 m^2`` inner products over all P parameters.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from isometry.ntk.checks import exact_matmul, trainable_parameters

# Entries of the Jacobian that are held at a time, 2^27 (1 GiB in float64).
CHUNK_ENTRIES = 2**27


def jacobian_rows(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Return the Jacobian of the outputs, one matrix a parameter.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``.
        inputs: ``(n, ...)``.

    Returns:
        For each trainable parameter of k entries, ``(n, m, k)``.

    Source: definition; ``torch.func``. Networks that ``vmap`` cannot transform are
    differentiated one output at a time.
    """
    parameters = trainable_parameters(model)
    detached = {name: p.detach() for name, p in parameters.items()}

    def outputs(values: dict[str, Tensor], one: Tensor) -> Tensor:
        return functional_call(model, values, (one.unsqueeze(0),)).squeeze(0)

    try:
        jacobian = vmap(jacrev(outputs), in_dims=(None, 0))(detached, inputs)
    except RuntimeError:
        return _one_by_one(model, list(parameters.values()), inputs)
    return [jacobian[name].flatten(start_dim=2) for name in parameters]


def _one_by_one(
    model: nn.Module, parameters: list[nn.Parameter], inputs: Tensor
) -> list[Tensor]:
    """Return the Jacobian by one backward pass for each input and output."""
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
) -> Tensor:
    """Return the kernel as ``(m, n, m, n2)`` from Jacobians of ``chunk_size`` inputs.

    Args:
        model: Maps ``(n, ...)`` to ``(n, m)``.
        inputs: ``(n, ...)``.
        other: ``(n2, ...)``, or None for the inputs themselves.
        num_outputs: m.
        chunk_size: Inputs whose Jacobian is held at a time; None: as many as
            ``CHUNK_ENTRIES`` allows.

    Source: definition, K = J J^T.
    """
    entries = num_outputs * sum(p.numel() for p in trainable_parameters(model).values())
    chunk = chunk_size or max(1, CHUNK_ENTRIES // entries)
    second = inputs if other is None else other
    shape = (num_outputs, len(inputs), num_outputs, len(second))
    kernel = inputs.new_empty(shape)
    with exact_matmul(inputs.device):
        for i in range(0, len(inputs), chunk):
            rows = jacobian_rows(model, inputs[i : i + chunk])
            for j in range(i if other is None else 0, len(second), chunk):
                same = other is None and i == j
                columns = rows if same else jacobian_rows(model, second[j : j + chunk])
                block: Tensor | float = 0.0
                for row, column in zip(rows, columns, strict=True):
                    block = block + row.flatten(0, 1) @ column.flatten(0, 1).mT
                assert isinstance(block, Tensor)
                block = block.view(len(rows[0]), num_outputs, -1, num_outputs)
                kernel[:, i : i + chunk, :, j : j + chunk] = block.permute(1, 0, 3, 2)
                if other is None and i != j:
                    transposed = block.permute(3, 2, 1, 0)
                    kernel[:, j : j + chunk, :, i : i + chunk] = transposed
    return kernel
