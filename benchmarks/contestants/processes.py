"""Contestants in processes of their own: environments, one core, one line of JSON."""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
ONE_CORE = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def peer_python(name: str) -> Path | None:
    """Make the environment ``.peers/<name>`` where it is missing; None if that fails.

    It is made from ``<name>.requirements.txt`` in this folder, and anew when that file
    has changed.
    """
    folder, wanted = ROOT / ".peers" / name, HERE / f"{name}.requirements.txt"
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    if stamp.exists() and stamp.read_text() == wanted.read_text():
        return python
    print(f"making {folder.relative_to(ROOT)} ...", flush=True)
    commands = [
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "-r", str(wanted)],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"the peer cannot be installed here: {reason}", file=sys.stderr)
            return None
    stamp.write_text(wanted.read_text())
    return python


def measure(python: Path | str, script: Path, name: str, problem: Path, *more: str):
    """Run one contestant on one core and return its line of JSON; None if it fails."""
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [str(python), str(script), name, str(problem), *more],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **ONE_CORE},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode != 0:
        errors = [x for x in done.stderr.splitlines() if re.match(r"[\w.]*Error", x)]
        reason = (errors or [f"exit {done.returncode}"])[-1]
        print(f"{name} fails: {reason[:300]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def started(
    python: Path | str, script: Path, *arguments: str, cores: int = 1
) -> subprocess.Popen:
    """Start a contestant that stays and answers lines, on some cores.

    It imports what it needs of this project from its sources.
    """
    own = set(sorted(os.sched_getaffinity(0))[:cores])
    threads = {name: str(cores) for name in ONE_CORE if name.endswith("_THREADS")}
    return subprocess.Popen(
        [str(python), str(script), *arguments],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **ONE_CORE, **threads, "PYTHONPATH": str(ROOT / "lib")},
        preexec_fn=lambda: os.sched_setaffinity(0, own),
    )


def answer(contestant: subprocess.Popen, *, asked: bool = True):
    """Return a contestant's next line of JSON, for which it is asked; None if it fails.

    The process says why on stderr.
    """
    if asked and contestant.poll() is None:
        contestant.stdin.write("\n")
        contestant.stdin.flush()
    line = contestant.stdout.readline()
    return json.loads(line) if line else None


def cpu_model() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def versions(python: Path | str, *packages: str) -> dict[str, str]:
    """Return the versions of packages in an environment."""
    ask = (
        "import sys; from importlib.metadata import version as v; "
        "print(*(v(name) for name in sys.argv[1:]))"
    )
    done = subprocess.run(
        [str(python), "-c", ask, *packages], capture_output=True, text=True, check=True
    )
    return dict(zip(packages, done.stdout.split(), strict=True))
