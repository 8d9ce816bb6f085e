"""A chapter's text for readers without the book's build: roles and fences resolved.

JupyterLab, Colab and GitHub show Markdown with mathematics, and none of the book's
roles and directives: here each becomes the number, name or text that the page shows.
"""

import re
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import yaml
from nbformat import NotebookNode
from pybtex.database import Entry, parse_file

from press import ROOT, BookError

sys.path.append(str(ROOT / "book" / "_ext"))  # Sphinx finds them by itself

Data = dict[str, Any]
ROLE = re.compile(r"\{(?P<role>[a-z:]+)\}`(?P<text>[^`]+)`")
OPEN = re.compile(
    r"(?P<indent> *)(?P<fence>`{3,}|:{3,})\{(?P<kind>[\w:-]+)\}(?P<rest>.*)"
)
OPTION = re.compile(r":(?P<name>[\w-]+):\s*(?P<value>.*)")
EQUATION = re.compile(r"^(?P<indent> *)\$\$ *\((?P<label>[\w-]+)\)[ \t]*$", re.M)
THEOREM = re.compile(r"\{prf:(\w+)\}[^\n]*\n *:label: ([\w-]+)")
LINK = re.compile(
    r"\[(?P<words>[^\]]*)\]\((?P<page>\.\./book/[\w-]+)(\.md)?(?P<at>#[\w-]+)?\)"
)
UNNAMED = re.compile(r"\[\]\((?P<page>\d\d_\w+)\.ipynb")
COMMENT = re.compile(r"<!--.*?-->\n?", re.S)
EXPLAINED = re.compile(r"(?P<words>.+?)\s*<(?P<target>[^<>]+)>", re.S)
ADMONITIONS = {"admonition", "note", "tip", "hint", "important", "warning", "seealso"}


@dataclass(frozen=True)
class Book:
    """What roles and directives refer to.

    Attributes:
        numbers: Of each chapter, by key.
        claims: Rows of all claims with their verdicts.
        labels: What is printed for a reference, see :func:`labels`.
        cited: Entries of the bibliography, by key.
        quizzes: Questions of each chapter.
        titles: Of the chapters, by file name without its end.
        macros: Of the mathematics, by name: text, or text and number of arguments.
        pages: Address of the site, "" if it is not known.
    """

    numbers: dict[str, Data]
    claims: list[Data]
    labels: dict[str, str]
    cited: dict[str, Entry]
    quizzes: dict[str, list[Data]]
    titles: dict[str, str]
    macros: dict[str, Any]
    pages: str = ""


def book_of(
    root: Path,
    chapters: dict[str, NotebookNode],
    numbers: dict[str, Data],
    claims: list[Data],
    titles: dict[str, str],
    pages: str,
) -> Book:
    """Return what the chapters' roles refer to, from the files of a repository."""
    bibliography, quizzes = root / "book/references.bib", root / "book/quizzes.toml"
    config = yaml.safe_load((root / "_config.yml").read_text()) or {}
    mathjax = config.get("sphinx", {}).get("config", {}).get("mathjax3_config", {})
    return Book(
        numbers=numbers,
        claims=claims,
        labels=labels(chapters),
        cited=dict(parse_file(bibliography).entries) if bibliography.exists() else {},
        quizzes=tomllib.loads(quizzes.read_text("utf-8")) if quizzes.exists() else {},
        titles=titles,
        macros=mathjax.get("tex", {}).get("macros", {}),
        pages=pages,
    )


def labels(chapters: dict[str, NotebookNode]) -> dict[str, str]:
    r"""Return what is printed for each equation, figure and theorem.

    Args:
        chapters: By file name, which begins with the chapter's number.

    Example:
        >>> from nbformat.v4 import new_markdown_cell, new_notebook
        >>> cell = new_markdown_cell("$$\nx\n$$ (flow)")
        >>> labels({"05_adamo": new_notebook(cells=[cell])})
        {'flow': '(5.1)'}
    """
    found: dict[str, str] = {}
    for name, notebook in chapters.items():
        chapter, count = int(name.split("_")[0]), Counter[str]()

        def number(kind: str, chapter: int = chapter, count: Any = count) -> str:
            count[kind] += 1
            return f"{chapter}.{count[kind]}"

        for cell in notebook.cells:
            figure = cell.metadata.get("mystnb", {}).get("figure", {})
            if figure:
                found[figure.get("name", "")] = f"Fig. {number('figure')}"
            if cell.cell_type != "markdown":
                continue
            for equation in EQUATION.finditer(cell.source):
                found[equation["label"]] = f"({number('equation')})"
            for kind, label in THEOREM.findall(cell.source):
                found[label] = f"{kind.capitalize()} {number(kind)}"
    return found


def plain(text: str, chapter: str, book: Book) -> str:
    """Return Markdown in which no role and no directive is left.

    Args:
        text: Of a cell or a caption of a chapter.
        chapter: The chapter's file name without its end.
        book: What roles refer to.

    Raises:
        BookError: For one that nobody has translated, or that refers to nothing.
    """
    text = COMMENT.sub("", text)
    lines, out = text.split("\n"), []
    while lines:
        line = lines.pop(0)
        opened = OPEN.fullmatch(line)
        if not opened:
            out.append(line)
            continue
        end = opened["indent"] + opened["fence"]
        if end not in lines:
            raise BookError(f"{chapter}: {line.strip()} is never closed")
        inside = dedent("\n".join(lines[: lines.index(end)]))
        del lines[: lines.index(end) + 1]
        shown = directive(opened["kind"], opened["rest"].strip(), inside, chapter, book)
        out.append(indent(shown, opened["indent"]))
    return resolved("\n".join(out), chapter, book)


def resolved(text: str, chapter: str, book: Book) -> str:
    """Return text whose roles, equations' labels, links and macros are resolved."""
    try:
        text = ROLE.sub(lambda found: role(found["role"], found["text"], book), text)
        text = EQUATION.sub(
            lambda f: (
                f"{f['indent']}\\tag{{{book.labels[f['label']][1:-1]}}}\n"
                f"{f['indent']}$$"
            ),
            text,
        )
    except (KeyError, ValueError) as error:
        raise BookError(f"{chapter}: {error} cannot be resolved in {text!r}") from error
    text = LINK.sub(lambda found: linked(found, book.pages), text)
    text = UNNAMED.sub(lambda f: f"[{book.titles[f['page']]}]({f['page']}.ipynb", text)
    for name, meaning in book.macros.items():
        text = expanded(text, name, meaning)
    return text


def linked(found: re.Match[str], pages: str) -> str:
    """Return a link to a page of the site, or its words if that has no address."""
    if not pages:
        return found["words"]
    page = found["page"].removeprefix("../")
    return f"[{found['words']}]({pages}/{page}.html{found['at'] or ''})"


def expanded(text: str, name: str, meaning: Any) -> str:
    r"""Return text without a macro.

    Example:
        >>> print(expanded(r"$\norm{w_{1}} \E x$", "norm", [r"|#1|", 1]))
        $|w_{1}| \E x$
    """
    if isinstance(meaning, str):
        return re.sub(rf"\\{name}(?![A-Za-z])", lambda _: meaning, text)
    argument = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
    return re.sub(
        rf"\\{name}{argument}", lambda found: meaning[0].replace("#1", found[1]), text
    )


def role(name: str, text: str, book: Book) -> str:
    """Return what a role shows; KeyError if it refers to nothing or is not known."""
    explained = EXPLAINED.fullmatch(text)
    if name == "number":
        key, _, form = text.partition(":")
        chapter, _, key = key.strip().partition(".")
        return format(book.numbers[chapter][key], form)
    if name in ("eq", "numref", "prf:ref"):
        return book.labels[text.strip()]
    if name in ("term", "set"):
        return explained["words"] if explained else text
    if name == "doc":
        return explained["words"] if explained else book.titles[text.split("/")[-1]]
    if name in ("cite:t", "cite:p"):
        cited = [citation(book.cited[key.strip()], name) for key in text.split(",")]
        return ", ".join(cited) if name == "cite:t" else f"[{'; '.join(cited)}]"
    raise KeyError(f"role {name}")


def citation(entry: Entry, name: str = "cite:t") -> str:
    """Return who and when, with a link where there is one."""
    people = ["".join(map(str, who.last_names)) for who in entry.persons["author"]]
    people = [re.sub(r"[{}]", "", latin(who)) for who in people]
    who = people[0] if len(people) == 1 else " and ".join(people)
    if len(people) > 2 or people[-1] == "others":
        who = f"{people[0]} et al."
    year = entry.fields["year"]
    words = f"{who} ({year})" if name == "cite:t" else f"{who}, {year}"
    address = address_of(entry)
    return f"[{words}]({address})" if address else words


def address_of(entry: Entry) -> str | None:
    """Return where a text can be read: by its DOI, its arXiv number or its address."""
    fields = entry.fields
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    if "eprint" in fields:
        return f"https://arxiv.org/abs/{fields['eprint']}"
    return fields.get("url")


def latin(text: str) -> str:
    """Return LaTeX's accents as letters."""
    from pybtex.richtext import Text

    return str(Text.from_latex(text))


def directive(kind: str, rest: str, inside: str, chapter: str, book: Book) -> str:
    """Return the Markdown for a directive."""
    options, body = options_of(inside)
    body = plain(body, chapter, book).strip("\n")
    if kind in ADMONITIONS:
        title = rest or kind.capitalize()
        return f"**{title}{'' if title[-1] in '?!.' else '.'}** {body}"
    if kind == "dropdown":
        return folded(rest, body)
    if kind.startswith("prf:"):
        name = book.labels[options["label"]] if "label" in options else "Proof"
        return f"**{name}**{f' (*{rest}*)' if rest else ''}. {body}"
    if kind == "claim":
        return claim(rest, chapter, book)
    if kind == "chapter-claims":
        return chapter_claims(chapter, book)
    if kind == "quiz":
        return quiz(chapter, book)
    raise BookError(f"{chapter}: no plain form of {{{kind}}}; give it one in plain.py")


def options_of(inside: str) -> tuple[dict[str, str], str]:
    """Return a directive's options and what is left."""
    options, lines = {}, inside.split("\n")
    while lines and (found := OPTION.fullmatch(lines[0])):
        options[found["name"]] = found["value"]
        del lines[0]
    return options, "\n".join(lines)


def folded(title: str, body: str) -> str:
    """Return what opens with a click, in Jupyter and on GitHub.

    Example:
        >>> folded("Is *this* `x`?", "Yes.").splitlines()[0]
        '<details><summary>Is <em>this</em> <code>x</code>?</summary>'
    """
    title = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", title)
    title = re.sub(r"`([^`]+)`", r"<code>\1</code>", title)
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def claim(key: str, chapter: str, book: Book) -> str:
    """Return a claim, its verdict, its reason and its criterion."""
    rows = {row["key"]: row for row in book.claims}
    if key not in rows:
        raise BookError(f"{chapter}: unknown claim {key!r}")
    row = rows[key]
    parts = [
        f"**Claim: {row['title']}**, {row['verdict']}.",
        f"{row['text']} *{row['source']}.*",
        row["reason"],
        *[
            f"**Elsewhere.** {o['what']} ({o['who']}, {o['where']}.)"
            for o in row["outside"]
        ],
        f"**Scale.** {row['gap']}" if row["gap"] else "",
        folded("Criterion", row["criterion"]),
    ]
    return plain("\n\n".join(part for part in parts if part), chapter, book)


def chapter_claims(chapter: str, book: Book) -> str:
    """Return one line: the verdicts of a chapter's claims."""
    from book_pages import chapters_of

    number = str(int(chapter.split("_")[0]))
    mine = [row for row in book.claims if number in chapters_of(row)]
    named = "; ".join(f"{row['title']}: *{row['verdict']}*" for row in mine)
    word = "claim" if len(mine) == 1 else "claims"
    return f"Judged here, {len(mine)} {word}: {named}."


def quiz(chapter: str, book: Book) -> str:
    """Return a chapter's questions, whose answers open with a click."""
    from quiz_pages import answers

    out = []
    for index, question in enumerate(book.quizzes[chapter], 1):
        out.append(f"**{index}.** {question['ask']}")
        for text, why, right in answers(question):
            out.append(folded(text, f"**{'Right.' if right else 'No.'}** {why}"))
    return "\n\n".join(out)
