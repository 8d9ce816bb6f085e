"""Parameters that no layer holds and all inputs share: scales, tokens, positions.

Such a parameter is multiplied with what an input became, added to it, or repeated for
each input, as LayerScale, positions and class tokens are. Its derivative for one input
is then that of the product or sum, summed over the places where it stands.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

# What only changes the shape in which the entries of a parameter stand.
VIEWS = (
    *("view", "reshape", "unsqueeze", "squeeze", "permute", "transpose", "flatten"),
    *("unflatten", "contiguous"),
)
BROADCASTS = ("expand", "expand_as")


# torch asks for a subclass here.
class Shared(nn.Module):
    """How a parameter that all inputs share stands in a call.

    Args:
        shape: In which it stands there, to be broadcast to the output's.
        factor: Whether what it meets is multiplied with it.
    """

    def __init__(self, shape: Sequence[int], factor: bool) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.factor = factor


class Bare:
    """Bare parameters at work.

    Args:
        names: Identity of each to its name.
    """

    def __init__(self, names: dict[int, str]) -> None:
        self.names = dict(names)
        self.views: list[Tensor] = []  # kept, so that no other tensor has their place

    def used(
        self, function: str, arguments: Sequence[Any], output: Any
    ) -> tuple[str, Shared, Tensor] | None:
        """Return which parameter a call of torch used, how, and what it met there.

        Views of a parameter stand for it in later calls.

        Args:
            function: Its name.
            arguments: The positional ones.
            output: What it returned.
        """
        at = [i for i, value in enumerate(arguments) if id(value) in self.names]
        if not at or not isinstance(output, Tensor):
            return None
        own = arguments[at[0]]
        name = self.names[id(own)]
        if function in VIEWS or (function == "__getitem__" and _plain(arguments[1])):
            if output.numel() == own.numel():
                self.names[id(output)] = name
                self.views.append(output)
            return None
        met: Any = None
        if function in ("add", "mul") and len(arguments) == 2:
            met = arguments[1 - at[0]]
        elif function in BROADCASTS or (function == "repeat" and _once(own, output)):
            met = output.detach()  # it met nothing that leads on
        if not isinstance(met, Tensor) or not _shared(own, met, output):
            return None
        return name, Shared(own.shape, function == "mul"), met


def _plain(index: Any) -> bool:
    """Return whether an index takes no entry twice and changes no order."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or isinstance(part, slice | type(...)) for part in parts)


def _once(own: Tensor, output: Tensor) -> bool:
    """Return whether a parameter is repeated along the first dimension alone."""
    return output.numel() == len(output) * own.numel()


def _shared(own: Tensor, met: Tensor, output: Tensor) -> bool:
    """Return whether the first dimension of an output is not the parameter's."""
    alone = own.ndim < output.ndim or (own.ndim > 0 and own.shape[0] == 1)
    return alone and met.ndim == output.ndim and met.shape[:1] == output.shape[:1]


def gradients(use: Shared, met: Tensor, sensitivity: Tensor) -> Tensor:
    """Return the derivatives of each input's outputs by a parameter.

    Args:
        use: How it stands in the call.
        met: What it met, ``(c, ...)``.
        sensitivity: B, ``(m, c, ...)``, the derivatives by the call's output.

    Returns:
        ``(m, c, k)``, k its number of entries.

    Source: definition.

    Example:
        >>> import torch
        >>> met, ones = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.ones(1, 2, 2)
        >>> gradients(Shared((1,), True), met, ones).flatten().tolist()
        [3.0, 7.0]
    """
    found = sensitivity * met if use.factor else sensitivity
    sizes = (1,) * (met.ndim - len(use.shape)) + use.shape
    summed = [d + 1 for d in range(1, met.ndim) if sizes[d] == 1]
    found = found.sum(summed, keepdim=True) if summed else found
    return found.reshape(*found.shape[:2], -1)
