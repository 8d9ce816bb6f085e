"""Compiled code kept on disk, so that a machine compiles a game once.

numba's own cache knows a function by the file that it stands in and by what pickle
makes of its closure. Ours are closures over the rules of a game, which pickle names
anew in each process, and their code has that of the rules inside, which stands in
other files. So a file of code is named here after everything that it follows from: all
sources of its room (``isometry.rl``), the types, the processor and the versions. What
has another name is compiled again; two processes that compile the same write the same
file.
"""

import contextlib
import hashlib
import os
import pickle
import platform
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

from isometry.core.extras import extra

with extra("rl"):
    import numba
    import platformdirs
    from numba.core.caching import NullCache
    from numba.core.compiler import CompileResult
    from numba.core.runtime import rtsys
    from numba.core.serialize import dumps

_NOT_CODE = "NUMBA_CACHE_DIR"  # of numba's variables the one that changes no code
_announced: set[str] = set()


def kept_on_disk(function: Any, what: str = "") -> Any:
    """Let a compiled function look for its code on disk before it is compiled.

    The code stands under ``NUMBA_CACHE_DIR`` if that is set, else under the user's
    cache. Where it can be neither read nor written, it is compiled as ever. Before a
    game is compiled, one line on stderr says so, unless ``ISOMETRY_PROGRESS`` is 0.

    Args:
        function: What ``numba.njit`` returned, not yet called.
        what: The game, or what else it is, for that line; "": none, what compiles at
            once.

    Returns:
        The function itself.

    Source: ours; numba's cache has the form that is kept here.
    """
    part = what or function.__module__.rpartition(".")[-1]
    if not isinstance(function, FunctionType):  # what njit returns if it is disabled
        name = f"{part}.{function.__name__}"
        function._cache = _CodeCache(name, what, function.__module__)
    return function


def code_folder() -> Path:
    """Return the folder of compiled code, which need not be there."""
    chosen = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    user = platformdirs.user_cache_path("isometry", appauthor=False)
    return (Path(chosen) / "isometry" if chosen else user / "code").absolute()


class _CodeCache(NullCache):
    """Finds and keeps the code of one function, one file for each signature."""

    def __init__(self, name: str, what: str, module: str) -> None:
        """Remember what the function is called, what it is part of, where it stands."""
        self._name, self._what = name.replace(" ", "_"), what
        self._room = "".join(module.split(".")[1:2])  # "": the whole package

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the code for a signature, None (and a line) if there is none."""
        # What numba's own cache refreshes here are types and rules to compile with,
        # which loading needs none of: most of a second, scipy included.
        rtsys.initialize(target_context)
        file = self._file(sig, target_context.codegen())
        # A file that is missing, cut off or of another form is written anew.
        with contextlib.suppress(Exception):
            payload = pickle.loads(file.read_bytes())
            return CompileResult._rebuild(target_context, *payload)
        told = os.environ.get("ISOMETRY_PROGRESS") == "0" or self._what in _announced
        if self._what and not told:
            _announced.add(self._what)
            line = f"isometry: compiling {self._what}, some seconds, once on a machine"
            print(line, file=sys.stderr, flush=True)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code for a signature if it can be kept."""
        if data.lifted or data.library.has_dynamic_globals:
            return
        file = self._file(sig, data.codegen)
        with contextlib.suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as new:
                new.write(dumps(data._reduce()))
            os.replace(new.name, file)  # whole or not at all

    def _file(self, sig: Any, codegen: Any) -> Path:
        known = repr((sig, codegen.magic_tuple(), _sources_and_versions(self._room)))
        digest = hashlib.sha256(known.encode()).hexdigest()[:32]
        return code_folder() / f"{self._name}.{digest}"


@cache
def _sources_and_versions(room: str) -> tuple[str, ...]:
    """Return what all compiled code of a room follows from, of this process."""
    sources = sorted((Path(__file__).parents[1] / room).rglob("*.py"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources))
    switches = sorted(
        f"{key}={value}"
        for key, value in os.environ.items()
        if key.startswith("NUMBA_") and key != _NOT_CODE
    )
    versions = numba.__version__, version("llvmlite"), platform.python_version()
    return digest.hexdigest(), *versions, *switches
