"""What of a chapter's code a reader of the page sees at once.

A cell that teaches is tagged ``show`` and stays open. Of the rest, what only publishes
numbers or checks statements is not on the page, and what draws, tabulates or imports is
folded. The notebook has all of it.
"""

from nbformat import NotebookNode

SHOWN = "show"
BOOKKEEPING = ("chapter.publish(", "chapter.check(", "assert ")


def fold(cell: NotebookNode) -> None:
    """Tag a code cell for the page.

    Args:
        cell: As executed, without the outputs that are meant for the press.
    """
    tags = cell.metadata.get("tags", [])
    if SHOWN in tags or "remove-cell" in tags:
        return
    kept = any(word in cell.source for word in BOOKKEEPING) and not cell.outputs
    cell.metadata["tags"] = [*tags, "remove-input" if kept else "hide-input"]
