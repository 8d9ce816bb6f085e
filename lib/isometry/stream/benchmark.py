"""What every benchmark is to those who run, store and compare, on images or games."""

from collections.abc import Mapping
from typing import Any, Protocol


class AnyBenchmark(Protocol):
    """A stream of tasks with its sizes; what it is made of is its own."""

    @property
    def name(self) -> str:
        """As typed on the command line."""

    @property
    def summary(self) -> str:
        """One line for tables."""

    @property
    def source(self) -> str:
        """Where the benchmark comes from."""

    @property
    def method_defaults(self) -> Mapping[str, Any]:
        """Where settings of methods start, unlike elsewhere, by name."""

    @property
    def experiment_version(self) -> int:
        """Raised when a change makes old results incomparable."""

    @property
    def metric(self) -> str:
        """What it is judged by."""

    def settings(self, profile: str, **changes: Any) -> Any:
        """Return the profile's settings with some of them changed, all checked."""
