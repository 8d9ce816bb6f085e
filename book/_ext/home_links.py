"""Links of each page to where the book is kept: its text, the issues, a discussion.

They stand in the header once the address of the repository is known, beside the theme's
links to Colab and Binder.
"""

from typing import Any
from urllib.parse import quote

from sphinx.application import Sphinx


def add_links(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Add a menu to the header of a page that is written by hand."""
    home = app.config.book_repository
    if not home or doctree is None:
        return
    about = quote(f"{context.get('title', page)} ({page})")
    links = [
        ("fab fa-github", "Repository", home),
        ("fas fa-pencil-alt", "Edit this page", f"{home}/edit/main/{page}.md"),
        ("fas fa-bug", "Report a mistake", f"{home}/issues/new?title={about}"),
        ("fas fa-comments", "Discuss", f"{home}/discussions"),
    ]
    buttons = [
        {
            "type": "link",
            "url": url,
            "text": text,
            "icon": icon,
            "tooltip": text,
            "label": text.lower().replace(" ", "-"),
        }
        for icon, text, url in links
    ]
    menu = {"type": "group", "icon": "fab fa-github", "label": "home-links"}
    context["header_buttons"].append(
        menu | {"tooltip": "The book's repository", "buttons": buttons}
    )
