"""What a game's environment refuses, one line each."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from isometry.core.extras import extra
from isometry.core.messages import refusal

with extra("rl"):
    import numpy as np
    from gymnasium.vector import AutoresetMode
    from numpy.typing import DTypeLike, NDArray


def check_settings(
    name: str, given: Mapping[str, Any], known: Mapping[str, Any]
) -> None:
    """Refuse settings that the game does not have."""
    for key in given:
        if key not in known:
            needed = f"one of the settings of {name} ({', '.join(known)})"
            raise ValueError(refusal(needed, key, "leave it out"))


def check(
    num_envs: int,
    render_mode: str | None,
    *,
    actions: str,
    max_steps: int | None,
    sticky: float = 0.0,
    **rule: bool,
) -> None:
    """Refuse settings that are of another type or out of range."""
    check_whole("num_envs", num_envs)
    if num_envs < 1:
        raise ValueError(refusal("num_envs >= 1", num_envs, "play at least one"))
    if not isinstance(sticky, Real):
        raise TypeError(refusal("a number for sticky", sticky, "pass a probability"))
    if not 0 <= sticky <= 1:
        raise ValueError(refusal("0 <= sticky <= 1", sticky, "pass a probability"))
    if not isinstance(actions, str) or actions not in ("minimal", "full"):
        raise ValueError(refusal("actions minimal or full", actions, "choose one"))
    if max_steps is not None:
        check_whole("max_steps", max_steps)
        if not 1 <= max_steps < 2**63:  # compiled code counts them in 64 bits
            needed = "max_steps >= 1 and below 2**63"
            raise ValueError(refusal(needed, max_steps, "or pass None"))
    for key, value in rule.items():
        if not isinstance(value, Integral | np.bool_) or value not in (True, False):
            raise ValueError(refusal(f"{key} True or False", value, "choose one"))
    if render_mode not in (None, "rgb_array"):
        needed = "render_mode None or 'rgb_array'"
        raise ValueError(refusal(needed, render_mode, "choose one"))


def check_whole(name: str, value: object) -> None:
    """Refuse what is no integer."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        needed = f"a whole number for {name}"
        raise TypeError(refusal(needed, value, "convert it first"))


def checked_mode(mode: str | AutoresetMode) -> AutoresetMode:
    """Return when ended games start anew, which may be said by a member's name."""
    if isinstance(mode, AutoresetMode):
        return mode
    known = {name.lower(): one for name, one in AutoresetMode.__members__.items()}
    if not isinstance(mode, str) or mode.lower() not in known:
        needed = f"autoreset_mode {', '.join(known)}"
        raise ValueError(refusal(needed, mode, "choose one"))
    return known[mode.lower()]


def checked_dtype(dtype: DTypeLike) -> np.dtype:
    """Return the type of observations: one that holds 0 and 1 as numbers."""
    try:
        found = np.dtype(dtype)
    except TypeError as error:
        line = refusal("a numpy dtype", dtype, "e.g. 'float32'")
        raise TypeError(line) from error
    if found.kind not in "buif":
        needed = "dtype of bool, integers or floats"
        raise ValueError(refusal(needed, str(found), "e.g. 'float32'"))
    return found


def checked_mask(
    options: Mapping[str, Any] | None, num_envs: int
) -> NDArray[np.bool_] | None:
    """Return which games to reset, None for all, from gymnasium's ``reset_mask``."""
    if not options:
        return None
    if set(options) != {"reset_mask"}:
        needed = "no options but reset_mask"
        raise ValueError(refusal(needed, options, "leave them out"))
    mask = np.asarray(options["reset_mask"])
    if mask.dtype != np.bool_ or mask.shape != (num_envs,):
        needed = f"reset_mask bool ({num_envs},)"
        raise ValueError(refusal(needed, f"{mask.dtype} {mask.shape}", "convert it"))
    if not mask.any():
        needed = "a reset_mask with a game to reset"
        raise ValueError(refusal(needed, "none", "do not call reset"))
    return mask


def checked_actions(
    actions: NDArray[np.integer], num_envs: int, count: int
) -> NDArray[np.integer]:
    """Return actions as an array, if they are integers 0 to ``count - 1``."""
    try:
        array = np.asarray(actions)
    except (RuntimeError, TypeError, ValueError) as error:
        found = f"what numpy refuses ({error})"
        line = refusal("integer actions", found, "convert them")
        raise TypeError(line) from error
    if array.dtype.kind not in "iu":
        found = str(array.dtype)
        raise TypeError(refusal("integer actions", found, "convert them"))
    if array.shape != (num_envs,):
        needed = f"one action a game, shape ({num_envs},)"
        raise ValueError(refusal(needed, str(array.shape), "reshape"))
    last = count - 1
    # A negative number is a large one without its sign.
    if array.view(f"u{array.itemsize}").max() > last:
        found = f"{array.min()} to {array.max()}"
        raise ValueError(refusal(f"actions 0 to {last}", found, "clip or mask"))
    return array
