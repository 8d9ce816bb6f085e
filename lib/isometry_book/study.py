"""What a study is: numbers for the store, which no run of a benchmark gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import pandas as pd

from isometry.core.profile import ByProfile

S = TypeVar("S")
ONE_SIZE = ByProfile(smoke=None, laptop=None, paper=None)  # the same in every profile


@dataclass(frozen=True, kw_only=True)
class Study(Generic[S]):
    """One of the book's studies: ``isometry study NAME``.

    Attributes:
        name: As typed on the command line.
        sizes: How large it is in each profile; what that means, the study says.
        run: ``(sizes, data) -> tidy numbers``; data is the name of a data set.
    """

    name: str
    sizes: ByProfile[S]
    run: Callable[[S, str], pd.DataFrame]

    def at(self, profile: str, data: str) -> pd.DataFrame:
        """Return the tidy numbers; ValueError if there is no such profile.

        Args:
            profile: smoke, laptop or paper.
            data: Data set of the parts that need images.
        """
        return self.run(self.sizes.of(profile), data)
