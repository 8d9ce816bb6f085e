"""The pages of a built site bound to one, for print: cover, contents, text, answers.

What a reader of the site opens by a click is treated by what it is: proofs are open,
code that draws is left out, answers stand at the end, explorables are stills.
"""

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from posixpath import dirname, normpath

import yaml
from bs4 import BeautifulSoup, Tag

from press import BookError

LEFT_OUT = {"book/api"}
ANSWERS = "answers"
GONE = (
    "a.headerlink, details.hide, div.tag_hide-input > div.cell_input, "
    "div.claim details, button, script, a.enlarge, picture.for-dark, "
    "picture source, .sd-summary-state-marker, .explorable-controls"
)
SHELL = """<!doctype html><html lang="en" data-theme="light" data-mode="light"><head>
<meta charset="utf-8"><title>{title}</title>{head}<style>{look}</style></head>
<body class="print"><main class="bd-content"><article class="bd-article">
{cover}{contents}{body}</article></main><script>{fit}</script></body></html>"""
# What is wider than the paper is drawn smaller, before the pages are laid out.
FIT = """const wide = "table, pre, mjx-container, svg";
for (const part of document.querySelectorAll(wide)) {
  const room = part.parentElement.clientWidth, needs = part.scrollWidth;
  if (room > 0 && needs > room) part.style.zoom = Math.max(0.45, room / needs);
}"""


def order(stage: Path) -> list[tuple[str, list[str]]]:
    """Return the parts of the book with the names of their pages.

    Args:
        stage: The staged book, with its ``_toc.yml``.
    """
    toc = yaml.safe_load((stage / "_toc.yml").read_text(encoding="utf-8"))
    parts = [("", [toc["root"]])]
    groups = toc.get("parts", [{"chapters": toc.get("chapters", [])}])
    for part in groups:
        names = [entry["file"] for entry in part["chapters"]]
        parts.append((part.get("caption", ""), [n for n in names if n not in LEFT_OUT]))
    return parts


def marked(page: str, name: str = "") -> str:
    """Return the mark of a place in the bound book.

    Example:
        >>> marked("chapters/05_adamo", "strength")
        'chapters-05_adamo--strength'
    """
    return page.replace("/", "-") + (f"--{name}" if name else "")


def taken(site: Path, page: str, pages: set[str]) -> Tag:
    """Return the article of a page, its marks and addresses those of the bound book.

    Args:
        site: The built site.
        page: Its name, without an end.
        pages: Names of all that are bound.
    """
    html = (site / f"{page}.html").read_text(encoding="utf-8")
    article = BeautifulSoup(html, "html.parser").select_one("article.bd-article")
    if article is None:
        raise BookError(f"{page}.html has no article to print")
    for gone in article.select(GONE):
        gone.decompose()
    article.name, article["class"], article["id"] = "div", ["page"], marked(page)
    for part in article.select("[id]"):
        part["id"] = marked(page, str(part["id"]))
    for part in article.select("[src]"):
        part["src"] = inside(page, str(part["src"]))
        del part["loading"]
    for link in article.select("a[href]"):
        turned(link, page, pages)
    for fold in article.select("details"):
        fold["open"] = ""
    return article


def inside(page: str, address: str) -> str:
    """Return an address, relative to a page, from the site's top.

    Example:
        >>> inside("chapters/05_adamo", "../_images/a.svg")
        '_images/a.svg'
    """
    if re.match(r"[a-z]+:", address):
        return address
    return normpath(f"{dirname(page)}/{address}") if dirname(page) else address


def turned(link: Tag, page: str, pages: set[str]) -> None:
    """Let a link lead to its place in the bound book, or be text."""
    address, _, name = str(link["href"]).partition("#")
    if re.match(r"[a-z]+:", address):
        return
    target = inside(page, address).removesuffix(".html") if address else page
    if target in pages:
        link["href"] = "#" + marked(target, name)
    else:
        link.unwrap()


def answers_of(article: Tag, soup: BeautifulSoup) -> list[Tag]:
    """Take the solutions and the answers of the quiz out of a page, and return them."""
    found = []
    for fold in article.select("details.sd-dropdown"):
        title = fold.select_one(".sd-summary-text")
        if title is None or title.get_text().strip() != "Solution":
            continue
        item = fold.find_parent("li")
        siblings = (
            item.find_parent("ol").find_all("li", recursive=False) if item else []
        )
        number = 1 + siblings.index(item) if item in siblings else len(found) + 1
        fold.extract()
        fold.summary.decompose()
        found.append(answer(soup, f"Exercise {number}.", fold))
    for number, question in enumerate(article.select("ol.quiz > li"), 1):
        for place, fold in enumerate(question.select("details")):
            letter, right = "abcdefgh"[place], "right" in fold["class"]
            summary, reason = fold.summary.extract(), fold.extract()
            summary.name = "div"
            summary.insert(0, f"({letter}) ")
            question.append(summary)
            if right:
                found.append(answer(soup, f"Question {number}: {letter}.", reason))
    return found


def answer(soup: BeautifulSoup, title: str, body: Tag) -> Tag:
    """Return an answer with its title."""
    part = soup.new_tag("div", attrs={"class": "answer"})
    head = soup.new_tag("strong")
    head.string = title
    body.name, body.attrs = "div", {}
    part.extend([head, body])
    return part


def bound(
    site: Path, stage: Path, title: str, about: list[str], look: str
) -> tuple[str, list[str]]:
    """Return the bound book as HTML, and the marks whose pages its contents name.

    Args:
        site: The built site.
        stage: The staged book.
        title: Of the book.
        about: Lines of the cover: people, date, version.
        look: A style sheet.
    """
    parts = order(stage)
    pages = {page for _, names in parts for page in names}
    soup = BeautifulSoup("", "html.parser")
    body, lines, heads, solved = [], [], [], []
    for caption, names in parts:
        if caption:
            lines.append(f'<li class="part">{escape(caption)}</li>')
        for page in names:
            article = taken(site, page, pages)
            if found := answers_of(article, soup):
                solved.append((heading(article.h1), found))
            heads.append((marked(page), heading(article.h1)))
            lines += list(entries(article))
            body.append(str(article))
    if solved:
        lines.append(entry(ANSWERS, "Answers", 1))
        heads.append((ANSWERS, "Answers"))
        body.append(printed_answers(solved))
    cover = "".join(f"<p>{escape(line)}</p>" for line in about)
    listed = "".join(lines)
    html = SHELL.format(
        title=escape(title),
        head=head_of(site, parts[0][1][0]),
        look=look + "\n".join(running(mark, name) for mark, name in heads),
        cover=f'<div class="cover"><h1>{escape(title)}</h1>{cover}</div>',
        contents=f'<nav class="listing"><h1>Contents</h1><ol>{listed}</ol></nav>',
        body="".join(body),
        fit=FIT,
    )
    return html, re.findall(r'data-page="([^"]+)"', html)


def heading(tag: Tag | None) -> str:
    """Return the text of a heading."""
    return " ".join(tag.get_text().split()) if tag else ""


def entries(article: Tag) -> Iterator[str]:
    """Yield the lines of the contents for a page: its title and its sections."""
    yield entry(str(article["id"]), heading(article.h1), 1)
    for section in article.select("section section"):
        title = section.find(["h2"], recursive=False)
        if title and section.get("id"):
            yield entry(str(section["id"]), heading(title), 2)


def entry(mark: str, title: str, level: int) -> str:
    """Return one line of the contents; its page is filled in when it is known."""
    link = f'<a href="#{mark}">{escape(title)}</a>'
    return f'<li class="level-{level}">{link}<span data-page="{mark}"></span></li>'


def running(mark: str, name: str) -> str:
    """Return the rule for the head of a page's sheets."""
    page = "p" + re.sub(r"\W", "-", mark)
    text = name.replace("\\", "").replace('"', "'")
    return (
        f"#{mark} {{ page: {page} }}\n"
        f'@page {page} {{ @top-right {{ content: "{text}"; font: 8pt sans-serif }} }}'
    )


def printed_answers(solved: list[tuple[str, list[Tag]]]) -> str:
    """Return the section of the answers."""
    parts = [f'<div class="page" id="{ANSWERS}"><h1>Answers</h1>']
    for chapter, found in solved:
        parts.append(f"<h2>{escape(chapter)}</h2>")
        parts += [str(one) for one in found]
    return "".join([*parts, "</div>"])


def head_of(site: Path, page: str) -> str:
    """Return a page's style sheets and what sets its mathematics."""
    html = (site / f"{page}.html").read_text(encoding="utf-8")
    soup = BeautifulSoup(html, "html.parser")
    kept = [tag for tag in soup.select('link[rel="stylesheet"]') if tag.get("href")]
    kept += [
        tag
        for tag in soup.select("script")
        if "mathjax" in (str(tag.get("src", "")) + str(tag.string or "")).lower()
    ]
    for tag in kept:
        for name in ("href", "src"):
            if tag.get(name):
                tag[name] = inside(page, str(tag[name]))
    return "".join(str(tag) for tag in kept)
