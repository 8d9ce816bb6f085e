"""What a reader tries in an exercise, looked at: a number, a function.

Each function returns a sentence, which a cell prints.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from isometry.core.seeding import generator


def number(answer: float | None, right: float, within: float = 0.02) -> str:
    """Return whether a number is right, or that there is none yet.

    Args:
        answer: The reader's, None before there is one.
        right: What it should be.
        within: A relative error that counts as right, in [0, 1].

    Example:
        >>> number(None, 2.0), number(2.01, 2.0), number(3.0, 2.0)
        ('no answer yet', 'right', 'not yet, and too large')
    """
    if answer is None:
        return "no answer yet"
    if abs(answer - right) <= within * abs(right):
        return "right"
    return f"not yet, and too {'large' if answer > right else 'small'}"


def row_by_row(function: Callable[[Tensor], Tensor]) -> str:
    """Return whether an activation keeps lengths and treats each example alone.

    Args:
        function: Of a batch ``(examples, units)``, both even; returns the same shape.

    Example:
        >>> row_by_row(lambda x: x.sort(dim=-1).values)
        'right: lengths are kept, and no example knows of the others'
    """
    batch = torch.randn(4, 6, generator=generator(0, "exercise"), dtype=torch.float64)
    other = torch.cat([batch[:1], -batch[1:]])
    one = function(batch)
    if not torch.allclose(one.norm(), batch.norm()):
        return "not yet: the length of the batch changes"
    if not torch.allclose(one[0], function(other)[0]):
        return "not yet: the first example's output changes with the other examples"
    if not torch.allclose(one.norm(dim=-1), batch.norm(dim=-1)):
        return "not yet: an example's length changes"
    return "right: lengths are kept, and no example knows of the others"


def pulls_to_isometry(step: Callable[[Tensor, float], Tensor]) -> str:
    """Return whether a step, taken often, makes a matrix an isometry.

    Args:
        step: Of a weight ``(out, in)`` and a rate; returns the weight after it.

    Example:
        >>> pulls_to_isometry(lambda weight, rate: weight)[:20]
        'not yet: after 2,000'
    """
    draw = generator(0, "exercise")
    weight = 0.3 * torch.randn(8, 6, generator=draw, dtype=torch.float64)
    for _ in range(2000):
        weight = step(weight, 0.01)
    values = torch.linalg.svdvals(weight)
    ends = f"from {values.min():.2f} to {values.max():.2f}"
    if torch.allclose(values, torch.ones_like(values), atol=1e-3):
        return "right: all singular values are one"
    return f"not yet: after 2,000 steps singular values run {ends}"
