"""Runs, their store, and what is read from it: choices, comparisons, reports."""

from isometry.core.extras import extra

with extra("bench"):
    import filelock  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow  # noqa: F401
    import scipy  # noqa: F401
    import tqdm  # noqa: F401
