"""Where a number comes from: versions, device and commit."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "plasticity-by-isometry")


def commit(folder: Path | None = None) -> str:
    """Return the short commit of a checkout, ``+changes`` if dirty, else ``unknown``.

    Args:
        folder: In the checkout, with files of it; this package's folder if not given.

    Source: ours.
    """
    folder = folder or Path(__file__).parent
    describe = ["describe", "--always", "--dirty=+changes", "--exclude=*"]
    try:
        # An installed package may stand in somebody else's checkout, not part of it.
        tracked, found = (
            subprocess.run(
                ["git", *command],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout.strip()
            for command in (["ls-files", "."], describe)
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found if tracked and found else "unknown"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on.

    Source: ours.
    """
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def processor_name() -> str:
    """Return the processor's model name, as far as the system tells it.

    Source: ours.
    """
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

    Source: ours.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{processor_name()}, {threads} thread{'s' if threads > 1 else ''}"


def provenance(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return commit, versions and device of what is computed now, JSON-ready.

    Args:
        device: Where it is computed.

    Source: ours.
    """
    return {
        "commit": commit(),
        "versions": versions(),
        "device": device_name(device),
    }
