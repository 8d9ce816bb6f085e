"""The games: MinAtar and CHIP-8, many boards at a time."""
