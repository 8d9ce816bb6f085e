"""Attacks on the product: kills, damage, full disks, nonsense and load.

Each is a function ``(random numbers, empty folder, tries) -> Tally``; the same seed
makes the same attack, but for the moment at which a kill meets the program.
"""
