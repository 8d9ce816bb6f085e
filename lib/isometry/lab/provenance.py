"""Where a number comes from: versions, device and commit."""

import subprocess
from pathlib import Path
from typing import Any

import torch

from isometry.core.machine import device_name, versions


def commit(folder: Path | None = None) -> str:
    """Return the short commit of a checkout, or ``unknown``.

    Where files under the folder differ from that commit, ``+changes`` follows; the rest
    of the checkout does not matter, since nothing of it is run.

    Args:
        folder: In the checkout, with files of it; that of both packages if not given.
    """
    folder = folder or Path(__file__).parents[2]
    commands = (
        ["ls-files", "."],
        ["describe", "--always", "--exclude=*"],
        ["status", "--porcelain", "."],
    )
    try:
        # An installed package may stand in somebody else's checkout, not part of it.
        tracked, found, changes = (
            subprocess.run(
                ["git", *command],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    if not tracked or not found:
        return "unknown"
    return f"{found}+changes" if changes else found


def provenance(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return commit, versions and device of what is computed now, JSON-ready.

    Args:
        device: Where it is computed.
    """
    return {
        "commit": commit(),
        "versions": versions(),
        "device": device_name(device),
    }
