"""The book as one PDF, printed by Chromium; twice, for the contents name pages."""

import re
import subprocess
from datetime import date
from pathlib import Path

from press import BookError
from press.bound import bound
from press.site import QUIET_BROWSER, build, chromium

PAPERS = {"a4": "A4", "letter": "letter"}
LOOK = Path(__file__).with_name("print.css")
MOST = 3  # prints, until no page number changes


def pdf(root: Path, stage: Path, output: Path, paper: str = "a4") -> Path:
    """Print the whole book without the listing of the library.

    Args:
        root: The repository.
        stage: The staged book.
        output: The PDF.
        paper: One of :data:`PAPERS`.

    Raises:
        BookError: If there is no Chromium, or the contents do not settle.
    """
    browser = chromium()
    if browser is None:
        raise BookError(
            "needed Chromium to print a PDF, found none; install it, or name it in "
            "$CHROMIUM"
        )
    site = build(root, stage, root / "_build" / "print")
    look = LOOK.read_text(encoding="utf-8").replace("PAPER", PAPERS[paper])
    title, *about = cover(root)
    html, marks = bound(site, stage, title, about, look)
    output.parent.mkdir(parents=True, exist_ok=True)
    page, numbers = site / "print.html", dict.fromkeys(marks, 0)
    for _ in range(MOST):
        page.write_text(numbered(html, numbers), encoding="utf-8")
        print_page(browser, page, output)
        found = page_numbers(output.read_bytes())
        if missing := [mark for mark in marks if mark not in found]:
            raise BookError(f"the PDF has no place for {', '.join(missing)}")
        if all(found[mark] == numbers[mark] for mark in marks):
            break
        numbers = {mark: found[mark] for mark in marks}
    else:
        raise BookError(f"the contents still changed after {MOST} prints")
    pages = len(sheets(output.read_bytes().decode("latin-1")))
    print(f"pdf: {output} ({pages} pages, {output.stat().st_size / 1e6:.1f} MB)")
    return output


def cover(root: Path) -> list[str]:
    """Return the lines of the cover: title, people, date, and what is in the book."""
    text = (root / "CITATION.cff").read_text(encoding="utf-8")
    title, people, version = (
        re.search(pattern, text, re.M)[1]  # type: ignore[index]
        for pattern in (r"^title: (.+)", r"^  - name: (.+)", r"^version: (.+)")
    )
    asked = ["git", "-C", str(root), "log", "-1", "--format=%cs"]
    said = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    released = re.search(r"^date-released: (.+)", text, re.M)
    day = date.fromisoformat(said or (released[1] if released else str(date.today())))
    return [
        title,
        people,
        f"{day:%-d %B %Y}, version {version}",
        "The book as it is on its pages, with the answers at the end. What draws a "
        "figure is in the notebooks; the library's interface is on its own pages.",
    ]


def numbered(html: str, numbers: dict[str, int]) -> str:
    """Return the bound book with page numbers in its contents."""
    return re.sub(
        r'(data-page="([^"]+)">)',
        lambda found: f"{found[1]}{numbers[found[2]] or ''}",
        html,
    )


def print_page(browser: str, page: Path, output: Path) -> None:
    """Print a page to a PDF with an outline."""
    options = (
        "--no-pdf-header-footer",
        "--generate-pdf-document-outline",
        "--virtual-time-budget=120000",
        "--window-size=1000,1400",
        f"--print-to-pdf={output}",
    )
    subprocess.run(
        [browser, *QUIET_BROWSER, *options, page.as_uri()],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=900,
    )


def sheets(pdf: str) -> list[str]:
    """Return the pages' object numbers in order, from a PDF as Chromium writes it."""
    nodes = dict(re.findall(r"(?ms)^(\d+) 0 obj\s*<<(/Type /Pages?\b.*?)^endobj", pdf))
    root = re.search(r"/Type /Catalog\b.*?/Pages (\d+) 0 R", pdf, re.S)
    if root is None:
        return []
    found, waiting = [], [root[1]]
    while waiting:
        node = waiting.pop(0)
        kids = re.search(r"/Kids \[([^\]]*)\]", nodes.get(node, ""))
        if kids:
            waiting = re.findall(r"(\d+) 0 R", kids[1]) + waiting
        else:
            found.append(node)
    return found


def page_numbers(content: bytes) -> dict[str, int]:
    """Return on which page of a PDF, from one, each named place is."""
    pdf = content.decode("latin-1")
    place = {sheet: number for number, sheet in enumerate(sheets(pdf), 1)}
    named = re.findall(r"/([^\s/\[\]<>()]+) \[(\d+) 0 R /XYZ", pdf)
    return {
        re.sub(r"#([0-9a-fA-F]{2})", lambda h: chr(int(h[1], 16)), name): place[sheet]
        for name, sheet in named
        if sheet in place
    }
