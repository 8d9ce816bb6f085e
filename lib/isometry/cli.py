"""The door of the command line: plug-ins, refusals, and what is answered at once.

Lists and the version need neither torch nor the extra ``bench``; all else is done by
:mod:`isometry.commands`.
"""

import re
import sys
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from isometry import __version__
from isometry.catalogue import LISTINGS, listing
from isometry.core.extras import missing
from isometry.core.files import system_error
from isometry.core.messages import Notice

USAGE_EXIT = 2
# The errors that say what to do: Python's, and those of our rooms.
REFUSALS: tuple[type[Exception], ...] = (KeyError, ValueError)
ROOMS = ("isometry.lab.store:StoreError", "isometry.supervised.data:DataError")
# What torch says of a tensor that it cannot have, on a CPU and on a GPU.
NO_MEMORY = re.compile("can't allocate memory|CUDA out of memory|Storage size calc")
PLUGINS = "isometry.cli"  # entry points: functions as `added` calls them
LIGHT_HELP = f"""\
isometry --version
isometry list methods | learners | benchmarks | games | claims

Other commands, among them run, sweep, report and diagnose: {missing("bench")}"""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a refusal is one line on stderr and exit status 2.

    Args:
        arguments: Without the program's name; ``sys.argv`` if not given.
    """
    try:
        status = _answered(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("isometry: stopped; the same command goes on", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        line = refused(error)
        if line is None:
            raise
        print(f"isometry: {line}", file=sys.stderr)
        sys.exit(USAGE_EXIT)
    sys.exit(status or 0)


def _answered(arguments: list[str]) -> int | None:
    """Answer, and return the exit status."""
    others = added()
    match arguments:
        case ["--version"]:
            text = __version__
        case ["list", what] if what in LISTINGS:
            text = "\n".join(listing(what))
        case [] | ["--help"] | ["-h"] if not find_spec("cyclopts"):
            text = LIGHT_HELP
        case _:
            return _commanded(arguments, others)
    print(text)
    return 0


def _commanded(
    arguments: list[str], others: tuple[Callable[..., Any], ...]
) -> int | None:
    """Let the commands answer."""
    from isometry.commands import command_line

    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        warnings.showwarning = partial(_noticed, warnings.showwarning, set())
        return command_line(others)(
            arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )


def _noticed(
    usual: Callable[..., None],
    said: set[str],
    message: Warning,
    category: type[Warning],
    *rest: Any,
) -> None:
    """Say a notice as refusals are said, and once; other warnings as usual."""
    line = f"isometry: {message}"
    if not issubclass(category, Notice):
        usual(message, category, *rest)
    elif line not in said:
        said.add(line)
        print(line, file=sys.stderr)


@cache
def added() -> tuple[Callable[..., Any], ...]:
    """Let other packages, such as the book, add to the listings; return their commands.

    Each entry point is a function of two: what it hands a command to, and the listings.
    """
    commands: list[Callable[..., Any]] = []
    for plugin in entry_points(group=PLUGINS):
        plugin.load()(commands.append, LISTINGS)
    return tuple(commands)


def refused(error: Exception) -> str | None:
    """Return the one line that a refusal says, or None if it is an error of ours.

    Args:
        error: What a command raised.
    """
    line = None
    if isinstance(error, _opened("cyclopts:CycloptsError")):
        line = f"{str(error).rstrip().rstrip('.')}; see isometry --help"
    elif isinstance(error, OSError) and error.strerror:
        line = system_error(error)
    elif isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
        line = "out of memory; lower the sizes, or run fewer seeds at a time"
    elif type(error) is ImportError or isinstance(error, REFUSALS + _opened(*ROOMS)):
        line = str(error.args[0]) if error.args else type(error).__name__
    return None if line is None else " ".join(line.split())


def _opened(*places: str) -> tuple[type[Exception], ...]:
    """Return classes of errors, of those modules that are open: others raised none."""
    split = (place.split(":") for place in places)
    return tuple(
        getattr(sys.modules[m], name) for m, name in split if sys.modules.get(m)
    )
