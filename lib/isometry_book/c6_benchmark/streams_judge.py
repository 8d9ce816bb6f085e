"""The judges of claims that are about several streams together."""

from collections.abc import Callable

import pandas as pd

from isometry.core.significance import friedman, holm, nemenyi_distance
from isometry.lab.comparison import CEILING, DIAGNOSTICS, within_methods
from isometry.lab.store import Record
from isometry_book.claims.claim import Judge, Outcome, Verdict, judged
from isometry_book.evidence.protocol import (
    differences,
    enough,
    gated,
    not_tested,
    smallest_seen,
)
from isometry_book.evidence.streams import CONTROL, Stream, slope_interval, table_of

JUDGED, MAXMIN, MAXMIN_JUDGED = "adamo", "maxmin", "adamo_maxmin"
LEAST_STREAMS, RANKED_STREAMS = 3, 5
LEAST_METHODS = 3  # to be ranked
STEADY = 0.02  # of online accuracy: a slope that is none
LEVEL = 0.05  # of a test
MECHANISM = (
    "weight_condition_number",
    "jacobian_condition_number",
    "ntk_robust_condition_number",
    "dormant_fraction",
)


def _over_streams(
    methods: tuple[str, ...], least: int
) -> Callable[[Callable[[dict[str, Stream]], Verdict]], Judge]:
    """Return a decorator that hands a judge the streams that pass the gate."""

    def decorate(look: Callable[[dict[str, Stream]], Verdict]) -> Judge:
        def judge(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
            passed, lost_nothing = gated(results, records, methods)
            if len(passed) < least:
                if not passed and not lost_nothing:
                    return None
                there = ", ".join(passed) or "none"
                more = f"; on {', '.join(lost_nothing)} the control loses nothing"
                return not_tested(
                    f"Needed {least} streams on which the control loses, found {there}"
                    f"{more if lost_nothing else ''}."
                )
            return look(passed)

        return judge

    return decorate


@judged("plasticity-kept")
@_over_streams((JUDGED, CONTROL), LEAST_STREAMS)
def _plasticity_kept(streams: dict[str, Stream]) -> Verdict:
    """Judge AdamO's slope against Adam's, and by itself.

    Args:
        streams: Those that pass the gate.
    """
    found, own = {}, {}
    for name, stream in streams.items():
        table = table_of(stream, "slope")[[JUDGED, CONTROL]].dropna()
        (found[name],) = differences(
            table, JUDGED, (CONTROL,), f"{name} slope"
        ).values()
        own[name] = slope_interval(stream.numbers(stream.runs[JUDGED]), name, JUDGED)
    adjusted = dict(zip(found, holm([one.p for one in found.values()]), strict=True))
    better = {n for n in found if found[n].standing == "above" and adjusted[n] < LEVEL}
    steady = {n for n in own if own[n].low > -STEADY}
    outcome: Outcome = "not reproduced"
    if better == steady == set(streams):
        outcome = "reproduced"
    elif better == set(streams) or 2 * len(better & steady) >= len(streams):
        outcome = "partly"
    words = "; ".join(
        f"{n} {own[n]}, minus adam {found[n].interval}, p after Holm {adjusted[n]:.3f}"
        for n in streams
    )
    return Verdict(
        verdict=outcome,
        reason=f"Last minus first fifth of AdamO: {words}. "
        f"{smallest_seen(found.values())}",
        gap="Small networks and short tasks.",
    )


@judged("maxmin-form")
@_over_streams((MAXMIN_JUDGED, MAXMIN), LEAST_STREAMS)
def _maxmin_form(streams: dict[str, Stream]) -> Verdict:
    """Judge AdamO on MaxMin networks against Adam on MaxMin networks.

    Args:
        streams: Those that pass the gate.
    """
    found = {}
    for name, stream in streams.items():
        table = table_of(stream, "level")[[MAXMIN_JUDGED, MAXMIN]].dropna()
        pair = differences(table, MAXMIN_JUDGED, (MAXMIN,), name)
        found[name] = pair[MAXMIN]
    standing = [one.standing for one in found.values()]
    held = [where in ("above", "within") for where in standing]
    outcome: Outcome = "not reproduced"
    if all(held) and "above" in standing:
        outcome = "reproduced"
    elif 2 * sum(held) >= len(held):
        outcome = "partly"
    elif "below" not in standing:
        outcome = "undecided"
    words = "; ".join(f"{name} {one}" for name, one in found.items())
    return Verdict(
        verdict=outcome,
        reason=f"Online accuracy, {MAXMIN_JUDGED} minus {MAXMIN}: {words}. "
        f"{smallest_seen(found.values())}",
        gap="Small networks and short tasks.",
    )


@judged("mechanism")
@_over_streams((JUDGED, CONTROL), 1)
def _mechanism(streams: dict[str, Stream]) -> Verdict:
    """Judge whether each diagnostic goes with the next task's plasticity in a method.

    Args:
        streams: Those that pass the gate.
    """
    met: dict[str, list[bool]] = {}
    words = []
    for name, stream in streams.items():
        found = {
            diagnostic: within_methods(stream.results, stream.runs, diagnostic)
            for diagnostic in MECHANISM
        }
        known = {key: one for key, one in found.items() if one is not None}
        met[name] = [
            min(DIAGNOSTICS[key] * one.low, DIAGNOSTICS[key] * one.high) > 0
            for key, one in known.items()
        ]
        text = ", ".join(f"{key} {one}" for key, one in known.items())
        words.append(f"{name}: {text or 'not diagnosed'}")
    if not any(met.values()):
        return not_tested(f"Nothing was diagnosed on {', '.join(met)}.")
    outcome: Outcome = "not reproduced"
    complete = [len(own) == len(MECHANISM) and all(own) for own in met.values()]
    if all(complete):
        outcome = "reproduced"
    elif all(any(own) for own in met.values()) or any(complete):
        outcome = "partly"
    return Verdict(
        verdict=outcome,
        reason="Rank correlation with the next task's plasticity, within a method over "
        f"its tasks: {'; '.join(words)}.",
        gap="The paper's own diagnostics are not known in detail; these are ours.",
    )


def levels_everywhere(streams: dict[str, Stream]) -> pd.DataFrame:
    """Return the levels of the methods that were run on all streams.

    Args:
        streams: By name.

    Returns:
        One row a stream, one column a method, sorted; without fresh networks.
    """
    methods = set.intersection(
        *(
            {m for m in stream.runs if enough(stream, (m,)) is not None}
            for stream in streams.values()
        )
    ) - {CEILING}
    order = sorted(m for m in methods if "+" not in m and "(" not in m)
    return pd.DataFrame(
        {
            name: table_of(stream, "level")[order].mean()
            for name, stream in streams.items()
        }
    ).T


@judged("recommendation")
@_over_streams((JUDGED, CONTROL), RANKED_STREAMS)
def _recommendation(streams: dict[str, Stream]) -> Verdict:
    """Judge AdamO's mean rank by Friedman's test and Nemenyi's critical distance.

    Args:
        streams: Those that pass the gate.
    """
    scores = levels_everywhere(streams)
    order = list(scores)
    if len(order) < LEAST_METHODS:
        return not_tested(
            f"Needed {LEAST_METHODS} methods on all streams that pass the gate, found "
            f"{', '.join(order)}."
        )
    found = friedman(scores.to_numpy())
    ranks = dict(zip(order, map(float, found.mean_ranks), strict=True))
    distance = nemenyi_distance(len(order), len(scores))
    ahead = [m for m in order if ranks[JUDGED] - ranks[m] > distance]
    outcome: Outcome = "undecided"
    if ahead:
        outcome = "not reproduced"
    elif found.f_p < LEVEL and ranks[CONTROL] - ranks[JUDGED] > distance:
        outcome = "reproduced"
    words = ", ".join(
        f"{m} {ranks[m]:.1f}" for m in sorted(order, key=ranks.__getitem__)
    )
    return Verdict(
        verdict=outcome,
        reason=f"Mean rank over {len(scores)} streams: {words}. Friedman's p "
        f"{found.f_p:.3f}; ranks differ from {distance:.1f} on.",
        gap="Small networks; the paper compares fewer methods.",
    )
