"""Running one method on one benchmark, with its results in the store."""

import os
import shutil
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from isometry.core.messages import refusal
from isometry.core.seeding import checked_seeds
from isometry.core.settings import as_dict, settings_hash
from isometry.lab.plans import Plan, needs_images, plan
from isometry.lab.provenance import provenance
from isometry.lab.store import COLUMNS, add_results, finished_seeds, read_file
from isometry.lab.work import (
    WORK,
    begun_elsewhere,
    held,
    removed_orphans,
    unfinished,
)
from isometry.stream.checkpoint import Identity, identity_of
from isometry.stream.run import Run
from isometry.supervised.data.sets import load
from isometry.supervised.streams import scaled
from isometry.supervised.trainer import train


def chosen_device(device: str) -> torch.device:
    """Return the device that a name stands for; ``auto`` takes a GPU if there is one.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ValueError: If it is not a device, or not one of this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise ValueError(refusal("a device auto, cpu or cuda", device, "choose one"))
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            refusal(
                f"a CUDA device for {device}",
                f"{torch.cuda.device_count()} of them",
                "use --device cpu or auto",
            )
        )
    return found


def _tidy(planned: Plan, run: Run) -> pd.DataFrame:
    """Return a run's records as a frame with the store's columns."""
    frame = pd.DataFrame.from_records(run.records)
    frame["benchmark"] = planned.benchmark.name
    frame["method"] = planned.method.name
    frame["settings"] = planned.hash()
    return frame[COLUMNS]


def _run_record(
    planned: Plan, run: Run, origin: dict[str, Any], spent: dict[str, float]
) -> dict[str, Any]:
    """Return the record of a run: settings, seeds, status and provenance."""
    status = {
        str(seed): f"diverged at step {run.diverged_at[seed]}"
        if seed in run.diverged_at
        else "finished"
        for seed in run.seeds
    }
    entry = {
        "seeds": run.seeds,
        "status": status,
        **{key: round(seconds, 3) for key, seconds in spent.items()},
        **origin,
    }
    return {
        "experiment_version": planned.benchmark.experiment_version,
        "benchmark": planned.benchmark.name,
        "method": planned.method.name,
        "hash": planned.hash(),
        "settings": as_dict(planned.settings),
        "method_settings": as_dict(planned.method_settings),
        "architecture": planned.architecture(),
        "runs": [entry],
    }


def _trained(planned: Plan, seeds: list[int], **keywords: Any) -> Run:
    """Train on images, on games or on a target, whichever the benchmark is of."""
    methods = planned.method, planned.method_settings
    settings = planned.settings
    if planned.tracks:
        from isometry.tracking.training import train as track

        benchmark: Any = planned.benchmark
        return track(benchmark, *methods, settings, seeds, **keywords)
    if not needs_images(planned):
        from isometry.rl.continual import train as train_on_games

        return train_on_games(planned.games, *methods, settings, seeds, **keywords)
    pixels = scaled(load(settings.data), settings.input_scaling)
    return train(planned.images, *methods, settings, pixels, seeds, **keywords)


def _execute(
    planned: Plan, seeds: list[int], store: Path, device: torch.device
) -> None:
    """Train the missing seeds and add them to the store; resumable at any moment."""
    began, origin = (time.perf_counter(), time.process_time()), provenance(device)
    work = _work_folder(planned, seeds, store)
    label = f"{planned.benchmark.name} {planned.method.name}"
    hidden = os.environ.get("ISOMETRY_PROGRESS") == "0"
    total = planned.settings.tasks
    with tqdm(total=total, desc=label, delay=2, disable=hidden) as bar:
        run = _trained(
            planned,
            seeds,
            device=device,
            checkpoint=work / "checkpoint.pt",
            progress=partial(_show_progress, bar),
        )
    spent = {  # by the clock, and by the cores of this process; since it went on, if so
        "seconds": time.perf_counter() - began[0],
        "core_seconds": time.process_time() - began[1],
    }
    # Where a run of some of these seeds was faster, its results stand.
    record = _run_record(planned, run, origin, spent)
    add_results(planned.path(store), _tidy(planned, run), record)
    if work.exists():  # a run of one task has no checkpoint
        shutil.rmtree(work)


def missing_seeds(planned: Plan, seeds: Iterable[int], store: Path) -> list[int]:
    """Return those seeds, sorted, whose results the store does not have.

    Args:
        planned: What is run.
        seeds: Which seeds are wanted.
        store: The store's folder.

    Raises:
        StoreError: If the store has results of another version of the benchmark.
    """
    done = finished_seeds(planned.path(store), planned.benchmark.experiment_version)
    return sorted(set(seeds) - done)


def _work_folder(planned: Plan, seeds: list[int], store: Path) -> Path:
    """Return the folder of a run's checkpoints."""
    version = planned.benchmark.experiment_version
    name = f"{planned.path(store).stem}-{settings_hash(seeds, version)}"
    return store / WORK / planned.benchmark.name / name


def _identity(planned: Plan, seeds: list[int], device: torch.device) -> Identity:
    """Return what a run's checkpoint says of itself."""
    names = planned.benchmark.name, planned.method.name
    settings = planned.settings, planned.method_settings
    return identity_of(*names, *settings, seeds, device)


def _show_progress(bar: tqdm, done: int, total: int) -> None:
    """Move a progress bar to ``done`` of ``total`` tasks."""
    bar.total = total
    bar.update(done - bar.n)


def run(
    benchmark: str,
    method: str,
    seeds: Iterable[int] = range(3),
    settings: Mapping[str, Any] | None = None,
    *,
    profile: str = "laptop",
    out: str | Path = "results",
    device: str = "auto",
    anew: bool = False,
) -> pd.DataFrame:
    """Run a method on a benchmark and return its numbers, tidy.

    Seeds whose results the store has are not run again. A killed run goes on where it
    stopped when the same call is made again, and gives the same numbers: equal bits
    need the same code, machine, build of torch, device and number of threads, and a
    checkpoint of others is refused.

    Args:
        benchmark: Name of a benchmark.
        method: Name of a method.
        seeds: Seeds to run, distinct.
        settings: Settings of the run or of the method by name; text is parsed.
        profile: smoke, laptop or paper.
        out: The results store.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        anew: Whether a run that was begun on another processor or GPU begins anew;
            otherwise its checkpoint is refused.

    Returns:
        Columns ``benchmark, method, settings, seed, task, metric, value``.

    Raises:
        KeyError: For a name that is not known; the nearest known one is named.
        TypeError: For a seed that is not a whole number.
        ValueError: For a value out of range.
        DataError: If the data are missing and cannot be had.
        StoreError: If the store cannot take the results.
    """
    wanted = checked_seeds(seeds)
    planned, store = plan(benchmark, method, settings, profile), Path(out)
    on_cpu = planned.tracks and device == "auto"  # nothing else is of use there
    where = chosen_device("cpu" if on_cpu else device)
    if where.type == "cpu" and getattr(planned.settings, "precision", "") == "tf32":
        needed = "a CUDA device for precision=tf32"
        raise ValueError(refusal(needed, "a CPU", "leave precision out"))
    while missing := missing_seeds(planned, wanted, store):
        seeds = unfinished(
            lambda some: _work_folder(planned, some, store),
            lambda some: _identity(planned, some, where),
            missing,
        )
        work = _work_folder(planned, seeds, store)
        with held(work):  # twice at once: one works
            if seeds == missing_seeds(planned, seeds, store):
                if anew and begun_elsewhere(work, _identity(planned, seeds, where)):
                    shutil.rmtree(work)
                _execute(planned, seeds, store, where)
    removed_orphans(store, _work_folder(planned, wanted, store))
    frame, _ = read_file(planned.path(store))
    return frame[frame["seed"].isin(wanted)].reset_index(drop=True)
