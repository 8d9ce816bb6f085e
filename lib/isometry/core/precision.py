"""How exactly matrix products are computed: float32 unless somebody asks for less."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

Precision = Literal["float32", "tf32", "bfloat16"]


@contextmanager
def exact_matmul(device: torch.device, *, tf32: bool = False) -> Iterator[None]:
    """Say meanwhile whether CUDA may use TF32 in matrix products and convolutions.

    Args:
        device: Where they are computed; nothing happens on a CPU.
        tf32: Whether it may. torch's own default allows it in convolutions.

    Source: ours; TF32 keeps ten bits, which condition numbers do not survive.
    """
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = before[0]
            torch.backends.cudnn.allow_tf32 = before[1]


def half_products(
    device: torch.device, precision: Precision
) -> AbstractContextManager[object]:
    """Return a context in which a network computes in bfloat16, if it is asked to.

    Args:
        device: Where it computes.
        precision: Only ``bfloat16`` does something; weights stay in float32.
    """
    if precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
