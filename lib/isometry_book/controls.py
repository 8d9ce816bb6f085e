"""Parts that the explorables share: sliders and buttons with labels, and their data."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any


def slider(key: str, name: str, text: str, shown: Sequence[str], start: int) -> str:
    """Return one labelled slider over positions, as HTML.

    The slider's value is an index; what is shown for it stands in its ``output`` and
    in ``aria-valuetext``. Arrow keys move it by one.

    Args:
        key: Of the explorable; makes ids unique on a page.
        name: Of the slider, for the script.
        text: The label.
        shown: What each position stands for, in words.
        start: Index shown first.

    Example:
        >>> '<label for="flow-depth">' in slider("flow", "depth", "Depth", ["1"], 0)
        True
    """
    place, label, value = f"{key}-{name}", escape(text), escape(shown[start])
    return (
        f'<p><label for="{place}">{label}: <output for="{place}">{value}</output>'
        f'</label><br><input type="range" id="{place}" data-control="{name}" min="0" '
        f'max="{len(shown) - 1}" step="1" value="{start}" '
        f'aria-valuetext="{value}" style="width: 18rem; max-width: 100%"></p>'
    )


def button(name: str, value: str, text: str) -> str:
    """Return one button, as HTML.

    Args:
        name: What kind of thing it does, for the script: ``data-<name>``.
        value: Which one.
        text: What is written on it.

    Example:
        >>> button("preset", "short", "Short")
        '<button type="button" data-preset="short">Short</button>'
    """
    return f'<button type="button" data-{name}="{value}">{escape(text)}</button>'


def polyline(points: Sequence[tuple[float, float]]) -> str:
    """Return points as SVG writes them, to a tenth.

    Args:
        points: In the drawing's own units.

    Example:
        >>> polyline([(0, 1), (2.25, 3)])
        '0.0,1.0 2.2,3.0'
    """
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def data_script(data: Any) -> str:
    r"""Return an element with what the explorable's script reads, as HTML.

    Args:
        data: What JSON can hold, with finite numbers. No text in it can end the element
            or open a comment: each ``<`` is written as JSON's own escape.

    Raises:
        ValueError: If a number is not finite.
        TypeError: If JSON cannot hold it.

    Example:
        >>> data_script({"label": "</script>"})
        '<script type="application/json">{"label":"\\u003c/script>"}</script>'
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'
