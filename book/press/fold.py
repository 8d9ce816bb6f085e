"""What of a chapter's code a reader of the page sees.

A cell that teaches is tagged ``show`` and stays open. Of the rest, what draws or
tabulates is folded, and so are the imports; what shows nothing is not on the page. The
notebook has all of it.
"""

from nbformat import NotebookNode

SHOWN = "show"
BOOKKEEPING = ("chapter.publish(", "chapter.check(", "assert ")
IMPORTS = ("import ", "from ")


def fold(cell: NotebookNode) -> None:
    """Tag a code cell for the page.

    Args:
        cell: As executed, without the outputs that are meant for the press.
    """
    tags = cell.metadata.get("tags", [])
    if SHOWN in tags or "remove-cell" in tags:
        return
    folded = cell.outputs or cell.source.startswith(IMPORTS)
    cell.metadata["tags"] = [*tags, "hide-input" if folded else "remove-input"]
