"""Pages that are read side by side, and each but once for all that refers to it."""

from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain

# One speaks to LaTeX alone, one numbers the contents when all is read. Neither says
# that it does not mind, and Sphinx would read one page after the other. That of proofs
# does say so, and has yet no way to bring two readings together: its list is brought
# together by an event, and it keeps no more.
SILENT = ("sphinx_jupyterbook_latex", "sphinx_multitoc_numbering")


class ReadOnce:
    """An environment of which a page that is referred to is unpickled once."""

    def __init__(self, env: Any) -> None:
        """Stand for an environment whose pages are all read."""
        self._env = env
        self._trees: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        """Return what the environment has."""
        return getattr(self._env, name)

    def get_doctree(self, page: str) -> Any:
        """Return a page, to be looked at and not changed."""
        if page not in self._trees:
            self._trees[page] = self._env.get_doctree(page)
        return self._trees[page]


class References(StandardDomain):
    """Sphinx's own unpickle a whole chapter for each figure that is named."""

    once: ReadOnce | None = None

    def _resolve_numref_xref(self, env: Any, *given: Any) -> Any:
        """Resolve ``{numref}`` as ever, on pages that are kept."""
        self.once = self.once or ReadOnce(env)
        kept: Any = self.once
        return super()._resolve_numref_xref(kept, *given)


def allow(app: Sphinx, config: Any) -> None:
    """Say for others that they can be read side by side."""
    for name in SILENT:
        if name in app.extensions:
            app.extensions[name].parallel_read_safe = True
    if "sphinx_proof" in app.extensions:
        from sphinx_proof.domain import ProofDomain

        ProofDomain.merge_domaindata = lambda *_: None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register both."""
    app.add_domain(References, override=True)
    app.connect("config-inited", allow)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
