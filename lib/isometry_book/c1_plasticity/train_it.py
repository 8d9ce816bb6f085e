"""Chapter 1's explorable: a small network that trains in the page, task after task.

The page holds images, sizes and the library's means; a worker of the page trains by the
same arithmetic, which a test holds to the library's. Without a script the means stand.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log10
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd

from isometry.core.profile import ByProfile
from isometry.lab.run import plan, run
from isometry.lab.store import TIDY, load_results
from isometry.methods.pulls.isometry import strength_of_relaxation
from isometry.supervised.data.sets import load
from isometry.supervised.streams import chosen_images, scaled
from isometry_book.controls import data_script, polyline
from isometry_book.study import Study

STREAM = "random_label_mnist"
BENCHMARK = "train_it_yourself"
RELAXATION = 1000  # steps; what the book advises where data change again and again
SETTINGS: dict[str, Any] = {
    "data": "digits",
    "tasks": 30,
    "images_per_task": 100,
    "epochs": 40,
    "batch_size": 10,
    "width": 32,
    "depth": 3,
    "lr": 3e-3,
}
NAMES = {"adam": "Adam", "adamo": "AdamO", "fire": "FIRE", "fresh": "fresh"}
DASHES = {"adam": "", "adamo": "", "fire": "8 3", "fresh": "2 3"}
SPEEDS = {100: "slow", 400: "1 task/s", 2000: "5 tasks/s", 1_000_000: "full"}
# Said before the seeds of the study were run; others had shown that it might be so.
ADAM_LOSES, OTHERS_KEEP = 0.15, 0.05


@dataclass(frozen=True)
class _Box:
    """Where things lie in the two drawings, in their own units.

    Attributes:
        left: Where the first task begins.
        right: Where the last one ends.
        top: Of accuracy one.
        bottom: Of accuracy zero.
        strip_left: Where the smallest singular value lies.
        strip_right: Where the largest one does.
        smallest: Singular value at the left.
        largest: At the right.
    """

    left: float = 34
    right: float = 332
    top: float = 24
    bottom: float = 154
    strip_left: float = 56
    strip_right: float = 278
    smallest: float = 0.004
    largest: float = 16


BOX = _Box()
DECADES = (0.01, 0.1, 1, 10)


def changes_of(method: str) -> dict[str, Any]:
    """Return the settings of the page's stream for a method, as the library takes them.

    Args:
        method: One of :data:`NAMES`.
    """
    if method != "adamo":
        return SETTINGS
    strength = strength_of_relaxation(RELAXATION, SETTINGS["lr"])
    return {**SETTINGS, "isometry_strength": strength, "isometry_head": False}


def _library_runs(seeds: Sequence[int], data: str) -> pd.DataFrame:
    """Return online accuracies of all methods; the images are always the digits."""
    frames = [
        run(STREAM, method, seeds, changes_of(method), profile="laptop", out=mkdtemp())
        for method in NAMES
    ]
    frame = pd.concat(frames, ignore_index=True)
    frame = frame[frame["metric"] == "online_accuracy"]
    return frame.assign(benchmark=BENCHMARK)[TIDY]


_STREAM_OF_PAGE: Study[Sequence[int]] = Study(
    name="train_it_yourself",
    sizes=ByProfile(
        smoke=range(100, 102), laptop=range(100, 108), paper=range(100, 108)
    ),
    run=_library_runs,
)


STUDIES = (_STREAM_OF_PAGE,)


def library_means(results: Path) -> dict[str, list[float]]:
    """Return the mean online accuracy of each task, by method, of the stored study.

    Args:
        results: The book's results.

    Raises:
        StoreError: If the study is not there.
    """
    frame = load_results(results / BENCHMARK)
    means = frame.groupby(["method", "task"])["value"].mean()
    return {method: means[method].sort_index().tolist() for method in NAMES}


def changes_over_stream(results: Path) -> pd.DataFrame:
    """Return accuracy over the first and the last fifth of the tasks, by method.

    Args:
        results: The book's results.

    Returns:
        One row a method: ``first``, ``last`` and ``change``, means over seeds;
        ``lowest`` and ``highest`` are the change of the seeds that change most, and
        ``seeds`` is how many there are.

    Raises:
        StoreError: If the study is not there.
    """
    frame = load_results(results / BENCHMARK)
    fifth = SETTINGS["tasks"] // 5
    parts = {
        "first": frame["task"] < fifth,
        "last": frame["task"] >= SETTINGS["tasks"] - fifth,
    }
    table = pd.DataFrame(
        {
            name: frame[rows].groupby(["method", "seed"])["value"].mean()
            for name, rows in parts.items()
        }
    )
    table["change"] = table["last"] - table["first"]
    found = table.groupby("method").mean()
    change = table.groupby("method")["change"]
    extremes = {"lowest": change.min(), "highest": change.max(), "seeds": change.size()}
    return found.assign(**extremes).loc[list(NAMES)]


def _data() -> dict[str, Any]:
    """Return what the page holds: images as base-36 digits, scaling, sizes."""
    planned = plan(STREAM, "adamo", changes_of("adamo"), "laptop")
    settings, images = planned.settings, load(SETTINGS["data"])
    pixels = scaled(images, settings.input_scaling)
    chosen = chosen_images(pixels, settings.images_per_task, 0)
    shades = images.train_images[chosen].flatten(1)
    unit = images.train_images.double() / images.max_value
    hidden = [settings.width] * settings.depth
    return {
        "widths": [shades.shape[1], *hidden, images.num_classes],
        "images": settings.images_per_task,
        "classes": images.num_classes,
        "tasks": settings.tasks,
        "steps": settings.steps_per_task,
        "batch": settings.batch_size,
        "lr": settings.lr,
        "pull": settings.lr * planned.method_settings.isometry_strength,
        "pixels": "".join("0123456789abcdefg"[v] for v in shades.flatten().tolist()),
        "mean": float(unit.mean()),
        "deviation": float(unit.std(correction=0)),
        "names": NAMES,
        "box": asdict(BOX),
    }


def train_it(results: Path, *, autoplay: bool = False) -> str:
    """Return the explorable as HTML.

    Args:
        results: The book's results, with the study.
        autoplay: Whether Adam starts by itself once the figure is seen; never for
            readers who have asked their system for less motion.

    Raises:
        StoreError: If the study is not there.
    """
    methods = "".join(
        f'<label><input type="radio" name="train-it-method" data-control="method" '
        f'value="{method}"{" checked" if method == "adam" else ""}>{_key(method)}'
        f"{name}</label>"
        for method, name in NAMES.items()
    )
    speeds = "".join(
        f'<option value="{value}"{" selected" if value == 400 else ""}>{text}</option>'
        for value, text in SPEEDS.items()
    )
    keys = ", ".join(f"{_key(method)} {name}" for method, name in NAMES.items())
    return f"""<div class="explorable" data-explorable="train-it"\
{' data-autoplay=""' if autoplay else ""}>
<div class="explorable-controls" hidden>
<fieldset class="explorable-choice"><legend>Train by</legend>{methods}</fieldset>
<div class="explorable-row">
<button type="button" data-control="run" data-on="no">Train</button>
<button type="button" data-pass="">One pass</button>
<button type="button" data-reset="">Reset</button>
<label>Speed <select data-control="speed">{speeds}</select></label>
<label>Seed <input type="number" data-control="seed" min="0" max="99" step="1"
value="0" required></label>
</div>
</div>
<div class="explorable-panels">
{_accuracies(library_means(results))}
{_strips()}
</div>
<p aria-live="polite"><output data-now="">The library's means over eight seeds: Adam
falls, the other three do not.</output></p>
<details hidden><summary>The accuracies as numbers</summary>
<table><caption>Online accuracy of each task so far</caption>
<tbody data-numbers=""></tbody></table></details>
<noscript><p>Without JavaScript nothing trains here. The lines are means over eight
seeds of the library: {keys}.</p></noscript>
{data_script(_data())}
<script src="../_static/explorables/explore.js" defer></script>
<script src="../_static/explorables/train_it_engine.js" defer></script>
<script src="../_static/explorables/train_it.js" defer></script>
</div>"""


def _key(method: str) -> str:
    """Return a short piece of a method's line."""
    return (
        '<svg class="explorable-key" viewBox="0 0 26 8" aria-hidden="true">'
        f'<line x1="0" x2="26" y1="4" y2="4" class="book-{method}" '
        f'stroke-width="2.6" stroke-dasharray="{DASHES[method]}"/></svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" '
        f'fill="currentColor"{more}>{text}</text>'
    )


def _accuracies(means: dict[str, list[float]]) -> str:
    """Return the panel of accuracies: axes, the library's means, a line a method."""
    across = (BOX.right - BOX.left) / SETTINGS["tasks"]
    up = BOX.bottom - BOX.top
    parts = [
        f'<path d="M{BOX.left},{BOX.top} V{BOX.bottom} H{BOX.right}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.6"/>',
        f'<path d="M{BOX.left},{BOX.bottom - 0.1 * up:.1f} H{BOX.right}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="1 4"/>',
        _text(BOX.right, BOX.bottom - 0.1 * up + 11, "guessing", "end"),
        _text(BOX.left - 4, BOX.top - 10, "accuracy in each task", "start"),
        _text(BOX.left, BOX.bottom + 16, "task 1", "start"),
        _text(BOX.right, BOX.bottom + 16, f"task {SETTINGS['tasks']}", "end"),
        *(
            _text(BOX.left - 6, BOX.bottom - value * up + 4, f"{value:g}", "end")
            for value in (0, 0.5, 1)
        ),
    ]
    for method, values in means.items():
        points = [
            (BOX.left + across * (task + 0.5), BOX.bottom - up * value)
            for task, value in enumerate(values)
        ]
        look = f'fill="none" class="book-{method}" stroke-dasharray="{DASHES[method]}"'
        parts += [
            f'<polyline data-ghost="{method}" {look} stroke-width="1.1" '
            f'stroke-opacity="0.75" points="{polyline(points)}"/>',
            f'<polyline data-line="{method}" {look} stroke-width="2.8" points=""/>',
        ]
    dot = '<circle data-dot="" r="4" visibility="hidden" stroke-width="2.5"/>'
    return (
        '<svg viewBox="0 0 340 178" role="img" aria-label="Online accuracy over tasks: '
        "a thick line for each method as it trains here, a thin one for the library's "
        'mean over eight seeds. The line below gives the numbers.">'
        + "\n".join([*parts, dot])
        + "</svg>"
    )


def _strips() -> str:
    """Return the panel of singular values, one strip a layer, still empty."""
    low, high = log10(BOX.smallest), log10(BOX.largest)
    unit = (BOX.strip_right - BOX.strip_left) / (high - low)
    place = {v: BOX.strip_left + unit * (log10(v) - low) for v in DECADES}
    parts = [
        _text(BOX.strip_left, BOX.top - 10, "singular values of each layer", "start"),
        _text(BOX.right, BOX.top - 10, "silent", "end"),
        f'<path d="M{place[1]:.1f},{BOX.top} V{BOX.bottom}" stroke="currentColor" '
        'stroke-opacity="0.6" stroke-dasharray="2 3"/>',
        *(_text(x, BOX.bottom + 16, f"{value:g}") for value, x in place.items()),
    ]
    names = [*(f"layer {i + 1}" for i in range(SETTINGS["depth"])), "head"]
    step = (BOX.bottom - BOX.top) / len(names)
    for i, name in enumerate(names):
        y = BOX.top + step * (i + 0.5)
        parts += [
            _text(BOX.strip_left - 8, y + 4, name, "end"),
            f'<path d="M{BOX.strip_left},{y:.1f} H{BOX.strip_right}" '
            'stroke="currentColor" stroke-opacity="0.25"/>',
            f'<g transform="translate(0 {y:.1f})"><path data-strip="{i}" d="" '
            'stroke-width="1.6" stroke-opacity="0.8"/></g>',
        ]
        if i < SETTINGS["depth"]:
            parts.append(_text(BOX.right, y + 4, "0 %", "end", f' data-silent="{i}"'))
    return (
        '<svg viewBox="0 0 340 178" role="img" hidden aria-label="The singular values '
        "of each weight matrix on a logarithmic scale, with a line at "
        'one, and the share of silent units of each hidden layer.">'
        + "\n".join(parts)
        + "</svg>"
    )
