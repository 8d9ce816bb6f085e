"""Parts that the explorables share: sliders, examples with questions, their data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

# Words that set an explorable, examples, and the state in the address.
EXPLORE = '<script src="../_static/explorables/explore.js" defer></script>'
PLAY = '<button type="button" data-control="run" data-on="no">Play</button>'


@dataclass(frozen=True, kw_only=True)
class Example:
    """A state of an explorable, with a question that it answers.

    Attributes:
        name: Written on its button.
        state: Values of the controls, by name.
        question: What to look for.
        answer: Shown on request.
    """

    name: str
    state: Mapping[str, Any]
    question: str
    answer: str


def plain(value: float | str) -> str:
    """Return a value as addresses and scripts have it.

    Args:
        value: A number with at most ten digits, or a word.

    Example:
        >>> plain(1_000_000), plain(2.0), plain("adam")
        ('1000000', '2', 'adam')
    """
    return value if isinstance(value, str) else f"{value:.10g}"


def superscript(number: int) -> str:
    """Return a whole number as an exponent is set.

    Args:
        number: Of any sign.

    Example:
        >>> superscript(-12)
        '⁻¹²'
    """
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def digits(value: float) -> str:
    """Return a number in three digits, from ten thousand on as a power of ten.

    Args:
        value: At least zero and finite.

    Example:
        >>> digits(3.14159), digits(9999.0), digits(510_000.0)
        ('3.14', '10000', '5.1 × 10⁵')
    """
    if value < 1e4:
        return plain(float(f"{value:.3g}"))
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} × 10{superscript(int(exponent))}"


def slider(
    key: str,
    name: str,
    text: str,
    values: Sequence[float],
    start: float,
    *,
    shown: Sequence[str] | None = None,
    more: str = "",
) -> str:
    """Return one labelled slider over values, as HTML.

    The slider's own value is an index into ``data-values``; what is shown for it stands
    in its ``output`` and in ``aria-valuetext``. Arrow keys move it by one.

    Args:
        key: Of the explorable; makes ids unique on a page.
        name: Of the slider, for the script.
        text: The label.
        values: What each position stands for.
        start: Which of them is shown first.
        shown: The same in words, unless the numbers will do.
        more: Attributes, each after a space: `` data-moved=""`` if time moves it, and
            an example is one at any time.

    Raises:
        ValueError: If ``start`` is none of the values.

    Example:
        >>> 'data-values="1 2"' in slider("flow", "depth", "Depth", [1, 2], 1)
        True
    """
    place, index = f"{key}-{name}", list(values).index(start)
    plains = [plain(value) for value in values]
    words = plains if shown is None else list(shown)
    listed = "" if shown is None else f' data-shown="{escape("|".join(words))}"'
    value = escape(words[index])
    return (
        f'<p><label for="{place}">{escape(text)}: <output for="{place}">{value}'
        f'</output></label><br><input type="range" id="{place}" data-control="{name}" '
        f'min="0" max="{len(plains) - 1}" step="1" value="{index}" '
        f'data-values="{" ".join(plains)}"{listed} aria-valuetext="{value}"{more}></p>'
    )


def examples(key: str, kept: Sequence[Example]) -> str:
    """Return a row of buttons, one an example, as HTML.

    Args:
        key: Of the explorable.
        kept: In order; the first is what is shown first.
    """
    buttons = []
    for one in kept:
        state = ",".join(f"{name}={plain(v)}" for name, v in one.state.items())
        buttons.append(
            f'<button type="button" data-explore="{key}:{state}" '
            f'data-ask="{escape(one.question)}" data-answer="{escape(one.answer)}">'
            f"{escape(one.name)}</button>"
        )
    return (
        '<div class="explorable-row" role="group" aria-label="Examples">'
        f"{''.join(buttons)}</div>"
    )


def question(first: Example) -> str:
    """Return the place of the question and its answer, as HTML.

    Args:
        first: Whose question is shown first.
    """
    return (
        f'<div class="explorable-question"><p data-question="">'
        f"{escape(first.question)}</p><details><summary>Answer</summary>"
        f'<p data-answer="">{escape(first.answer)}</p></details></div>'
    )


def label(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    """Return a text of a drawing, 12 units high, in the page's colour.

    Args:
        x: In the drawing's own units.
        y: The same, downwards, of the base line.
        text: May hold SVG's own elements.
        anchor: Which part of it lies at ``x``.
        more: Attributes, each after a space.

    Example:
        >>> label(1, 2, "a", "end").startswith('<text x="1.0" y="2.0"')
        True
    """
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12" '
        f'fill="currentColor"{more}>{text}</text>'
    )


def line_key(look: str, dash: str = "") -> str:
    """Return a short piece of a line, to stand before its name.

    Args:
        look: Class of the line, one of the ``book-`` colours.
        dash: As in ``stroke-dasharray``.

    Example:
        >>> 'class="book-blue"' in line_key("book-blue")
        True
    """
    return (
        '<svg class="explorable-key" viewBox="0 0 26 8" aria-hidden="true">'
        f'<line x1="0" x2="26" y1="4" y2="4" class="{look}" stroke-width="2.6" '
        f'stroke-dasharray="{dash}"/></svg>'
    )


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
