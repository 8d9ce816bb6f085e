"""Chapter 5's second explorable: one silent ReLU unit, a second unit, and the pull.

Two inputs make a plane. A unit is a half-plane; it is silent if no input lies in it.
The pull on the 2 x 2 matrix of both rows turns and stretches the row and leaves the
bias alone. Without the script the drawing shows the start and where the pull ends.
"""

from dataclasses import asdict, dataclass
from math import cos, exp, hypot, radians, sin, sqrt

import torch

from isometry.core.seeding import generator
from isometry_book.controls import (
    EXPLORE,
    PLAY,
    Example,
    data_script,
    examples,
    polyline,
    question,
    slider,
)

Point = tuple[float, float]
Matrix = tuple[Point, Point]  # rows: the silent unit's, the other's

ANGLES = tuple(range(-180, 181, 5))  # degrees
LENGTHS = tuple(round(0.05 * k, 2) for k in range(1, 41))
BIASES = tuple(round(-3 + 0.05 * k, 2) + 0.0 for k in range(71))
TIMES = tuple(round(0.1 * k, 1) for k in range(61))  # relaxation times
END = 50.0  # relaxation times after which nothing moves
HALF = 2.2  # of the plane's side


@dataclass(frozen=True)
class _State:
    """Where the sliders stand.

    Attributes:
        angle: Of the silent unit's row, degrees, one of :data:`ANGLES`.
        length: Of it, one of :data:`LENGTHS`.
        bias: Of the silent unit, one of :data:`BIASES`.
        other_angle: Of the other unit's row.
        other_length: Of it.
    """

    angle: int
    length: float
    bias: float
    other_angle: int
    other_length: float


# What each shows is worked out from the state, by the page and by the tests alike.
PRESETS: dict[str, _State] = {
    "short": _State(35, 0.3, -0.6, -55, 1.0),
    "turned": _State(160, 1.0, -0.1, 175, 1.2),
    "isometric": _State(-145, 1.0, -0.1, 125, 1.0),
    "bias": _State(35, 0.3, -2.5, -55, 1.0),
}


@dataclass(frozen=True)
class _Plane:
    """Where the plane lies in the drawing, in its own units.

    Attributes:
        center: Of the square, across and down.
        unit: Length of one.
    """

    center: float = 210
    unit: float = 92

    def at(self, point: Point) -> Point:
        """Return where a point of the plane is drawn."""
        return self.center + self.unit * point[0], self.center - self.unit * point[1]


PLANE = _Plane()


def _inputs() -> list[Point]:
    """Return the inputs: twelve points on one side of the origin.

    Example:
        >>> len(_inputs())
        12
    """
    noise = torch.randn(12, 2, generator=generator(0, "revival plane"))
    points = torch.tensor([0.85, 0.65]) + 0.32 * noise
    return [(round(x, 2), round(y, 2)) for x, y in points.tolist()]


def _rows_of(state: _State) -> Matrix:
    """Return the two rows of the matrix."""

    def row(angle: float, length: float) -> Point:
        return length * cos(radians(angle)), length * sin(radians(angle))

    return row(state.angle, state.length), row(state.other_angle, state.other_length)


def _pulled(rows: Matrix, time: float) -> Matrix:
    """Return the matrix after a time of the pull alone, in closed form.

    ``W(t) = (e I + (1 - e) W W^T)^(-1/2) W`` with ``e = exp(-t)`` and t in relaxation
    times: the singular vectors stay, the singular values follow their flow.

    Example:
        >>> _pulled(((2.0, 0.0), (0.0, 0.5)), 50.0)[0][0]
        1.0
    """
    (a, b), (c, d) = rows
    left = exp(-time)
    # M = e I + (1 - e) W W^T, its square root S, and S^-1 = adj(S) / det(S).
    m11 = left + (1 - left) * (a * a + b * b)
    m12 = (1 - left) * (a * c + b * d)
    m22 = left + (1 - left) * (c * c + d * d)
    root = sqrt(max(m11 * m22 - m12 * m12, 1e-300))
    trace = sqrt(m11 + m22 + 2 * root)
    s11, s12, s22 = (m11 + root) / trace, m12 / trace, (m22 + root) / trace
    scale = 1 / (s11 * s22 - s12 * s12)
    i11, i12, i22 = scale * s22, -scale * s12, scale * s11
    first = i11 * a + i12 * c, i11 * b + i12 * d
    return first, (i12 * a + i22 * c, i12 * b + i22 * d)


def _margin(row: Point, bias: float, points: list[Point]) -> float:
    """Return the largest pre-activation over the inputs; above zero the unit fires.

    Source: definition.
    """
    return max(row[0] * x + row[1] * y for x, y in points) + bias


def _revival_time(state: _State, points: list[Point]) -> float | None:
    """Return the first of :data:`TIMES` at which the unit fires, or None."""
    rows = _rows_of(state)
    for time in TIMES:
        if _margin(_pulled(rows, time)[0], state.bias, points) > 0:
            return time
    return None


def _verdict(state: _State, points: list[Point]) -> str:
    """Return the line below the drawing: what the unit does and will do."""
    now = _margin(_rows_of(state)[0], state.bias, points)
    end = _margin(_pulled(_rows_of(state), END)[0], state.bias, points)
    back = _revival_time(state, points)
    if now > 0:
        start = f"The unit fires at the start (largest w·x + b: {now:.2f})."
        later = "stays alive" if end > 0 else "is silenced by the pull"
        return f"{start} It {later} (in the end {end:.2f})."
    start = f"The unit is silent at the start (largest w·x + b: {now:.2f})."
    if back is not None:
        return f"{start} It revives after {back:.1f} relaxation times (end {end:.2f})."
    longest = max(hypot(x, y) for x, y in points)
    reason = (
        f"no row of length one can: the bias is below −{longest:.2f}, the longest input"
        if state.bias <= -longest
        else "its row comes to rest pointing away"
    )
    return f"{start} It does not revive (end {end:.2f}): {reason}."


def _half_plane(row: Point, bias: float) -> list[Point]:
    """Return the corners of the part of the square where ``row · x + bias >= 0``.

    Source: Sutherland & Hodgman 1974, one edge.
    """
    square = [(-HALF, -HALF), (HALF, -HALF), (HALF, HALF), (-HALF, HALF)]
    corners: list[Point] = []
    for (x, y), (u, v) in zip(square, square[1:] + square[:1], strict=True):
        here, there = row[0] * x + row[1] * y + bias, row[0] * u + row[1] * v + bias
        if here >= 0:
            corners.append((x, y))
        if (here >= 0) != (there >= 0):
            part = here / (here - there)
            corners.append((x + part * (u - x), y + part * (v - y)))
    return corners


def revival_plane(preset: str = "short") -> str:
    """Return the explorable as HTML.

    Args:
        preset: Shown first, one of :data:`PRESETS`.
    """
    state, points = PRESETS[preset], _inputs()
    kept = _examples(points)
    data = {
        "points": points,
        "times": TIMES,
        "plane": {**asdict(PLANE), "half": HALF},
        "end": END,
    }
    first, key = kept[list(PRESETS).index(preset)], "revival-plane"
    return f"""<div class="explorable" data-explorable="{key}">
<div class="explorable-controls" hidden>
{examples(key, kept)}
{question(first)}
<div class="explorable-row">
{PLAY}
{slider(key, "time", "Relaxation times", TIMES, 0.0, more=' data-moved=""')}
</div>
</div>
<div class="explorable-panels">
{_drawing(state, points)}
<div>
<p aria-live="polite"><output data-verdict="">{_verdict(state, points)}</output></p>
<p>Shaded: where the unit fires now; dashed: where it will in the end. Thick: its row w,
thin: the other unit's. Filled points reach the unit.</p>
<details class="explorable-controls" hidden><summary>Set the rows and the bias</summary>
<div class="explorable-sliders">{_sliders(state)}</div></details>
</div>
</div>
<noscript><p>Without JavaScript the figure shows this start and its end.</p></noscript>
{data_script(data)}
{EXPLORE}
<script src="../_static/explorables/revival_plane.js" defer></script>
</div>"""


def _examples(points: list[Point]) -> list[Example]:
    """Return the presets with their questions."""
    longest = max(hypot(x, y) for x, y in points)
    times = {name: _revival_time(state, points) for name, state in PRESETS.items()}
    told = {
        "short": (
            "Too short",
            "The row of this unit points at the inputs and is too short to reach any. "
            "Does the pull alone bring the unit back?",
            f"Yes, after {times['short']} relaxation times: its row grows to length "
            "one, and no gradient is needed for that.",
        ),
        "turned": (
            "Pushed round",
            "The row points away from the inputs, and has length one already. Can it "
            "come back?",
            f"Yes, after {times['turned']} relaxation times. The other row lies beside "
            "it, and rows are pulled apart until they are orthogonal.",
        ),
        "isometric": (
            "At rest",
            "The rows are orthogonal, and of length one. Press Play: what moves?",
            "Nothing. The matrix is an isometry, where the pull is zero, and a silent "
            "unit has no gradient either. Turn the other row, and it moves.",
        ),
        "bias": (
            "Low bias",
            "The row will have length one. Why is that not enough here?",
            "The pull does not move biases. A row of length one gives no more than the "
            f"longest input, {longest:.2f}, and the bias takes away "
            f"{-PRESETS['bias'].bias:g}.",
        ),
    }
    return [
        Example(name=name, state=asdict(PRESETS[key]), question=ask, answer=answer)
        for key, (name, ask, answer) in told.items()
    ]


def _drawing(state: _State, points: list[Point]) -> str:
    """Return the plane with both half-planes, the inputs and the rows."""
    rows = _rows_of(state)
    low, side = PLANE.center - PLANE.unit * HALF, 2 * PLANE.unit * HALF
    dots = "\n".join(
        f'<circle data-point="" cx="{x:.1f}" cy="{y:.1f}" r="5.5" class="book-green" '
        'stroke-width="2.5"/>'
        for x, y in map(PLANE.at, points)
    )
    x, y = PLANE.at(rows[0])
    return f"""<svg viewBox="0 0 420 420" role="img" class="explorable-square"
aria-label="A plane of inputs with twelve points. The shaded half-plane is where the
unit fires; a dashed line is its border after the pull. A thick line is the unit's row,
a thin one the other unit's. The line after the drawing says whether the unit revives.">
<rect x="{low:.1f}" y="{low:.1f}" width="{side:.1f}" height="{side:.1f}" fill="none"
stroke="currentColor" stroke-opacity="0.5"/>
<polygon data-now="" class="explorable-ellipse"
points="{_drawn(_half_plane(rows[0], state.bias))}"/>
<polygon data-end="" fill="none" class="book-vermilion" stroke-width="2.5"
stroke-dasharray="7 4"
points="{_drawn(_half_plane(_pulled(rows, END)[0], state.bias))}"/>
{dots}
<line data-other="" stroke="currentColor" stroke-opacity="0.6" stroke-width="2.5"
{_arrow(rows[1])}/>
<line data-row="" class="book-blue" stroke-width="5" {_arrow(rows[0])}/>
<circle data-tip="" class="explorable-point" r="10" stroke="transparent"
stroke-width="30" pointer-events="all" cx="{x:.1f}" cy="{y:.1f}"/>
</svg>"""


def _sliders(state: _State) -> str:
    """Return the sliders of a state."""
    parts = (
        ("angle", "Its direction", ANGLES, state.angle),
        ("length", "Its length", LENGTHS, state.length),
        ("bias", "Its bias", BIASES, state.bias),
        ("other_angle", "Other direction", ANGLES, state.other_angle),
        ("other_length", "Other length", LENGTHS, state.other_length),
    )
    return "\n".join(
        slider(
            "revival-plane",
            name,
            text,
            values,
            start,
            shown=[f"{a}°" for a in values] if values is ANGLES else None,
        )
        for name, text, values, start in parts
    )


def _drawn(corners: list[Point]) -> str:
    return polyline([PLANE.at(corner) for corner in corners])


def _arrow(row: Point) -> str:
    (x1, y1), (x2, y2) = PLANE.at((0, 0)), PLANE.at(row)
    return f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
