"""What the whole table would cost at the paper's sizes, in core-hours and in hours.

Nothing here is run. The runs are those of the second protocol's sweep files at the
profile ``paper``; what a step takes was measured on one core (``benchmarks/reports``).
Evaluation, diagnostics and the further steps of a search are not in it.
"""

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isometry.lab.search import Search
from isometry.sweep.file import parsed_file, read_sweep

SWEEPS = (
    "campaign/01_permuted_mnist.toml",
    "campaign/02_permuted_cifar10.toml",
    "campaign/03_random_label_cifar10.toml",
    "campaign/04_label_shuffled_cifar100.toml",
    "continual_minatar.toml",
)
PIXELS = {"mnist": 784, "cifar10": 3072, "cifar100": 3072}
# What was measured, by its name in the reports.
STACK, SEEDS = "784-512x4-10, batch 128, 8 seeds", 8
METHODS = "784-512x4-10, batch 128, 1 seed"
OURS, GAMES = "isometry, one stack", "isometry, numba games"
SAME_STEP = {"fresh": "adam"}  # Adam's, from new weights


@dataclass(frozen=True)
class Cost:
    """What the rows of one benchmark cost.

    Attributes:
        benchmark: Its name.
        tuning: Core-seconds of each run that settings are chosen by.
        reported: Core-seconds of each run of a chosen setting.
    """

    benchmark: str
    tuning: tuple[float, ...]
    reported: tuple[float, ...]

    @property
    def core_hours(self) -> float:
        """Hours of one core for all runs."""
        return (sum(self.tuning) + sum(self.reported)) / 3600

    def hours(self, workers: int) -> float:
        """Return the hours from start to end, on processes of one thread.

        A run is done by one worker; the reported ones wait for the choices.

        Args:
            workers: At least 1, each with a core of its own.
        """
        phases = (self.tuning, self.reported)
        return sum(makespan(phase, workers) for phase in phases) / 3600


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Return how long workers take for jobs, of which each takes the longest left.

    Args:
        seconds: Of each job.
        workers: At least 1.

    Example:
        >>> makespan([3.0, 2.0, 2.0, 1.0], 2)
        4.0
    """
    free = [0.0] * workers
    for job in sorted(seconds, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + job)
    return max(free)


def full_table(root: Path) -> list[Cost]:
    """Return what each benchmark costs at the paper's sizes.

    Args:
        root: The repository, for its sweep files and reports.

    Raises:
        OSError: If one of them is missing.
        KeyError: If the cost of a method was not measured.
    """
    reports = {
        name: json.loads((root / "benchmarks" / "reports" / f"{name}.json").read_text())
        for name in ("supervised_trainer", "methods_cost", "ppo")
    }
    return [_cost(root / "sweeps" / file, reports) for file in SWEEPS]


def _cost(path: Path, reports: Mapping[str, Any]) -> Cost:
    """Return the cost of a sweep file with the sizes of the profile ``paper``."""
    content = parsed_file(path)
    (benchmark,) = content["benchmarks"]
    asked = read_sweep(
        {**content, "profile": "paper", "benchmarks": {benchmark: {}}, "settings": {}}
    )
    tuning = [
        _seconds(search, place, reports)
        for search in asked.searches
        for place in range(len(search.plans) if len(search.plans) > 1 else 0)
        for _ in asked.tune_seeds
    ]
    reported = [
        _seconds(search, 0, reports)
        for search in asked.searches
        for _ in asked.report_seeds
    ]
    return Cost(benchmark, tuple(tuning), tuple(reported))


def _seconds(search: Search, place: int, reports: Mapping[str, Any]) -> float:
    """Return the core-seconds of one seed of a candidate."""
    settings = search.plans[place].settings
    method = SAME_STEP.get(search.method, search.method)
    ratio = reports["methods_cost"]["networks"][METHODS][method]["median_ratio"]
    if search.benchmark == "continual_minatar":
        games = len(settings.games.split(","))
        frames = settings.cycles * games * settings.env_steps
        a_second = reports["ppo"]["breakout"]["contestants"][GAMES]["frames_per_second"]
        return float(ratio * frames / a_second)
    measured = reports["supervised_trainer"]["problems"][STACK]["contestants"][OURS]
    larger = weights(PIXELS[settings.data], settings) / weights(784, settings)
    steps = settings.tasks * settings.steps_per_task
    return float(ratio * larger * steps * measured["seconds_a_step"] / SEEDS)


def weights(inputs: int, settings: Any) -> int:
    """Return how many weights a perceptron of these settings has, with ten outputs.

    Args:
        inputs: Pixels of an image.
        settings: Its width and depth, in hidden layers.
    """
    width = settings.width
    return inputs * width + (settings.depth - 1) * width * width + 10 * width


def total(costs: Iterable[Cost]) -> Cost:
    """Return the whole table as one cost: all its searches, then all its reports.

    Args:
        costs: Of the benchmarks.
    """
    kept = list(costs)
    return Cost(
        "all",
        tuple(s for one in kept for s in one.tuning),
        tuple(s for one in kept for s in one.reported),
    )
