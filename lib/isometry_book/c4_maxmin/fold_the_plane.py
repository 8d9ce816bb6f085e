"""Chapter 4's explorable: orthogonal layers with MaxMin or ReLU fold the plane.

The page holds the weights; a small script maps a grid of the plane and takes the
Jacobian at one point. Without the script the figure stands still at the first state.
"""

from dataclasses import asdict, dataclass
from math import cos, pi, sin

import torch
from torch import Tensor, nn

from isometry.core.seeding import generator
from isometry.maxmin import MaxMin, orthogonal_linear
from isometry_book.controls import data_script, polyline

DEEPEST = 8
ACTIVATIONS = {"maxmin": "MaxMin", "relu": "ReLU", "none": "none"}
SHIFT = 0.25  # standard deviation of a bias: without one, all folds meet at zero
SEED = 3
# By how many of the two singular values are not lost.
MEANINGS = (
    "Nothing is left: the network is constant here.",
    "One direction is lost, and the circle is flat.",
    "Both are kept: the circle stays a circle.",
)


@dataclass(frozen=True)
class _Box:
    """Sizes of the three drawings, in their own units.

    Attributes:
        size: Side of each.
        half: Of the plane that a drawing shows, from the middle.
        reach: Of the grid, from the middle.
        lines: Of the grid, less one, in each direction.
        samples: Steps along a line between which folds are looked for.
        corners: Of the ellipse.
        radius: Of the unit circle in the ellipse's drawing.
        raster: Cells, in each direction, on which folds are looked for.
    """

    size: float = 200
    half: float = 3
    reach: float = 2
    lines: int = 10
    samples: int = 80
    corners: int = 72
    radius: float = 78
    raster: int = 80


BOX = _Box()


def folding_network(activation: str, depth: int) -> nn.Sequential:
    """Return so many orthogonal layers of two units, each with its activation.

    Args:
        activation: One of :data:`ACTIVATIONS`.
        depth: Number of layers, 0 to :data:`DEEPEST`; less deep ones are the first
            layers of deeper ones.

    Example:
        >>> folding_network("maxmin", 1)(torch.zeros(1, 2).double()).shape
        torch.Size([1, 2])
    """
    draws = generator(SEED, "fold the plane")
    kinds = {"maxmin": MaxMin, "relu": nn.ReLU, "none": nn.Identity}
    parts: list[nn.Module] = []
    for _ in range(depth):
        layer = orthogonal_linear(
            2, 2, parametrized=False, generator=draws, dtype=torch.float64
        )
        with torch.no_grad():
            layer.bias.normal_(std=SHIFT, generator=draws)
        parts += [layer, kinds[activation]()]
    return nn.Sequential(*parts)


def jacobian_at(network: nn.Module, point: tuple[float, float]) -> Tensor:
    """Return the Jacobian of a network of the plane at a point, ``(2, 2)``.

    Args:
        network: Maps ``(..., 2)`` to ``(..., 2)``, in float64.
        point: Where.
    """
    place = torch.tensor(point, dtype=torch.float64)
    found: Tensor = torch.autograd.functional.jacobian(network, place)
    return found


def fold_the_plane(
    activation: str = "maxmin", depth: int = 4, point: tuple[float, float] = (0.9, 0.5)
) -> str:
    """Return the explorable as HTML.

    Args:
        activation: Shown first, one of :data:`ACTIVATIONS`.
        depth: Shown first, 0 to :data:`DEEPEST`.
        point: Shown first, in steps of 0.05, at most 2 from zero in each coordinate.

    Source: ours; MaxMin is that of Anil, Lucas and Grosse 2019.
    """
    layers = [
        {"weight": layer.weight.flatten().tolist(), "bias": layer.bias.tolist()}
        for layer in folding_network("none", DEEPEST)
        if isinstance(layer, nn.Linear)
    ]
    data = {"layers": layers, "box": asdict(BOX), "meanings": MEANINGS}
    network = folding_network(activation, depth)
    jacobian = jacobian_at(network, point)
    values = torch.linalg.svdvals(jacobian).tolist()
    choices = "".join(
        f'<label><input type="radio" name="fold-activation" data-control="activation" '
        f'value="{key}"{" checked" if key == activation else ""}>{name}</label>'
        for key, name in ACTIVATIONS.items()
    )
    return f"""<div class="explorable" data-explorable="fold-the-plane">
<div class="explorable-controls" hidden>
<fieldset class="explorable-choice"><legend>Activation</legend>{choices}</fieldset>
<div class="explorable-sliders">
{_slider("depth", "Layers", 0, DEEPEST, 1, depth)}
{_slider("x", "Across", -BOX.reach, BOX.reach, 0.05, point[0])}
{_slider("y", "Up", -BOX.reach, BOX.reach, 0.05, point[1])}
</div>
</div>
<div class="explorable-panels explorable-threes">
{_inputs(point)}
{_outputs(network, point)}
{_ellipse(jacobian)}
<p aria-live="polite">Singular values of the Jacobian:
<strong><output data-values="">{values[0]:.3f} and {values[1]:.3f}</output></strong>.
<output data-meaning="">{MEANINGS[sum(value > 1e-9 for value in values)]}</output></p>
</div>
<noscript><p>Without JavaScript the figure shows this one state:
{ACTIVATIONS[activation]}, {depth} layers.</p></noscript>
{data_script(data)}
<script src="../_static/explorables/explore.js" defer></script>
<script src="../_static/explorables/fold_the_plane.js" defer></script>
</div>"""


def _slider(
    key: str, text: str, low: float, high: float, step: float, value: float
) -> str:
    """Return one labelled slider whose value is what it stands for."""
    shown = f"{value:g}" if key == "depth" else f"{value:.2f}"
    return (
        f'<p><label for="fold-{key}">{text}: <output for="fold-{key}">{shown}</output>'
        f'</label><br><input type="range" id="fold-{key}" data-control="{key}" '
        f'min="{low:g}" max="{high:g}" step="{step:g}" value="{value:g}" '
        f'aria-valuetext="{shown}"></p>'
    )


def _at(x: float, y: float, unit: float) -> tuple[float, float]:
    return BOX.size / 2 + unit * x, BOX.size / 2 - unit * y


def _grid(network: nn.Module | None, upright: bool) -> str:
    """Return the lines of the grid, mapped by a network or straight, as a path."""
    unit = BOX.size / (2 * BOX.half)
    along = torch.linspace(-BOX.reach, BOX.reach, 10 * BOX.samples + 1).double()
    lines = []
    for fixed in torch.linspace(-BOX.reach, BOX.reach, BOX.lines + 1).double():
        pair = (fixed.expand_as(along), along)
        points = torch.stack(pair if upright else pair[::-1], dim=-1)
        if network is not None:
            with torch.no_grad():
                points = network(points)
        # Pieces are mapped linearly: what lies between two folds is left out.
        bend = points.diff(n=2, dim=0).norm(dim=1) > 1e-6
        kept = points[torch.cat([torch.tensor([True]), bend, torch.tensor([True])])]
        lines.append("M" + polyline([_at(x, y, unit) for x, y in kept.tolist()]))
    return "".join(lines)


def _panel(title: str, label: str, parts: str) -> str:
    """Return one drawing with its title above."""
    return (
        f'<svg viewBox="0 -22 {BOX.size:g} {BOX.size + 22:g}" role="img" '
        f'aria-label="{label}"><text x="{BOX.size / 2:g}" y="-7" font-size="15" '
        f'text-anchor="middle" fill="currentColor">{title}</text>'
        f'<rect width="{BOX.size:g}" height="{BOX.size:g}" fill="none" '
        f'stroke="currentColor" stroke-opacity="0.25"/>{parts}</svg>'
    )


def _lines(network: nn.Module | None) -> str:
    """Return both directions of the grid; a script finds those that are mapped."""
    parts = []
    for name, look in (("upright", "book-blue"), ("level", "book-vermilion")):
        key = "" if network is None else f' data-{name}=""'
        path = _grid(network, upright=name == "upright")
        parts.append(f'<path{key} class="{look}" fill="none" d="{path}"/>')
    return "".join(parts)


def _dot(name: str, point: tuple[float, float]) -> str:
    """Return a point of the plane, with room around it for a finger."""
    x, y = _at(*point, BOX.size / (2 * BOX.half))
    return (
        f'<circle data-{name}="" cx="{x:.1f}" cy="{y:.1f}" r="6" stroke-width="24" '
        f'stroke="transparent" pointer-events="all" class="explorable-point"/>'
    )


def _inputs(point: tuple[float, float]) -> str:
    folds = '<path data-folds="" d="" fill="none" stroke="currentColor"/>'
    return _panel(
        "input",
        "The plane of inputs with a grid, the lines along which the network folds it, "
        "and a point that the sliders move.",
        _lines(None) + folds + _dot("input", point),
    )


def _outputs(network: nn.Module, point: tuple[float, float]) -> str:
    with torch.no_grad():
        x, y = network(torch.tensor(point, dtype=torch.float64)).tolist()
    return _panel(
        "output",
        "The same grid after all layers, in the same units, and where the point went.",
        _lines(network) + _dot("output", (x, y)),
    )


def _ellipse(jacobian: Tensor) -> str:
    turns = [2 * pi * i / BOX.corners for i in range(BOX.corners)]
    circle = torch.tensor([[cos(t), sin(t)] for t in turns], dtype=torch.float64)
    corners = [_at(x, y, BOX.radius) for x, y in (circle @ jacobian.T).tolist()]
    middle = BOX.size / 2
    return _panel(
        "a small circle around it",
        "A small circle around the input, dashed, and what the network makes of it: an "
        "ellipse whose half-axes are the singular values of the Jacobian.",
        f'<circle cx="{middle:g}" cy="{middle:g}" r="{BOX.radius:g}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="3 4"/>'
        f'<polygon data-ellipse="" class="explorable-ellipse" '
        f'points="{polyline(corners)}"/>',
    )
