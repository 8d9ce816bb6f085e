"""Noise that each member of a stack draws by itself."""

import torch
from torch import Tensor


def normal(like: list[Tensor], draws: list[torch.Generator]) -> list[Tensor]:
    """Return standard normal numbers of these shapes, each member's from its draw.

    Args:
        like: Stacked tensors ``(members, ...)``; also give type and device.
        draws: One generator a member.
    """
    sizes = [tensor[0].numel() for tensor in like]
    rows = [torch.randn(sum(sizes), generator=draw) for draw in draws]
    parts = torch.stack(rows).to(like[0]).split(sizes, 1)
    return [part.view_as(t) for part, t in zip(parts, like, strict=True)]
