"""Published settings, run as they were published: our numbers beside theirs."""

from isometry.core.extras import extra

with extra("bench"):
    import pandas  # noqa: F401
    import scipy  # noqa: F401
