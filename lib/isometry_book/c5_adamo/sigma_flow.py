"""Chapter 5's first explorable: where the pull alone takes singular values.

The page holds the start and the size of the drawings; a small script evaluates the
closed form. Without it the figure stands still.
"""

from dataclasses import asdict, dataclass
from math import log10

import torch

from isometry.adamo import relaxation_steps, singular_value_flow
from isometry_book.controls import (
    EXPLORE,
    Example,
    data_script,
    examples,
    label,
    plain,
    polyline,
    question,
    slider,
)

STARTS = (0.05, 0.2, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0)
STRENGTHS = tuple(float(f"{10 ** (k / 10):.3g}") for k in range(-40, 21))
RUNS = (100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
LITERAL = 1e-3  # the strength that the paper reports
POINTS = 120  # of each curve


@dataclass(frozen=True)
class _Box:
    """Where the curves of both drawings lie, in the drawings' own units.

    Attributes:
        left: Of a run, and of the weakest strength.
        right: Of its end, and of the largest.
        top: Where ``largest`` is.
        bottom: Where zero is.
        largest: Singular value at the top.
        low: Decimal logarithm of the weakest strength.
        high: Of the largest.
    """

    left: float = 22
    right: float = 330
    top: float = 28
    bottom: float = 154
    largest: float = 3.0
    low: float = -4
    high: float = 2


BOX = _Box()


def _look(start: float) -> str:
    """Return class and dashes of a singular value's curves, as attributes."""
    look, dash = ("book-vermilion", "7 4") if start > 1 else ("book-blue", "")
    return f'fill="none" stroke-width="2" class="{look}" stroke-dasharray="{dash}"'


def _curve(start: float, rate: float, steps: int) -> list[tuple[float, float]]:
    """Return one singular value over a run, in the drawing's units.

    Source: closed form, see :func:`isometry.adamo.singular_value_flow`.
    """
    times = torch.linspace(0, steps, POINTS + 1, dtype=torch.float64)
    sigma = torch.tensor(start, dtype=torch.float64)
    values = singular_value_flow(sigma, rate, times)
    across = (BOX.right - BOX.left) / POINTS
    return [
        (BOX.left + across * i, _height(value))
        for i, value in enumerate(values.tolist())
    ]


def _ends(start: float, lr: float, steps: int) -> list[tuple[float, float]]:
    """Return where one singular value ends, over all strengths, in those units."""
    sigma = torch.tensor(start, dtype=torch.float64)
    return [
        (_place_of(s), _height(float(singular_value_flow(sigma, lr * s, steps))))
        for s in STRENGTHS
    ]


def _height(value: float) -> float:
    """Return where a singular value lies, in the drawings' units."""
    return BOX.bottom - (BOX.bottom - BOX.top) * value / BOX.largest


def _place_of(strength: float) -> float:
    """Return where a strength lies on the scale, in the drawing's units.

    Example:
        >>> _place_of(STRENGTHS[0]) == BOX.left
        True
    """
    part = (log10(strength) - BOX.low) / (BOX.high - BOX.low)
    return BOX.left + (BOX.right - BOX.left) * part


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


def sigma_flow(strength: float = 1.0, lr: float = 1e-4, steps: int = 10_000) -> str:
    """Return the explorable as HTML.

    Args:
        strength: lambda shown first, one of :data:`STRENGTHS`.
        lr: eta_iso, fixed.
        steps: Length of the run shown first, one of :data:`RUNS`.

    Source: ours; the closed form is that of chapter 5.
    """
    data = {
        "starts": STARTS,
        "strengths": STRENGTHS,
        "lr": lr,
        "points": POINTS,
        "box": asdict(BOX),
    }
    kept = _examples(lr)
    key = "sigma-flow"
    return f"""<div class="explorable" data-explorable="{key}">
<div class="explorable-controls" hidden>
{examples(key, kept)}
{question(kept[0])}
<div class="explorable-sliders">
{slider(key, "strength", "Strength λ", STRENGTHS, strength)}
{slider(key, "run", "Steps", RUNS, steps, shown=[f"{n:,}" for n in RUNS])}
</div>
</div>
<div class="explorable-panels">
{_run_panel(strength, lr, steps)}
{_strength_panel(strength, lr, steps)}
</div>
<p aria-live="polite">
<output data-summary="">{summary(strength, lr, steps)}</output> The learning rate is
{lr:g} throughout.</p>
<noscript><p>Without JavaScript the figure shows this one setting: a strength of
{strength:g} and {steps:,} steps.</p></noscript>
{data_script(data)}
{EXPLORE}
<script src="../_static/explorables/sigma_flow.js" defer></script>
</div>"""


def _examples(lr: float) -> list[Example]:
    """Return settings with their questions; the answers' numbers are the flow's."""

    def end(strength: float, steps: int, start: float = STARTS[0]) -> str:
        sigma = torch.tensor(start, dtype=torch.float64)
        return f"{float(singular_value_flow(sigma, lr * strength, steps)):.3g}"

    def state(strength: float, steps: int) -> dict[str, float]:
        return {"strength": strength, "run": steps}

    low, high, million = STARTS[0], STARTS[-1], 1_000_000
    return [
        Example(
            name="A strong pull",
            state=state(1.0, 10_000),
            question="Which are at one sooner: singular values that start above it or "
            "below it?",
            answer="Those above. The pull on a small singular value is small, and at "
            f"zero there is none. A tenth of the way {high:g} has come to "
            f"{end(1.0, 1000, high)}, and {low:g} to {end(1.0, 1000)}.",
        ),
        Example(
            name="As in the paper",
            state=state(LITERAL, 10_000),
            question=f"The paper reports λ = {LITERAL:g}. How long must a run be "
            "before you see anything?",
            answer="About a relaxation time, "
            f"{relaxation_steps(LITERAL, lr):,.0f} steps at this learning rate. In "
            f"10,000 steps {low:g} comes to {end(LITERAL, 10_000)}.",
        ),
        Example(
            name="A million steps",
            state=state(LITERAL, million),
            question="The paper's strength again, in a run of a million steps. Is that "
            "enough?",
            answer=f"Not yet: {high:g} has come to {end(LITERAL, million, high)}, and "
            f"{low:g} only to {end(LITERAL, million)}.",
        ),
        Example(
            name="A tenth of the pull",
            state=state(0.1, 100_000),
            question="A tenth of the strong pull, and ten times the steps. What has "
            "changed in the left picture?",
            answer="Only the number of steps below it. Learning rate, strength and "
            "steps count by their product alone.",
        ),
    ]


def _panel(description: str, title: str, parts: str) -> str:
    """Return one drawing: its title, axes, a line at one, and what is drawn."""
    one = _height(1)
    axes = [
        f'<path d="M{BOX.left},{BOX.top} V{BOX.bottom} H{BOX.right}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.6"/>',
        f'<line x1="{BOX.left}" x2="{BOX.right}" y1="{one}" y2="{one}" '
        'stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="2 4"/>',
        label(BOX.left - 6, BOX.top - 14, title, "start"),
        *(
            label(BOX.left - 6, _height(value) + 4, f"{value}", "end")
            for value in range(int(BOX.largest) + 1)
        ),
    ]
    return (
        f'<svg viewBox="0 0 340 194" role="img" aria-label="{description}">'
        + "\n".join([*axes, parts])
        + "</svg>"
    )


def _run_panel(strength: float, lr: float, steps: int) -> str:
    """Return singular values over the run, with the relaxation time marked below."""
    curves = "".join(
        f'<polyline data-start="{plain(start)}" {_look(start)} '
        f'points="{polyline(_curve(start, lr * strength, steps))}"/>'
        for start in STARTS
    )
    time = relaxation_steps(strength, lr)
    x = BOX.left + (BOX.right - BOX.left) * min(time / steps, 1)
    hidden = ' visibility="hidden"' if time > steps else ""
    mark = (
        f'<g data-relaxation=""{hidden}><path class="explorable-mark" '
        f'transform="translate({x:.1f} {BOX.bottom})" d="M0,1 l-5,9 h10 z"/>'
        f"{label(BOX.left, BOX.bottom + 36, '▲ relaxation time', 'start')}</g>"
    )
    ends = label(BOX.left, BOX.bottom + 21, "0", "start") + label(
        BOX.right, BOX.bottom + 21, f"{steps:,} steps", "end", ' data-end=""'
    )
    return _panel(
        "Singular values over a run under the pull alone: those above one fall, those "
        "below one rise. A mark on the axis shows the relaxation time.",
        "singular values over the run",
        curves + ends + mark,
    )


def _strength_panel(strength: float, lr: float, steps: int) -> str:
    """Return where singular values end over strengths, with the paper's marked."""
    curves = "".join(
        f'<polyline data-ends="{plain(start)}" {_look(start)} '
        f'points="{polyline(_ends(start, lr, steps))}"/>'
        for start in STARTS
    )
    ticks = "".join(
        label(_place_of(10.0**power), BOX.bottom + 21, f"{10.0**power:g}", anchor)
        for power, anchor in ((-4, "start"), (-2, "middle"), (0, "middle"), (2, "end"))
    )
    paper, here = _place_of(LITERAL), _place_of(strength)
    marks = (
        f'<circle cx="{paper:.1f}" cy="{BOX.bottom}" r="4.5" class="book-vermilion" '
        'fill="none" stroke-width="2.5"/>'
        f"{label(paper, BOX.bottom + 36, '○ the paper')}"
        f'<line data-here="" x1="0" x2="0" y1="{BOX.top}" y2="{BOX.bottom}" '
        f'transform="translate({here:.1f} 0)" stroke="currentColor" stroke-width="2"/>'
        f"{label(BOX.right, BOX.bottom + 36, 'strength λ', 'end')}"
    )
    return _panel(
        "Where the same singular values end, over the strength of the pull, with a "
        "line at the present strength and a ring at the paper's.",
        "at the end of the run, by strength",
        curves + ticks + marks,
    )
