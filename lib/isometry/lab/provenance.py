"""Where a number comes from: versions, device and commit."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "plasticity-by-isometry")


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


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def _processor_name() -> str:
    """Return the processor's model name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def device_name(device: torch.device | str) -> str:
    """Return the device in words, with its number of threads if it is a CPU.

    Args:
        device: A torch device.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor_name()}, {threads} thread{'s' if threads > 1 else ''}"


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
