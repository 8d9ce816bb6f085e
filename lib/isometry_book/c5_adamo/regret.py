"""What each strength of AdamO loses to the best one, on streams of the store.

The rule by which the default was chosen stands in chapter 5. It was written before the
numbers were looked at.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from isometry.adamo import relaxation_steps
from isometry.lab.store import TUNING, load

CLOSE = 0.05  # a learning rate counts where Adam is that near to its best one
TIE = 0.01  # of two regrets as near, the weaker pull wins
HARM = 0.05  # a default may lose that much more than Adam in games


@dataclass(frozen=True, kw_only=True)
class _Stream:
    """Runs that differ in learning rate and strength only.

    Attributes:
        benchmark: Its name in the store.
        settings: What picks the stream from others of that name.
        metric: The score, a mean over tasks.
        game: Whether it is a check rather than a judge.
    """

    benchmark: str
    settings: dict[str, Any] = field(default_factory=dict)
    metric: str = "online_accuracy"
    game: bool = False

    def holds(self, record: dict[str, Any]) -> bool:
        """Return whether a record belongs to the stream."""
        wanted = {"network": "mlp", **self.settings}
        found = record["settings"]
        return record["benchmark"] == self.benchmark and all(
            found.get(key) == value for key, value in wanted.items()
        )


def _visit(depth: int, init: str) -> _Stream:
    """Return one visit of Breakout."""
    settings = {"cycles": 1, "depth": depth, "init": init}
    return _Stream(
        benchmark="continual_minatar",
        settings=settings,
        metric="episodic_return",
        game=True,
    )


STREAMS = {
    "random labels, MNIST": _Stream(benchmark="random_label_mnist"),
    "permuted MNIST, 30 tasks": _Stream(
        benchmark="permuted_mnist", settings={"tasks": 30}
    ),
    "permuted MNIST, 100 tasks": _Stream(
        benchmark="permuted_mnist", settings={"tasks": 100, "epochs": 5}
    ),
    "permuted CIFAR-10": _Stream(benchmark="permuted_cifar10", settings={"tasks": 120}),
} | {
    f"Breakout, {depth} layers, {start} start": _visit(depth, start)
    for depth in (4, 16)
    for start in ("orthogonal", "default")
}

LONG = {"long_minatar": "MinAtar, 16 visits", "long_octax": "Octax, 8 visits"}
STREAMS[LONG["long_minatar"]] = _Stream(
    benchmark="continual_minatar",
    settings={
        "cycles": 8,
        "hidden_bias": True,
        "init_gain": 2**0.5,
        "protect_value_head": None,
    },
    metric="episodic_return",
    game=True,
)
STREAMS[LONG["long_octax"]] = _Stream(
    benchmark="continual_octax",
    settings={"network": "cnn"},
    metric="episodic_return",
    game=True,
)


def regret_table(store: Path) -> pd.DataFrame:
    """Return what each strength loses to the best one of its stream and rate.

    Args:
        store: The book's results; runs on tuning seeds count as well.

    Returns:
        One row a stream, learning rate and strength: stream, game, lr, strength (0 is
        Adam), relaxation (steps), seeds, score, and regret, one minus the score over
        the best score. Rates at which Adam is more than 0.05 below its own best rate
        are left out, and those without Adam or without two strengths beside it in a
        stream of images, one in games. A score is the mean over the seeds that all
        have.

    Raises:
        StoreError: If the store cannot be read.
    """
    found = [_runs(name, stream, store) for name, stream in STREAMS.items()]
    runs = pd.concat(found, ignore_index=True)
    adam = runs[runs["strength"] == 0].groupby(["stream", "lr"])["score"].mean()
    parts = []
    for (name, lr), own in runs.groupby(["stream", "lr"], sort=False):
        game = STREAMS[str(name)].game
        seeds = own.pivot_table(index="seed", columns="strength", values="score")
        seeds = seeds.dropna()
        if 0 not in seeds or seeds.shape[1] < (2 if game else 3):
            continue
        if not game and adam[name, lr] < adam[name].max() - CLOSE:
            continue
        score = seeds.mean()
        part = pd.DataFrame({"score": score, "regret": 1 - score / score.max()})
        part = part.reset_index().assign(
            stream=name, game=game, lr=lr, seeds=len(seeds)
        )
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table["relaxation"] = [
        float(f"{relaxation_steps(strength, lr):.3g}")
        for strength, lr in zip(table["strength"], table["lr"], strict=True)
    ]
    return table


def _runs(name: str, stream: _Stream, store: Path) -> pd.DataFrame:
    """Return the score of every run of Adam and AdamO on a stream, one row a seed."""
    rows = []
    for path in (store / stream.benchmark, store / TUNING / stream.benchmark):
        if not path.exists():
            continue
        stored = load(path)
        numbers = stored.frame
        scores = numbers[numbers["metric"] == stream.metric]
        scores = scores.groupby(["settings", "seed"])["value"].mean()
        for record in stored.records:
            own = record["method_settings"]
            if record["method"] not in ("adam", "adamo") or not stream.holds(record):
                continue
            if own["beta2"] != 0.999:
                continue
            strength = float(f"{own.get('isometry_strength', 0.0):.4g}")
            for seed, score in scores[record["hash"]].items():
                rows.append((name, record["settings"]["lr"], strength, seed, score))
    return pd.DataFrame(rows, columns=["stream", "lr", "strength", "seed", "score"])


def worst(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return what each candidate loses where it loses most.

    Args:
        table: From :func:`regret_table`.
        kind: ``strength``, the same at every learning rate, or ``relaxation``, the
            same number of steps; Adam is 0 or infinite.

    Returns:
        Indexed by candidate: images, the largest regret on streams of images; tried, on
        how many of these streams and rates it was run; harm, by how much its regret
        exceeds Adam's in a game at most.
    """
    images = table[~table["game"]].groupby(kind)["regret"]
    games = table[table["game"]]
    adam = games[games["strength"] == 0].set_index("stream")["regret"]
    excess = games["regret"] - games["stream"].map(adam)
    return pd.DataFrame(
        {
            "images": images.max(),
            "tried": images.size(),
            "harm": excess.groupby(games[kind]).max(),
        }
    )


def chosen(table: pd.DataFrame, kind: str) -> float:
    """Return the candidate that the rule of chapter 5 chooses.

    Args:
        table: From :func:`regret_table`.
        kind: As in :func:`worst`.
    """
    found = worst(table, kind)
    tried = found["tried"] == found["tried"].max()
    left = found[tried & (found["harm"] <= HARM)]["images"]
    near = left[left <= left.min() + TIE].index
    return float(near.min() if kind == "strength" else near.max())
