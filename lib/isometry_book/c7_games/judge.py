"""The judges of chapter 7's claims: agents that play one game after the other."""

import json

import pandas as pd

from isometry.core.seeding import numpy_generator
from isometry.core.statistics import stratified_bootstrap
from isometry.lab.games_comparison import GamesComparison, compared_games, seeds_of
from isometry.lab.labels import BASELINE, trained
from isometry.lab.report import BOOTSTRAP_SEED, last_tasks
from isometry.lab.store import Record, StoreError
from isometry.rl.protocols import PAPER_MINATAR, PAPER_OCTAX, Protocol
from isometry_book.c7_games.tables import seed_means
from isometry_book.c7_games.variants import LEAST_PULL, TORCHS_START, depth_returns
from isometry_book.claims.claim import Judge, Outcome, Verdict, judged
from isometry_book.evidence.protocol import (
    differences,
    in_words,
    not_tested,
    outcome_against,
)

JUDGED, MAXMIN_JUDGED, MAXMIN = "adamo", "adamo_maxmin", "maxmin"
# What the authors call spectral norm is our spectral; the other goes by that name.
RIVALS = (BASELINE, "l2_init", "nap", "spectral", "spectral_norm")
NEEDED = (BASELINE, "l2_init", "nap")
LEAST_SEEDS = 8
CLOSE = 0.05  # of a score that is 0 for a random policy and 1 for a fresh network
LEVEL = 0.05  # of a test
DEPTHS_BENCHMARK = "continual_minatar"
SHALLOW, DEEP = 4, (16, 32)


def _size_of_games(record: Record, seeds: int, paper: Protocol) -> str:
    """Return the size of a run in words, for the gap to the paper's."""
    own = record["settings"]
    games = own["games"].split(",")
    there = [game for game in games if game in paper.games]
    return (
        f"{len(games)} games ({', '.join(games)}), {len(there)} of the paper's "
        f"{len(paper.games)}; {own['cycles']} cycles where it has {paper.cycles}; "
        f"{own['env_steps']:,} environment steps a visit where it has "
        f"{paper.env_steps:,}; {seeds} seeds where it has {paper.seeds}."
    )


def _compared_at_most_cycles(
    results: pd.DataFrame, records: list[Record], benchmark: str
) -> list[GamesComparison]:
    """Return the comparisons of a benchmark with the most cycles, one a learning rate.

    Of several at one learning rate, as of studies of details, the one with the most
    methods stands, then that with the most seeds.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record["benchmark"] == benchmark:
            setting = json.dumps(trained(record["settings"]), sort_keys=True)
            groups.setdefault(setting, []).append(record)
    whole = {
        setting: own
        for setting, own in groups.items()
        if {JUDGED, *NEEDED} <= {record["method"] for record in own}
    }
    most = max((_cycles_of(own[0]) for own in whole.values()), default=0)
    largest: dict[float, list[Record]] = {}
    for setting in sorted(whole):
        own = whole[setting]
        lr = own[0]["settings"]["lr"]
        if _cycles_of(own[0]) == most and _extent(own) > _extent(largest.get(lr, [])):
            largest[lr] = own
    found = []
    for lr in sorted(largest):
        try:
            one = compared_games(results, largest[lr], benchmark)
        except StoreError:
            continue  # returns without a scale
        if one is not None:
            found.append(one)
    return found


def _extent(records: list[Record]) -> tuple[int, int]:
    """Return how large a comparison is: methods, then seeds of all of them."""
    seeds = sum(len(seeds_of(record)) for record in records)
    return len({record["method"] for record in records}), seeds


def _cycles_of(record: Record) -> int:
    """Return how many cycles a run has."""
    return int(record["settings"]["cycles"])


def _fifth_scores(scores: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the mean score over the first or the last fifth of the cycles."""
    cycles = int(scores["cycle"].max()) + 1
    count = last_tasks(cycles)
    chosen = scores["cycle"] < count
    if part == "last":
        chosen = scores["cycle"] >= cycles - count
    return seed_means(scores[chosen])


def _judged_games(comparison: GamesComparison) -> tuple[Outcome, str] | None:
    """Return the outcome of one comparison of games, and its numbers in words."""
    first = _fifth_scores(comparison.scores, "first")
    last = _fifth_scores(comparison.scores, "last")
    rivals = [
        rival
        for rival in RIVALS
        if rival in last and last[rival].count() >= LEAST_SEEDS
    ]
    if not set(NEEDED) <= set(rivals) or last[JUDGED].count() < LEAST_SEEDS:
        return None
    lr = next(iter(comparison.runs.values()))["settings"]["lr"]
    change = (last[BASELINE] - first[BASELINE]).dropna()
    draw = numpy_generator(BOOTSTRAP_SEED, "games gate", comparison.benchmark, str(lr))
    lost = stratified_bootstrap(change, draw)
    said = f"At lr {lr:g} {BASELINE} changes by {lost} from the first to the last fifth"
    if not lost.high < 0:
        return "not tested", f"{said}: it loses nothing."
    shared = last[[JUDGED, *rivals]].dropna()
    found = differences(shared, JUDGED, rivals, f"games {lr:g}", CLOSE)
    words = f"{said}. Score over the last fifth, {in_words(JUDGED, found)}"
    pair = [MAXMIN_JUDGED, MAXMIN]
    if set(pair) <= set(last) and len(last[pair].dropna()) >= LEAST_SEEDS:
        own = differences(last[pair].dropna(), MAXMIN_JUDGED, [MAXMIN], "games", CLOSE)
        words += f" Beside it, {MAXMIN_JUDGED} minus {MAXMIN} {own[MAXMIN]}."
    return outcome_against(found), f"{words} {len(shared)} seeds."


def _keeps_up(benchmark: str, paper: Protocol) -> Judge:
    """Return the judge of "AdamO matches or beats the baselines" on games in turn.

    Where runs of several learning rates pass the gate, all must agree.
    """

    def judge(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
        comparisons = _compared_at_most_cycles(results, records, benchmark)
        found = [(one, _judged_games(one)) for one in comparisons]
        known = [(one, own) for one, own in found if own is not None]
        if not known:
            return None
        tested = {outcome for _, (outcome, _) in known} - {"not tested"}
        outcome: Outcome = "not tested"
        if len(tested) == 1:
            (outcome,) = tested
        elif tested:
            outcome = "partly" if tested & {"reproduced", "partly"} else "undecided"
        record = known[0][0].runs[JUDGED]
        return Verdict(
            verdict=outcome,
            reason=" ".join(words for _, (_, words) in known),
            gap=_size_of_games(record, len(seeds_of(record)), paper),
        )

    return judge


judged("rl-minatar")(_keeps_up("continual_minatar", PAPER_MINATAR))
judged("rl-octax")(_keeps_up("continual_octax", PAPER_OCTAX))


@judged("rl-depth")
def _rl_depth(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge whether AdamO keeps deep agents trainable that begin far from isometry."""
    returns = depth_returns(results, records, DEPTHS_BENCHMARK, LEAST_PULL)
    tables = {
        depth: one.pivot_table(
            index="seed", columns="method", values="episodic_return"
        ).rename(columns=lambda name: name.removesuffix(TORCHS_START))
        for depth, one in returns[returns["method"].str.endswith(TORCHS_START)].groupby(
            "depth"
        )
    }
    needed = (JUDGED, BASELINE)
    for depth in (SHALLOW, *DEEP):
        have = tables.get(depth, pd.DataFrame()).reindex(columns=list(needed)).dropna()
        if depth != SHALLOW and len(have) < LEAST_SEEDS:
            return None
        if depth == SHALLOW and BASELINE not in tables.get(depth, ()):
            return None
    words, better, maxmin_better = [], [], []
    for depth in DEEP:
        table = tables[depth]
        both = pd.DataFrame(
            {"deep": table[BASELINE], "shallow": tables[SHALLOW][BASELINE]}
        ).dropna()
        fall = differences(both, "deep", ["shallow"], f"depth {depth}")["shallow"]
        if not fall.interval.high < 0:
            return not_tested(
                f"At {depth} layers {BASELINE} minus {BASELINE} at {SHALLOW}: {fall}: "
                "depth costs nothing here."
            )
        found = differences(
            table[list(needed)].dropna(), JUDGED, [BASELINE], str(depth)
        )
        one = found[BASELINE]
        better.append(one.standing == "above" and one.p < LEVEL)
        words.append(
            f"at {depth} layers {BASELINE} is below {BASELINE} at {SHALLOW} by "
            f"{fall.interval}; {JUDGED} minus {BASELINE} {one}"
        )
        pair = [MAXMIN_JUDGED, MAXMIN]
        if set(pair) <= set(table) and len(table[pair].dropna()) >= LEAST_SEEDS:
            own = differences(table[pair].dropna(), pair[0], pair[1:], str(depth))
            maxmin_better.append(own[MAXMIN].standing == "above")
            words.append(f"{MAXMIN_JUDGED} minus {MAXMIN} {own[MAXMIN]}")
    outcome: Outcome = "not reproduced"
    if all(better):
        outcome = "reproduced"
    elif any(better) or any(maxmin_better):
        outcome = "partly"
    return Verdict(
        verdict=outcome,
        reason=f"Return at the end of a visit, {'; '.join(words)}.",
        gap="The paper only suggests it; its agents have four layers and play "
        f"{PAPER_MINATAR.env_steps:,} steps a visit.",
    )
