"""Registries: named values that the command line, the tests and the book walk over."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from isometry.core.messages import refusal, unknown

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Named values of one kind, in the order in which they were registered.

    Attributes:
        kind: What is registered, in the singular: ``"method"``, ``"benchmark"``.

    Example:
        >>> games = Registry[int]("game")
        >>> games.register("breakout", 1)
        1
        >>> games.get("breakout"), games.names()
        (1, ('breakout',))
    """

    kind: str
    _entries: dict[str, T] = field(default_factory=dict, repr=False)

    def register(self, name: str, value: T) -> T:
        """Add ``value`` under ``name``, return it; ValueError if the name is taken."""
        if name in self._entries:
            raise ValueError(
                f"{self.kind} {name!r} is registered already; choose another name"
            )
        self._entries[name] = value
        return value

    def replace(self, name: str, value: T) -> T:
        """Put ``value`` in the place of ``name``, return it; KeyError if not there."""
        self.get(name)
        self._entries[name] = value
        return value

    def remove(self, name: str) -> None:
        """Forget ``name``; KeyError, with the nearest known name, if not there."""
        self.get(name)
        del self._entries[name]

    def get(self, name: str) -> T:
        """Return the value under ``name``; KeyError with the nearest known name.

        Raises:
            KeyError: If there is none.
            TypeError: If the name is no string.
        """
        if not isinstance(name, str):
            needed = f"the name of a {self.kind}"
            raise TypeError(refusal(needed, name, "pass a string"))
        if name not in self._entries:
            raise KeyError(unknown(self.kind, name, self._entries))
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """Return all names in the order of registration."""
        return tuple(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._entries.values()))
