"""The three profiles in which everything can be run: smoke, laptop and paper."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

from isometry.core.messages import refusal

T = TypeVar("T")
Profile = Literal["smoke", "laptop", "paper"]
PROFILES: tuple[Profile, ...] = get_args(Profile)


def checked_profile(name: str) -> str:
    """Return a profile's name; ValueError if there is no such profile.

    Args:
        name: One of :data:`PROFILES`.
    """
    if name not in PROFILES:
        needed = f"a profile of {', '.join(PROFILES)}"
        raise ValueError(refusal(needed, name, "choose one"))
    return name


@dataclass(frozen=True, kw_only=True)
class ByProfile(Generic[T]):
    """A value for each profile, usually how large something is there.

    Attributes:
        smoke: Seconds: does it run at all?
        laptop: Minutes: can the effect be seen?
        paper: The published size; may need a GPU.

    Example:
        >>> ByProfile(smoke=1, laptop=3, paper=8).of("laptop")
        3
    """

    smoke: T
    laptop: T
    paper: T

    def of(self, profile: str) -> T:
        """Return a profile's value; ValueError if there is no such profile.

        Args:
            profile: One of :data:`PROFILES`.
        """
        value: T = getattr(self, checked_profile(profile))
        return value
