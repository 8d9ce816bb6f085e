"""Data sets: where they come from, how they are checked, read and found."""

from isometry.core.extras import extra

with extra("bench"):
    from isometry.supervised.data.download import fetch
    from isometry.supervised.data.files import DataError, FileReport, names, path
    from isometry.supervised.data.sets import (
        ImageData,
        available,
        load,
        resolve,
        verify,
    )

__all__ = [
    "DataError",
    "FileReport",
    "ImageData",
    "available",
    "fetch",
    "load",
    "names",
    "path",
    "resolve",
    "verify",
]
