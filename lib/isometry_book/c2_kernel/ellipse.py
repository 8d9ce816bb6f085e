"""Chapter 2's explorable: one stretched and turned layer, its kernel, its learning.

The page holds the kernels of all positions of the sliders; a small script draws them.
Without the script the figure stands still at the first position.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import atan2, cos, pi, radians, sin

import torch
from torch import Tensor, nn

from isometry.ntk import empirical_ntk, ntk_matrix
from isometry_book.controls import (
    EXPLORE,
    Example,
    data_script,
    examples,
    label,
    line_key,
    polyline,
    question,
    slider,
)

_Kernels = list[list[list[list[float]]]]  # depth, stretch, angle -> a, b, d

STRETCHES = (1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
ANGLES = tuple(range(0, 91, 15))
DEPTHS = (1, 2, 3, 5, 8)
RATE = 0.2  # learning rate over 1 / largest eigenvalue, so that curves can be seen
STEPS = 60


@dataclass(frozen=True)
class _Box:
    """Sizes of the two drawings, each in its own units.

    Attributes:
        size: Side of each.
        radius: Of the circle, the largest eigenvalue.
        left: Left end of the curves.
        right: Their right end.
        top: Where everything is learned.
        bottom: Where nothing is.
    """

    size: float = 200
    radius: float = 86
    left: float = 22
    right: float = 192
    top: float = 12
    bottom: float = 172


BOX = _Box()
CURVES = {
    "fast": ("book-blue", "", "the fastest direction"),
    "slow": ("book-vermilion", "7 4", "the slowest"),
    "mean": ("book-green", "2 3", "a random task"),
}


def _turned_layer(stretch: float, angle: float) -> Tensor:
    """Return the 2 x 2 layer that stretches by ``stretch`` and its inverse, then turns.

    Example:
        >>> _turned_layer(2.0, 0.0).tolist()
        [[2.0, 0.0], [0.0, 0.5]]
    """
    c, s = cos(radians(angle)), sin(radians(angle))
    turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return turn @ torch.diag(torch.tensor([stretch, 1 / stretch], dtype=torch.float64))


def _kernel_of_layers(stretch: float, angle: float, depth: int) -> Tensor:
    """Return the kernel of ``w W ... W x`` at the two unit inputs."""
    layers = [nn.Linear(2, 2, bias=False, dtype=torch.float64) for _ in range(depth)]
    head = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(_turned_layer(stretch, angle))
        head.weight.fill_(0.5**0.5)
    inputs = torch.eye(2, dtype=torch.float64)
    matrix = ntk_matrix(empirical_ntk(nn.Sequential(*layers, head), inputs))
    return matrix / torch.linalg.eigvalsh(matrix)[-1]


def _all_kernels() -> _Kernels:
    """Return the kernels of all slider positions: [depth][stretch][angle] -> a, b, d.

    Each kernel is ``[[a, b], [b, d]]``, to four digits.
    """

    def entries(stretch: float, angle: float, depth: int) -> list[float]:
        matrix = _kernel_of_layers(stretch, angle, depth)
        return [round(float(matrix[i, j]), 4) for i, j in ((0, 0), (0, 1), (1, 1))]

    return [
        [[entries(s, a, depth) for a in ANGLES] for s in STRETCHES] for depth in DEPTHS
    ]


def kernel_ellipse(depth: int = 8, stretch: float = 3.0, angle: int = 0) -> str:
    """Return the explorable as HTML.

    Args:
        depth: Shown first, one of ``DEPTHS``.
        stretch: Shown first, one of ``STRETCHES``.
        angle: Shown first, one of ``ANGLES``, in degrees.
    """
    kernels = _all_kernels()
    kept = _examples(kernels)
    data = {
        "depths": DEPTHS,
        "stretches": STRETCHES,
        "angles": ANGLES,
        "kernels": kernels,
        "box": asdict(BOX),
        "rate": RATE,
        "steps": STEPS,
    }
    values, ellipse, lines = _shapes(_at(kernels, depth, stretch, angle))
    rows = "".join(
        f'<tr><th scope="row">{line_key(look, dash)} {name}</th>'
        f'<td data-removed="{key}">{_removed(values)[key]}</td></tr>'
        for key, (look, dash, name) in CURVES.items()
    )
    key = "kernel-ellipse"
    return f"""<div class="explorable" data-explorable="{key}">
<div class="explorable-controls" hidden>
{examples(key, kept)}
{question(kept[0])}
<div class="explorable-sliders">
{slider(key, "depth", "Layers", DEPTHS, depth)}
{slider(key, "stretch", "Stretch", STRETCHES, stretch)}
{slider(key, "angle", "Turn", ANGLES, angle, shown=[f"{a}°" for a in ANGLES])}
</div>
</div>
<div class="explorable-panels explorable-threes">
{_ellipse_panel(ellipse)}
{_curves_panel(lines)}
<div aria-live="polite"><p>Condition number of the kernel:
<strong><output data-condition="">{_condition(values)}</output></strong></p>
<table class="explorable-table"><caption>Loss removed in {STEPS} steps</caption>
<tbody>{rows}</tbody></table></div>
</div>
<noscript><p>Without JavaScript the figure shows this one state: {depth} layers, each
with a stretch of {stretch:g} and a turn of {angle}°.</p></noscript>
{data_script(data)}
{EXPLORE}
<script src="../_static/explorables/kernel_ellipse.js" defer></script>
</div>"""


def _at(kernels: _Kernels, depth: int, stretch: float, angle: int) -> Tensor:
    """Return one of the kernels, ``(2, 2)``."""
    by_angle = kernels[DEPTHS.index(depth)][STRETCHES.index(stretch)]
    a, b, d = by_angle[ANGLES.index(angle)]
    return torch.tensor([[a, b], [b, d]], dtype=torch.float64)


def _examples(kernels: _Kernels) -> list[Example]:
    """Return states with their questions; the answers' numbers are the kernels'."""

    def read(depth: int, stretch: float, angle: int) -> tuple[str, str]:
        values, _, _ = _shapes(_at(kernels, depth, stretch, angle))
        return _condition(values), _removed(values)["slow"]

    ratio, straight = read(8, 3.0, 0)
    undone, _ = read(8, 3.0, 90)
    worst, turned = read(5, 3.0, 60)
    further, mended = read(5, 3.0, 75)

    def state(depth: int, stretch: float, angle: int) -> dict[str, float]:
        return {"depth": depth, "stretch": stretch, "angle": angle}

    return [
        Example(
            name="Stretch on stretch",
            state=state(8, 3.0, 0),
            question="Eight layers stretch one direction and shrink the other. One is "
            f"learned at once. What becomes of the other in {STEPS} steps?",
            answer=f"Only {straight} of its loss is removed. Its eigenvalue is smaller "
            f"by the condition number, {ratio}, and so is its speed.",
        ),
        Example(
            name="Stretch undone",
            state=state(8, 3.0, 90),
            question="After a quarter turn each layer undoes the stretch of the one "
            "before: the product of all eight is a rotation. Why is this no circle?",
            answer="The kernel is a sum with one term for each layer. Every second "
            "layer receives inputs whose stretch is not yet undone, and its term keeps "
            f"the condition number at {undone}.",
        ),
        Example(
            name="The worst turn",
            state=state(5, 3.0, 60),
            question="No other state of the three sliders learns less in its slowest "
            "direction. How much more turn makes it learn?",
            answer=f"One notch: at 60° the slowest direction has lost {turned}, at 75° "
            f"{mended}, and the condition number falls from {worst} to {further}.",
        ),
        Example(
            name="Only turns",
            state=state(8, 1.0, 45),
            question="With a stretch of one, all singular values are one. Does any "
            "depth or turn spoil the circle?",
            answer="None does. Every term of the sum is then a multiple of the "
            "identity, and all directions are learned at one speed. That is isometry.",
        ),
    ]


def _panel(title: str, description: str, parts: str) -> str:
    """Return one drawing with its title above."""
    return (
        f'<svg viewBox="0 -20 {BOX.size:g} {BOX.size + 20:g}" role="img" '
        f'aria-label="{description}">{label(BOX.size / 2, -6, title)}{parts}</svg>'
    )


def _ellipse_panel(corners: str) -> str:
    middle = BOX.size / 2
    return _panel(
        "progress in one step",
        "An ellipse whose half-axes are the kernel's two eigenvalues, over the "
        "largest, within a dashed circle of radius one.",
        f'<circle cx="{middle:g}" cy="{middle:g}" r="{BOX.radius:g}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="3 4"/>'
        f'<polygon data-ellipse="" class="explorable-ellipse" points="{corners}"/>',
    )


def _curves_panel(lines: dict[str, str]) -> str:
    curves = "".join(
        f'<polyline data-curve="{name}" class="{look}" fill="none" stroke-width="2.6" '
        f'stroke-dasharray="{dash}" points="{lines[name]}"/>'
        for name, (look, dash, _) in CURVES.items()
    )
    return _panel(
        "loss removed",
        "The fraction of the loss that is removed along the two directions and for a "
        "random task, over gradient steps. The table gives the values at the end.",
        f'<path d="M{BOX.left},{BOX.top} V{BOX.bottom} H{BOX.right}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.6"/>'
        + label(BOX.left - 6, BOX.top + 4, "1", "end")
        + label(BOX.left - 6, BOX.bottom + 4, "0", "end")
        + label(BOX.right, BOX.bottom + 17, f"{STEPS} gradient steps", "end")
        + curves,
    )


def _shapes(matrix: Tensor) -> tuple[list[float], str, dict[str, str]]:
    """Return eigenvalues, the ellipse's corners and the curves' points."""
    slow, fast = torch.linalg.eigvalsh(matrix).tolist()
    (a, b), (_, d) = matrix.tolist()
    turn, middle, corners = atan2(2 * b, a - d) / 2, BOX.size / 2, []
    for index in range(72):
        at = 2 * pi * index / 72
        u, v = fast * cos(at), slow * sin(at)
        x, y = u * cos(turn) - v * sin(turn), u * sin(turn) + v * cos(turn)
        corners.append((middle + BOX.radius * x, middle - BOX.radius * y))
    step = (BOX.right - BOX.left) / STEPS
    lines = {
        name: polyline(
            [
                (BOX.left + step * t, BOX.top + (BOX.bottom - BOX.top) * left)
                for t, left in enumerate(_left([fast, slow])[name])
            ]
        )
        for name in CURVES
    }
    return [fast, slow], polyline(corners), lines


def _left(values: Sequence[float]) -> dict[str, list[float]]:
    """Return what is left of the loss after each step, curve by curve."""
    fast, slow = (
        [(1 - RATE * value) ** (2 * t) for t in range(STEPS + 1)] for value in values
    )
    mean = [(a + b) / 2 for a, b in zip(fast, slow, strict=True)]
    return {"fast": fast, "slow": slow, "mean": mean}


def _removed(values: Sequence[float]) -> dict[str, str]:
    """Return how much of the loss is removed at the end, curve by curve."""
    return {name: f"{100 * (1 - v[-1]):.0f} %" for name, v in _left(values).items()}


def _condition(values: Sequence[float]) -> str:
    """Return the condition number with three digits."""
    fast, slow = values
    return f"{fast / max(slow, 1e-4):.3g}"
