"""What a look will take, and how far it is: lines on standard error.

Nothing is said of a look that takes less than :data:`AFTER`, nor where standard error
is no terminal. The variable ``ISOMETRY_PROGRESS`` decides otherwise: 0 is never, 1 is
also elsewhere.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AFTER = 2.0  # seconds
BAR = 24  # characters
Tell = Callable[[str, float], None]  # what is done, and its share of what was expected


def silent(what: str, seconds: float) -> None:
    """Tell nothing.

    Args:
        what: Is done.
        seconds: Were expected.
    """


@contextmanager
def told(expected: float) -> Iterator[Tell]:
    """Say what is expected, if it is long, and then how far it is.

    Args:
        expected: Seconds of the whole.
    """
    asked, terminal = os.environ.get("ISOMETRY_PROGRESS"), sys.stderr.isatty()
    if asked == "0" or not (terminal or asked):
        yield silent
        return
    if expected > AFTER:
        _say(f"isometry: diagnose takes about {expected:.0f} s\n")
    expected = max(expected, 1e-3)
    begun = last = time.monotonic()
    done = 0.0

    def tell(what: str, seconds: float) -> None:
        nonlocal done, last
        done = min(expected, done + seconds)
        now = time.monotonic()
        if now - begun < AFTER or now - last < (0.2 if terminal else AFTER):
            return
        last = now
        left = (now - begun) * (expected - done) / done if done else expected
        bar = "#" * int(BAR * done / expected)
        line = f"[{bar:<{BAR}}] {what}, about {left:.0f} s left"
        _say(f"\r{line:<78}" if terminal else f"{line}\n")

    yield tell
    if terminal and last > begun:
        _say(f"\r{'':<78}\r")


def _say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)
