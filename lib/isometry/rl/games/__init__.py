"""The games: MinAtar and CHIP-8, many boards at a time."""

from isometry.moved import names_of

__getattr__ = names_of("isometry.rl.games")
