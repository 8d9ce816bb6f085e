"""Is the severity of the loss tied to abruptness? Streams that blend, probed alike.

Permuted MNIST is lived through with tasks that change at once and with tasks that blend
into each other over an eighth, a quarter, a half, or all of their steps. What such a
stream itself measures cannot be compared between blends. Its online accuracy is that of
minibatches of which some images come under the permutation that is known already, and
also what is measured on the new permutation alone follows on fewer images of it, the
longer the blend. So at some ages a copy of the run learns a task that no stream has,
which begins at once and is the same for all: as many steps on the pure new task,
whatever the past. Its online accuracy is the measure; the stream's own numbers stand
beside it. New networks that learn the same tasks are the ceiling.

Settings are those that were chosen on the abrupt stream, and nothing else is tuned.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from isometry.core.profile import ByProfile
from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, paired_difference
from isometry.lab.comparison import CEILING
from isometry.lab.plans import Plan, plan
from isometry.lab.report import BOOTSTRAP_SEED, seed_scores
from isometry.lab.store import TIDY
from isometry.stream.run import Run
from isometry.supervised.data.sets import load
from isometry.supervised.streams import Pixels, scaled
from isometry_book.interventions.runs import (
    Row,
    after_next,
    fresh_run,
    next_task,
    rows_of,
    worn,
)
from isometry_book.study import Study

BENCHMARK = "gradual_permuted_mnist"
LIVED, PROBED = "gradual_lengths", "gradual_lengths_probes"  # names in the store
BLENDS = (0.0, 0.125, 0.25, 0.5, 1.0)
ABRUPT, SMOOTHEST = min(BLENDS), max(BLENDS)
# Method -> what was chosen for it on permuted_mnist at 100 tasks.
CHOSEN: dict[str, dict[str, Any]] = {
    "adam": {"lr": 1e-3, "beta2": 0.999},
    "adamo": {"lr": 3e-3, "isometry_head": False, "isometry_pull": 0.125},
    "fresh": {"lr": 3e-3, "beta2": 0.9999},
}
FIRST_PROBE = 100_000  # number of a task that no stream has
MEASURE = "online_accuracy"
LEAST_EFFECT = 0.02  # of online accuracy: what a smaller loss is, protocol's steady

Answer = Literal["tied", "not tied", "undecided", "nothing is lost"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the study is.

    Attributes:
        profile: Of the stream, whose settings it starts from.
        seeds: Networks of each method and blend.
        tasks: Of the stream.
        test_images: On which a task is tested.
        ages: At which a copy learns a probe, in tasks, among the first and the last
            fifth of them.
    """

    profile: str
    seeds: int
    tasks: int
    test_images: int
    ages: tuple[int, ...]


def name_of(method: str, blend: float) -> str:
    """Return what a method's networks on a stream are called in the store.

    Args:
        method: One of :data:`CHOSEN`.
        blend: One of :data:`BLENDS`.

    Example:
        >>> name_of("adam", 0.125)
        'adam_0.125'
    """
    return f"{method}_{blend:g}"


def _plan_of(method: str, blend: float, sizes: Sizes, data: str) -> Plan:
    """Return what is trained."""
    stream = {"data": data, "tasks": sizes.tasks, "test_images": sizes.test_images}
    changes = {**stream, "blend": blend, **CHOSEN[method]}
    return plan(BENCHMARK, method, changes, sizes.profile)


def _probe(planned: Plan, pixels: Pixels, run: Run, age: int, name: str) -> list[Row]:
    """Return what a run does on the probe of an age; the run stays as it is."""
    at_once = replace(planned, settings=replace(planned.settings, blend=0.0))
    aside = replace(run, task=FIRST_PROBE + age)
    task = next_task(at_once, pixels, aside)
    learned = after_next(at_once, pixels, aside, aside.parameters, task)
    rows = rows_of(PROBED, name, learned)
    return [(*row[:3], age, *row[4:]) for row in rows]


def _case_rows(method: str, blend: float, sizes: Sizes, data: str) -> list[Row]:
    """Train a method's networks through one stream and return all their rows."""
    name, planned = name_of(method, blend), _plan_of(method, blend, sizes, data)
    pixels = scaled(load(data), planned.settings.input_scaling)
    seeds, rows = list(range(sizes.seeds)), list[Row]()

    def look(run: Run) -> None:
        age = run.task
        if method == CEILING:
            run = fresh_run(planned, pixels, seeds, FIRST_PROBE + age)
        rows.extend(_probe(planned, pixels, run, age, name))

    lived = worn(planned, pixels, seeds, sizes.ages, look)
    return rows + rows_of(LIVED, name, lived)


def _numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return the measures of streams as lived, and of the probes, whose task is an age.

    Source: the question and the sampling of tasks are those of Liu & Mou 2026, arXiv
    2602.09234; probes and sizes ours.
    """
    rows = [
        row
        for method in CHOSEN
        for blend in BLENDS
        for row in _case_rows(method, blend, sizes, data)
    ]
    return pd.DataFrame(rows, columns=TIDY)


def loss_by_blend(frame: pd.DataFrame, method: str, metric: str) -> pd.DataFrame:
    """Return what each seed loses: mean over the first fifth minus the last fifth's.

    Args:
        frame: Tidy numbers, of streams as lived or of probes.
        method: One of :data:`CHOSEN`.
        metric: Where more is better.

    Returns:
        One row a seed, one column a blend; positive where something is lost.
    """
    columns = {}
    for blend in BLENDS:
        own = frame[frame["method"] == name_of(method, blend)]
        first, last = (seed_scores(own, metric, part) for part in ("first", "last"))
        columns[blend] = first - last
    return pd.DataFrame(columns)


def intervals_by_blend(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the loss of each method at each blend with its 95 % interval over seeds.

    Args:
        frame: Tidy numbers, of streams as lived or of probes.
        metric: Where more is better.

    Returns:
        Indexed by ``method`` and ``blend``: ``mean``, ``low``, ``high``.
    """
    rows = {}
    for method in CHOSEN:
        for blend, loss in loss_by_blend(frame, method, metric).items():
            found = _interval(loss, 0 * loss, metric, method, str(blend))
            rows[method, blend] = [found.estimate, found.low, found.high]
    table = pd.DataFrame(rows, index=["mean", "low", "high"]).T
    return table.rename_axis(["method", "blend"])


def _interval(first: pd.Series, second: pd.Series, *labels: str) -> Interval:
    """Return the difference over seeds with its interval."""
    draw = numpy_generator(BOOTSTRAP_SEED, "gradual", *labels)
    return paired_difference(first, second, draw)


@dataclass(frozen=True)
class Severity:
    """What becoming gradual spares.

    Attributes:
        abrupt: Loss of the stream whose tasks change at once.
        smoothest: That of the stream that is never without a blend.
        spared: The first minus the second, seed by seed.
    """

    abrupt: Interval
    smoothest: Interval
    spared: Interval

    @property
    def answer(self) -> Answer:
        """Whether severity is tied to abruptness.

        The rule, from before any of the numbers: where the abrupt stream's 95 %
        interval is not above zero, nothing is lost and nothing is asked. Else
        severity is *tied* to abruptness where the whole interval of what is spared
        lies above :data:`LEAST_EFFECT`, *not tied* where all of it lies below, and
        otherwise the data do not tell.
        """
        if not self.abrupt.low > 0:
            return "nothing is lost"
        if self.spared.low > LEAST_EFFECT:
            return "tied"
        return "not tied" if self.spared.high < LEAST_EFFECT else "undecided"


def severity(frame: pd.DataFrame, metric: str = MEASURE) -> Severity:
    """Return what Adam loses on the abrupt and on the smoothest stream.

    Args:
        frame: Tidy numbers; those of the probes, by :data:`MEASURE`, are what the
            question is answered by.
        metric: Where more is better.
    """
    loss = loss_by_blend(frame, "adam", metric)
    first, last = loss[ABRUPT], loss[SMOOTHEST]
    return Severity(
        abrupt=_interval(first, 0 * first, metric, "abrupt"),
        smoothest=_interval(last, 0 * last, metric, "smoothest"),
        spared=_interval(first, last, metric, "spared"),
    )


LAPTOP = Sizes(
    profile="laptop",
    seeds=8,
    tasks=100,
    test_images=1000,
    ages=(*range(0, 20, 4), *range(80, 100, 4)),
)
GRADUAL = Study(
    name="gradual",
    sizes=ByProfile(
        smoke=Sizes(profile="smoke", seeds=2, tasks=4, test_images=50, ages=(0, 3)),
        laptop=LAPTOP,
        paper=replace(LAPTOP, profile="paper"),
    ),
    run=_numbers,
)
