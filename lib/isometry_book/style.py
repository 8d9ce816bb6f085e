"""One look for the whole book: readable figures, one colour and line per method.

Colours are Okabe and Ito's palette with a dark and a light neighbour for large
families; a family of methods shares a colour. No two methods share both line style
and marker, so every curve can be told apart in grey print as well.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import matplotlib as mpl
from cycler import cycler

BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
VERMILION, PURPLE, BROWN, GREY = "#D55E00", "#CC79A7", "#7A4B12", "#4D4D4D"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BROWN, GREY)

LineStyle = str | tuple[int, tuple[int, ...]]
SOLID, DASHED, DOTTED, DASHDOT = "-", "--", ":", "-."
LONG: LineStyle = (0, (8, 3))
DOUBLE: LineStyle = (0, (6, 2, 1, 2, 1, 2))


@dataclass(frozen=True)
class _MethodStyle:
    """How one method looks in every figure of the book.

    Attributes:
        label: The name as a legend prints it.
        color: An ``#RRGGBB`` colour, shared by the method's family.
        linestyle: A matplotlib line style; with the marker it is the method's own.
        marker: A matplotlib marker.

    Source: ours; colours from Okabe and Ito, "Color Universal Design" (2008).
    """

    label: str
    color: str
    linestyle: LineStyle
    marker: str

    def line(self, **override: Any) -> dict[str, Any]:
        """Return keyword arguments for ``Axes.plot``; ``override`` wins."""
        return {
            "label": self.label,
            "color": self.color,
            "linestyle": self.linestyle,
            "marker": self.marker,
            **override,
        }


_NAMES = ("adam", "adamo", "nap", "redo", "muon", "cbp")

METHOD_STYLES: dict[str, _MethodStyle] = {
    # The ceiling and the plain optimisers.
    "fresh": _MethodStyle("fresh network", GREY, DOTTED, ""),
    "adam": _MethodStyle("Adam", GREY, SOLID, ""),
    "adamw": _MethodStyle("AdamW", GREY, DASHED, ""),
    "sgd_momentum": _MethodStyle("SGD, momentum", GREY, DASHDOT, ""),
    "upgd": _MethodStyle("UPGD", GREY, LONG, ""),
    "kron": _MethodStyle("PSGD Kron", GREY, DOUBLE, ""),
    "trac": _MethodStyle("TRAC", GREY, DASHDOT, "p"),
    # Isometry.
    "adamo": _MethodStyle("AdamO", BLUE, SOLID, "o"),
    "adamo_maxmin": _MethodStyle("AdamO + MaxMin", SKY, SOLID, "^"),
    "maxmin": _MethodStyle("MaxMin", GREEN, SOLID, "v"),
    "adam_isometry": _MethodStyle("Adam, penalty in the loss", BLUE, DASHED, "D"),
    "newton_schulz": _MethodStyle("Newton-Schulz", GREEN, DASHED, "<"),
    "parseval": _MethodStyle("Parseval", GREEN, DASHDOT, ">"),
    "muon": _MethodStyle("Muon", GREEN, LONG, "p"),
    "papo": _MethodStyle("PAPO", GREEN, DOTTED, "p"),
    # Parts of the spectrum, of weights or features.
    "nap": _MethodStyle("Normalize-and-Project", PURPLE, SOLID, "s"),
    "spectral_norm": _MethodStyle("spectral norm", PURPLE, DASHED, "h"),
    "spectral": _MethodStyle("spectral regularisation", PURPLE, DASHDOT, "H"),
    "sphere": _MethodStyle("SPHERE", PURPLE, LONG, "s"),
    "l2_er": _MethodStyle("L2-ER", PURPLE, DOTTED, "h"),
    # Distance to a point: zero, the start, a bound, a former network or its outputs.
    "l2": _MethodStyle("L2", ORANGE, SOLID, "d"),
    "l2_init": _MethodStyle("L2 Init", ORANGE, DASHED, "P"),
    "shrink_perturb": _MethodStyle("Shrink and Perturb", ORANGE, DASHDOT, "X"),
    "weight_clipping": _MethodStyle("weight clipping", ORANGE, LONG, "8"),
    "head_decay": _MethodStyle("head decay", ORANGE, DASHED, "v"),
    "fade": _MethodStyle("FADE", ORANGE, DASHDOT, "^"),
    "soft_rescaling": _MethodStyle("soft rescaling", ORANGE, LONG, "H"),
    "hare_tortoise": _MethodStyle("Hare and Tortoise", ORANGE, DOTTED, "<"),
    "infer": _MethodStyle("InFeR", ORANGE, DOUBLE, ">"),
    "c_chain": _MethodStyle("C-CHAIN", ORANGE, DOTTED, "*"),
    # What is made anew: at a switch, or unit by unit, or weight by weight.
    "fire": _MethodStyle("FIRE", VERMILION, LONG, "d"),
    "optimizer_reset": _MethodStyle("optimiser reset", VERMILION, SOLID, "D"),
    "dash": _MethodStyle("DASH", VERMILION, DASHED, "s"),
    "injection": _MethodStyle("plasticity injection", VERMILION, DASHDOT, "P"),
    "redo": _MethodStyle("ReDo", VERMILION, SOLID, "*"),
    "cbp": _MethodStyle("continual backprop", VERMILION, DASHED, "x"),
    "snr": _MethodStyle("self-normalised resets", VERMILION, DASHDOT, "+"),
    "regrama": _MethodStyle("ReGraMa", VERMILION, LONG, "*"),
    "selective_reinit": _MethodStyle("selective resets", VERMILION, LONG, "x"),
    "cpr": _MethodStyle("CPR", VERMILION, DOTTED, "+"),
    # Architecture.
    "layernorm": _MethodStyle("LayerNorm", BROWN, SOLID, "1"),
    "layernorm_l2": _MethodStyle("LayerNorm + L2", BROWN, DASHED, "2"),
    "crelu": _MethodStyle("CReLU", SKY, DASHED, "3"),
    "leaky_relu": _MethodStyle("leaky ReLU", SKY, DASHDOT, "4"),
    "smooth_leaky": _MethodStyle("smooth leaky ReLU", SKY, DOTTED, "4"),
    "fourier": _MethodStyle("Fourier features", SKY, SOLID, "3"),
    "aid": _MethodStyle("AID", SKY, LONG, "1"),
    "adalin": _MethodStyle("AdaLin", SKY, DOUBLE, "2"),
}
# Keys that cannot be words of a sentence, the longest first.
_KEYS = sorted((k for k in METHOD_STYLES if "_" in k or k in _NAMES), key=len)[::-1]
_METHOD_KEYS = re.compile(rf"(?<![\w-])(?:{'|'.join(_KEYS)})(?![\w-])")
_WRITTEN = {
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "minatar": "MinAtar",
    "octax": "Octax",
    "ntk": "NTK",
    "cnn": "CNN",
}

# What a method does -> those that do it; in the order of figures and pages.
FAMILIES: dict[str, tuple[str, ...]] = {
    "optimisers": ("fresh", "adam", "adamw", "sgd_momentum", "upgd", "kron", "trac"),
    "pulls to a point": ("l2", "l2_init", "head_decay", "fade", "infer", "c_chain"),
    "pulls to isometry": (
        "adamo",
        "adamo_maxmin",
        "adam_isometry",
        "newton_schulz",
        "parseval",
        "muon",
        "papo",
    ),
    "a part of the spectrum": ("spectral", "spectral_norm", "sphere", "l2_er"),
    "rescaling": (
        "shrink_perturb",
        "weight_clipping",
        "nap",
        "soft_rescaling",
        "hare_tortoise",
    ),
    "resets": ("redo", "cbp", "snr", "regrama", "cpr", "selective_reinit"),
    "at a new task": ("fire", "optimizer_reset", "dash", "injection"),
    "architectures": (
        "layernorm",
        "layernorm_l2",
        "crelu",
        "leaky_relu",
        "smooth_leaky",
        "fourier",
        "aid",
        "adalin",
        "maxmin",
    ),
}

OTHERS = "others"  # the family of methods that the book does not know

_SPARE_LINES: tuple[LineStyle, ...] = (DOUBLE, LONG, DOTTED)
_SPARE_MARKERS = ("o", "s", "^", "v", "D", "P", "X")

RC: Any = {
    "svg.hashsalt": "isometry",
    "svg.fonttype": "path",
    "figure.figsize": (7.2, 4.0),
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "axes.prop_cycle": cycler(color=PALETTE)
    + cycler(linestyle=[SOLID, DASHED, DASHDOT, LONG, DOTTED, DOUBLE, SOLID, DASHED]),
    "grid.color": "#D9D9D9",
    "grid.linewidth": 0.7,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}


def method_label(name: str) -> str:
    """Return a method's name as the figures print it; others stay as they are.

    Args:
        name: As on the command line; may go on after a comma or in brackets, which
            says how it was run.

    Example:
        >>> method_label("adamo_maxmin"), method_label("adamo (head held)")
        ('AdamO + MaxMin', 'AdamO (head held)')
    """
    method = method_of(name)
    known = METHOD_STYLES.get(method)
    return (known.label if known else method) + name.removeprefix(method)


def method_of(name: str) -> str:
    """Return which method a name, see :func:`method_label`, speaks of."""
    return name.split(",")[0].split(" (")[0]


def stream_label(name: str) -> str:
    """Return the name of a stream or a network as titles of figures have it.

    Args:
        name: As on the command line.

    Example:
        >>> stream_label("random_label_cifar10"), stream_label("cnn")
        ('Random label CIFAR-10', 'CNN')
    """
    words = worded(name)
    return words[:1].upper() + words[1:]


def worded(text: str) -> str:
    """Return a sentence with methods as the figures print them, and no underscores.

    Args:
        text: Markdown; what stands in backticks stays.

    Example:
        >>> worded("adamo minus newton_schulz, on permuted_mnist: `lr`")
        'AdamO minus Newton-Schulz, on permuted MNIST: `lr`'
    """
    parts = re.split(r"(`[^`]*`|\$[^$]*\$)", text)
    for place in range(0, len(parts), 2):
        named = _METHOD_KEYS.sub(lambda found: method_label(found[0]), parts[place])
        spaced = re.sub(r"(?<=[a-z0-9])_(?=[a-z0-9])", " ", named)
        parts[place] = re.sub(r"[a-z0-9]+", lambda w: _WRITTEN.get(w[0], w[0]), spaced)
    return "".join(parts)


def method_style(name: str, **override: Any) -> dict[str, Any]:
    """Return the keyword arguments that draw a method's curve.

    A method the book does not know gets a colour, line and marker of its own, found
    from its name, so a method added in one file can be drawn at once.

    Args:
        name: A method's name, e.g. ``"adamo"``.
        override: Keyword arguments of ``Axes.plot`` that win, e.g. ``markevery=10``.

    Example:
        >>> method_style("adamo")["label"], method_style("mine")["label"]
        ('AdamO', 'mine')
        >>> method_style("adam", label=None)["color"]
        '#4D4D4D'
    """
    style = METHOD_STYLES.get(name)
    if style is None:
        draw = crc32(name.encode())
        style = _MethodStyle(
            label=name,
            color=PALETTE[draw % len(PALETTE)],
            linestyle=_SPARE_LINES[draw // 8 % len(_SPARE_LINES)],
            marker=_SPARE_MARKERS[draw // 64 % len(_SPARE_MARKERS)],
        )
    return style.line(**override)


def family_of(method: str) -> str:
    """Return the title of a method's family, ``others`` if the book does not know it.

    Args:
        method: Its name, see :func:`method_label`.

    Example:
        >>> family_of("redo"), family_of("adam, first fifth"), family_of("mine")
        ('resets', 'optimisers', 'others')
    """
    name = method_of(method)
    return next((title for title, own in FAMILIES.items() if name in own), OTHERS)


def by_family(methods: Iterable[str]) -> dict[str, list[str]]:
    """Return methods under the title of their family, both in order.

    Args:
        methods: As for :func:`family_of`, those of a family in the order they are to
            have.

    Example:
        >>> by_family(["redo", "adamo", "cbp", "mine"])
        {'pulls to isometry': ['adamo'], 'resets': ['redo', 'cbp'], 'others': ['mine']}
    """
    found: dict[str, list[str]] = {title: [] for title in (*FAMILIES, OTHERS)}
    for method in methods:
        found[family_of(method)].append(method)
    return {title: own for title, own in found.items() if own}


def use() -> None:
    """Set the book's look for every figure drawn from here on.

    In a notebook, figures become SVG without a date and with fixed element names, so
    that the same numbers give the same bytes.
    """
    mpl.rcParams.update(RC)
    if in_a_kernel():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg", metadata={"Date": None})
        _draw_narrow_too()


def _draw_narrow_too() -> None:
    """Let each figure of a notebook say, after all else, how a telephone shows it."""
    from IPython import get_ipython
    from IPython.core.formatters import SVGFormatter
    from matplotlib.figure import Figure

    from isometry_book.narrow import MIME, narrow_svg

    known = get_ipython().display_formatter
    narrow = SVGFormatter(parent=known)
    narrow.format_type, narrow.print_method = MIME, "_repr_narrow_"
    narrow.for_type(Figure, narrow_svg)
    known.formatters[MIME] = narrow


def in_a_kernel() -> bool:
    """Return whether a Jupyter kernel runs this code; importing nothing for it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
