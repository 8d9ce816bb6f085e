"""Chapter 3's explorable: a slider moves through the depths of deep linear networks.

The page holds the spectra of all depths; a small script redraws the curves. Without it
the figure stands still at the first depth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from isometry_book.controls import (
    EXPLORE,
    Example,
    data_script,
    digits,
    examples,
    label,
    line_key,
    polyline,
    question,
    slider,
    superscript,
)

Spectra = Mapping[str, Mapping[int, Sequence[float]]]  # draw, depth -> eigenvalues

# Class and dashes of each way of drawing the weights, as in the figures.
LOOKS = {
    "orthogonal": ("book-blue", ""),
    "drifted a little": ("book-purple", "7 4"),
    "drifted": ("book-orange", "8 3 2 3"),
    "gaussian": ("book-vermilion", "2 3"),
}
DECADES = 12  # that are drawn


@dataclass(frozen=True)
class _Box:
    """Where the curves lie, in the drawing's own units.

    Attributes:
        left: Of the fastest direction.
        right: Of the slowest.
        top: Where one is.
        bottom: Where the lowest decade is.
        decades: Between the two.
    """

    left: float = 38
    right: float = 332
    top: float = 28
    bottom: float = 178
    decades: int = DECADES


BOX = _Box()


def depth_explorable(spectra: Spectra, depth: int = 8) -> str:
    """Return the explorable as HTML.

    Args:
        spectra: Label of a draw, one of :data:`LOOKS`, then depth, to eigenvalues over
            the largest, in descending order.
        depth: What is shown first; with the depths 2 and 32 it makes the examples.
    """
    depths = sorted(next(iter(spectra.values())))
    logs = {
        draw: {str(key): _logs(values) for key, values in by_depth.items()}
        for draw, by_depth in spectra.items()
    }
    kept = _examples(logs, depth)
    curves = "".join(
        f'<polyline data-draw="{draw}" class="{look}" fill="none" stroke-width="2.4" '
        f'stroke-dasharray="{dash}" points="{_points(logs[draw][str(depth)])}"/>'
        for draw, (look, dash) in LOOKS.items()
    )
    rows = "".join(
        f'<tr><th scope="row">{line_key(look, dash)} {draw}</th>'
        f'<td data-condition="{draw}">{_condition(logs[draw][str(depth)])}</td></tr>'
        for draw, (look, dash) in LOOKS.items()
    )
    key = "depth-spectra"
    return f"""<div class="explorable" data-explorable="{key}">
<div class="explorable-controls" hidden>
{examples(key, kept)}
{question(kept[0])}
{slider(key, "depth", "Number of layers", depths, depth)}
</div>
<div class="explorable-panels">
<svg viewBox="0 0 340 200" role="img" aria-label="Eigenvalues of the kernel over the
largest, in descending order, for four ways of drawing the weights; the table gives
their condition numbers.">
{_axes()}
{curves}
</svg>
<div aria-live="polite"><table class="explorable-table">
<caption>Condition number of the kernel</caption>
<tbody>{rows}</tbody></table></div>
</div>
<noscript><p>Without JavaScript the figure shows {depth} layers.</p></noscript>
{data_script({"logs": logs, "box": asdict(BOX)})}
{EXPLORE}
<script src="../_static/explorables/depth_spectra.js" defer></script>
</div>"""


def _examples(
    logs: Mapping[str, Mapping[str, list[float]]], first: int
) -> list[Example]:
    """Return depths with their questions; the answers' numbers are the spectra's."""

    def at(draw: str, depth: int) -> str:
        found = logs[draw].get(str(depth))
        return "" if found is None else _condition(found)

    found = {
        first: (
            "The weights were drawn in four ways. Which of them keep all directions "
            "within one decade of the fastest?",
            "The orthogonal ones, with a condition number of "
            f"{at('orthogonal', first)}, and those that drifted a little, "
            f"{at('drifted a little', first)}. For the drifted ones it is "
            f"{at('drifted', first)}, for Gaussian ones {at('gaussian', first)}.",
        ),
        2: (
            "Are two layers too few for it to matter how the weights are drawn?",
            f"For a drift they are: {at('drifted', 2)} at most. For Gaussian weights "
            f"they are not: {at('gaussian', 2)}.",
        ),
        32: (
            "A little drift seemed harmless. What has it become with 32 layers?",
            f"{at('drifted a little', 32)}, from {at('drifted a little', 2)} with two. "
            "What one layer does to a direction the next may do again, so spreads "
            "multiply from layer to layer. Only a spread of one stays.",
        ),
    }
    return [
        Example(
            name=f"{depth} layers", state={"depth": depth}, question=ask, answer=told
        )
        for depth, (ask, told) in found.items()
        if str(depth) in logs["orthogonal"]
    ]


def _logs(values: Sequence[float]) -> list[float]:
    """Return decimal logarithms to two digits, cut off at the lowest decade."""
    floor = 10.0**-DECADES
    return [round(float(np.log10(max(value, floor))), 2) for value in values]


def _points(logs: Sequence[float]) -> str:
    step = (BOX.right - BOX.left) / max(1, len(logs) - 1)
    scale = (BOX.bottom - BOX.top) / DECADES
    return polyline(
        [(BOX.left + i * step, BOX.top - log * scale) for i, log in enumerate(logs)]
    )


def _condition(logs: Sequence[float]) -> str:
    lowest = min(logs)
    if lowest <= -DECADES:
        return f"above 10{superscript(DECADES)}"
    return digits(10**-lowest)


def _axes() -> str:
    """Return grid, ticks and labels."""
    lines = [
        label(BOX.left, BOX.top - 14, "eigenvalues over the largest", "start"),
        label(BOX.left, BOX.bottom + 17, "fastest direction", "start"),
        label(BOX.right, BOX.bottom + 17, "slowest", "end"),
    ]
    for decade in range(0, DECADES + 1, 3):
        y = BOX.top + (BOX.bottom - BOX.top) * decade / DECADES
        power = "1" if decade == 0 else f"10{superscript(-decade)}"
        lines.append(
            f'<line x1="{BOX.left}" x2="{BOX.right}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="currentColor" stroke-opacity="0.25"/>'
            + label(BOX.left - 6, y + 4, power, "end")
        )
    return "\n".join(lines)
