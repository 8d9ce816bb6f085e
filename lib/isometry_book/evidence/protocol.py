"""What the judges of the protocol share: differences, verdicts on them, and words.

See ``book/protocol.md``: a gate first, paired differences with a margin on both sides,
and five verdicts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from isometry.core.paired import Comparison, compare
from isometry.core.seeding import numpy_generator
from isometry.lab.report import BOOTSTRAP_SEED
from isometry.lab.store import Record
from isometry_book.claims.claim import Outcome, Verdict
from isometry_book.evidence.streams import (
    CONTROL,
    Stream,
    gate_of,
    streams_of,
    table_of,
)

LEAST_SEEDS = 8
CLOSE = 0.005  # of online accuracy: matches


def size_of(record: Record) -> str:
    """Return the size of a run in words, for the gap to the paper's.

    Args:
        record: Of a run.
    """
    own = record["settings"]
    network = f"{own['depth']} hidden layers of {own['width']} where the paper has 4 "
    network += "of 512"
    if own["network"] != "mlp":
        network = f"A small {own['network']}, of which the paper's size is not known"
    return (
        f"{network}; {own['tasks']} tasks of {own['images_per_task']} images, "
        f"{own['epochs']} epochs (the paper's are not known)."
    )


def not_tested(reason: str) -> Verdict:
    """Return the verdict on what could not be tested.

    Args:
        reason: Why, a sentence.
    """
    return Verdict(verdict="not tested", reason=reason)


def differences(
    table: pd.DataFrame,
    method: str,
    rivals: Iterable[str],
    label: str,
    margin: float = CLOSE,
) -> dict[str, Comparison]:
    """Return a method's numbers minus those of others, seed by seed.

    Args:
        table: One row a seed, one column a method, no number missing.
        method: Whose.
        rivals: Minus whose.
        label: Names the bootstrap's draws.
        margin: The largest loss that does not matter.
    """
    found = {}
    for rival in rivals:
        draw = numpy_generator(BOOTSTRAP_SEED, label, method, rival)
        found[rival] = compare(table[method], table[rival], draw, margin)
    return found


def outcome_against(found: Mapping[str, Comparison]) -> Outcome:
    """Return the verdict on "matches or beats every one".

    Args:
        found: Rival -> difference; the control is one of them.
    """
    standing = {rival: one.standing for rival, one in found.items()}
    held = {rival for rival, where in standing.items() if where in ("above", "within")}
    if len(held) == len(standing):
        return "reproduced"
    if standing[CONTROL] == "below":
        return "not reproduced"
    beaten = "below" in standing.values()
    return "partly" if CONTROL in held and beaten else "undecided"


def in_words(method: str, found: Mapping[str, Comparison]) -> str:
    """Return differences as text, with the smallest effect that could be seen.

    Args:
        method: Whose numbers they are.
        found: Rival -> difference.
    """
    words = "; ".join(f"{rival} {one}" for rival, one in found.items())
    return f"{method} minus {words}. {smallest_seen(found.values())}"


def smallest_seen(found: Iterable[Comparison]) -> str:
    """Return the smallest effect that these comparisons would all have seen, in words.

    Args:
        found: At least one.
    """
    least = max(one.smallest_effect for one in found)
    return f"So many seeds find a difference of {least:.3f} in four of five cases."


def search_not_ended(stream: Stream, methods: tuple[str, ...]) -> list[str]:
    """Return the methods whose search did not go on to its end.

    Args:
        stream: Any stream.
        methods: Which of its methods are looked at.
    """
    ends = {name: stream.runs[name]["choice"].get("ends", {}) for name in methods}
    return [name for name, own in ends.items() if "open" in own.values()]


def finished(stream: Stream) -> Stream:
    """Return a stream with those of its methods that are done with.

    Their search went on to its end and they have all the seeds that a verdict needs. A
    method that is only partly searched or run enters no figure and has no place.

    Args:
        stream: Any stream.
    """
    runs = {
        name: record
        for name, record in stream.runs.items()
        if enough(stream, (name,)) is not None and not search_not_ended(stream, (name,))
    }
    return replace(stream, runs=runs)


def enough(stream: Stream, methods: tuple[str, ...]) -> pd.DataFrame | None:
    """Return the level of methods on a stream, if all have enough seeds.

    Args:
        stream: Any stream.
        methods: Which.

    Returns:
        One row a seed that all have, one column a method; None with too few.
    """
    if not set(methods) <= set(stream.runs):
        return None
    table = table_of(stream, "level", methods).dropna()
    return table if len(table) >= LEAST_SEEDS else None


def gated(
    results: pd.DataFrame, records: list[Record], methods: tuple[str, ...]
) -> tuple[dict[str, Stream], list[str]]:
    """Return the streams that pass the gate, and the names of those that do not.

    Args:
        results: Tidy numbers of a store.
        records: Of its files.
        methods: Whose runs are needed; other streams are left out.
    """
    passed, lost_nothing = {}, []
    for name, stream in streams_of(results, records).items():
        gate = gate_of(stream)
        if gate is None or enough(stream, methods) is None:
            continue
        if gate.passed:
            passed[name] = stream
        else:
            lost_nothing.append(name)
    return passed, lost_nothing
