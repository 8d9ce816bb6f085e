"""Chapter 5's first explorable: where the pull alone takes singular values.

The page holds the start, the positions of the sliders and the size of the drawing; a
small script evaluates the closed form. Without it the figure stands still.
"""

from dataclasses import asdict, dataclass
from math import log10

import torch

from isometry.adamo import relaxation_steps, singular_value_flow
from isometry_book.controls import button, data_script, polyline, slider
from isometry_book.style import BLUE, VERMILION

STARTS = (0.05, 0.2, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0)
STRENGTHS = tuple(float(f"{10 ** (k / 10):.3g}") for k in range(-40, 21))
RUNS = (100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
LITERAL = 1e-3  # the strength that the paper reports
POINTS = 120  # of each curve


@dataclass(frozen=True)
class _Box:
    """Where the curves and the scale of strengths lie, in the drawing's own units.

    Attributes:
        left: Of curves and scale.
        right: The same.
        top: Where ``largest`` is.
        bottom: Where zero is.
        scale: Height of the scale of strengths.
        largest: Singular value at the top.
    """

    left: float = 52
    right: float = 540
    top: float = 34
    bottom: float = 244
    scale: float = 318
    largest: float = 3.0


BOX = _Box()


def _curve(start: float, rate: float, steps: int) -> list[tuple[float, float]]:
    """Return one singular value over a run, in the drawing's units.

    Source: closed form, see :func:`isometry.adamo.singular_value_flow`.
    """
    times = torch.linspace(0, steps, POINTS + 1, dtype=torch.float64)
    sigma = torch.tensor(start, dtype=torch.float64)
    values = singular_value_flow(sigma, rate, times)
    across = (BOX.right - BOX.left) / POINTS
    up = (BOX.bottom - BOX.top) / BOX.largest
    return [
        (BOX.left + across * i, BOX.bottom - up * value)
        for i, value in enumerate(values.tolist())
    ]


def _place_of(strength: float) -> float:
    """Return where a strength lies on the scale, in the drawing's units.

    Example:
        >>> _place_of(STRENGTHS[0]) == BOX.left
        True
    """
    low, high = log10(STRENGTHS[0]), log10(STRENGTHS[-1])
    return BOX.left + (BOX.right - BOX.left) * (log10(strength) - low) / (high - low)


def summary(strength: float, lr: float, steps: int) -> str:
    """Return the line below the drawing.

    Args:
        strength: lambda.
        lr: eta_iso.
        steps: Of the run.

    Example:
        >>> summary(1e-3, 1e-4, 10_000)[:54]
        'Relaxation time 1,250,000 steps; the run lasts 0.008 o'
    """
    time = relaxation_steps(strength, lr)
    ends = singular_value_flow(
        torch.tensor([STARTS[0], STARTS[-1]], dtype=torch.float64), lr * strength, steps
    )
    low, high = (f"{value:.3g}" for value in ends.tolist())
    return (
        f"Relaxation time {time:,.0f} steps; the run lasts {steps / time:.3g} of them. "
        f"A singular value of {STARTS[0]:g} ends at {low}, one of {STARTS[-1]:g} "
        f"at {high}."
    )


def sigma_flow(strength: float = 1.26, lr: float = 1e-4, steps: int = 10_000) -> str:
    """Return the explorable as HTML.

    Args:
        strength: lambda shown first, one of :data:`STRENGTHS`.
        lr: eta_iso, fixed.
        steps: Length of the run shown first, one of :data:`RUNS`.

    Source: ours; the closed form is that of chapter 5.
    """
    first = STRENGTHS.index(strength), RUNS.index(steps)
    data = {
        "starts": STARTS,
        "strengths": STRENGTHS,
        "literal": STRENGTHS.index(LITERAL),
        "runs": RUNS,
        "lr": lr,
        "points": POINTS,
        "box": asdict(BOX),
    }
    strengths = [f"{value:g}" for value in STRENGTHS]
    controls = (
        slider("sigma-flow", "strength", "Strength λ", strengths, first[0])
        + slider("sigma-flow", "run", "Steps", [f"{n:,}" for n in RUNS], first[1])
        + f"<p>{button('literal', 'true', f'as in the paper, λ = {LITERAL:g}')}</p>"
    )
    curves = "\n".join(
        f'<polyline data-start="{start:g}" fill="none" stroke-width="2" '
        f'stroke="{VERMILION if start > 1 else BLUE}" '
        f'stroke-dasharray="{"7 4" if start > 1 else ""}" '
        f'points="{polyline(_curve(start, lr * strength, steps))}"/>'
        for start in STARTS
    )
    return f"""<div class="explorable" data-explorable="sigma-flow">
<div class="explorable-controls" hidden>
{controls}
</div>
<svg viewBox="0 0 580 366" role="img" style="max-width: 44rem; width: 100%"
aria-label="Singular values over a run under the pull alone: those above one fall,
those below one rise. Below, a scale of strengths with the paper's value marked. The
line under the drawing gives the numbers.">
{_frame(steps)}
{curves}
{_relaxation_line(relaxation_steps(strength, lr), steps)}
{_scale(strength)}
</svg>
<p aria-live="polite">
<output data-summary="">{summary(strength, lr, steps)}</output></p>
<p>Learning rate η = {lr:g} throughout.</p>
<noscript><p>Without JavaScript the figure shows this one setting.</p></noscript>
{data_script(data)}
<script src="../_static/explorables/sigma_flow.js" defer></script>
</div>"""


def _text(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="13" '
        f'fill="currentColor"{more}>{text}</text>'
    )


def _frame(steps: int) -> str:
    """Return axes, the line at one and the labels."""
    up = (BOX.bottom - BOX.top) / BOX.largest
    one = BOX.bottom - up
    parts = [
        f'<path d="M{BOX.left},{BOX.top} V{BOX.bottom} H{BOX.right}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.6"/>',
        f'<line x1="{BOX.left}" x2="{BOX.right}" y1="{one}" y2="{one}" '
        'stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="2 4"/>',
        _text(BOX.left, BOX.top - 14, "singular value", "start"),
        _text(BOX.left, BOX.bottom + 18, "0"),
        _text(BOX.right, BOX.bottom + 18, f"{steps:,} steps", "end", ' data-end=""'),
    ]
    parts += [
        _text(BOX.left - 8, BOX.bottom - up * value + 4, f"{value}", "end")
        for value in range(int(BOX.largest) + 1)
    ]
    return "\n".join(parts)


def _relaxation_line(time: float, steps: int) -> str:
    """Return the line at the relaxation time, hidden where it is beyond the run."""
    x = BOX.left + (BOX.right - BOX.left) * min(time / steps, 1)
    hidden = ' visibility="hidden"' if time > steps else ""
    return (
        f'<g data-relaxation=""{hidden} transform="translate({x:.1f} 0)">'
        f'<line x1="0" x2="0" y1="{BOX.top}" y2="{BOX.bottom}" '
        'stroke="currentColor" stroke-width="1.5" stroke-dasharray="1 3"/>'
        f"{_text(4, BOX.top + 2, 'relaxation time', 'start')}</g>"
    )


def _scale(strength: float) -> str:
    """Return the logarithmic scale of strengths with the paper's value marked."""
    parts = [
        f'<line x1="{BOX.left}" x2="{BOX.right}" y1="{BOX.scale}" y2="{BOX.scale}" '
        'stroke="currentColor" stroke-opacity="0.6"/>',
        _text(BOX.left, BOX.scale - 24, "strength λ", "start"),
    ]
    for power in range(-4, 3):
        x = _place_of(10.0**power)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{BOX.scale}" y2="{BOX.scale + 5}" '
            'stroke="currentColor" stroke-opacity="0.6"/>'
        )
        parts.append(_text(x, BOX.scale + 20, f"{10.0**power:g}"))
    literal = _place_of(LITERAL)
    parts.append(
        f'<circle cx="{literal:.1f}" cy="{BOX.scale}" r="5" fill="none" '
        f'stroke="{VERMILION}" stroke-width="2.5"/>'
    )
    parts.append(_text(literal, BOX.scale + 38, "as the paper reports"))
    here = _place_of(strength)
    parts.append(
        f'<path data-here="" d="M0,-3 l-6,-11 h12 z" fill="{BLUE}" '
        f'transform="translate({here:.1f} {BOX.scale})"/>'
    )
    return "\n".join(parts)
