"""The games: MinAtar and CHIP-8, many boards at a time."""

from isometry.core.extras import extra
from isometry.moved import names_of

with extra("rl"):
    import numba  # noqa: F401

__getattr__ = names_of("isometry.rl.games")
