"""What a claim is, and what a verdict; each claim's judge enters itself here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from isometry.core.registry import Registry
from isometry_book.claims.ledger import CLAIM_TEXTS, OUTSIDE_TEXTS

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
        text: What is claimed.
        source: Where in the paper, or who reports it.
        chapter: Which chapter judges it, 1 to 7.
        criterion: What the results must show for the verdict "reproduced".
        outside: What others measured; it takes no part in the verdict.
    """

    key: str
    text: str
    source: str
    chapter: int
    criterion: str
    outside: tuple[Outside, ...] = ()


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
            outside=tuple(
                Outside(who=who, what=what, where=where)
                for key, who, what, where in OUTSIDE_TEXTS
                if key == _key
            ),
        ),
    )


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
