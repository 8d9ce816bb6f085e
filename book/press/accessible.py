"""What themes and extensions write into a page, mended for those who hear it.

Each rule names what it mends in the words of axe-core, a checker of pages.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path


def _as_list(signature: re.Match[str]) -> str:
    """Return the parameters of a long signature as a list, which they are."""
    items = signature[1].replace("<dd>", "<li>").replace("</dd>", "</li>")
    return f'<ul class="sig-parts">\n{items}</ul>'


RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # empty-table-header: a corner above the names of rows names nothing.
    (
        re.compile(r"<th((?: [^>]*)?)>(?:\s|&nbsp;|&#160;|<p></p>)*</th>"),
        r"<td\1></td>",
    ),
    # aria-required-children: entries of a list are its items.
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),
    # label-content-name-mismatch: a button that shows words is called by them.
    (
        re.compile(
            r'(<button class="btn search-button-field[^>]*?) aria-label="Search"'
        ),
        r"\1",
    ),
    # The same: of the three signs of the switch two are always hidden.
    (re.compile(r'(<i class="theme-switch [^>]*?) title="[^"]*"'), r"\1"),
    # definition-list: Sphinx breaks a long signature into descriptions of nothing.
    (re.compile(r"<dl>\n((?:<dd>(?:(?!</?d[dlt]>).)*</dd>\n)+)</dl>", re.S), _as_list),
)


def mended(html: str) -> str:
    """Return a page with the rules applied.

    Args:
        html: Of one page, whole.

    Example:
        >>> mended('<th class="blank level0" >&nbsp;</th>')
        '<td class="blank level0" ></td>'
    """
    for pattern, new in RULES:
        html = pattern.sub(new, html)
    return html


def mend(pages: Iterator[Path]) -> None:
    """Write the pages of a built site anew, mended.

    Args:
        pages: Their files.
    """
    for page in pages:
        html = page.read_text(encoding="utf-8")
        if (new := mended(html)) != html:
            page.write_text(new, encoding="utf-8")
