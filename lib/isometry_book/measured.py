"""Where the book's measured results are: in a clone, or fetched for a lone notebook."""

import os
from pathlib import Path

from isometry.core.messages import refusal

VARIABLE = "ISOMETRY_RESULTS"


def results_folder() -> Path | None:
    """Return the folder of the book's results, None where there is none.

    ``$ISOMETRY_RESULTS`` if it is set, else that of a clone, wherever Python started.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents, *Path(__file__).parents):
        if (folder / "_toc.yml").exists() and (folder / "results").is_dir():
            return folder / "results"
    return None


def fetch_results(address: str, sha256: str) -> Path:
    """Return the folder of the book's results; fetch it if there is none, once.

    Args:
        address: Of a zip file with one folder, ``results``.
        sha256: Its checksum, as 64 hexadecimal digits.

    Returns:
        The folder, also in ``$ISOMETRY_RESULTS`` if it was fetched.

    Raises:
        OSError: If it cannot be had, with what to do.
    """
    if found := results_folder():
        return found
    import logging

    import platformdirs
    import pooch

    cache = Path(platformdirs.user_cache_dir("isometry", appauthor=False))
    name = f"results-{sha256[:12]}"
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        pooch.retrieve(
            address,
            f"sha256:{sha256}",
            fname=f"{name}.zip",
            path=cache,
            processor=pooch.Unzip(extract_dir=name),
        )
    except (OSError, ValueError) as error:
        seen = f"{type(error).__name__} at {address!r}"
        if type(error) is ValueError and address.startswith("http"):
            seen = f"another file at {address}"
        do = f"load this notebook anew, or name a clone's results by ${VARIABLE}"
        raise OSError(refusal("the book's results", seen, do)) from None
    folder = cache / name / "results"
    os.environ[VARIABLE] = str(folder)
    return folder
