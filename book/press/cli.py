"""The command line of the press; ``book/build.py`` calls it."""

import argparse
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from press import PROFILES, ROOT, BookError, stage_folder


def arguments(given: list[str] | None, description: str) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = (
        "execute",
        "stage",
        "html",
        "all",
        "check",
        "notebooks",
        "normalise",
        "pdf",
    )
    parser.add_argument("step", choices=steps)
    parser.add_argument("--profile", choices=PROFILES, default="laptop")
    parser.add_argument("--jobs", type=int, default=2, help="chapters side by side")
    parser.add_argument("--only", help="execute chapters whose name contains this")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    parser.add_argument("--paper", choices=("a4", "letter"), default="a4")
    parser.add_argument("--output", type=Path, help="folder (or PDF) to write")
    return parser.parse_args(given)


def make(args: argparse.Namespace) -> None:
    """Do one step, or all, alone."""
    root = args.root.resolve()
    args.output = args.output and args.output.resolve()
    folder = root / "_run"
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / f"{args.profile}.lock")
    if lock_is_held(lock):
        print(f"another build of profile {args.profile} runs; waiting for it")
    with lock:
        steps(args, root)


def lock_is_held(lock: FileLock) -> bool:
    """Return whether another build holds the lock."""
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def steps(args: argparse.Namespace, root: Path) -> None:
    """Do one step, or all, while no other build of this profile does."""
    if args.step in ("execute", "all", "pdf", "notebooks"):
        from press.execute import execute

        execute(root, args.profile, args.jobs, args.only)
    if args.step in ("stage", "html", "all", "pdf", "notebooks"):
        from press.stage import stage

        stage(root, args.profile)
    if args.step in ("html", "all"):
        from press.site import build

        output = args.output or root / "_build" / "html"
        build(root, stage_folder(root, args.profile), output)
    if args.step == "check":
        from press.execute import check

        check(root, args.profile)
    if args.step == "pdf":
        from press.pdf import pdf

        output = args.output or root / "_build" / "plasticity-by-isometry.pdf"
        pdf(root, stage_folder(root, args.profile), output, args.paper)
    if args.step == "normalise":
        from press.text import normalise

        normalise(root)
    if args.step == "notebooks":
        from press.portable import write_notebooks

        write_notebooks(root, args.profile, args.output or root / "notebooks")


def main(given: list[str] | None = None, description: str = "") -> int:
    """Make the book; return 0, or 1 after saying what failed."""
    try:
        make(arguments(given, description))
    except BookError as error:
        print(f"\nThe book was not made.\n\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0
