"""One form for the chapters' text: a save in JupyterLab changes nothing else."""

from pathlib import Path
from typing import Any

import jupytext
from jupytext.config import load_jupytext_config

from press import ROOT, chapter_files

# A kernel is called by what a machine calls it; the chapters have one name for it.
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def normalised(text: str, path: Path) -> str:
    """Return a chapter as jupytext writes it: captions flow, the kernel has one name.

    Args:
        text: A MyST text notebook.
        path: Where it lies; ``jupytext.toml`` above it is obeyed.
    """
    notebook = jupytext.reads(text, fmt="md:myst")
    notebook.metadata["kernelspec"] = dict(KERNEL)
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


def on_saving(model: dict[str, Any], path: str, contents_manager: Any) -> None:
    """Bring a chapter that JupyterLab saves into the one form.

    Args:
        model: What is about to be written; its text is replaced.
        path: Where, below the server's folder.
        contents_manager: Of the server.
    """
    file = Path(contents_manager.root_dir, path.lstrip("/")).resolve()
    if file in chapter_files(ROOT) and isinstance(model.get("content"), str):
        model["content"] = normalised(model["content"], file)
