"""The verdict on every claim of the paper.

A criterion is written before its number is seen. A verdict comes from the committed
results alone, by the claim's judge; a claim whose results are not in the store is not
tested.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from isometry.lab.comparison import with_choices
from isometry.lab.store import Record, load
from isometry_book.c1_plasticity import judge as _1  # noqa: F401
from isometry_book.c2_kernel import judge as _2  # noqa: F401
from isometry_book.c3_deep_linear import judge as _3  # noqa: F401
from isometry_book.c4_maxmin import judge as _4  # noqa: F401
from isometry_book.c5_adamo import judge as _5  # noqa: F401
from isometry_book.c5_adamo import revival_judge as _51  # noqa: F401
from isometry_book.c6_benchmark import judge as _6  # noqa: F401
from isometry_book.c6_benchmark import streams_judge as _61  # noqa: F401
from isometry_book.c7_games import judge as _7  # noqa: F401
from isometry_book.claims.claim import CLAIMS, JUDGES, NOT_TESTED, Claim, Verdict, get
from isometry_book.interventions import judge as _8  # noqa: F401


def _verdict_on(claim: Claim, results: pd.DataFrame, records: list[Record]) -> Verdict:
    """Return the verdict on a claim."""
    judge = JUDGES.get(claim.key)
    if judge is None or results.empty:
        return NOT_TESTED
    return judge(results, records) or NOT_TESTED


def judge_all(results: str | Path = "results") -> dict[str, Verdict]:
    """Return the verdict on every claim, by key, in the ledger's order.

    Args:
        results: The results store; without one, nothing is tested.

    Raises:
        StoreError: If a file of the store cannot be used.
    """
    path = Path(results)
    frame, records = pd.DataFrame(), []
    if any(path.glob("**/*.parquet")):
        stored = load(path)
        frame, records = stored.frame, with_choices(stored.records, path)
    return {claim.key: _verdict_on(claim, frame, records) for claim in CLAIMS}


def first_verdicts(
    now: Mapping[str, Verdict], results: str | Path = "results"
) -> dict[str, dict[str, str]]:
    """Return the first protocol's verdicts that changed, or whose criterion did.

    Args:
        now: From :func:`judge_all`.
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
        if key in CLAIMS.names()
        and (old["criterion"], old["verdict"]) != (get(key).criterion, now[key].verdict)
    }
