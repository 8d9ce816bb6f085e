"""The commands of ``isometry``, made from typed functions by cyclopts."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from isometry import __version__
from isometry.catalogue import LISTINGS, listing
from isometry.cli_data import data_app
from isometry.cli_suite import suite_app
from isometry.core.extras import extra
from isometry.core.profile import Profile
from isometry.core.settings import parsed_changes

with extra("bench"):
    from cyclopts import App, Parameter

app = App(
    name="isometry",
    help="Keep networks plastic: run, report and compare methods on benchmarks.",
    version=__version__,
    suppress_keyboard_interrupt=False,  # `main` says that a stopped run can go on
)
app.command(data_app)
app.command(suite_app)
app.register_install_completion_command(
    help="Let bash, zsh or fish complete commands, options and names."
)


@cache
def command_line(others: tuple[Callable[..., Any], ...]) -> App:
    """Return the command line.

    Args:
        others: The commands of other packages.
    """
    for command in others:
        app.command(command)
    return app


def _names(what: str) -> Parameter:
    """Return a parameter whose values a shell completes from a listing."""
    return Parameter(completer=lambda _: dict(LISTINGS[what]()))


@app.command(name="list")
def list_(
    what: Literal["methods", "learners", "benchmarks", "games", "claims"],
) -> None:
    """List what there is to run, with one line each.

    Parameters
    ----------
    what
        methods, learners (of tracking streams), benchmarks, games or claims.
    """
    print("\n".join(listing(what)))


@app.command
def run(
    benchmark: Annotated[str, _names("benchmarks")],
    *,
    method: Annotated[str, _names("methods")],
    seeds: str = "0:3",
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    out: Path = Path("results"),
    device: str = "auto",
    profile: Profile = "laptop",
) -> None:
    """Run a method on a benchmark; finished seeds are kept, killed runs go on.

    Parameters
    ----------
    benchmark
        See `isometry list benchmarks`.
    method
        See `isometry list methods`; on tracking streams `isometry list learners`.
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
    from isometry.core.seeding import parsed_seeds
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
    path = planned.path(out)
    print(report(path, planned.benchmark.metric))
    print(f"stored in {path}")


@app.command
def sweep(
    file: Path,
    *,
    workers: int | None = None,
    dask: str | None = None,
    out: Path = Path("results"),
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
    for line in failure_lines(outcome.failures):
        print(f"isometry: {line}", file=sys.stderr)
    return int(bool(outcome.failures))


@app.command
def cluster(
    *,
    host: str = "127.0.0.1",
    port: int = 8786,
    tls: Path | None = None,
    workers: int = 1,
    gpu: bool = False,
) -> None:
    """Print the commands that start a Dask cluster and send a sweep to it.

    Parameters
    ----------
    host
        Address on which the scheduler listens; other machines need --tls.
    port
        Its port.
    tls
        Folder for the key and the certificate that all show.
    workers
        Processes of one thread on each machine that works.
    gpu
        Each of them has a GPU.
    """
    from isometry.sweep.recipe import recipe

    print(recipe(host, port, tls=tls, workers=workers, gpu=gpu))


@app.command
def collect(source: Path, *, out: Path = Path("results")) -> None:
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
def clean(*, out: Path = Path("results"), all: bool = False) -> None:
    """Remove the checkpoints, locks and halves of files that killed runs left behind.

    Results stay, and so do checkpoints from which a run goes on.

    Parameters
    ----------
    out
        The results store.
    all
        Remove checkpoints as well from which a run would go on.
    """
    from isometry.lab.work import clean as clean_store

    print(clean_store(out, all=all))


@app.command
def report(
    directory: Path,
    *,
    metric: str | None = None,
    format: Literal["table", "csv", "json", "markdown"] = "table",
    show: Literal["summary", "profile", "search"] = "summary",
    plot: Path | None = None,
) -> None:
    """Summarise a results store: interquartile means with 95 % intervals.

    Parameters
    ----------
    directory
        The store, a benchmark's folder in it, or one file.
    metric
        Which metric; by default the one that the store's benchmarks are judged by.
    format
        How to print it; csv and json have all digits, and settings by value.
    show
        summary; profile: which fraction of seeds gets above which score; search: which
        settings a sweep chose, and from how many.
    plot
        A picture of the courses over tasks, to be written: .png, .svg or .pdf.
    """
    from isometry.lab.metrics import load_metric
    from isometry.sweep.report import view

    stored, metric = load_metric(directory, metric)
    if plot:
        from isometry.lab.curves import draw

        draw(stored, plot, metric)
    print(view(directory, metric, format, show, stored))


@app.command
def diagnose(
    checkpoint: Path,
    *,
    model: str,
    inputs: Path,
    format: Literal["table", "json", "csv"] = "table",
    jacobian: bool = True,
    ntk: bool = True,
    max_inputs: int = 256,
    max_layer_entries: int = 2**21,
    outputs: str | None = None,
) -> None:
    """Look at a network's health: spectra, units, ranks, Jacobians and kernel.

    Parameters
    ----------
    checkpoint
        Written by torch.save: a state_dict, or a training's checkpoint that holds one;
        or by safetensors.
    model
        module:factory, called without arguments; also from the working folder.
    inputs
        A batch as .pt, .npy, .npz or .safetensors: one tensor or several, by name or
        in their order.
    format
        How to print it; csv has one number a row, json and csv have all digits.
    jacobian
        Whether to take Jacobians.
    ntk
        Whether to take the neural tangent kernel.
    max_inputs
        The first so many inputs are used at most.
    max_layer_entries
        The Jacobian of a layer with more entries is left out.
    outputs
        Which of the model's outputs, by name or number, if it returns several.
    """
    from isometry.diagnostics.files import diagnosis

    text = diagnosis(
        checkpoint,
        model,
        inputs,
        format,
        jacobian=jacobian,
        ntk=ntk,
        max_inputs=max_inputs,
        max_layer_entries=max_layer_entries,
        outputs=outputs,
    )
    print(text)
