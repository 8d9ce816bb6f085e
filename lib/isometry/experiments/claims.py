"""The ledger: every claim of the paper, its criterion, and the verdict on it.

A criterion is written before its number is seen. A verdict comes from the committed
results alone, by the claim's judge; a claim without a judge, or whose results are not
in the store, is not tested.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from isometry.core.registry import Registry
from isometry.experiments.ledger import CLAIM_TEXTS
from isometry.experiments.store import Record, load_records, load_results

Outcome = Literal["reproduced", "partly", "not reproduced", "undecided", "not tested"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the results say of a claim.

    Attributes:
        verdict: One of :data:`OUTCOMES`.
        reason: The numbers behind it, one sentence.
        gap: How our scale differs from the paper's, one sentence or empty.

    Source: ours.
    """

    verdict: Outcome
    reason: str
    gap: str = ""


# Tidy numbers and the records of their files -> None where they do not suffice.
Judge = Callable[[pd.DataFrame, list[Record]], Verdict | None]

NOT_TESTED = Verdict(
    verdict="not tested",
    reason="The results stored so far are not enough for the criterion.",
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the paper.

    Attributes:
        key: Its name in the book and on the command line.
        text: What is claimed.
        source: Where in the paper, or who reports it.
        chapter: Which chapter judges it, 1 to 7.
        criterion: What the results must show for the verdict "reproduced".
        judge: Looks at the store's numbers; returns None where they do not suffice.

    Source: ours.
    """

    key: str
    text: str
    source: str
    chapter: int
    criterion: str
    judge: Judge | None = None


CLAIMS: Registry[Claim] = Registry("claim")
for _key, _chapter, _source, _text, _criterion in CLAIM_TEXTS:
    CLAIMS.register(
        _key,
        Claim(
            key=_key,
            text=_text,
            source=_source,
            chapter=_chapter,
            criterion=_criterion,
        ),
    )


def get(key: str) -> Claim:
    """Return the claim of that key; KeyError names the nearest known one.

    Args:
        key: The claim's key.

    Source: ours.
    """
    return CLAIMS.get(key)


def judged(key: str) -> Callable[[Judge], Judge]:
    """Return a decorator that makes a function the judge of a claim.

    Args:
        key: The claim's key.

    Raises:
        KeyError: If there is no such claim.

    Source: ours.
    """
    claim = get(key)

    def attach(judge: Judge) -> Judge:
        CLAIMS.replace(key, replace(claim, judge=judge))
        return judge

    return attach


def verdict_on(claim: Claim, results: pd.DataFrame, records: list[Record]) -> Verdict:
    """Return the verdict on a claim.

    Args:
        claim: The claim.
        results: The store's numbers; may be empty.
        records: The records of the store's files.

    Source: ours.
    """
    if claim.judge is None or results.empty:
        return NOT_TESTED
    return claim.judge(results, records) or NOT_TESTED


def judge_all(results: str | Path = "results") -> dict[str, Verdict]:
    """Return the verdict on every claim, by key, in the ledger's order.

    Args:
        results: The results store; without one, nothing is tested.

    Raises:
        StoreError: If a file of the store cannot be used.

    Source: ours.
    """
    # Importing them attaches the judges to the claims.
    from isometry.experiments import (  # noqa: F401
        adamo_judges,
        benchmark_judges,
        games_judges,
        isometry_judges,
        judges,
        kernel_judges,
        revival_judges,
        streams_judges,
    )
    from isometry.experiments.comparison import with_choices

    path = Path(results)
    frame, records = pd.DataFrame(), []
    if any(path.glob("**/*.parquet")):
        frame, records = load_results(path), with_choices(load_records(path), path)
    claims = {claim.key: claim for claim in CLAIMS}
    return {row[0]: verdict_on(claims[row[0]], frame, records) for row in CLAIM_TEXTS}


def first_verdicts(results: str | Path = "results") -> dict[str, dict[str, str]]:
    """Return the verdicts of the first protocol whose criterion was written anew.

    Args:
        results: The results store; its file ``first_protocol.json`` keeps them.

    Returns:
        Key of a claim -> ``verdict``, ``reason`` and ``criterion`` as they were.
    """
    path = Path(results) / "first_protocol.json"
    if not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))["verdicts"]
    return {
        key: old
        for key, old in kept.items()
        if key in CLAIMS.names() and old["criterion"] != get(key).criterion
    }
