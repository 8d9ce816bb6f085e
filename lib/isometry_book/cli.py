"""What the book adds to the command line: ``isometry study`` and the claims."""

from collections.abc import Callable
from typing import Any

from isometry.core.profile import Profile

Rows = list[tuple[str, str]]


def extend(
    command: Callable[[Callable[..., Any]], Any],
    listings: dict[str, Callable[[], Rows]],
) -> None:
    """Add the book's command and listing to the command line.

    Args:
        command: Adds a function to it.
        listings: What ``isometry list`` knows, by name.
    """
    command(study)
    listings["claims"] = _claims


def _claims() -> Rows:
    from isometry_book.claims.claim import CLAIMS

    return [(c.key, f"chapter {c.chapter}: {c.text}") for c in CLAIMS]


def study(
    name: str,
    *,
    out: str = "results",
    profile: Profile = "paper",
    data: str = "digits",
) -> None:
    """Run one of the book's studies and store its numbers.

    Parameters
    ----------
    name
        One of the book's studies, e.g. kernel; an unknown name is answered with the
        nearest known one.
    out
        Folder of the results store.
    profile
        Which sizes.
    data
        Data set of the parts that need images.
    """
    from isometry_book.studies import run_study

    for path in run_study(name, profile, data, out):
        print(f"stored in {path}")
