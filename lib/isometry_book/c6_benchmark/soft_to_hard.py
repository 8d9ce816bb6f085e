"""Chapter 6: from a soft pull to a hard one, on the grids of the searches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from isometry.lab.report import seed_scores
from isometry.lab.store import load
from isometry_book.style import stream_label

STREAMS = {"permuted_mnist": 100, "permuted_cifar10": 120}  # -> tasks
RATES = (3e-4, 1e-3, 3e-3)  # those at which every search began
METRIC, BETA2, EPOCHS = "online_accuracy", 0.999, 5
# Which runs of a search lie on the way, with the place of each.
NONE, LIMIT = "none", "projection"


def along_the_pull(store: Path) -> pd.DataFrame:
    """Return level and slope of the searches' runs, from no pull to the projection.

    No pull is Adam, with the beta2 that AdamO has; the limit a projection after each
    step, of the hidden layers. Where a pull holds the head as well, ``held`` says so.

    Args:
        store: The results store; its folder ``tuning`` has the searches.

    Returns:
        Columns ``stream``, ``lr``, ``pull`` (a number as text, ``none`` or
        ``projection``), ``held``, ``seed``, ``level`` (mean online accuracy) and
        ``slope`` (last minus first fifth of the tasks).

    Raises:
        StoreError: If a file cannot be used.
    """
    rows = []
    for stream, tasks in STREAMS.items():
        stored = load(store / "tuning" / stream)
        numbers = stored.frame
        for record in stored.records:
            place = _place(record)
            length = record["settings"]["tasks"], record["settings"]["epochs"]
            if place is None or length != (tasks, EPOCHS):
                continue
            chosen = (numbers["method"] == record["method"]) & (
                numbers["settings"] == record["hash"]
            )
            own = numbers[chosen]
            parts = {p: seed_scores(own, METRIC, p) for p in ("all", "first", "last")}
            rows += [
                {
                    "stream": stream,
                    "lr": record["settings"]["lr"],
                    "pull": place,
                    "held": record["method_settings"].get("isometry_head", False),
                    "seed": seed,
                    "level": level,
                    "slope": parts["last"][seed] - parts["first"][seed],
                }
                for seed, level in parts["all"].items()
            ]
    return pd.DataFrame(rows)


def _place(record: dict) -> str | None:
    """Return where a run stands on the way; None beside it."""
    own, lr = record["method_settings"], record["settings"]["lr"]
    if record["settings"]["network"] != "mlp":
        return None
    if record["method"] == "adam":
        return NONE if own["beta2"] == BETA2 else None
    if record["method"] == "newton_schulz":
        return LIMIT if own["projection_every"] == 1 else None
    if record["method"] != "adamo":
        return None
    return f"{own['isometry_strength'] * lr:.3g}"


def places(table: pd.DataFrame) -> list[str]:
    """Return the places of a table, from the softest to the hardest.

    Args:
        table: From :func:`along_the_pull`.
    """
    between = set(table["pull"]) - {NONE, LIMIT}
    return [NONE, *sorted(between, key=float), LIMIT]


def draw(axes: Sequence[Axes], table: pd.DataFrame) -> None:
    """Draw level above and slope below, a line for each learning rate, broken if held.

    Args:
        axes: Two.
        table: From :func:`along_the_pull`, of one stream.
    """
    order = places(table)
    colours = {lr: f"C{place}" for place, lr in enumerate(sorted(table["lr"].unique()))}
    for (held, lr), own in table.groupby(["held", "lr"]):
        means = own.groupby("pull")[["level", "slope"]].mean()
        means = means.reindex([place for place in order if place in means.index])
        where = [order.index(place) for place in means.index]
        for ax, what in zip(axes, ("level", "slope"), strict=True):
            style: dict[str, Any] = {"color": colours[lr], "marker": "o"}
            style |= {"linestyle": ":"} if held else {"label": f"{lr:g}"}
            ax.plot(where, means[what], markersize=4, **style)
    axes[0].set_title(stream_label(str(table["stream"].iloc[0])))
    axes[1].axhline(0, color="grey", linewidth=0.8)
    axes[1].set_xticks(range(len(order)), order, rotation=30)
    axes[1].set_xlabel("pull of one step")
