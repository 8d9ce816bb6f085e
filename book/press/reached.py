"""Which files a chapter reaches, noted inside its kernel while it runs.

Like a compiler's file of dependencies: what one run has loaded and read decides whether
the next is needed. Only the standard library, for it is loaded into every kernel.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("isometry", "isometry_book")
RESULTS = "results"  # its folders count with their listing: a new file is read too


def watch(root: str, out: str, shell: Any) -> None:
    """Write to ``out``, after every cell, what the chapter has reached so far.

    Args:
        root: The repository.
        out: A JSON file: names in the repository, of a package elsewhere whole paths,
            under ``files`` and ``folders``.
        shell: IPython's.
    """
    opened: set[str] = set()
    # Which folders there are always counts: to look for a missing one is not heard.
    listed = {os.path.join(root, RESULTS)}

    def hear(event: str, given: tuple[Any, ...]) -> None:
        if event not in ("open", "os.scandir", "os.listdir"):
            return
        if not isinstance(given[0], str | os.PathLike):  # a number, or None
            return
        path = os.path.abspath(given[0])
        if event != "open":
            listed.add(path)
        elif (given[2] or 0) & os.O_ACCMODE == os.O_RDONLY:
            opened.add(path)

    def note(*_: object) -> None:
        # Copies: other threads of the kernel open files meanwhile.
        files = loaded(root) | {inside(root, path) for path in list(opened)}
        folders = {inside(root, path) for path in list(listed)}
        results = {name for name in folders if name.split("/")[0] == RESULTS}
        found = {"files": sorted(files - {""}), "folders": sorted(results)}
        Path(out).write_text(json.dumps(found, indent=1))

    sys.addaudithook(hear)
    shell.events.register("post_run_cell", note)


def loaded(root: str) -> set[str]:
    """Return the files of all modules of our packages and of the repository."""
    found = set()
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str):
            ours = name.split(".")[0] in PACKAGES
            found.add(inside(root, path) or (path if ours else ""))
    return found


def inside(root: str, path: str) -> str:
    """Return a file's name in the repository; empty if it is none of its sources."""
    name = path.removeprefix(root + os.sep)
    if name == path or name[0] in "._":  # .venv, .git; _run, _stage, _build
        return ""
    made = {"__pycache__", "site-packages"} & set(Path(name).parts)
    return "" if made else Path(name).as_posix()
