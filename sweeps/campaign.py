"""Work through the files of sweeps/campaign, in their order, at the lowest priority.

Each file is a sweep, or names a study and its profile, or a suite and perhaps some of
its rows. What the store has is not run again, so this may be stopped and started at any
time.
"""

import os
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

FOLDER = Path(__file__).parent / "campaign"


def command(file: Path, store: str) -> list[str]:
    """Return the command that does what a file of the campaign asks for."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    isometry = [sys.executable, "-m", "isometry"]
    if "suite" in content:
        rows = [f"--only={label}" for label in content.get("rows", [])]
        return [*isometry, "suite", "run", content["suite"], *rows, "--out", store]
    if "study" not in content:
        return [*isometry, "sweep", str(file), "--out", store]
    options = [f"--{key}={content[key]}" for key in ("profile", "data")]
    return [*isometry, "study", content["study"], *options, "--out", store]


def main(store: str = "results") -> int:
    """Run all files and return how many of them failed."""
    os.nice(19)
    with suppress(OSError):  # Linux shares time between sessions before it looks there
        Path("/proc/self/autogroup").write_text("19")
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    failed = 0
    for file in sorted(FOLDER.glob("*.toml")):
        print(f"== {file.name}", flush=True)
        ended = subprocess.run(command(file, store), env={**os.environ, **threads})
        failed += ended.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
