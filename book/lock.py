"""Solve the dependencies anew and write requirements.lock.

uv resolves ``.[book,dask,test]`` once for Python 3.11 to 3.13 and all systems, from the
public index alone, and takes over the hashes of all files of each version. Left out is
what comes without a hash: torch, whose builds (for CPU, for one version of CUDA) are
other files under one version, and the packages that its CUDA build pins itself. The
version of torch stands in the head of the lock, where the Makefile reads it.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
HEAD = """\
# All versions the book is made with: Python 3.11 to 3.13, all platforms of torch.
# Written by `make lock`. `make setup` installs these by their hashes, and after them,
# without one, since each of its builds has other bytes:
# torch=={torch}
"""
EXTRAS = ("book", "dask", "test")
OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--fork-strategy=fewest",  # one version for all Pythons, wherever there is one
    "--generate-hashes",
    "--no-annotate",
    "--no-header",
    "--no-config",
    "--quiet",
)
# torch, and the parts of its CUDA build.
LEFT_OUT = re.compile(r"(torch==|nvidia-|cuda-|triton==)")


def locked(solved: str) -> str:
    r"""Return the requirements, with their hashes, that belong in the lock.

    Example:
        >>> locked("rich==15 \\\n    --hash=sha256:1\ntorch==2\ntriton==3\n")
        'rich==15 \\\n    --hash=sha256:1\n'
    """
    blocks = re.split(r"^(?=\S)", solved, flags=re.M)
    return "".join(block for block in blocks if not LEFT_OUT.match(block))


def main() -> None:
    """Write the lock; TORCH=version in the environment changes that of torch."""
    torch = os.environ.get("TORCH") or current_torch()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        programs = Path(folder) / "bin"
        subprocess.run([programs / "pip", "install", "-q", "uv"], check=True)
        (Path(folder) / "torch.txt").write_text(f"torch=={torch}\n")
        command = [programs / "uv", "pip", "compile", *OPTIONS]
        command += [f"--constraint={folder}/torch.txt"]
        command += [f"--extra={extra}" for extra in EXTRAS]
        done = subprocess.run(
            [*command, ROOT / "pyproject.toml"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    requirements = locked(done.stdout)
    LOCK.write_text(HEAD.format(torch=torch) + requirements)
    print(f"wrote {LOCK.name}: {len(re.findall('^[^ ]', requirements, re.M))} packages")


def current_torch() -> str:
    """Return the version of torch in the present lock."""
    found = re.search(r"^# torch==(\S+)", LOCK.read_text(), re.M)
    if not found:
        raise SystemExit("needed TORCH=version, found no torch in requirements.lock")
    return found[1]


if __name__ == "__main__":
    main()
