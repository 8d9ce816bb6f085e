"""Studies: experiments that are no benchmark run, with their numbers in the store."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from isometry.core.messages import unknown
from isometry.core.settings import settings_hash
from isometry.lab.provenance import provenance
from isometry.lab.store import COLUMNS, finished_seeds, result_path, write_file
from isometry_book.c2_kernel import study as kernel_study
from isometry_book.c3_deep_linear import study as deep_linear_study
from isometry_book.c4_maxmin import study as maxmin_study
from isometry_book.c5_adamo import cost_study, partial_study, pull, revival_study, runs
from isometry_book.c6_benchmark import residual_study
from isometry_book.interventions import deaths_study
from isometry_book.interventions import study as interventions_study

VERSION = 1
Study = Callable[[str, str], pd.DataFrame]  # (profile, data) -> tidy numbers

STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        "kernel": kernel_study.study,
        "deep_linear": deep_linear_study.study,
        "maxmin": maxmin_study.study,
        "lipschitz": maxmin_study.lipschitz_study,
        "adamo": runs.study,
        "cost": cost_study.study,
        "method_cost": cost_study.methods_study,
        "pull": pull.pull_runs,
        "partial": partial_study.study,
        "residual": residual_study.study,
        "revival": revival_study.study,
        "interventions": interventions_study.study,
        "natural_deaths": deaths_study.study,
        "natural_deaths_random_label": deaths_study.random_label_study,
    }
)


def run_study(
    name: str,
    profile: str = "paper",
    data: str = "digits",
    out: str | Path = "results",
) -> list[Path]:
    """Run a study and store its numbers, one file a benchmark and method.

    A study runs as a whole: files of the same study and settings are written anew.

    Args:
        name: One of :data:`STUDIES`.
        profile: smoke, laptop or paper.
        data: Data set of the parts that need images.
        out: The results store.

    Returns:
        The files.

    Raises:
        KeyError: If there is no such study; the nearest known one is named.
    """
    if name not in STUDIES:
        raise KeyError(unknown("study", name, STUDIES))
    started, origin = time.perf_counter(), provenance()
    frame = STUDIES[name](profile, data)
    seconds = round(time.perf_counter() - started, 3)
    settings: dict[str, Any] = {"study": name, "profile": profile, "data": data}
    entry = {"study_seconds": seconds, **origin}
    files = []
    for (benchmark, method), part in frame.groupby(["benchmark", "method"]):
        key = settings_hash(benchmark, method, settings)
        seeds = sorted(int(seed) for seed in part["seed"].unique())
        record = {
            "experiment_version": VERSION,
            "benchmark": benchmark,
            "method": method,
            "hash": key,
            "settings": settings,
            "method_settings": {},
            "runs": [
                {
                    "seeds": seeds,
                    "status": {str(seed): "finished" for seed in seeds},
                    **entry,
                }
            ],
        }
        path = result_path(Path(out), str(benchmark), str(method), key)
        finished_seeds(path, VERSION)  # refuses a file of another version
        write_file(path, part.assign(settings=key)[COLUMNS], record)
        files.append(path)
    return files
