"""Orthogonal layers, and networks that are isometric almost everywhere."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap
from torch.nn.utils import parametrizations, skip_init

from isometry.core.matrices import singular_values
from isometry.core.messages import refusal
from isometry.maxmin.sorting import GroupSort


def orthogonal_linear(
    in_features: int,
    out_features: int,
    *,
    bias: bool = True,
    parametrized: bool = True,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Linear:
    """Return a linear layer whose weight is semi-orthogonal, and a zero bias.

    The weight is uniformly distributed: ``W^T W = I`` if out >= in, else
    ``W W^T = I``. With ``parametrized=True`` it stays so under any optimiser, to
    rounding, by torch's own parametrisation (a map from skew-symmetric matrices around
    the initial weight); otherwise it is an ordinary weight that training may move, for
    AdamO or :func:`isometry.maxmin.newton_schulz` to hold.

    Args:
        in_features: Size of each input.
        out_features: Size of each output.
        bias: Whether there is a bias, zero at first.
        parametrized: Whether the weight is held orthogonal by construction.
        generator: CPU generator of the weight; the global one if None.
        device: Where the layer lives.
        dtype: Type of its parameters.

    Raises:
        ValueError: If a size is below 1.

    Source: Lezcano-Casado, NeurIPS 2019 (``torch.nn.utils.parametrizations``).

    Example:
        >>> weight = orthogonal_linear(6, 4, dtype=torch.float64).weight
        >>> torch.allclose(weight @ weight.T, torch.eye(4, dtype=torch.float64))
        True
    """
    for name, size in (("in_features", in_features), ("out_features", out_features)):
        if size < 1:
            raise ValueError(refusal(f"{name} >= 1", size, "pass a positive size"))
    # Drawn on the CPU, so that one generator gives one layer on every device.
    layer = skip_init(nn.Linear, in_features, out_features, bias, dtype=dtype)
    nn.init.orthogonal_(layer.weight, generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    if parametrized:
        # torch completes a rectangular weight to a square one by random columns, from
        # the global generator: seed it for this, and leave it as it was.
        seed = torch.randint(2**31, (), generator=generator).item()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(seed))
            parametrizations.orthogonal(layer)
    return layer.to(device)


def isometric_mlp(
    in_features: int,
    width: int,
    depth: int,
    out_features: int,
    *,
    group_size: int = 2,
    bias: bool = True,
    parametrized: bool = True,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Sequential:
    """Return orthogonal layers with GroupSort between them.

    Almost everywhere its Jacobian is a product of semi-orthogonal matrices and
    permutations. All min(in, out) singular values of that product are one if the sizes
    in_features, width, ..., width, out_features never grow or never shrink; where they
    grow first and shrink later, one is only an upper bound.

    Args:
        in_features: Size of each input.
        width: Units per hidden layer, divisible by ``group_size``.
        depth: Number of hidden layers, at least 1.
        out_features: Size of each output.
        group_size: Units per group of the activation.
        bias: Whether the layers have biases, zero at first.
        parametrized: See :func:`orthogonal_linear`.
        generator: CPU generator of the weights; the global one if None.
        device: Where the network lives.
        dtype: Type of its parameters.

    Raises:
        ValueError: If depth is below 1, a size is below 1, or ``group_size`` does not
            divide ``width``.

    Source: arXiv 2606.09762, Sec. 3; Anil, Lucas & Grosse, ICML 2019.

    Example:
        >>> isometric_mlp(8, 8, 3, 8)(torch.ones(2, 8)).shape
        torch.Size([2, 8])
    """
    if depth < 1:
        raise ValueError(refusal("depth >= 1", depth, "count the hidden layers"))
    activation = GroupSort(group_size)
    if width % group_size:
        raise ValueError(
            refusal(
                f"a width divisible by group_size {group_size}",
                width,
                "change the width or the group size",
            )
        )
    sizes = [in_features, *[width] * depth, out_features]
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        linear = orthogonal_linear(
            fan_in,
            fan_out,
            bias=bias,
            parametrized=parametrized,
            generator=generator,
            device=device,
            dtype=dtype,
        )
        layers += [linear, activation]
    return nn.Sequential(*layers[:-1])


def jacobian_singular_values(
    model: nn.Module,
    inputs: Tensor,  # (n, ...)
) -> Tensor:
    """Return the singular values of the input-output Jacobian at each input.

    Args:
        model: A network that maps ``(n, ...)`` to ``(n, ...)``, each row by itself. It
            is not changed.
        inputs: ``(n, ...)``, n >= 1, floating-point.

    Returns:
        ``(n, k)``, descending, k the smaller of the sizes of one input and one output.

    Raises:
        ValueError: If there is no input.

    Source: definition of dynamical isometry, arXiv 2606.09762, abstract; Saxe,
    McClelland & Ganguli, ICLR 2014.

    Example:
        >>> network = isometric_mlp(4, 4, 2, 4, dtype=torch.float64)
        >>> values = jacobian_singular_values(network, torch.ones(1, 4).double() / 3)
        >>> [round(value, 9) for value in values[0].tolist()]
        [1.0, 1.0, 1.0, 1.0]
    """
    if inputs.ndim < 2 or len(inputs) == 0:
        raise ValueError(
            refusal("inputs (n, ...) with n >= 1", str(tuple(inputs.shape)), "add rows")
        )

    def output(example: Tensor) -> Tensor:
        return model(example[None])[0].flatten()

    with torch.no_grad():
        jacobian = vmap(jacrev(output))(inputs.detach())
    return singular_values(jacobian.flatten(start_dim=2))
