"""One form for every refusal: what was needed, what was found, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class Notice(UserWarning):
    """What a command says beside its answer, in one line."""


def refusal(needed: str, found: object, do: str) -> str:
    """Return one line that says needed, found and what to do.

    Args:
        needed: What the caller had to give, e.g. ``"lr > 0"``.
        found: What was given; shown by ``repr`` unless it is a string.
        do: What the caller can do about it.

    Example:
        >>> refusal("lr > 0", -1.0, "pass a positive learning rate")
        'needed lr > 0, found -1.0; pass a positive learning rate'
    """
    shown = found if isinstance(found, str) else repr(found)
    return f"needed {needed}, found {shown}; {do}"


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return one line for a name that is not known, with the nearest one that is.

    Args:
        kind: What the name stands for, e.g. ``"method"``.
        name: The name that was given.
        known: All names that would have been accepted.

    Example:
        >>> unknown("method", "adamoo", ["adam", "adamo"])
        "unknown method 'adamoo'; did you mean 'adamo'? known: adam, adamo"
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}; {hint}known: {', '.join(names)}"
