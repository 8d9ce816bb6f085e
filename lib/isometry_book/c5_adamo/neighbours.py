"""Chapter 5: AdamO's neighbours, five schedules of a pull towards isometry.

FIRE jumps at each switch of the task, AdamO flows, Newton-Schulz projects after every
step, Parseval and SPHERE have a penalty in the loss, and PAPO adds the gradient's polar
factor. All are searched alike on one stream; their spectra are watched over two
switches, and their accuracy is compared at the same number of steps and at equal cost.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from isometry.adamo import strength_for_relaxation
from isometry.core.matrices import singular_values
from isometry.core.paired import Comparison
from isometry.core.settings import changed
from isometry.lab.store import TIDY
from isometry.methods import METHODS, Method
from isometry.methods.training import Training
from isometry.stream.run import Run
from isometry.supervised.benchmarks import BENCHMARKS
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import Pixels
from isometry.supervised.trainer import train
from isometry_book.c5_adamo import continual
from isometry_book.evidence.protocol import differences

BENCHMARK, SPECTRA = "neighbours", "neighbours_spectra"
SCHEDULES = {
    "adam": "none",
    "fire": "jump at a switch",
    "adamo": "flow",
    "newton_schulz": "limit at each step",
    "parseval": "penalty on weights",
    "sphere": "penalty on features",
    "papo": "polar gradient added",
}
RATES = (1e-3, 3e-3)
WATCHED_RATE = 3e-3  # of the watched runs: one for all, so that all drift alike
WATCHED_TASKS = 3  # two switches
ADAM_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
OWN: Mapping[str, tuple[dict[str, Any], ...]] = {
    "fire": tuple({"fire_iterations": n} for n in (5, 10, 20)),
    "adamo": tuple({"relaxation": n} for n in (10, 100, 1000)),
    "newton_schulz": tuple({"projection_iterations": n} for n in (1, 2, 5)),
    "parseval": tuple(
        {"parseval_strength": s, "parseval_scale": 1.0} for s in (1e-2, 1e-3, 1e-4)
    ),
    "sphere": tuple({"sphere_ratio": s} for s in (5e-2, 5e-3, 5e-4)),
    "papo": tuple({"polar_strength": s} for s in (1e-1, 1e-2, 1e-3)),
}
QUANTILES = {"smallest": 0.0, "low": 0.1, "median": 0.5, "high": 0.9, "largest": 1.0}
Candidate = tuple[float, dict[str, Any]]  # learning rate, the method's own settings
Rows = list[tuple[str, str, int, int, str, float]]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the comparison is.

    Attributes:
        stream: Of each run; its seeds report, and come after those that tune.
        tuning: Seeds that choose the settings.
        rounds: How often the time of each method is taken.
        every: Spectra are looked at after every so many steps.
    """

    stream: continual.Sizes
    tuning: int
    rounds: int
    every: int


def candidates(method: str) -> list[Candidate]:
    """Return the six settings that a method's search tries.

    Args:
        method: Of :data:`SCHEDULES`, or ``fresh``, which takes those of Adam.
    """
    if method not in OWN:
        return [(lr, {}) for lr in ADAM_RATES]
    return [(lr, _at_rate(own, lr)) for lr in RATES for own in OWN[method]]


def _at_rate(own: dict[str, Any], lr: float) -> dict[str, Any]:
    """Return settings as the method takes them: a relaxation time is a strength."""
    if "relaxation" not in own:
        return own
    return {"isometry_strength": strength_for_relaxation(own["relaxation"], lr)}


def _run(
    method: Method,
    candidate: Candidate,
    settings: SupervisedSettings,
    pixels: Pixels,
    seeds: list[int],
) -> Run:
    """Train a stack of seeds through the stream."""
    lr, own = candidate
    return train(
        BENCHMARKS.get("random_label_mnist"),
        method,
        changed(method.settings, own),
        replace(settings, lr=lr),
        pixels,
        seeds,
    )


def _accuracy(run: Run) -> pd.DataFrame:
    """Return the online accuracy of each task, a row a task and a column a seed."""
    seen = pd.DataFrame(run.records).query("metric == 'online_accuracy'")
    return seen.pivot(index="task", columns="seed", values="value")


def watched(method: Method, every: int, looks: list[tuple[int, Tensor]]) -> Method:
    """Return the method with a look at its hidden spectra while it trains.

    Args:
        method: Any.
        every: Look after every so many steps, and once more right after a switch.
        looks: Gets (steps taken, singular values ``(members, layers, width)``).
    """

    def look(training: Training, steps: int) -> None:
        weights = [training.parameters[n] for n in training.structure.named("hidden")]
        looks.append((steps, torch.stack([singular_values(w) for w in weights], 1)))

    def after_step(training: Training) -> None:
        if method.after_step is not None:
            method.after_step(training)
        if (training.step + 1) % every == 0:
            look(training, training.step + 1)

    def before_task(training: Training) -> None:
        if method.before_task is not None:
            method.before_task(training)
        look(training, training.step)

    return replace(method, after_step=after_step, before_task=before_task)


def summaries(values: Tensor) -> dict[str, Tensor]:
    """Return what is kept of hidden spectra, each ``(members,)``.

    Args:
        values: Singular values, ``(members, layers, width)``.

    Returns:
        The :data:`QUANTILES` over all layers; ``distance``, the root mean square of
        ``sigma - 1``; and ``spread``, the same of ``sigma`` over its layer's mean,
        which does not see the scale.
    """
    flat = values.double().flatten(1)
    found = {name: flat.quantile(q, dim=1) for name, q in QUANTILES.items()}
    relative = values.double() / values.double().mean(-1, keepdim=True)
    return found | {
        "distance": (flat - 1).square().mean(1).sqrt(),
        "spread": (relative - 1).square().mean((1, 2)).sqrt(),
    }


def _cost_ratios(
    runs: Mapping[str, Callable[[], Any]], rounds: int
) -> dict[str, float]:
    """Return each run's CPU seconds over Adam's, the median over interleaved rounds."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            taken[name].append(time.process_time() - start)
    return {
        name: median(a / b for a, b in zip(own, taken["adam"], strict=True))
        for name, own in taken.items()
    }


def neighbour_numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Search, time, train and watch all methods, and return the tidy numbers.

    Of :data:`BENCHMARK`: ``candidate_accuracy`` of each candidate, the task, on the
    tuning seeds; ``chosen``, the number of the best; ``time_ratio``, CPU seconds of
    three tasks and two switches over Adam's, on one thread; ``epochs``, as many as
    Adam's seconds allow, rounded down; and of each task ``online_accuracy``, at the
    stream's epochs, and ``accuracy_at_cost``, at these. Of :data:`SPECTRA`: ``steps``
    and the :func:`summaries` of each look, the task, at one learning rate for all, with
    the method's best own settings at that rate.

    Args:
        sizes: How large.
        data: A data set's name.
    """
    settings = continual.stream_settings(sizes.stream, data)
    pixels, rows = continual.stream_pixels(settings), Rows()
    tuning = list(range(sizes.tuning))
    seeds = [sizes.tuning + seed for seed in range(sizes.stream.seeds)]
    short = replace(settings, tasks=WATCHED_TASKS)
    chosen: dict[str, Candidate] = {}
    for name in ("fresh", *SCHEDULES):
        method, tried = METHODS.get(name), candidates(name)
        scores = []
        for index, candidate in enumerate(tried):
            own = _accuracy(_run(method, candidate, settings, pixels, tuning)).mean()
            rows += _rows(name, index, "candidate_accuracy", own)
            scores.append(float(own.mean()))
        best = scores.index(max(scores))
        rows.append((BENCHMARK, name, 0, 0, "chosen", best))
        chosen[name] = tried[best]
        if name != "fresh":
            at_rate = [i for i, (lr, _) in enumerate(tried) if lr == WATCHED_RATE]
            index = max(at_rate, key=scores.__getitem__)
            looks: list[tuple[int, Tensor]] = []
            _run(
                watched(method, sizes.every, looks), tried[index], short, pixels, seeds
            )
            rows.append((SPECTRA, name, seeds[0], 0, "candidate", index))
            rows += _look_rows(name, looks, seeds)

    def timed(name: str) -> Callable[[], Any]:
        return lambda: _run(METHODS.get(name), chosen[name], short, pixels, seeds)

    ratios = _cost_ratios({name: timed(name) for name in chosen}, sizes.rounds)
    for name, ratio in ratios.items():
        affordable = min(settings.epochs, max(1, math.floor(settings.epochs / ratio)))
        rows.append((BENCHMARK, name, 0, 0, "time_ratio", ratio))
        rows.append((BENCHMARK, name, 0, 0, "epochs", affordable))
        budgets = {"online_accuracy": settings.epochs, "accuracy_at_cost": affordable}
        for metric, epochs in budgets.items():
            own = replace(settings, epochs=epochs)
            run = _run(METHODS.get(name), chosen[name], own, pixels, seeds)
            for task, accuracies in _accuracy(run).iterrows():
                rows += _rows(name, int(str(task)), metric, accuracies)
    return pd.DataFrame(rows, columns=TIDY)


def _rows(method: str, task: int, metric: str, by_seed: pd.Series) -> Rows:
    """Return one number a seed as rows."""
    return [
        (BENCHMARK, method, int(seed), task, metric, float(value))
        for seed, value in by_seed.items()
    ]


def _look_rows(method: str, looks: list[tuple[int, Tensor]], seeds: list[int]) -> Rows:
    """Return all looks at one method's spectra as rows."""
    rows: Rows = []
    for index, (steps, values) in enumerate(looks):
        found = summaries(values) | {"steps": torch.full((len(seeds),), float(steps))}
        for metric, own in found.items():
            for seed, value in zip(seeds, own.tolist(), strict=True):
                rows.append((SPECTRA, method, seed, index, metric, value))
    return rows


def compared(
    numbers: pd.DataFrame, metric: str, method: str | None = None
) -> dict[str, Comparison]:
    """Return mean accuracies minus Adam's, or one method's minus those of all others.

    Written before the runs: a method is better where the difference's standing is
    ``above``, as good where it is ``within``, worse where it is ``below``, by the
    protocol's margin of 0.005; else nothing is said.

    Args:
        numbers: Tidy, of :data:`BENCHMARK`.
        metric: ``online_accuracy`` or ``accuracy_at_cost``.
        method: Whose numbers; None: everyone's, minus Adam's.
    """
    own = numbers[numbers["metric"] == metric]
    table = own.groupby(["seed", "method"])["value"].mean().unstack()
    if method is not None:
        rivals = [name for name in table if name not in (method, "fresh")]
        return differences(table, method, rivals, metric)
    others = [name for name in table if name != "adam"]
    return {
        name: differences(table, name, ("adam",), metric)["adam"] for name in others
    }


def curves(numbers: pd.DataFrame, method: str, metric: str) -> pd.DataFrame:
    """Return one metric of a method's spectra: a row a look, a column a seed.

    Args:
        numbers: Tidy, of :data:`SPECTRA`.
        method: Which method.
        metric: Of :func:`summaries`, or ``steps``. Looks right after a switch have the
            steps of the look before it.
    """
    own = numbers[(numbers["method"] == method) & (numbers["metric"] == metric)]
    return own.pivot(index="task", columns="seed", values="value")


def findings(numbers: pd.DataFrame) -> dict[str, bool]:
    """Return what the spectra say of each schedule; all of it holds on every seed.

    The criteria were written before the runs. A method *holds* the spectrum if its
    distance is below Adam's at the end of the last task.

    Args:
        numbers: Tidy, of :data:`SPECTRA`.

    Returns:
        ``fire_jumps``: at each switch the distance falls to less than half.
        ``fire_falls_back``: at the end of each task after a switch it is more than
        twice what it was right after the switch.
        ``adamo_even``: the largest distance within the last task is at most 1.5 times
        that within the first.
        ``newton_schulz_pins``: the distance is never above 0.05.
        ``METHOD_holds``, for each method but Adam.
        ``sphere_evens``: at the end SPHERE's spread, which does not see the scale, is
        below Adam's.
    """
    end = {name: curves(numbers, name, "distance").iloc[-1] for name in SCHEDULES}
    found = {
        f"{name}_holds": bool((own < end["adam"]).all())
        for name, own in end.items()
        if name != "adam"
    }
    steps = curves(numbers, "fire", "steps").iloc[:, 0]
    after = [i for i in steps.index[1:] if steps[i] == steps[i - 1]]  # a switch
    fire = curves(numbers, "fire", "distance")
    ends = [*(i - 1 for i in after[1:]), steps.index[-1]]
    jumps = [(fire.loc[i] < fire.loc[i - 1] / 2).all() for i in after]
    back = [
        (fire.loc[e] > 2 * fire.loc[i]).all() for i, e in zip(after, ends, strict=True)
    ]
    adamo = curves(numbers, "adamo", "distance")
    first, last = adamo.loc[: after[0] - 1].max(), adamo.loc[after[-1] :].max()
    pinned = curves(numbers, "newton_schulz", "distance")
    spread = {name: curves(numbers, name, "spread").iloc[-1] for name in SCHEDULES}
    return found | {
        "fire_jumps": all(jumps),
        "fire_falls_back": all(back),
        "adamo_even": bool((last <= 1.5 * first).all()),
        "newton_schulz_pins": bool((pinned <= 0.05).to_numpy().all()),
        "sphere_evens": bool((spread["sphere"] < spread["adam"]).all()),
    }
