"""The judge of the claim that the pull wakes dead units."""

import pandas as pd

from isometry.core.statistics import Interval
from isometry.lab.store import Record
from isometry_book.c5_adamo.judge import by_seed, paired
from isometry_book.claims.claim import Outcome, Verdict, judged
from isometry_book.evidence.protocol import not_tested
from isometry_book.evidence.rows import chosen

# Networks that Adam wore out are handed to others; AdamO's strength there is one.
DEATHS, HANDED, FURTHER, TENTH = "deaths_", "adamo_1", 10, 0.1


@judged("revival")
def _revival(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge the shares of dead units that fire at the end, AdamO against Adam."""
    found = {}
    for kill in ("direction", "bias", "strong_bias"):
        benchmark = f"revival_{kill}"
        rows = chosen(results, benchmark, "fires")
        if not {"adam", "adamo"} <= set(rows["method"]) or rows["seed"].nunique() < 5:
            return None
        last = int(rows["task"].max())
        adam, adamo = (
            by_seed(results, benchmark, "fires", name, last)
            for name in ("adam", "adamo")
        )
        found[kill] = (adam.mean(), adamo.mean(), paired(adamo, adam, kill))
    direction, bias, strong = (found[k] for k in ("direction", "bias", "strong_bias"))
    killed = (
        f"Killed by direction, {direction[1]:.2f} of the units fire again under AdamO "
        f"and {direction[0]:.2f} under Adam, difference {direction[2]}; by a bias just "
        f"too low {bias[1]:.2f} and {bias[0]:.2f}; by a bias out of reach "
        f"{strong[1]:.2f} and {strong[0]:.2f}. {direction[2].num_seeds} seeds."
    )
    natural = _natural_deaths(results)
    if not natural:
        return not_tested(
            f"Units that died by themselves were not looked at yet. {killed}"
        )
    met = [
        direction[2].low > 0,
        all(gap.low > 0 and own >= TENTH for _, own, gap in natural.values()),
    ]
    outcomes: tuple[Outcome, ...] = ("not reproduced", "partly", "reproduced")
    words = "; ".join(
        f"{name}: {own:.2f} under AdamO, {other:.2f} under Adam, difference {gap}"
        for name, (other, own, gap) in natural.items()
    )
    return Verdict(
        verdict=outcomes[sum(met)],
        reason=f"{killed} Of units that died by themselves, alive after ten tasks, "
        f"{words}.",
        gap="Small networks. Half of all units are killed at once.",
    )


def _natural_deaths(
    results: pd.DataFrame,
) -> dict[str, tuple[float, float, Interval]]:
    """Return the share of units, dead by themselves, that ten tasks revive."""
    found = {}
    for benchmark in sorted(results["benchmark"].unique()):
        if benchmark.startswith(DEATHS):
            adam, adamo = (
                by_seed(results, benchmark, "alive", name, FURTHER)
                for name in ("adam", HANDED)
            )
            shared = adam.index.intersection(adamo.index)
            if len(shared) >= 5:
                gap = paired(adamo, adam, benchmark)
                means = float(adam[shared].mean()), float(adamo[shared].mean())
                found[benchmark.removeprefix(DEATHS)] = (*means, gap)
    return found
