"""The metadata that depends on where the project lives; all else is in pyproject.toml.

The README's links lead from file to file, which the page of an index does not have. In
the metadata they lead to the repository; as long as its address is not known, they are
plain text, and a picture is what it shows, in words.
"""

import os
import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def repository() -> str:
    """Return the address of the repository, or nothing."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    known = os.environ.get("BOOK_REPOSITORY") or tools["isometry"]["repository"]
    return str(known).rstrip("/")


def without_relative_links(text: str, address: str) -> str:
    """Return Markdown whose links hold anywhere.

    Args:
        text: Of a page at the repository's root.
        address: Of the repository; "" if it is not known.
    """

    def anywhere(link: re.Match[str]) -> str:
        picture, words, target = link["picture"], link["text"], link["target"]
        if re.match(r"[a-z]+:|#", target):
            return link[0]
        if not address:
            return f"*{words}*" if picture else words
        view = "raw" if picture else "blob"
        return f"{picture}[{words}]({address}/{view}/main/{target})"

    return LINK.sub(anywhere, text)


def urls(address: str) -> dict[str, str]:
    """Return what an index lists beside the package.

    Args:
        address: Of the repository; "" if it is not known.
    """
    if not address:
        return {}
    return {
        "Repository": address,
        "Issues": f"{address}/issues",
        "Changelog": f"{address}/blob/main/CHANGELOG.md",
    }


if __name__ == "__main__":
    README = (ROOT / "README.md").read_text(encoding="utf-8")
    setup(
        long_description=without_relative_links(README, repository()),
        long_description_content_type="text/markdown",
        project_urls=urls(repository()),
    )
