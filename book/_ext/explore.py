"""Explorables in pages of text, and words that set them.

``{set}`` with ``words <name:key=value,...>`` makes words that set an explorable of
the same page; without a script they are plain text. ``{explorable} name`` puts one on
a page that is no notebook.
"""

import re
from html import escape
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

LOGGER = logging.getLogger(__name__)
SETTING = re.compile(
    r"(?P<words>.+?)\s*<(?P<setting>[\w-]+:[\w-]+=[^,=<>]+(,[\w-]+=[^,=<>]+)*)>"
)


class SetRole(SphinxRole):
    """``{set}``: words, and in angle brackets what they set."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the words with their setting, or an error node."""
        found = SETTING.fullmatch(self.text.strip())
        if found is None:
            needed = "needed words <explorable:key=value,...>"
            LOGGER.error(f"{needed}, found {self.text!r}", location=self.get_location())
            return [nodes.problematic(self.rawtext, self.rawtext)], []
        setting = escape(found["setting"])
        start = f'<span class="explore" data-explore="{setting}">'
        return [
            nodes.raw("", start, format="html"),
            nodes.Text(found["words"]),
            nodes.raw("", "</span>", format="html"),
        ], []


class ExplorableDirective(SphinxDirective):
    """``{explorable} train-it``: an explorable; ``:autoplay:`` lets it start itself."""

    required_arguments = 1
    option_spec: ClassVar = {"autoplay": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Return its HTML, or nothing after an error."""
        from isometry_book.c1_plasticity.train_it import train_it
        from isometry_book.c4_maxmin.fold_the_plane import fold_the_plane
        from isometry_book.chapter import Chapter

        name = self.arguments[0]
        if name == "train-it":
            results = Chapter("smoke", None, "cpu").results
            text = train_it(results, autoplay="autoplay" in self.options)
        elif name == "fold-the-plane":
            text = fold_the_plane()
        else:
            needed = "needed an explorable of train-it, fold-the-plane"
            LOGGER.error(f"{needed}, found {name!r}", location=self.get_location())
            return []
        return [nodes.raw("", text, format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role and the directive."""
    app.add_role("set", SetRole())
    app.add_directive("explorable", ExplorableDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
