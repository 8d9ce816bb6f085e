"""The command line: ``isometry list | run | sweep | collect | report | ...``."""

import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import App, Parameter

from isometry import __version__
from isometry.cli_data import data_app
from isometry.core.profile import Profile
from isometry.core.seeding import parsed_seeds
from isometry.core.settings import parsed_changes

app = App(
    name="isometry",
    help="Keep networks plastic: run, report and compare methods on benchmarks.",
    version=__version__,
    suppress_keyboard_interrupt=False,  # `main` says that a stopped run can go on
)
app.command(data_app)

USAGE_EXIT = 2
PLUGINS = "isometry.cli"  # entry points: functions of the app and the listings
Rows = list[tuple[str, str]]


@app.command(name="list")
def list_(what: Literal["methods", "benchmarks", "games", "claims"]) -> None:
    """List what there is to run, with one line each.

    Parameters
    ----------
    what
        methods, benchmarks, games or claims.
    """
    print("\n".join(listing(what)))


def _methods() -> Rows:
    from isometry.methods import METHODS

    return [(m.name, f"{m.summary} ({m.source})") for m in METHODS]


def _benchmarks() -> Rows:
    from isometry.rl.continual_benchmarks import CONTINUAL
    from isometry.supervised import BENCHMARKS

    return [(b.name, f"{b.summary} ({b.source})") for b in (*BENCHMARKS, *CONTINUAL)]


def _games() -> Rows:
    try:
        from isometry.rl.games.registry import GAMES
    except ModuleNotFoundError:  # no extra rl
        return []
    return [(game.name, game.summary) for game in GAMES]


# What can be listed: a name and a line each.
LISTINGS: dict[str, Callable[[], Rows]] = {
    "methods": _methods,
    "benchmarks": _benchmarks,
    "games": _games,
}


def listing(what: str) -> list[str]:
    """Return the lines of ``isometry list``, names padded to one column.

    Args:
        what: A name in :data:`LISTINGS`.
    """
    rows = LISTINGS[what]() if what in LISTINGS else []
    if not rows:
        return [f"no {what} here; they need: pip install 'plasticity-by-isometry[rl]'"]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {line}" for name, line in rows]


@app.command
def run(
    benchmark: str,
    *,
    method: str,
    seeds: str = "0:3",
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    out: str = "results",
    device: str = "auto",
    profile: Profile = "laptop",
) -> None:
    """Run a method on a benchmark; finished seeds are kept, killed runs go on.

    Parameters
    ----------
    benchmark
        See `isometry list benchmarks`.
    method
        See `isometry list methods`.
    seeds
        a:b (b excluded) or a,b,c.
    set_
        KEY=VALUE, a setting of the run or of the method; may be repeated.
    out
        Folder of the results store.
    device
        auto, cpu, cuda or cuda:N.
    profile
        Which sizes to start from.
    """
    from isometry.lab.report import report
    from isometry.lab.run import plan
    from isometry.lab.run import run as run_benchmark

    changes, chosen = parsed_changes(set_ or []), parsed_seeds(seeds)
    run_benchmark(
        benchmark,
        method,
        chosen,
        changes,
        profile=profile,
        out=out,
        device=device,
    )
    planned = plan(benchmark, method, changes, profile)
    path = planned.path(Path(out))
    print(report(path, planned.benchmark.metric))
    print(f"stored in {path}")


@app.command
def sweep(
    file: str,
    *,
    workers: int | None = None,
    dask: str | None = None,
    out: str = "results",
    device: str = "auto",
) -> int:
    """Run a grid of benchmarks, methods, settings and seeds; exit 1 if a run failed.

    Settings are chosen on tuning seeds and reported on fresh ones, where the file says
    so. Finished runs are kept, killed sweeps go on, failing runs are tried once more.

    Parameters
    ----------
    file
        A sweep file in TOML; sweeps/permuted_mnist_digits.toml is an example.
    workers
        Processes of one thread each; 0 works in this one. Default: one a processor, or
        one a GPU.
    dask
        Address of a Dask scheduler whose workers see the folder of the store.
    out
        Folder of the results store.
    device
        auto, cpu, cuda or cuda:N.
    """
    from isometry.sweep.file import read_sweep
    from isometry.sweep.report import budget_line, failure_lines, view
    from isometry.sweep.sweep import sweep as run_sweep

    asked = read_sweep(file)
    print(budget_line(asked), flush=True)
    outcome = run_sweep(file, workers=workers, dask=dask, out=out, device=device)
    if outcome.files:
        print(f"{view(out, asked.metric, 'table', 'summary')}\nstored in {out}")
    for line in failure_lines(outcome):
        print(f"isometry: {line}", file=sys.stderr)
    return int(bool(outcome.failures))


@app.command
def collect(source: str, *, out: str = "results") -> None:
    """Bring the results of one store into another; what is in both stays as it is.

    Parameters
    ----------
    source
        The store that is read, e.g. of another machine.
    out
        The store that grows.
    """
    from isometry.lab.collect import collect as collect_results

    print(collect_results(source, out))


@app.command
def report(
    directory: str,
    *,
    metric: str | None = None,
    format: Literal["table", "csv", "json", "markdown"] = "table",
    show: Literal["summary", "profile", "search"] = "summary",
) -> None:
    """Summarise a results store: interquartile means with 95 % intervals.

    Parameters
    ----------
    directory
        The store, a benchmark's folder in it, or one file.
    metric
        Which metric; by default the one that the store's benchmarks are judged by.
    format
        How to print it; csv and json have all digits.
    show
        summary; profile: which fraction of seeds gets above which score; search: which
        settings a sweep chose, and from how many.
    """
    from isometry.lab.report import main_metric
    from isometry.sweep.report import view

    print(view(directory, metric or main_metric(directory), format, show))


@app.command
def diagnose(
    checkpoint: str,
    *,
    model: str,
    inputs: str,
    format: Literal["table", "json", "csv"] = "table",
    jacobian: bool = True,
    ntk: bool = True,
    max_inputs: int = 256,
) -> None:
    """Look at a network's health: spectra, units, ranks, Jacobians and kernel.

    Parameters
    ----------
    checkpoint
        Written by torch.save: a state_dict, or a training's checkpoint that holds one.
    model
        module:factory, called without arguments; also from the working folder.
    inputs
        A batch as .pt, .npy or .npz.
    format
        How to print it; csv has one number a row, json and csv have all digits.
    jacobian
        Whether to take Jacobians.
    ntk
        Whether to take the neural tangent kernel.
    max_inputs
        The first so many inputs are used at most.
    """
    from isometry.diagnostics.files import diagnosis

    text = diagnosis(
        Path(checkpoint),
        model,
        Path(inputs),
        format,
        jacobian=jacobian,
        ntk=ntk,
        max_inputs=max_inputs,
    )
    print(text)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a refusal is one line on stderr and exit status 2.

    Args:
        arguments: Without the program's name; ``sys.argv`` if not given.
    """
    try:
        extend()
        status = app(
            arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
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


@cache
def extend() -> None:
    """Let other packages, such as the book, add their commands and listings."""
    for plugin in entry_points(group=PLUGINS):
        plugin.load()(app, LISTINGS)


def refused(error: Exception) -> str | None:
    """Return the one line that a refusal says, or None if it is an error of ours.

    Args:
        error: What a command raised.
    """
    line = None
    if isinstance(error, cyclopts.CycloptsError):
        line = f"{str(error).rstrip().rstrip('.')}; see isometry --help"
    elif isinstance(error, OSError) and error.strerror:
        names = [str(n) for n in (error.filename, error.filename2) if n is not None]
        line = f"{error.strerror}: {' and '.join(names)}" if names else error.strerror
    elif type(error) is ImportError or isinstance(error, _refusals()):
        line = str(error.args[0]) if error.args else type(error).__name__
    return None if line is None else " ".join(line.split())


def _refusals() -> tuple[type[Exception], ...]:
    """Return the errors that say what to do, whose rooms open only when one came."""
    from isometry.lab.store import StoreError
    from isometry.supervised.data import DataError

    return KeyError, ValueError, StoreError, DataError
