"""Films side by side in a page or a notebook, with Play, Pause and a slider.

One fragment of HTML holds everything: boards, drawings, script. Without the script it
shows still frames.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from html import escape
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isometry.core.messages import refusal
from isometry.rl.film import Film
from isometry.rl.games.pictures import BACKGROUND, CHANNEL_COLOURS, first_channel
from isometry.rl.games.registry import GAMES
from isometry_book.c7_games.film import BIG, shown_channels, still_steps
from isometry_book.controls import (
    EXPLORE,
    PLAY,
    Example,
    data_script,
    examples,
    polyline,
    question,
)

STILLS = 5
# The drawing of the critic's value, in its own units.
CURVE = {"left": 26, "width": 168, "top": 8, "height": 56}
POINTS = 150  # of a curve, at most


def film_html(
    films: Mapping[str, Film], discount: float, *, explore: bool = False
) -> str:
    """Return films that are played together, as HTML.

    Args:
        films: By what they show, in the order from left to right, at least one.
        discount: gamma of the agents, for the curve of what followed.
        explore: Whether it stands in a page of the book: then it loads what its
            explorables share, and has examples.

    Returns:
        A fragment that otherwise loads nothing. Nothing moves before Play is pressed;
        who asked the system for less motion sees still frames in turn, one a second.

    Raises:
        ValueError: If there is no film.
    """
    if not films:
        raise ValueError(refusal("at least one film", "none", "pass films by name"))
    kept = list(films.values())
    longest = max(film.steps for film in kept)
    drawn = np.concatenate([part for f in kept for part in _curves(f, discount)])
    ends = min(0.0, float(drawn.min())), max(1.0, float(drawn.max()))
    data = {
        "rate": GAMES.get(kept[0].game).steps_a_second,
        "stills": sorted({s for film in kept for s in still_steps(film, STILLS)}),
        "curve": CURVE,
        "films": [_data(film) for film in kept],
    }
    script_data = data_script(data)
    narrow = 6 if max(film.cells.shape[2] for film in kept) <= BIG else 18
    digest = blake2b((script_data + "".join(films)).encode(), digest_size=5)
    key = f"film-{digest.hexdigest()}-step"
    players = "\n".join(
        _player(label, film, discount, longest, ends) for label, film in films.items()
    )
    stills = "\n".join(_stills(label, film) for label, film in films.items())
    script = (
        files("isometry_book.c7_games").joinpath("film.js").read_text(encoding="utf-8")
    )
    asked = _examples(films, discount) if explore else []
    return f"""<div class="explorable" data-explorable="film">
<div class="explorable-controls" hidden>
{examples("film", asked) + question(asked[0]) if asked else ""}
<div class="explorable-row">
{PLAY}
<p><label for="{key}">Step: <output for="{key}">0 of {longest}</output></label><br>
<input type="range" id="{key}" data-control="step" min="0" max="{longest}" step="1"
value="0" aria-valuetext="0 of {longest}"></p>
</div>
</div>
<div data-stage="" hidden>
<div class="explorable-films" style="display: grid;
grid-template-columns: repeat(auto-fit, minmax(min({narrow}rem, 100%), 1fr))">
{players}
</div>
<p>Under each board, over the steps of the longest film: the critic's value (solid) and
the discounted rewards that followed (dashed).</p>
</div>
<div data-stills="">
{stills}
</div>
<p>{_legend(kept)}</p>
<noscript><p>Without JavaScript the films stand still.</p></noscript>
{script_data}
{EXPLORE if explore else ""}
<script>{script}</script>
</div>"""


def _examples(films: Mapping[str, Film], discount: float) -> list[Example]:
    """Return moments of the films with their questions, each moment once."""
    *_, last = films.values()
    first = next(iter(films.values()))
    values, followed = _curves(last, discount)
    wrong = int(np.abs(values - followed[: len(values)]).argmax())
    expected, came = values[wrong], followed[wrong]
    kept = list(films.values())
    start = ", ".join(f"{film.values[0] + 0.0:.1f}" for film in kept)
    over = " and ".join(
        f"{film.returns[min(first.steps, film.steps)]:g}" for film in kept[1:]
    )
    ends = ", ".join(f"{film.returns[-1]:g}" for film in kept)
    found = [
        Example(
            name="First board",
            state={"step": 0},
            question="No agent has scored yet. Do their critics expect the same?",
            answer=f"No: {start}, from the first film to the last. An untrained critic "
            "knows nothing; a trained one expects what its own agent tends to earn.",
        ),
        Example(
            name="First loss",
            state={"step": first.steps},
            question="The untrained agent has lost. How far are the others by now?",
            answer=f"They have scored {over}.",
        ),
        Example(
            name="Largest surprise",
            state={"step": wrong},
            question="Here the last critic is furthest from what followed. Was it too "
            "hopeful?",
            answer=f"It expected {expected:.1f}, and {came:.1f} followed: "
            + ("it was too hopeful." if expected > came else "it expected too little.")
            + " A critic expects a mean over many games, and this is one.",
        ),
        Example(
            name="The end",
            state={"step": max(film.steps for film in kept)},
            question="What did each agent earn?",
            answer=f"{ends}, from the first film to the last.",
        ),
    ]
    steps = [one.state["step"] for one in found]
    return [one for k, one in enumerate(found) if steps[k] not in steps[:k]]


def _sentence(film: Film, step: int) -> str:
    """Return what is said under a board."""
    if step >= film.steps:
        return f"Return {film.returns[-1]:g}. {_end(film)}"
    value = _value(film, step)
    return f"Return {film.returns[step]:g}. The critic expects {value} more."


def _end(film: Film) -> str:
    if film.terminated:
        return "The game is over."
    return "The limit of steps is reached." if film.truncated else "The film ends here."


def _value(film: Film, step: int) -> str:
    return f"{round(float(film.values[step]), 1) + 0.0:.1f}"


def _data(film: Film) -> dict[str, Any]:
    """Return what the script knows of a film."""
    _, rows, columns, channels = film.cells.shape
    returns = [int(r) if r == int(r) else float(r) for r in film.returns]
    return {
        "rows": rows,
        "columns": columns,
        "channels": channels,
        "boards": _packed_boards(film.cells),
        "returns": returns,
        "values": [_value(film, step) for step in range(film.steps)],
        "end": _end(film),
    }


def _paths(cells: NDArray[np.bool_], channels: Sequence[str]) -> str:
    """Return a board as one path a channel, one rectangle a run of cells."""
    drawn = dict.fromkeys(range(len(channels)), "")
    for row, tops in enumerate(first_channel(cells)):
        borders = np.flatnonzero(np.diff(tops, prepend=-1, append=-1))
        for start, end in pairwise(borders.tolist()):
            if tops[start] < len(channels):
                run = end - start
                drawn[int(tops[start])] += f"M{start},{row}h{run}v1h-{run}z"
    return "".join(
        f'<path data-channel="{k}" fill="{CHANNEL_COLOURS[channels[k]]}" d="{d}"/>'
        for k, d in drawn.items()
    )


def _board(film: Film, step: int) -> str:
    """Return a board as SVG elements: background, channels, gaps between cells."""
    cells = film.cells[step]
    rows, columns, _ = cells.shape
    gaps = ""
    if columns <= BIG:
        lines = "".join(f"M0,{row}h{columns}" for row in range(1, rows))
        lines += "".join(f"M{column},0v{rows}" for column in range(1, columns))
        gaps = f'<path d="{lines}" stroke="{BACKGROUND}" stroke-width="0.12"/>'
    square = f'<rect width="{columns}" height="{rows}"'
    return (
        f'{square} fill="{BACKGROUND}"/>'
        f"{_paths(cells, GAMES.get(film.game).channels)}{gaps}"
        f'{square} fill="none" stroke="currentColor" stroke-width="{columns / 100}"/>'
    )


def _player(
    label: str, film: Film, discount: float, longest: int, ends: tuple[float, float]
) -> str:
    """Return one film's board, sentence and curve."""
    _, rows, columns, _ = film.cells.shape
    game = film.game.split("/")[1].replace("_", " ")
    name = escape(label)
    return f"""<div data-player="" role="group" aria-label="{name}"
style="max-width: 24rem">
<p style="margin: 0"><strong>{name}</strong></p>
<svg viewBox="-0.1 -0.1 {columns + 0.2:.1f} {rows + 0.2:.1f}" role="img"
style="width: 100%; display: block" shape-rendering="crispEdges"
aria-label="The board of {game} at the step of the slider.">{_board(film, 0)}</svg>
<p data-now="" aria-live="polite" style="margin: 0.3rem 0; min-height: 3em">
{_sentence(film, 0)}</p>
{_drawn_curves(_curves(film, discount), longest, ends)}
</div>"""


def _curves(film: Film, discount: float) -> tuple[NDArray, NDArray]:
    """Return the critic's values, of boards that something follows, and what did."""
    return film.values[: film.steps + (not film.ended)], film.following(discount)


def _drawn_curves(
    curves: tuple[NDArray, NDArray], longest: int, ends: tuple[float, float]
) -> str:
    """Return the two curves with a line at the present step."""
    left, width = CURVE["left"], CURVE["width"]
    top, height = CURVE["top"], CURVE["height"]
    bottom, right = top + height, left + width
    stride = -(-(longest + 1) // POINTS)
    low, high = ends
    zero = bottom - height * (0 - low) / (high - low)

    def points(values: NDArray[np.floating]) -> str:
        heights = ((values - low) / (high - low) * height).tolist()
        last = len(values) - 1
        chosen = sorted({*range(0, last, stride), last})
        return polyline(
            [(left + width * k / longest, bottom - heights[k]) for k in chosen]
        )

    valued, followed = map(points, curves)
    return f"""<svg viewBox="0 0 {right + 4} {bottom + 6}" role="img"
style="width: 100%; display: block"
aria-label="Over the film: the critic's value, and the discounted rewards to come.">
<path d="M{left},{top}V{bottom}M{left},{zero:.1f}H{right}" fill="none"
stroke="currentColor" stroke-opacity="0.6"/>
<text x="{left - 4}" y="{top + 6}" text-anchor="end" font-size="13"
fill="currentColor">{high:.0f}</text>
<text x="{left - 4}" y="{zero + 2:.1f}" text-anchor="end" font-size="13"
fill="currentColor">0</text>
<polyline fill="none" class="book-vermilion" stroke-width="1.5" stroke-dasharray="4 3"
points="{followed}"/>
<polyline fill="none" class="book-blue" stroke-width="2" points="{valued}"/>
<line data-cursor="" x1="{left}" x2="{left}" y1="{top}" y2="{bottom}"
stroke="currentColor"/>
</svg>"""


def _stills(label: str, film: Film) -> str:
    """Return a strip of still frames, shown until the script runs."""
    steps = still_steps(film, STILLS)
    _, rows, columns, _ = film.cells.shape
    away, size = 1.1 * columns, columns / 10
    frames = "".join(
        f'<g transform="translate({i * away:.1f} 0)">{_board(film, step)}'
        f'<text y="{rows + 1.2 * size:.1f}" font-size="{size:.1f}" '
        f'fill="currentColor">step {step}, return {film.returns[step]:g}</text></g>'
        for i, step in enumerate(steps)
    )
    return f"""<p style="margin: 0"><strong>{escape(label)}</strong></p>
<svg viewBox="-0.1 -0.1 {STILLS * away:.1f} {rows + 1.6 * size:.1f}" role="img"
style="width: 100%; max-width: 44rem" aria-label="Still frames of the film, from its
first board to its last, with step and return so far.">{frames}</svg>"""


def _legend(films: Sequence[Film]) -> str:
    """Return which colour is what."""
    mark = "display: inline-block; width: 0.8em; height: 0.8em; border: 1px solid"
    return " ".join(
        '<span style="white-space: nowrap; margin-right: 1em">'
        f'<span aria-hidden="true" style="{mark}; background: {colour}"></span> '
        f"{escape(name)}</span>"
        for name, colour in shown_channels(films).items()
    )


def _packed_boards(boards: NDArray[np.bool_]) -> str:
    """Return boards as base64: for each, how many entries change, then which.

    Numbers are unsigned, of 16 bits, low byte first; the board before the first one is
    empty.
    """
    flat = boards.reshape(len(boards), -1)
    changes = np.diff(flat, axis=0, prepend=np.zeros((1, flat.shape[1]), dtype=bool))
    numbers = [
        part
        for row in changes
        for part in ([row.sum()], np.flatnonzero(row))
    ]  # fmt: skip
    return b64encode(np.concatenate(numbers).astype("<u2").tobytes()).decode()
