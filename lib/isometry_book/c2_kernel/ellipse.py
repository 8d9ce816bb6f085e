"""Chapter 2's explorable: one stretched and turned layer, its kernel, its learning.

The page holds the kernels of all positions of the sliders; a small script draws them.
Without the script the figure stands still at the first position.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import cos, pi, radians, sin

import torch
from torch import Tensor, nn

from isometry.ntk import empirical_ntk, ntk_matrix
from isometry_book.controls import data_script
from isometry_book.style import BLUE, GREEN, VERMILION

STRETCHES = (1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
ANGLES = tuple(range(0, 91, 15))
DEPTHS = (1, 2, 3, 5, 8)
RATE = 0.2  # learning rate over 1 / largest eigenvalue, so that curves can be seen
STEPS = 60


@dataclass(frozen=True)
class _Box:
    """Where the two panels lie in the drawing, in its own units.

    Attributes:
        center_x: Middle of the ellipse's panel.
        center_y: The same, downwards.
        radius: Length of the largest eigenvalue.
        left: Left end of the curves' panel.
        right: Its right end.
        top: Where everything is learned.
        bottom: Where nothing is.
    """

    center_x: float = 125
    center_y: float = 128
    radius: float = 95
    left: float = 300
    right: float = 560
    top: float = 30
    bottom: float = 226


BOX = _Box()
CURVES = {
    "fast": (BLUE, "", "fastest direction"),
    "slow": (VERMILION, "7 4", "slowest direction"),
    "mean": (GREEN, "2 3", "a random task"),
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


def _all_kernels() -> list[list[list[list[float]]]]:
    """Return the kernels of all slider positions: [depth][stretch][angle] -> a, b, d.

    Each kernel is ``[[a, b], [b, d]]``, to four digits.
    """

    def entries(stretch: float, angle: float, depth: int) -> list[float]:
        matrix = _kernel_of_layers(stretch, angle, depth)
        return [round(float(matrix[i, j]), 4) for i, j in ((0, 0), (0, 1), (1, 1))]

    return [
        [[entries(s, a, depth) for a in ANGLES] for s in STRETCHES] for depth in DEPTHS
    ]


def kernel_ellipse(depth: int = 3, stretch: float = 1.5, angle: int = 30) -> str:
    """Return the explorable as HTML.

    Args:
        depth: Shown first, one of ``DEPTHS``.
        stretch: Shown first, one of ``STRETCHES``.
        angle: Shown first, one of ``ANGLES``, in degrees.
    """
    kernels = _all_kernels()
    first = DEPTHS.index(depth), STRETCHES.index(stretch), ANGLES.index(angle)
    a, b, d = kernels[first[0]][first[1]][first[2]]
    values, ellipse, lines = _shapes(
        torch.tensor([[a, b], [b, d]], dtype=torch.float64)
    )
    data = {
        "depths": DEPTHS,
        "stretches": STRETCHES,
        "angles": ANGLES,
        "kernels": kernels,
        "box": asdict(BOX),
        "rate": RATE,
        "steps": STEPS,
    }
    controls = "\n".join(
        _control(name, text, positions, start)
        for (name, text, positions), start in zip(
            (
                ("depth", "Number of equal layers", DEPTHS),
                ("stretch", "Stretch of each layer", STRETCHES),
                ("angle", "Turn of each layer, in degrees", ANGLES),
            ),
            first,
            strict=True,
        )
    )
    curves = "\n".join(
        f'<polyline data-curve="{name}" fill="none" stroke="{color}" '
        f'stroke-width="2.2" stroke-dasharray="{dash}" points="{lines[name]}"/>'
        f'<line x1="330" x2="362" y1="{262 + 17 * i}" y2="{262 + 17 * i}" '
        f'stroke="{color}" stroke-width="2.2" stroke-dasharray="{dash}"/>'
        f'<text x="370" y="{266 + 17 * i}" font-size="12" fill="currentColor">'
        f"{label}</text>"
        for i, (name, (color, dash, label)) in enumerate(CURVES.items())
    )
    middle = (BOX.left + BOX.right) / 2
    return f"""<div class="explorable" data-explorable="kernel-ellipse">
<div class="explorable-controls" hidden>
{controls}
</div>
<svg viewBox="0 0 590 310" role="img" style="max-width: 44rem; width: 100%"
aria-label="Left, an ellipse whose half-axes are the kernel's two eigenvalues. Right,
how much of the loss is removed along the two directions and for a random task, over
gradient steps. The line below gives the numbers.">
<circle cx="{BOX.center_x}" cy="{BOX.center_y}" r="{BOX.radius}" fill="none"
stroke="currentColor" stroke-opacity="0.35" stroke-dasharray="3 4"/>
<polygon data-ellipse="" fill="{BLUE}" fill-opacity="0.18" stroke="{BLUE}"
stroke-width="2.2" points="{ellipse}"/>
<text x="{BOX.center_x}" y="262" text-anchor="middle" font-size="13"
fill="currentColor">progress per step, by direction</text>
<path d="M{BOX.left},{BOX.top} V{BOX.bottom} H{BOX.right}" fill="none"
stroke="currentColor" stroke-opacity="0.6"/>
<text x="{BOX.left - 6}" y="{BOX.top + 4}" text-anchor="end" font-size="12"
fill="currentColor">1</text>
<text x="{BOX.left - 6}" y="{BOX.bottom + 4}" text-anchor="end" font-size="12"
fill="currentColor">0</text>
<text x="{middle}" y="{BOX.top - 12}" text-anchor="middle" font-size="13"
fill="currentColor">fraction of the loss removed</text>
<text x="{middle}" y="{BOX.bottom + 18}" text-anchor="middle" font-size="13"
fill="currentColor">{STEPS} gradient steps</text>
{curves}
</svg>
<p aria-live="polite">Condition number: <output data-condition="">{
        _summary(values)
    }</output></p>
{data_script(data)}
<script src="../_static/explorables/kernel_ellipse.js" defer></script>
</div>"""


def _control(name: str, text: str, positions: Sequence[float], start: int) -> str:
    """Return one labelled slider over the indices of ``positions``."""
    key = f"kernel-ellipse-{name}"
    return (
        f'<p><label for="{key}">{text}: <output for="{key}">{positions[start]}</output>'
        f'</label><br><input type="range" id="{key}" data-control="{name}" min="0" '
        f'max="{len(positions) - 1}" step="1" value="{start}" '
        f'aria-valuetext="{positions[start]}" style="width: 18rem"></p>'
    )


def _shapes(matrix: Tensor) -> tuple[list[float], str, dict[str, str]]:
    """Return eigenvalues, the ellipse's corners and the curves' points."""
    values, vectors = torch.linalg.eigh(matrix)
    corners = []
    for index in range(72):
        turn = 2 * pi * index / 72
        unit = torch.tensor([cos(turn), sin(turn)], dtype=matrix.dtype)
        x, y = (vectors @ (values * unit)).tolist()
        corners.append(
            f"{BOX.center_x + BOX.radius * x:.1f},{BOX.center_y - BOX.radius * y:.1f}"
        )
    slow, fast = values.tolist()
    left = {
        "fast": [(1 - RATE * fast) ** (2 * t) for t in range(STEPS + 1)],
        "slow": [(1 - RATE * slow) ** (2 * t) for t in range(STEPS + 1)],
    }
    left["mean"] = [
        (a + b) / 2 for a, b in zip(left["fast"], left["slow"], strict=True)
    ]
    return [fast, slow], " ".join(corners), {n: _points(v) for n, v in left.items()}


def _points(left: Sequence[float]) -> str:
    """Return a curve of what is left of the loss as points of the right panel."""
    step = (BOX.right - BOX.left) / (len(left) - 1)
    height = BOX.bottom - BOX.top
    return " ".join(
        f"{BOX.left + step * t:.1f},{BOX.top + height * value:.1f}"
        for t, value in enumerate(left)
    )


def _summary(values: Sequence[float]) -> str:
    """Return the line below the drawing."""
    fast, slow = values
    removed = 1 - (1 - RATE * slow) ** (2 * STEPS)
    return (
        f"{fast / max(slow, 1e-4):.3g}; after {STEPS} steps "
        f"{100 * removed:.0f} % of the loss along the slowest direction is removed"
    )
