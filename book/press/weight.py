"""What a page loads and never uses is left out of the built site."""

import re
from collections.abc import Iterator
from pathlib import Path

ICONS = Path("_static/scripts/fontawesome.js")
# name:[width,height,[aliases],"code","path" or ["path","path"]]
ICON = re.compile(
    r'(?:"([\w-]+)"|\b([\w$]+)):(\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]*",'
    r'(?:"[^"]*"|\["[^"]*","[^"]*"\])\]),?'
)
WORN = re.compile(r"\bfa-([a-z0-9-]+)")


def keep_icons(site: Path, pages: Iterator[Path]) -> None:
    """Leave those icons in the site's script that some page or script shows.

    Args:
        site: Its folder.
        pages: Of the site.
    """
    script = site / ICONS
    if not script.exists():
        return
    scripts = [p for p in (site / "_static").rglob("*.js") if p != script]
    texts = [path.read_text(encoding="utf-8") for path in (*pages, *scripts)]
    worn = {name for text in texts for name in WORN.findall(text)}
    text = script.read_text(encoding="utf-8")
    script.write_text(only_icons(text, worn), encoding="utf-8")
    script.with_suffix(".js.map").unlink(missing_ok=True)


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
