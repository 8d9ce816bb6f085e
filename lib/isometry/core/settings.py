"""Settings as frozen dataclasses: parsed from text, checked, and named by a hash.

The command line's ``--set KEY=VALUE``, the results store's file names and the printed
tables all come from the same dataclasses, so that a key exists in one place only.
"""

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from isometry.core.messages import refusal, unknown

S = TypeVar("S")

TRUE_WORDS = ("true", "yes", "on", "1")
FALSE_WORDS = ("false", "no", "off", "0")
WHOLE_NUMBERS = range(-(2**63), 2**63)  # that tensors, and results files, hold


def setting(default: Any, help: str, *, later: bool = False) -> Any:
    """Return a dataclass field with its default and the sentence that explains it.

    Args:
        default: The value if nothing is given.
        help: One sentence with unit and range.
        later: The setting came when there were results already, which did what its
            default does; see :func:`as_dict`.
    """
    return dataclasses.field(default=default, metadata={"help": help, "later": later})


def keys(settings: Any) -> tuple[str, ...]:
    """Return the names of the settings of a dataclass or of its instance.

    Args:
        settings: A dataclass type or instance.
    """
    return tuple(f.name for f in dataclasses.fields(settings))


def _help_of(settings: Any) -> dict[str, str]:
    """Return the sentence that explains each setting."""
    return {f.name: f.metadata.get("help", "") for f in dataclasses.fields(settings)}


def parsed(text: str, annotation: Any, key: str) -> Any:
    """Return the value that ``text`` spells, of the type a setting asks for.

    Args:
        text: What stood after ``KEY=``.
        annotation: ``int``, ``float``, ``bool``, ``str``, a ``Literal``, or one of
            these ``| None`` (spelled ``none``).
        key: The setting's name, for the message.

    Raises:
        ValueError: If the text does not spell such a value.

    Example:
        >>> parsed("1e-3", float, "lr")
        0.001
    """
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        if text.lower() in ("none", "null"):
            return None
        choices = [a for a in typing.get_args(annotation) if a is not type(None)]
        return parsed(text, choices[0], key)
    if origin is typing.Literal:
        allowed = typing.get_args(annotation)
        if text not in allowed:
            raise ValueError(unknown(f"value for {key}", text, map(str, allowed)))
        return text
    if annotation is str:
        return text
    if annotation is bool:
        if text.lower() in (*TRUE_WORDS, *FALSE_WORDS):
            return text.lower() in TRUE_WORDS
        raise ValueError(refusal(f"{key}=true or {key}=false", text, "use one of them"))
    kind = "a whole number" if annotation is int else "a number"
    try:
        value = annotation(text)
        if annotation is int and value in WHOLE_NUMBERS:
            return value
        if annotation is float and math.isfinite(value):
            return value
        kind = "a whole number of 64 bits" if annotation is int else "a finite number"
    except ValueError:
        pass
    raise ValueError(refusal(f"{kind} for {key}", repr(text), f"pass e.g. {key}=1"))


def parsed_changes(pairs: Iterable[str]) -> dict[str, str]:
    """Return the settings that a list of ``KEY=VALUE`` names.

    Args:
        pairs: As typed.

    Raises:
        ValueError: If one has no ``=``, or a key comes twice.

    Example:
        >>> parsed_changes(["lr=1e-3", "width=64"])
        {'lr': '1e-3', 'width': '64'}
    """
    changes: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key or key in changes:
            needed = "--set KEY=VALUE, each key once"
            raise ValueError(refusal(needed, repr(pair), "pass e.g. --set lr=1e-3"))
        changes[key] = value
    return changes


def changed(settings: S, values: Mapping[str, Any]) -> S:
    """Return the settings with some of them changed, each in its setting's type.

    A value that is no text is taken as it would be spelled: 1 for a float becomes 1.0,
    so that it has the same name in the store, and 2.5 for an int is refused.

    Args:
        settings: An instance of a frozen dataclass.
        values: New values by name, as text or as they are.

    Raises:
        KeyError: If a name is not a setting; the nearest known one is named.
        ValueError: If a value does not fit.
    """
    hints = typing.get_type_hints(type(settings))
    known = keys(settings)
    new = {}
    for key, value in values.items():
        if key not in known:
            raise KeyError(unknown("setting", key, known))
        new[key] = parsed(str(value), hints[key], key)
    return dataclasses.replace(settings, **new)  # type: ignore[type-var]


def require(condition: bool, key: str, needed: str, found: object) -> None:
    """Raise ValueError for a setting out of range, unless ``condition`` holds.

    Args:
        condition: Whether the setting is acceptable.
        key: The setting's name.
        needed: Its range, e.g. ``"lr > 0"``.
        found: Its value.
    """
    if not condition:
        raise ValueError(refusal(needed, found, f"change {key}"))


def as_dict(settings: Any) -> dict[str, Any]:
    """Return the settings as plain, JSON-ready values.

    A setting that came later is left out where it has its default, so that results from
    before keep their names.

    Args:
        settings: An instance of a dataclass.
    """
    values = dataclasses.asdict(settings)
    for field in dataclasses.fields(settings):
        if field.metadata.get("later") and values[field.name] == field.default:
            del values[field.name]
    return values


def settings_hash(*parts: Any) -> str:
    """Return ten hexadecimal digits that name a combination of settings.

    Args:
        *parts: JSON-ready values (see :func:`as_dict`), order matters.

    Source: ours; BLAKE2b over canonical JSON.

    Example:
        >>> settings_hash({"a": 1, "b": 2}) == settings_hash({"b": 2, "a": 1})
        True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
