"""What pages load and never use is left out of the built site.

A page is read from a disk, on a telephone, or far from its server, and the theme brings
2,000 icons, the styles of all of Bootstrap, and the search index on every page.
"""

import re
from collections.abc import Iterator
from pathlib import Path

ICONS = "scripts/fontawesome.js"
STYLES = ("styles/pydata-sphinx-theme.css", "sphinx-design.min.css", "mystnb.*.css")
# name:[width,height,[aliases],"code","path" or ["path","path"]]
ICON = re.compile(
    r'(?:"([\w-]+)"|\b([\w$]+)):(\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]*",'
    r'(?:"[^"]*"|\["[^"]*","[^"]*"\])\]),?'
)
WORD = re.compile(r"[\w-]+")
CLASS = re.compile(r"\.(-?[_a-zA-Z][\w-]*)")
BRACKETS = re.compile(r"\([^()]*\)|\[[^\]]*\]")
ICON_FONT = re.compile(r"@font-face\{[^}]*Font Awesome[^}]*\}")  # the script draws them
MADE_BY_SCRIPTS = ("bs-", "mjx")  # beginnings of classes that are put together
# The theme would search while one types; here a page of its own does.
SEARCH = re.compile(
    r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*">'
    r"</script>"
)
# Pandas numbers every cell of a table that it styles, for rules that few tables have,
# and gives it classes that no style of the book knows.
CELL = re.compile(r' id="(T_[\w-]+_(?:row|col)\d+)"')
KINDS = re.compile(
    r'(<t[hd])((?: id="[^"]*")?) class="'
    r"(?:data|row_heading|col_heading|blank|index_name)(?: (?:level|row|col)\d+)*"
    r'"(?: (?=>))?'
)
# Pygments puts every name, comma and space of code into a span.
SPAN = re.compile(r'<span class="(\w+)">([^<]*)</span>')
CODE = re.compile(r'(html\[data-theme="\w+"\]) \.highlight(?: \.(\w+))? \{([^}]*)\}')
COLOR = re.compile(r"(?<![\w-])color: *([^\s;]+)")


def lighten(site: Path, pages: Iterator[Path]) -> None:
    """Leave in the site's scripts and styles what some page or script may use.

    Args:
        site: Its folder.
        pages: Of the site.
    """
    static = site / "_static"
    code = static / "pygments.css"
    plain = plain_classes(code.read_text("utf-8")) if code.exists() else set()
    texts = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        less = text if page.name == "search.html" else SEARCH.sub("", text)
        less = without_spans(without_cells(less), plain)
        if less != text:
            page.write_text(less, encoding="utf-8")
        texts.append(text)
    texts += [p.read_text("utf-8") for p in static.rglob("*.js") if p.name != ICONS[8:]]
    worn = {word for text in texts for word in WORD.findall(text)}
    icons = {word[3:] for word in worn if word.startswith("fa-")}
    for name, lighter, used in (
        (ICONS, only_icons, icons),
        *((style, only_styles, worn) for style in STYLES),
    ):
        for path in static.glob(name):
            path.write_text(lighter(path.read_text("utf-8"), used), encoding="utf-8")
            path.with_name(f"{path.name}.map").unlink(missing_ok=True)


def plain_classes(css: str) -> set[str]:
    """Return the classes of spans of code that look as the code around them.

    Args:
        css: The style of code, with rules for each theme.

    Example:
        >>> theme = 'html[data-theme="dark"] .highlight'
        >>> css = f"{theme} {{ background: red; color: #FFF }} "
        >>> css += f"{theme} .n {{ color: #FFF }} {theme} .k {{ color: #00F }} "
        >>> plain_classes(css + f"{theme} .ge {{ color: #FFF; font-style: italic }}")
        {'n'}
    """
    rules = CODE.findall(css)
    around = {theme: COLOR.findall(style) for theme, name, style in rules if not name}
    named = {name for _, name, _ in rules if name}
    own = {
        name
        for theme, name, style in rules
        if name and style.strip() not in {f"color: {c}" for c in around.get(theme, ())}
    }
    return named - own


def without_spans(page: str, plain: set[str]) -> str:
    """Return a page without spans of code that look as the code around them.

    Args:
        page: As HTML.
        plain: From :func:`plain_classes`.

    Example:
        >>> without_spans('<span class="n">x</span><span class="k">in</span>', {"n"})
        'x<span class="k">in</span>'
    """
    return SPAN.sub(lambda span: span[2] if span[1] in plain else span[0], page)


def without_cells(page: str) -> str:
    """Return a page whose table cells have no name or class that no rule of it uses.

    Args:
        page: As HTML.

    Example:
        >>> without_cells('#T_a_row0 {x:y} <td id="T_a_row1"><td id="T_a_row0">')
        '#T_a_row0 {x:y} <td><td id="T_a_row0">'
        >>> without_cells('<td class="data row0 col12" >1</td>')
        '<td>1</td>'
    """
    named = set(re.findall(r"#(T_[\w-]+)", page))
    page = CELL.sub(lambda cell: cell[0] if cell[1] in named else "", page)
    return KINDS.sub(r"\1\2", page)


def only_icons(script: str, worn: set[str]) -> str:
    """Return a script of Font Awesome's with some of its icons.

    Args:
        script: With all of them.
        worn: Names or other names of those that stay.

    Example:
        >>> only_icons('x={sun:[5,5,[],"f1","M0"],"bed-2":[5,5,["bed"],"f2","M1"],}',
        ...            {"bed"})
        'x={"bed-2":[5,5,["bed"],"f2","M1"],}'
    """

    def kept(icon: re.Match[str]) -> str:
        names = {icon[1] or icon[2], *re.findall(r'"([\w-]+)"', icon[4])}
        return icon[0] if names & worn else ""

    return ICON.sub(kept, script)


def only_styles(css: str, worn: set[str]) -> str:
    """Return a style sheet without rules for classes that nothing wears.

    Args:
        css: The sheet.
        worn: All words of pages and scripts; a class in brackets counts as worn.

    Example:
        >>> only_styles("a,.b p,.c{x:y}@media print{.d{x:y}}.b:not(.f){x:y}", {"b"})
        'a,.b p{x:y}.b:not(.f){x:y}'
    """
    out, place = [], 0
    css = ICON_FONT.sub("", re.sub(r"/\*.*?\*/", "", css, flags=re.S))
    while (start := css.find("{", place)) >= 0:
        head, end = css[place:start], _closing(css, start)
        statements, _, selector = head.rpartition(";")  # @import and @charset
        body = css[start + 1 : end]
        place = end + 1
        out.append(f"{statements};" if statements else "")
        if selector.lstrip().startswith(("@media", "@supports", "@layer")):
            body = only_styles(body, worn)
            out.append(f"{selector}{{{body}}}" if body.strip() else "")
        elif selector.lstrip().startswith("@"):
            out.append(f"{selector}{{{body}}}")
        else:
            kept = [one for one in _selectors(selector) if _is_worn(one, worn)]
            out.append(f"{','.join(kept)}{{{body}}}" if kept else "")
    return "".join(out) + css[place:]


def _closing(css: str, start: int) -> int:
    """Return where the block that opens at ``start`` ends."""
    depth = 0
    for brace in re.finditer(
        r"[{}]|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", css[start:]
    ):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return start + brace.start()
    raise ValueError(f"needed a closing brace after {css[start - 40 : start]!r}")


def _selectors(text: str) -> list[str]:
    """Return the selectors of a rule; commas in brackets part nothing."""
    found, depth = [""], 0
    for sign in text:
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth == 0:
            found.append("")
        else:
            found[-1] += sign
    return found


def _is_worn(selector: str, worn: set[str]) -> bool:
    if "\\" in selector:
        return True
    plain = selector
    while (less := BRACKETS.sub("", plain)) != plain:
        plain = less
    return all(
        name in worn or name.startswith(MADE_BY_SCRIPTS)
        for name in CLASS.findall(plain)
    )
