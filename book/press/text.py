"""One form for the chapters' text: a save in JupyterLab changes nothing else."""

from pathlib import Path

import jupytext
from jupytext.config import load_jupytext_config

from press import chapter_files


def normalised(text: str, path: Path) -> str:
    """Return a chapter as jupytext writes it, captions as flowing text.

    Args:
        text: A MyST text notebook.
        path: Where it lies; ``jupytext.toml`` above it is obeyed.
    """
    notebook = jupytext.reads(text, fmt="md:myst")
    for cell in notebook.cells:
        shown = cell.metadata.get("mystnb", {})
        for part, key in (("figure", "caption"), ("image", "alt")):
            words = shown.get(part, {}).get(key)
            if words:
                shown[part][key] = " ".join(words.split())
    config = load_jupytext_config(str(path))
    return str(jupytext.writes(notebook, fmt="md:myst", config=config))


def normalise(root: Path) -> None:
    """Rewrite every chapter that is not in the one form, and name it."""
    for path in chapter_files(root):
        text = path.read_text()
        new = normalised(text, path)
        if new != text:
            path.write_text(new)
            print(f"normalised {path.relative_to(root)}")
