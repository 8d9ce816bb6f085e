"""The judge of the claim on cause: from forks of worn networks to a verdict."""

import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import Interval, paired_difference
from isometry.lab.store import Record
from isometry_book.claims.claim import Outcome, Verdict, judged
from isometry_book.evidence.protocol import LEAST_SEEDS, not_tested
from isometry_book.interventions.report import (
    INTERVENTION_NAMES,
    LEAST,
    scores_of,
    share_returned,
)

JUDGED_ON = "interventions_permuted_mnist"
MEASURE = "online_accuracy"
PUT_BACK, RIVALS = "spectrum_optimizer", ("optimizer", "scale_optimizer")
HALF = 0.5  # of what was lost


@judged("cause")
def _cause(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge whether plasticity comes back with the spectrum, and with nothing less."""
    frame = results[results["benchmark"] == JUDGED_ON]
    return None if frame.empty else verdict_on(frame)


def verdict_on(frame: pd.DataFrame) -> Verdict:
    """Return what the claim's criterion says of the forks of one stream.

    Args:
        frame: Tidy, of one benchmark; the claim itself is judged on
            :data:`JUDGED_ON`.
    """
    age = int(frame["task"].max())
    worn = scores_of(frame, "nothing", age, MEASURE)
    if len(worn) < LEAST_SEEDS:
        return not_tested(f"There are not {LEAST_SEEDS} seeds yet.")
    lost = _difference(frame, age, "fresh", "nothing")
    if not lost.low > LEAST:
        return not_tested(f"After {age} tasks fresh networks are ahead by {lost}.")
    share = share_returned(frame, PUT_BACK, age, MEASURE)
    assert share is not None  # something was lost, see above
    more = {name: _difference(frame, age, PUT_BACK, name) for name in RIVALS}
    beyond = [one.low > 0 for one in more.values()]
    outcome: Outcome = "not reproduced"
    if share.low > HALF and all(beyond):
        outcome = "reproduced"
    elif all(beyond) or (share.low > HALF and any(beyond)):
        outcome = "partly"
    words = "; ".join(
        f"more than {INTERVENTION_NAMES[name]} by {one}" for name, one in more.items()
    )
    return Verdict(
        verdict=outcome,
        reason=f"After {age} tasks fresh networks are ahead by {lost}; the spectrum "
        f"with new moments brings back a share of {share}; {words}; {len(worn)} seeds.",
        gap="Networks of width 100, worn by Adam alone; the paper has no such fork.",
    )


def _difference(frame: pd.DataFrame, age: int, first: str, second: str) -> Interval:
    """Return how much better one fork learns the next task than another."""
    draw = numpy_generator(0, "cause", first, second)
    better, worse = (scores_of(frame, name, age, MEASURE) for name in (first, second))
    return paired_difference(better, worse, draw)
