"""What a claim is, and what a verdict; each claim's judge enters itself here."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from isometry.core.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

    from isometry.lab.store import Record

Outcome = Literal["reproduced", "partly", "not reproduced", "undecided", "not tested"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the results say of a claim.

    Attributes:
        verdict: One of :data:`OUTCOMES`.
        reason: The numbers behind it, one sentence.
        gap: How our scale differs from the paper's, one sentence or empty.
    """

    verdict: Outcome
    reason: str
    gap: str = ""


# Tidy numbers and the records of their files -> None where they do not suffice.
Judge: TypeAlias = "Callable[[pd.DataFrame, list[Record]], Verdict | None]"

JUDGES: dict[str, Judge] = {}  # by claim; filled as the chapters' judges are imported

NOT_TESTED = Verdict(
    verdict="not tested",
    reason="The results stored so far are not enough for the criterion.",
)


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What someone else measured that bears on a claim.

    Attributes:
        who: Measured it.
        what: Was found, in sentences.
        where: It can be read.
    """

    who: str
    what: str
    where: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the paper.

    Attributes:
        key: Its name in the book and on the command line.
        title: It in a few words.
        text: What is claimed, Markdown.
        source: Where in the paper, or who reports it.
        chapter: Which chapter judges it, 1 to 7.
        criterion: What the results must show for the verdict "reproduced".
        shared: What several claims call the same criterion, or empty.
        outside: What others measured; it takes no part in the verdict.
        said: A verdict in one sentence without numbers, where its reason has many.
        changed: Why the verdict is not that of the first protocol, or empty.
    """

    key: str
    title: str
    text: str
    source: str
    chapter: int
    criterion: str
    shared: str = ""
    outside: tuple[Outside, ...] = ()
    said: Mapping[str, str] = field(default_factory=dict)
    changed: str = ""


LEDGER = tomllib.loads(Path(__file__).with_name("ledger.toml").read_text("utf-8"))
CLAIMS: Registry[Claim] = Registry("claim")


def _claim(row: dict[str, Any]) -> Claim:
    """Return a claim of the ledger."""
    row = dict(row)
    source = row.pop("source").format(**LEDGER["sources"])
    if name := row.pop("shared", ""):
        rule = LEDGER["shared"][name]
        name = rule["name"]
        row["criterion"] = rule["text"].format(rivals=row.pop("rivals"))
    outside = tuple(
        Outside(who=one["who"], what=one["what"], where=one["where"])
        for one in LEDGER["outside"]
        if one["claim"] == row["key"]
    )
    said = LEDGER["said"].get(row["key"], {})
    why = (one["why"] for one in LEDGER["changed"] if row["key"] in one["claims"])
    return Claim(
        **row,
        source=source,
        shared=name,
        outside=outside,
        said=said,
        changed=next(why, ""),
    )


for _row in LEDGER["claims"]:
    CLAIMS.register(_row["key"], _claim(_row))


def get(key: str) -> Claim:
    """Return the claim of that key; KeyError names the nearest known one.

    Args:
        key: The claim's key.
    """
    return CLAIMS.get(key)


def judged(key: str) -> Callable[[Judge], Judge]:
    """Return a decorator that makes a function the judge of a claim.

    Args:
        key: The claim's key.

    Raises:
        KeyError: If there is no such claim.
        ValueError: If the claim has a judge already.
    """
    get(key)

    def attach(judge: Judge) -> Judge:
        if key in JUDGES:
            raise ValueError(f"{key} has a judge: {JUDGES[key].__module__}")
        JUDGES[key] = judge
        return judge

    return attach
