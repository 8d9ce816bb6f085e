"""All studies of the book, and how their numbers get into the store."""

import time
from pathlib import Path
from typing import Any

from isometry.core.registry import Registry
from isometry.core.settings import settings_hash
from isometry.lab.provenance import provenance
from isometry.lab.store import COLUMNS, finished_seeds, result_path, write_file
from isometry_book.c1_plasticity import train_it as c1
from isometry_book.c2_kernel import study as c2
from isometry_book.c3_deep_linear import study as c3
from isometry_book.c4_maxmin import study as c4
from isometry_book.c5_adamo import study as c5
from isometry_book.c6_benchmark import study as c6
from isometry_book.interventions import study as interventions
from isometry_book.study import Study

VERSION = 1
STUDIES: Registry[Study[Any]] = Registry("study")
for _study in (
    *c1.STUDIES,
    *c2.STUDIES,
    *c3.STUDIES,
    *c4.STUDIES,
    *c5.STUDIES,
    *c6.STUDIES,
    *interventions.STUDIES,
):
    STUDIES.register(_study.name, _study)


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
        ValueError: If there is no such profile.
    """
    study = STUDIES.get(name)
    started, origin = time.perf_counter(), provenance()
    frame = study.at(profile, data)
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
