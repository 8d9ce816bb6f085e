"""The commands ``isometry data fetch | path | verify``."""

from isometry.core.extras import extra
from isometry.core.messages import unknown

with extra("bench"):
    from cyclopts import App

data_app = App(name="data", help="Fetch, verify and find the data sets.")


def _chosen_data(name: str | None) -> tuple[str, ...]:
    """Return the data sets that a command means: the named one, or all."""
    from isometry.supervised import data

    if name is not None and name not in data.names():
        raise KeyError(unknown("data set", name, data.names()))
    return data.names() if name is None else (name,)


@data_app.command
def fetch(name: str | None = None) -> None:
    """Download what is missing, with checksums.

    Parameters
    ----------
    name
        A data set; all if not given.
    """
    from isometry.supervised import data

    for one in _chosen_data(name):
        print(f"{one}: {data.fetch(one)}")


@data_app.command
def path(name: str | None = None) -> None:
    """Print where the files are, or would be.

    Parameters
    ----------
    name
        A data set; all if not given.
    """
    from isometry.supervised import data

    for one in _chosen_data(name):
        print(f"{one}: {data.path(one)}")


@data_app.command
def verify(name: str | None = None) -> int:
    """Check every file against its checksum; exit status 1 if one does not fit.

    Parameters
    ----------
    name
        A data set; all if not given.
    """
    from isometry.supervised import data

    reports = [(one, r) for one in _chosen_data(name) for r in data.verify(one)]
    for one, report in reports:
        print(f"{one}: {report}")
    return int(any(report.state != "verified" for _, report in reports))
