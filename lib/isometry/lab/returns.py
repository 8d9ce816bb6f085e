"""Returns of a results store, with game, cycle and environment steps as columns.

The store has one number a row and names a measurement by its metric:
``episodic_return/GAME@STEPS`` during a visit, ``episodic_return/GAME`` at its end.
"""

import re
from pathlib import Path

import pandas as pd

from isometry.core.messages import refusal
from isometry.lab.labels import labels_of
from isometry.lab.store import Record, StoreError, load

NAMED = re.compile(r"episodic_return/(?P<game>\w+)(?:@(?P<env_steps>\d+))?")
COLUMNS = [
    "benchmark",
    "method",
    "settings",
    "seed",
    "visit",
    "cycle",
    "visited",
    "game",
    "env_steps",
    "episodic_return",
]


def load_returns(path: str | Path) -> pd.DataFrame:
    """Return every evaluation of a store, one a row.

    Args:
        path: The store, a benchmark's folder in it, or one file.

    Returns:
        See :func:`returns_of`.

    Raises:
        StoreError: If there is nothing under ``path``, or no return in it.
    """
    stored = load(path)
    found = returns_of(stored.frame, stored.records)
    if found.empty:
        needed = f"runs of games under {path}"
        do = "run continual_minatar or continual_octax into it"
        raise StoreError(refusal(needed, "none", do))
    return found


def returns_of(results: pd.DataFrame, records: list[Record]) -> pd.DataFrame:
    """Return every evaluation among the numbers of a store, one a row.

    Args:
        results: Tidy numbers.
        records: Of their files; those without games are passed over.

    Returns:
        Columns ``benchmark, method, settings, seed, visit, cycle, visited, game,
        env_steps, episodic_return``. ``visited`` is the game of the visit, ``game`` the
        one that was evaluated, ``env_steps`` counts from the visit's start; visits and
        cycles from 0. Where the two games differ, the visit is at its end. No row where
        nothing was evaluated.
    """
    records = [record for record in records if "games" in record["settings"]]
    own = results["settings"].isin({record["hash"] for record in records})
    found = results[own & results["metric"].str.startswith("episodic_return/")]
    if found.empty:
        return pd.DataFrame(columns=COLUMNS)
    found = found.join(found["metric"].str.extract(f"^{NAMED.pattern}$"))
    found["env_steps"] = pd.to_numeric(found["env_steps"])
    visit = ["settings", "seed", "task"]
    during = found[found["env_steps"].notna()]
    visited = during.groupby(visit)["game"].first().rename("visited")
    length = during.groupby(visit)["env_steps"].max().rename("length")
    found = found.join(visited, on=visit).join(length, on=visit)
    # The end of a visit in its own game has its environment steps in its name too.
    found = found[found["env_steps"].notna() | (found["game"] != found["visited"])]
    games = {r["hash"]: len(r["settings"]["games"].split(",")) for r in records}
    found["env_steps"] = found["env_steps"].fillna(found["length"]).astype("int64")
    found["cycle"] = found["task"] // found["settings"].map(games)
    found["method"] = found["settings"].map(labels_of(records))
    found = found.rename(columns={"task": "visit", "value": "episodic_return"})
    order = ["benchmark", "method", "settings", "seed", "visit", "env_steps", "game"]
    return found[COLUMNS].sort_values(order, ignore_index=True)
