"""The games: MinAtar and CHIP-8, many boards at a time."""

from isometry.core.extras import extra

with extra("rl"):
    import numba  # noqa: F401
