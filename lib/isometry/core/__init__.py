"""Floor 0: what every other room stands on.

Matrices and their spectra, statistics over seeds, seeding, settings and registries.
Nothing here knows of networks, data or experiments.
"""
