"""Eq. 7-8 for a multilayer perceptron in the paper's letters, one equation a line.

Slow and plain, for reading and for tests; :func:`isometry.ntk.empirical_ntk` is the
form to use.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Elementwise = Callable[[Tensor], Tensor]


def _mlp_ntk(
    W: Sequence[Tensor],  # W[l-1]: (d_l, d_{l-1}), l = 1 .. L
    b: Sequence[Tensor] | None,  # b[l-1]: (d_l,)
    phi: Elementwise,
    phi_prime: Elementwise,
    X: Tensor,  # (n, d_0)
    X_other: Tensor | None = None,  # (n2, d_0)
) -> Tensor:
    """Return the kernel of ``f(x) = W_L phi(... phi(W_1 x + b_1) ...) + b_L``.

    Source: arXiv 2606.09762, Eq. 7-8.

    Example:
        >>> one = torch.ones(1, 1)
        >>> _mlp_ntk([one, one], None, torch.relu, torch.ones_like, 2 * one).item()
        8.0
    """
    L = len(W)

    def factors(x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        h, z = [x], []
        for l in range(1, L + 1):  # noqa: E741
            z.append(W[l - 1] @ h[l - 1] + (0 if b is None else b[l - 1]))
            h.append(phi(z[l - 1]))
        B = [torch.eye(W[-1].shape[0], dtype=x.dtype, device=x.device)]
        for l in range(L - 1, 0, -1):  # noqa: E741
            D_l = torch.diag(phi_prime(z[l - 1]))
            B.insert(0, B[0] @ W[l] @ D_l)
        return h[:L], B

    one = 0.0 if b is None else 1.0
    second = X if X_other is None else X_other
    left, right = [factors(x) for x in X], [factors(x) for x in second]
    rows = []
    for h_i, B_i in left:
        row = []
        for h_j, B_j in right:
            terms = [
                (h_i[l] @ h_j[l] + one) * (B_i[l] @ B_j[l].T)
                for l in range(L)  # noqa: E741
            ]
            row.append(sum(terms, torch.zeros_like(terms[0])))
        rows.append(torch.stack(row))
    return torch.stack(rows)
