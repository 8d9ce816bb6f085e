"""What the book's directives share: files of the stage, and tables."""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


def read(env: Any, name: str) -> Any:
    """Return a JSON file of the stage; the page that asked depends on it."""
    path = Path(env.app.confdir) / name
    env.note_dependency(str(path))
    return json.loads(path.read_text()) if path.exists() else {}


class TableDirective(SphinxDirective):
    """What the tables share: rows of cells that hold Markdown or nodes."""

    def table(
        self, head: list[str], rows: list[list[Any]], widths: list[int], name: str
    ) -> nodes.Node:
        """Return a table whose cells are nodes or Markdown."""
        table = nodes.table(classes=["book-table", name])
        group = nodes.tgroup(cols=len(head))
        table += group
        group += [nodes.colspec(colwidth=width) for width in widths]
        top = nodes.thead()
        top += self.row(head)
        body = nodes.tbody()
        body += [self.row(cells) for cells in rows]
        group += [top, body]
        return table

    def row(self, cells: list[Any]) -> nodes.row:
        """Return one row."""
        row = nodes.row()
        for cell in cells:
            entry = nodes.entry()
            if isinstance(cell, str):
                entry += self.parse_text_to_nodes(cell)
            elif isinstance(cell, list):
                entry += cell
            else:
                entry += nodes.paragraph("", "", cell)
            row += entry
        return row
