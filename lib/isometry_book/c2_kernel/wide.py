"""The kernel of orthonormal inputs at infinite width, for ReLU and MaxMin alike."""

from math import asin, pi, prod, sqrt


def wide_overlap(depth: int) -> float:
    """Return q, the kernel between two inputs over that of one, at infinite width.

    For orthonormal inputs all pairs of inputs have one correlation in each layer.
    Correlations follow ``c(rho) = rho / 2 + (sqrt(1 - rho^2) + rho asin rho) / pi``,
    and each layer on the way back multiplies by ``1 / 2 + asin(rho) / pi``.

    Args:
        depth: Hidden layers, >= 0, without biases.

    Returns:
        From 0 to 0.317; 1/4 in the limit of depth.

    Source: Cho & Saul 2009 (ReLU); that MaxMin has the same maps is ours, chapter 2.

    Example:
        >>> wide_overlap(0), round(wide_overlap(11), 3)
        (0.0, 0.316)
    """
    rho, correlations, slopes = 0.0, [0.0], []
    for _ in range(depth):
        slopes.append(0.5 + asin(rho) / pi)
        rho = rho / 2 + (sqrt(1 - rho**2) + rho * asin(rho)) / pi
        rho = min(rho, 1.0)
        correlations.append(rho)
    between = sum(
        correlations[layer] * prod(slopes[layer:]) for layer in range(depth + 1)
    )
    return between / (depth + 1)


def wide_condition_number(depth: int, count: int) -> float:
    """Return the kernel's condition number at infinite width, ReLU or MaxMin alike.

    The kernel of orthonormal inputs has two eigenvalues, ``1 + (n - 1) q`` and
    ``1 - q`` over its diagonal, with q of :func:`wide_overlap`.

    Args:
        depth: Hidden layers, >= 0, without biases.
        count: Inputs n, >= 2.

    Example:
        >>> wide_condition_number(0, 10)
        1.0
    """
    q = wide_overlap(depth)
    return (1 + (count - 1) * q) / (1 - q)
