"""Run the chapters: text to notebook with jupytext, notebook to results with papermill.

A chapter is run again only when something it depends on has changed: its text, the
lock, the profile, the data that are there, and whatever of the library and of the
results its last run reached.
"""

import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import chdir
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from press import BookError, chapter_files, run_folder
from press.freshness import data_at_hand, depfile, fresh, keyfile, stamp, watching

if TYPE_CHECKING:  # where no chapter has changed, the seconds of these are not spent
    from nbformat import NotebookNode
    from papermill.exceptions import PapermillExecutionError
    from tqdm import tqdm

THREADS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TQDM_DISABLE": "1",  # a page is no place for a progress bar
}
SECONDS_PER_CELL = {"smoke": 600, "laptop": 1800, "paper": None}
LINES_OF_TRACEBACK = 25
LONG = ("01_plasticity", "06_supervised_benchmark")  # half of all seconds


def read_chapter(path: Path, root: Path) -> "NotebookNode":
    """Return a text chapter as a notebook whose cells have fixed names."""
    import jupytext

    try:
        notebook = jupytext.read(path)
    except Exception as error:
        name = path.relative_to(root)
        raise BookError(f"{name} cannot be read as a notebook: {error}") from error
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"{path.stem}-{index:03}"
    return notebook


def explain(chapter: Path, error: "PapermillExecutionError", kept: Path) -> str:
    """Return what failed, in which chapter and cell, and the end of its traceback."""
    from papermill.exceptions import strip_color

    trace = strip_color("\n".join(error.traceback)).splitlines()
    tail = [f"    {line}" for line in trace[-LINES_OF_TRACEBACK:]]
    source = [f"    > {line}" for line in error.source.strip().splitlines()]
    return "\n".join(
        [
            f"{chapter.name}: code cell {error.exec_count} failed "
            f"with {error.ename}: {error.evalue}",
            *source,
            *tail,
            f"    what ran up to there is in {kept}",
        ]
    )


def run_chapter(
    path: Path, root: Path, profile: str, data: str, bar: "tqdm[None]", lock: Lock
) -> str | None:
    """Run one chapter; return None, or why it failed."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    out = run_folder(root, profile) / f"{path.stem}.ipynb"
    keyfile(path, root, profile).unlink(missing_ok=True)
    depfile(path, root, profile).unlink(missing_ok=True)
    started = time.time()
    notebook = read_chapter(path, root)

    def advance(**_: object) -> None:
        with lock:
            bar.update()

    try:
        papermill.execute_notebook(
            notebook,
            str(out),
            parameters={"profile": profile},
            kernel_name="python3",
            progress_bar=False,
            execution_timeout=SECONDS_PER_CELL[profile],
            on_cell_executed=advance,
            extra_arguments=["--log-level=50", watching(path, root, profile)],
        )
    except PapermillExecutionError as error:
        return explain(path, error, out.relative_to(root))
    except Exception as error:
        return f"{path.name}: {type(error).__name__}: {error}"
    stamp(path, root, profile, data, started)
    return None


def code_cells(path: Path, root: Path) -> int:
    """Return the number of code cells, the injected parameters included."""
    cells = read_chapter(path, root).cells
    return 1 + sum(cell.cell_type == "code" for cell in cells)


def execute(
    root: Path, profile: str, jobs: int = 2, only: str | None = None
) -> list[Path]:
    """Run all chapters that changed and return the paths of all executed notebooks.

    Args:
        root: The repository.
        profile: Handed to the chapters as their parameter.
        jobs: Chapters run side by side, each on one thread.
        only: Run only chapters whose name contains this.

    Raises:
        BookError: If a chapter fails; it names every failed chapter and cell.
    """
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)
    # A notebook cell is no debugger; its checks about frozen modules only warn.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    # A progress bar is for whoever waits, not for the page.
    os.environ.setdefault("ISOMETRY_PROGRESS", "0")
    folder = run_folder(root, profile)
    folder.mkdir(parents=True, exist_ok=True)
    chapters = [p for p in chapter_files(root) if only is None or only in p.stem]
    if not chapters:
        raise BookError(f"no chapter's name contains {only!r}")
    data = data_at_hand()
    changed = [path for path in chapters if not fresh(path, root, profile, data)]
    print(
        f"execute: {len(changed)} of {len(chapters)} chapters changed "
        f"(profile {profile})",
        flush=True,
    )
    if changed:
        start = time.perf_counter()
        failures = run_all(changed, root, profile, jobs, data)
        if failures:
            raise BookError("\n\n".join(failures))
        print(f"execute: done in {time.perf_counter() - start:.0f} s", flush=True)
        # Data fetched by a chapter must not make the next build run all again.
        if (now := data_at_hand()) != data:
            for path in chapters:
                if fresh(path, root, profile, data):
                    stamp(path, root, profile, now)
    return [folder / f"{path.stem}.ipynb" for path in chapters]


def run_all(
    chapters: list[Path], root: Path, profile: str, jobs: int, data: str
) -> list[str]:
    """Run ``chapters``, ``jobs`` at a time; return what failed."""
    import papermill  # noqa: F401  before there are threads
    from tqdm import tqdm

    total = sum(code_cells(path, root) for path in chapters)
    every = 1 if sys.stderr.isatty() else 15  # seconds between lines of a log
    chapters = sorted(chapters, key=lambda p: -last_seconds(root, profile, p))
    failures: list[str] = []
    lock = Lock()
    with (
        # Kernels start in the chapters' folder, as in JupyterLab. Papermill's own `cwd`
        # changes the folder of the whole process, which two threads cannot share.
        chdir(root / "chapters"),
        tqdm(total=total, unit="cell", disable=False, mininterval=every) as bar,
        ThreadPoolExecutor(jobs) as pool,
    ):
        running: dict[Future[str | None], Path] = {
            pool.submit(run_chapter, p, root, profile, data, bar, lock): p
            for p in chapters
        }
        try:
            for done in as_completed(running):
                bar.set_postfix_str(running[done].stem)
                if failure := done.result():
                    failures.append(failure)
        except KeyboardInterrupt:
            stop_kernels()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


def last_seconds(root: Path, profile: str, chapter: Path) -> float:
    """Return how long a chapter took last time; the longest start first.

    Where that is not known, so do those that are known to be long.
    """
    done = run_folder(root, profile) / f"{chapter.stem}.ipynb"
    try:
        notebook = json.loads(done.read_text(encoding="utf-8"))
        return float(notebook["metadata"]["papermill"]["duration"])
    except (OSError, ValueError, KeyError, TypeError):
        return math.inf if chapter.stem in LONG else 0.0


def stop_kernels() -> None:
    """End the kernels this process started."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        child.terminate()


def check(root: Path, profile: str) -> None:
    """Run chapters with tagged cells again in fresh kernels and compare these cells.

    Raises:
        BookError: If an output tagged ``nbval-check-output`` differs.
    """
    import nbformat

    tagged = []
    for path in chapter_files(root):
        done = run_folder(root, profile) / f"{path.stem}.ipynb"
        notebook = nbformat.read(done, as_version=4)
        tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
        if any("nbval-check-output" in some for some in tags):
            tagged.append(str(done))
    if not tagged:
        print("check: no chapter has a cell tagged nbval-check-output")
        return
    os.environ.update(THREADS)
    options = ["-q", "-n", "2", "--dist", "loadfile", "-o", "addopts=", "-W", "default"]
    nbval = ["--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, *nbval, *tagged]
    if subprocess.run(command, cwd=root).returncode:
        raise BookError("a chapter's tagged outputs are not the same in a second run")
