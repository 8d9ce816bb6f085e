"""The judges of chapter 6's claims about single streams, and of two studies."""

import math

import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.settings import as_dict
from isometry.core.statistics import stratified_bootstrap
from isometry.lab.comparison import strength_grid
from isometry.lab.report import BOOTSTRAP_SEED
from isometry.lab.store import Record
from isometry.methods import get
from isometry_book.c6_benchmark.box import REPORTED, in_box
from isometry_book.c6_benchmark.study import DRIFT
from isometry_book.claims.claim import Judge, Outcome, Verdict, judged
from isometry_book.evidence.protocol import (
    CLOSE,
    LEAST_SEEDS,
    differences,
    enough,
    in_words,
    not_tested,
    outcome_against,
    search_not_ended,
    size_of,
)
from isometry_book.evidence.streams import (
    CONTROL,
    Stream,
    gate_of,
    streams_of,
    table_of,
)

JUDGED = "adamo"  # with ReLU, its head free
RIVALS = ("adam", "l2_init", "nap", "redo", "spectral", "newton_schulz")
FEWER_RIVALS = ("adam", "l2_init", "newton_schulz")  # of the costlier networks
ROBUST, DECADES = 0.02, 100.0  # of online accuracy; of strength
NEAR, SURELY = 0.5, 1.5  # distance of singular values from one; growth of it


def _matches(name: str, rivals: tuple[str, ...] = RIVALS) -> Judge:
    """Return the judge of "AdamO matches or beats every baseline" on a stream."""

    def judge(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
        stream = streams_of(results, records).get(name)
        gate = gate_of(stream) if stream is not None else None
        if stream is None or gate is None:
            return None
        if not gate.passed:
            return not_tested(f"On this stream {gate}.")
        methods = (JUDGED, *rivals)
        table = enough(stream, methods)
        if table is None:
            missing = [m for m in methods if enough(stream, (m,)) is None]
            short = ", ".join(missing) or "some"
            return not_tested(f"There are not {LEAST_SEEDS} seeds yet of {short}.")
        found = differences(table, JUDGED, rivals, name)
        outcome, open_ = outcome_against(found), search_not_ended(stream, methods)
        words = in_words(JUDGED, found)
        if open_:
            outcome, words = "undecided", f"{words} Not ended: {', '.join(open_)}."
        return Verdict(
            verdict=outcome,
            reason=f"Online accuracy of {words} {len(table)} seeds; {gate}.",
            gap=size_of(stream.runs[JUDGED]),
        )

    return judge


for _key, _stream, _rivals in (
    ("bench-random-label", "random_label_cifar10", RIVALS),
    ("bench-permuted-mnist", "permuted_mnist", RIVALS),
    ("bench-permuted-cifar10", "permuted_cifar10", RIVALS),
    ("bench-label-shuffled", "label_shuffled_cifar100", RIVALS),
    ("bench-cnn", "permuted_cifar10 cnn", FEWER_RIVALS),
    ("bench-transformer", "permuted_cifar10 transformer", FEWER_RIVALS),
):
    judged(_key)(_matches(_stream, _rivals))


@judged("literal-box")
def _literal_box(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge whether AdamO is Adam where the pull of a run is next to nothing."""
    runs = {
        record["method"]: record
        for record in filter(in_box, records)
        if record["settings"]["lr"] == REPORTED
        and record["method"] in (JUDGED, CONTROL)
        and record["method_settings"] == as_dict(get(record["method"]).settings)
    }
    if len(runs) < 2:
        return None
    table = table_of(Stream("literal box", runs, None, results), "level").dropna()
    if len(table) < LEAST_SEEDS:
        return None
    found = differences(table, JUDGED, (CONTROL,), "literal box")[CONTROL]
    low, high = found.interval.low, found.interval.high
    outcome: Outcome = "undecided"
    if low > -CLOSE and high < CLOSE:
        outcome = "reproduced"
    elif high < -CLOSE or low > CLOSE:
        outcome = "not reproduced"
    return Verdict(
        verdict=outcome,
        reason=f"Online accuracy, {in_words(JUDGED, {CONTROL: found})}",
        gap="The paper's network; its images, epochs and batches are not known.",
    )


def _robust_span(grid: pd.Series) -> float:
    """Return largest over smallest strength of the run of good ones around the best.

    Example:
        >>> _robust_span(pd.Series({0.01: 0.5, 0.1: 0.79, 1.0: 0.8, 10.0: 0.6}))
        10.0
    """
    good = (grid >= grid.max() - ROBUST).to_numpy()
    low = high = int(grid.to_numpy().argmax())
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(good) and good[high + 1]:
        high += 1
    return float(grid.index[high] / grid.index[low])


@judged("sensitivity")
def _sensitivity(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge over how many decades of strength AdamO stays near its best."""
    grids = {}
    for benchmark in sorted({record["benchmark"] for record in records}):
        grid = strength_grid(results, records, benchmark)
        if grid is not None and grid.index[-1] / grid.index[0] >= DECADES:
            grids[benchmark] = grid
    if len(grids) < 2:
        return None
    spans = {benchmark: _robust_span(grid) for benchmark, grid in grids.items()}
    robust = [name for name, span in spans.items() if span >= DECADES * (1 - 1e-9)]
    outcome: Outcome = "partly" if robust else "not reproduced"
    if len(robust) >= 2:
        outcome = "reproduced"
    words = [
        f"{name}: {math.log10(span):.1f} decades around "
        f"{grids[name].idxmax():g}, of {len(grids[name])} strengths"
        for name, span in spans.items()
    ]
    return Verdict(
        verdict=outcome,
        reason=f"Within {ROBUST} of the best online accuracy: {'; '.join(words)}.",
        gap="The range depends on learning rate and length of the stream, by the pull.",
    )


@judged("residual-drift")
def _residual_drift(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge how far the stream of a trained transformer drifts from isometry."""
    own = results[(results["benchmark"] == DRIFT) & (results["method"] == "adam")]
    own = own[own["metric"] == "trunk_spread"]
    spreads = own.pivot(index="seed", columns="task", values="value").dropna()
    if len(spreads) < 4 or spreads.shape[1] < 3:
        return None
    growth = spreads.iloc[:, -1] / spreads.iloc[:, 0]
    draw = numpy_generator(BOOTSTRAP_SEED, "residual drift")
    found = stratified_bootstrap(growth, draw)
    near = bool(spreads.iloc[:, 0].max() <= NEAR)
    drifts = bool(found.estimate >= 2 and found.low > SURELY)
    outcomes: tuple[Outcome, ...] = ("not reproduced", "partly", "reproduced")
    outcome = outcomes[near + drifts]
    return Verdict(
        verdict=outcome,
        reason=f"Root mean square distance of the trunk's singular values from one: "
        f"{spreads.iloc[:, 0].mean():.2f} at the start, "
        f"{spreads.iloc[:, -1].mean():.2f} after {spreads.columns[-1]} tasks; "
        f"ratio {found}; {len(spreads)} seeds.",
        gap="A small transformer on Permuted CIFAR-10; the paper only remarks on it.",
    )
