"""What torch alone cannot do needs an extra; without it one line says so."""

from collections.abc import Iterator
from contextlib import contextmanager

from isometry.core.messages import refusal


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Let the imports of a block say which extra they need, where it is missing.

    Args:
        name: Of the extra, as in ``pip install 'plasticity-by-isometry[bench]'``.

    Raises:
        ImportError: If a package of others is not there. It is no
            ``ModuleNotFoundError``: that one is a mistake of ours.

    Example:
        >>> with extra("bench"):
        ...     import absent_package
        Traceback (most recent call last):
        ImportError: needed the extra bench, found no absent_package; pip install \
'plasticity-by-isometry[bench]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package.startswith("isometry"):
            raise
        raise ImportError(missing(name, f"no {package}")) from None


def missing(name: str, found: str = "none") -> str:
    """Return the line that says which extra is missing.

    Args:
        name: Of the extra.
        found: What there is instead.
    """
    do = f"pip install 'plasticity-by-isometry[{name}]'"
    return refusal(f"the extra {name}", found, do)
