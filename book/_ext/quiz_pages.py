"""``{quiz}``: a chapter's questions, whose answers say why when they are opened.

Plain ``details`` of HTML: no script, and every reader can open them by key. The order
of the answers is drawn, the same in each build.
"""

import random
import tomllib
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

QUIZZES = Path(__file__).parents[1] / "quizzes.toml"


def answers(question: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Return a question's answers, each with its reason and whether it is right."""
    found = [(*question["right"], True), *((*one, False) for one in question["wrong"])]
    random.Random(question["ask"]).shuffle(found)
    return found


class Quiz(SphinxDirective):
    """``{quiz}``: the questions of the chapter that it stands in."""

    def run(self) -> list[nodes.Node]:
        """Return a list of questions."""
        chapter = self.env.docname.rpartition("/")[2]
        self.env.note_dependency(str(QUIZZES))
        questions = nodes.enumerated_list(classes=["quiz"])
        for question in tomllib.loads(QUIZZES.read_text("utf-8"))[chapter]:
            item = nodes.list_item()
            item += self.parse_text_to_nodes(question["ask"])
            for text, why, right in answers(question):
                kind, sign = ("right", "Right.") if right else ("wrong", "No.")
                item += nodes.raw(
                    "", f'<details class="{kind}"><summary>', format="html"
                )
                item += self.parse_text_to_nodes(text)
                item += nodes.raw("", "</summary>", format="html")
                item += self.parse_text_to_nodes(f"**{escape(sign)}** {why}")
                item += nodes.raw("", "</details>", format="html")
            questions += item
        return [questions]
