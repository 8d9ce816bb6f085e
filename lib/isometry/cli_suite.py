"""The commands ``isometry suite list | show | run``."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from isometry.core.extras import extra

with extra("bench"):
    from cyclopts import App, Parameter

suite_app = App(name="suite", help="Run published settings; our numbers beside theirs.")


@suite_app.command(name="list")
def list_() -> None:
    """List all suites with their size, every row checked."""
    from isometry.suites.suite import all_suites

    suites = list(all_suites())
    width = max(len(suite.name) for suite in suites)
    for suite in suites:
        count = len(suite.runs)
        rows = "1 row" if count == 1 else f"{count} rows"
        source = f" ({suite.source})" if suite.source else ""
        title = f"{suite.title}, reduced" if suite.reduced else suite.title
        print(f"{suite.name:<{width}}  {title}, {rows}{source}")


@suite_app.command
def show(
    name: str,
    *,
    out: Path = Path("results"),
    format: Literal["table", "csv", "json", "markdown"] = "table",
) -> None:
    """Print what each row reached: means over seeds with 95 % t-intervals.

    Parameters
    ----------
    name
        See `isometry suite list`.
    out
        Folder of the results store.
    format
        How to print it.
    """
    from isometry.suites.published import read_published
    from isometry.suites.standing import shown
    from isometry.suites.suite import read_suite

    print(shown(read_suite(name), out, read_published(), format))


@suite_app.command
def run(
    name: str,
    *,
    only: Annotated[list[str] | None, Parameter(negative=())] = None,
    workers: int | None = None,
    out: Path = Path("results"),
    device: str = "auto",
) -> int:
    """Run the rows of a suite side by side; exit 1 if one failed twice.

    Finished seeds are kept, killed rows go on.

    Parameters
    ----------
    name
        See `isometry suite list`.
    only
        Label of a row; may be repeated.
    workers
        Processes of one thread each; 0 works in this one. Default: one a processor, or
        one a GPU.
    out
        Folder of the results store.
    device
        auto, cpu, cuda or cuda:N.
    """
    from isometry.suites.suite import read_suite
    from isometry.suites.work import run_suite
    from isometry.sweep.report import failure_lines

    suite = read_suite(name)
    failures = run_suite(suite, only or (), workers=workers, out=out, device=device)
    show(name, out=out)
    for line in failure_lines(failures):
        print(f"isometry: {line}", file=sys.stderr)
    return int(bool(failures))
