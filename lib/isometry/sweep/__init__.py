"""Many runs: a grid of methods, settings and seeds, searched fairly."""

from isometry.core.extras import extra

with extra("bench"):
    import filelock  # noqa: F401
    import pandas  # noqa: F401
    import rich  # noqa: F401
    import tqdm  # noqa: F401
