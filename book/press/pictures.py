"""Each drawing of a page in four forms, and the words that open it large.

A page is light or dark, wide or narrow. The forms lie beside the drawing in `_images`;
the page shows one, and a link leads to the drawing alone.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

NARROW_MIME = "application/vnd.isometry.narrow+svg"
NARROW = "narrow"  # the folder of the staged narrow forms, in `_static`
PHONE = "screen and (max-width: 40rem)"
IMAGE = re.compile(r'<img\b[^>]*?\bsrc="([^"]*?_images/([^"/]+)\.svg)"[^>]*?/?>')
SIZE = re.compile(r'<svg\b[^>]*?\bwidth="([\d.]+)(pt|px)?" height="([\d.]+)')
PIXELS = {"pt": 4 / 3}


def staged(notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    """Take the narrow forms out of a notebook; yield where each is staged.

    Args:
        notebook: As executed; its outputs lose the narrow forms.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            drawing = output.get("data", {}).pop(NARROW_MIME, None)
            if drawing is not None:
                wide = os.linesep.join(output["data"]["image/svg+xml"].splitlines())
                name = hashlib.sha256(wide.encode()).hexdigest()  # as in the site
                yield f"book/_static/{NARROW}/{name}.svg", drawing


def dress_pictures(site: Path, pages: Iterator[Path]) -> None:
    """Give the drawings of a built site their forms, and write its pages anew.

    Args:
        site: Its folder.
        pages: Of the site.
    """
    from isometry_book.dark import dark_svg

    for svg in sorted((site / "_images").glob("*.svg")):
        forms = {"": svg.read_text(encoding="utf-8")}
        narrow = site / "_static" / NARROW / svg.name
        if narrow.exists():
            forms["-narrow"] = narrow.read_text(encoding="utf-8")
        for form, text in forms.items():
            (svg.parent / f"{svg.stem}{form}.svg").write_text(text, encoding="utf-8")
            dark = svg.parent / f"{svg.stem}{form}-dark.svg"
            dark.write_text(dark_svg(text), encoding="utf-8")
    for page in pages:
        html = page.read_text(encoding="utf-8")
        dressed = IMAGE.sub(lambda found: _picture(site, found), html)
        if dressed != html:
            page.write_text(dressed, encoding="utf-8")


def _picture(site: Path, found: re.Match[str]) -> str:
    """Return an image of a drawing with all its forms."""
    tag, address, name = found[0].rstrip("/>"), found[1], found[2]
    start = address.removesuffix(".svg")
    wide = size_of(site / "_images" / f"{name}.svg")
    narrow = site / "_images" / f"{name}-narrow.svg"
    out = [f'<span class="book-picture{"" if narrow.exists() else " scrolls"}">']
    for scheme, end in (("light", ""), ("dark", "-dark")):
        out.append(f'<picture class="for-{scheme}">')
        if narrow.exists():
            source = f'srcset="{start}-narrow{end}.svg" {size_of(narrow)}'
            out.append(f'<source media="{PHONE}" {source}>')
        image = tag.replace(address, f"{start}{end}.svg")
        out.append(f'{image} class="dark-light" loading="lazy" {wide}></picture>')
    out.append(f'<a class="enlarge" href="{address}">Enlarge</a></span>')
    return "".join(out)


def size_of(svg: Path) -> str:
    """Return the width and height of a drawing, in pixels, as attributes."""
    found = SIZE.search(svg.read_text(encoding="utf-8"))
    if found is None:
        return ""
    unit = PIXELS.get(found[2], 1.0)
    width, height = (round(unit * float(found[place])) for place in (1, 3))
    return f'width="{width}" height="{height}"'
