"""A Content-Security-Policy in every page: the site loads and runs what is its own.

A page may be read from a server that sets no headers, or from a disk, so its policy
stands in the page. Scripts run if they are files of the site or have the hash of one
that was in the page when it was built; what somebody manages to put into a page later
does not. Styles may stand in tags, as in drawings and in what MathJax writes.
"""

import hashlib
import re
from base64 import b64encode
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

EXECUTED = {"", "module", "text/javascript", "application/javascript"}
PLACE = re.compile(r"<meta charset=[^>]*>|<head[^>]*>", re.I)
COMMON = (
    "default-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
)


def digest(script: str) -> str:
    """Return a script's hash as a policy names it.

    Example:
        >>> digest("alert(1)")
        "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"
    """
    return f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


class Scripts(HTMLParser):
    """What runs in a page.

    Attributes:
        inline: Texts of its own scripts.
        handlers: Texts of attributes that act on events.
        loaded: Addresses of other scripts.
    """

    def __init__(self, html: str) -> None:
        """Read a page."""
        super().__init__()
        self.inline: list[str] = []
        self.handlers: list[str] = []
        self.loaded: list[str] = []
        self._inside = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag's handlers, and a script's address, or that its text follows."""
        given = {name: value or "" for name, value in attrs}
        self.handlers += [v for name, v in given.items() if name.startswith("on")]
        if tag == "script":
            if "src" in given:
                self.loaded.append(given["src"])
            elif given.get("type", "").lower() in EXECUTED:
                self._inside = True
                self.inline.append("")

    def handle_endtag(self, tag: str) -> None:
        """Note that a script ends."""
        self._inside = self._inside and tag != "script"

    def handle_data(self, data: str) -> None:
        """Add to a script's text."""
        if self._inside:
            self.inline[-1] += data


def policy(page: Path) -> str:
    """Return the policy of a built page, from what stands in it.

    Args:
        page: An HTML file of the site; the scripts that it loads lie beside it.
    """
    scripts = Scripts(page.read_text(encoding="utf-8"))
    hashes = sorted({digest(text) for text in [*scripts.inline, *scripts.handlers]})
    if scripts.handlers:
        hashes.insert(0, "'unsafe-hashes'")  # hashes hold for handlers too
    rules = [*COMMON, " ".join(["script-src 'self'", *hashes])]
    if any(starts_worker(page, address) for address in scripts.loaded):
        rules.append("worker-src blob:")
    return "; ".join(rules)


def starts_worker(page: Path, address: str) -> bool:
    """Return whether a script is one of ours that computes beside the page."""
    path = page.parent / unquote(urlsplit(address).path)
    return "explorables" in path.parts and "new Worker(" in path.read_text("utf-8")


def add_policies(site: Path) -> None:
    """Give each page of a site its policy, before anything that it governs.

    Args:
        site: Folder of pages without a policy; they are written anew.
    """
    for page in sorted(site.rglob("*.html")):
        if "_static" in page.relative_to(site).parts:
            continue
        html = page.read_text(encoding="utf-8")
        content = escape(policy(page), quote=False)
        tag = f'<meta http-equiv="Content-Security-Policy" content="{content}">'
        found = PLACE.search(html)
        place = found.end() if found else 0
        page.write_text(f"{html[:place]}\n{tag}{html[place:]}", encoding="utf-8")
