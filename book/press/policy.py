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
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

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


def policy(page: Path) -> str:
    """Return the policy of a built page, from what stands in it.

    Args:
        page: An HTML file of the site; the scripts that it loads lie beside it.
    """
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    inline = [
        "".join(script.strings)
        for script in soup("script", src=False)
        if str(script.get("type") or "").lower() in EXECUTED
    ]
    handlers = [
        str(value)
        for tag in soup.find_all(True)
        for name, value in tag.attrs.items()
        if name.startswith("on")
    ]
    hashes = sorted({digest(script) for script in [*inline, *handlers]})
    if handlers:
        hashes.insert(0, "'unsafe-hashes'")  # hashes hold for handlers too
    rules = [*COMMON, " ".join(["script-src 'self'", *hashes])]
    if any(
        starts_worker(page, str(script["src"])) for script in soup("script", src=True)
    ):
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
