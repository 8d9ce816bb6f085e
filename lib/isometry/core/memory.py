"""Whether something fits into memory, told before it is asked for."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from isometry.core.messages import refusal

GIB = 2**30
COPIES = 4  # of each weight: itself, its gradient, Adam's two moments
LAYER = 4096  # bytes of a layer's objects, at least, whatever its width
# Limits of a container, of the second and of the first version of control groups.
LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def memory_of(device: torch.device) -> int:
    """Return how many bytes a device has, in use or not, as far as the system tells.

    Args:
        device: A CPU or a GPU.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in LIMITS:
        try:
            found = min(found, int(file.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return found


def check_memory(needed: int, what: str, device: torch.device, do: str) -> None:
    """Refuse what cannot fit into a device's memory, however empty it is.

    Args:
        needed: Bytes, at least.
        what: What they are for.
        device: Whose memory.
        do: What the caller can do.

    Raises:
        ValueError: If the device has less.
    """
    there = memory_of(device)
    if needed > there:
        found = f"{needed / GIB:,.1f} GiB, at least, of {what}"
        limit = f"what fits into the memory, {there / GIB:,.1f} GiB"
        raise ValueError(refusal(limit, found, do))


def check_training(
    network: Any, seeds: Sequence[int], settings: Any, rest: int, device: torch.device
) -> None:
    """Refuse a run whose networks and data cannot fit into memory.

    Args:
        network: Has ``shapes()``, the shape of each parameter of a member by name.
        seeds: One member a seed.
        settings: Have a ``depth``.
        rest: Bytes of a member's data, at least.
        device: Where it is trained.

    Raises:
        ValueError: If they cannot.
    """
    what = f"{len(seeds)} networks with their data"
    do = "lower width, depth or other sizes, or run fewer seeds at a time"
    # Of a depth that no machine has, not even the shapes are asked for.
    check_memory(len(seeds) * settings.depth * LAYER, what, device, do)
    numbers = sum(math.prod(shape) for shape in network.shapes().values())
    check_memory(len(seeds) * (COPIES * 4 * numbers + rest), what, device, do)
