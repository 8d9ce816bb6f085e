"""Solve the dependencies anew and write requirements.lock.

Makes a fresh environment, installs ``.[book,dask,test]`` as pip resolves it today,
and writes down what came. Two things are left out on purpose:

* Local labels such as ``+cpu`` and the packages of the CUDA build: which build of torch
  a machine takes is its pip's own configuration.
* Hashes, for the same reason: the builds of one torch version have different ones.

``OTHER_PYTHONS`` may name further interpreters (separated by spaces). The lock is tried
on each, and what only they need is added under a marker.
"""

import json
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
# Written by `make lock`; CONTRIBUTING.md says why there are no hashes.
"""
# Parts of torch's CUDA build, and what a fresh environment brings itself.
LEFT_OUT = re.compile(r"(nvidia-|cuda-|triton|pip$|wheel$|plasticity-by-)")


def pip(python: Path, *arguments: str) -> str:
    """Run pip and return what it prints."""
    done = subprocess.run(
        [str(python), "-m", "pip", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def pins(frozen: str) -> list[str]:
    r"""Return the lines of ``pip freeze`` that belong in the lock.

    Example:
        >>> pins("torch==2.13.0+cpu\nnvidia-nccl-cu12==2.27\n-e /x\\nrich==15.0.0")
        ['torch==2.13.0', 'rich==15.0.0']
    """
    found = []
    for line in frozen.splitlines():
        name, _, version = line.partition("==")
        if version and not LEFT_OUT.match(name.lower()):
            found.append(f"{name}=={version.split('+')[0]}")
    return found


def normal(name: str) -> str:
    """Return a package's name as indexes compare it.

    Example:
        >>> normal("Jinja_2.x")
        'jinja-2-x'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def only_for(python: Path, lock: list[str]) -> list[str]:
    """Return the lines that another Python needs beyond ``lock``, with their marker."""
    version = subprocess.run(
        [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    wanted = [line for line in lock if not line.startswith("torch==")]
    options = ("--dry-run", "--ignore-installed", "--only-binary", ":all:", "-q")
    report = pip(python, "install", *options, "--report", "-", *wanted)
    there = {normal(line.split("==")[0]) for line in lock}
    found = [item["metadata"] for item in json.loads(report)["install"]]
    return [
        f'{item["name"]}=={item["version"]}; python_version == "{version}"'
        for item in sorted(found, key=lambda item: normal(item["name"]))
        if normal(item["name"]) not in there and not LEFT_OUT.match(item["name"])
    ]


def main() -> None:
    """Write the lock; TORCH=version in the environment keeps torch at that version."""
    torch = os.environ.get("TORCH") or current_torch()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        pip(python, "install", "-q", f"torch=={torch}")
        pip(python, "install", "-q", f"torch=={torch}", f"{ROOT}[book,dask,test]")
        lock = pins(pip(python, "freeze", "--all"))
    for other in os.environ.get("OTHER_PYTHONS", "").split():
        lock += only_for(Path(other), [line for line in lock if ";" not in line])
    lock.sort(key=lambda line: normal(line.split("==")[0]))
    LOCK.write_text(HEAD + "\n".join(lock) + "\n")
    print(f"wrote {LOCK.name}: {len(lock)} packages")


def current_torch() -> str:
    """Return the version of torch in the present lock."""
    found = re.search(r"^torch==(\S+)", LOCK.read_text(), re.M)
    if not found:
        raise SystemExit("needed TORCH=version, found no torch in requirements.lock")
    return found[1]


if __name__ == "__main__":
    main()
