"""The judges of chapter 7's claims: agents that play one game after the other."""

import pandas as pd

from isometry.core.statistics import Interval
from isometry.experiments.claims import Judge, Outcome, Verdict, judged
from isometry.experiments.comparison import CEILING
from isometry.experiments.games_comparison import (
    GamesComparison,
    compared_games,
    seeds_of,
)
from isometry.experiments.games_study import changes, difference, late_scores
from isometry.experiments.games_variants import (
    depth_differences,
    depth_returns,
    depth_runs,
)
from isometry.experiments.labels import BASELINE
from isometry.experiments.store import Record, StoreError
from isometry.rl.protocols import PAPER_MINATAR, PAPER_OCTAX, Protocol

# The first form of the authors' code. It was named after a pilot on other games and
# before these runs; the reason of a verdict gives the numbers of both.
JUDGED = "adamo_maxmin"
OTHER = "adamo"
# What the authors call spectral norm is our spectral; the other goes by that name.
RIVALS = (BASELINE, "l2_init", "nap", "spectral", "spectral_norm")
DEPTHS_BENCHMARK = "continual_minatar"
LEAST_SEEDS = 4  # of a study of depth, whose criterion names no number
DEEP = 16


def size_of_games(record: Record, seeds: int, paper: Protocol) -> str:
    """Return the size of a run in words, for the gap to the paper's.

    Args:
        record: Of a run.
        seeds: How many agents were trained.
        paper: The experiment of the paper.

    Source: ours.
    """
    own = record["settings"]
    games = own["games"].split(",")
    there = [game for game in games if game in paper.games]
    return (
        f"{len(games)} games ({', '.join(games)}), {len(there)} of the paper's "
        f"{len(paper.games)}; {own['cycles']} cycles where it has {paper.cycles}; "
        f"{own['env_steps']:,} environment steps a visit where it has "
        f"{paper.env_steps:,}; {seeds} seeds where it has {paper.seeds}."
    )


def differences_in_words(
    late: pd.DataFrame, method: str, rivals: list[str]
) -> tuple[dict[str, Interval], str]:
    """Return a method's late score minus those of others, also as text.

    Args:
        late: One row a seed, one column a method.
        method: Whose.
        rivals: Minus whose.

    Source: ours.
    """
    found = {}
    for rival in rivals:
        interval = difference(late, method, rival)
        assert interval is not None  # the caller counted the seeds that all have
        found[rival] = interval
    words = ", ".join(f"{rival} {interval}" for rival, interval in found.items())
    return found, f"{method} minus {words}"


def loss_in_words(comparison: GamesComparison, late: pd.DataFrame) -> str:
    """Return whether there was a loss of plasticity at all, as a sentence.

    Args:
        comparison: Of a benchmark.
        late: Its late scores.

    Source: ours.
    """
    lost = changes(comparison.scores)[BASELINE]
    text = f"From the first cycle to the last quarter {BASELINE} changes by {lost}"
    gap = difference(late, BASELINE, CEILING) if CEILING in late else None
    if gap is not None:
        text += f"; its last quarter minus that of {CEILING} is {gap}"
    if lost.high < 0:
        return f"{text}. It loses plasticity."
    return f"{text}. No loss beyond the interval: matching it shows little."


def keeps_up(benchmark: str, paper: Protocol, seeds: int, least_rivals: int) -> Judge:
    """Return the judge of "AdamO matches or beats the baselines" on games in turn.

    Args:
        benchmark: Name of the benchmark.
        paper: The paper's experiment, for the gap.
        seeds: How many all judged methods must have.
        least_rivals: How many of :data:`RIVALS` must have them, Adam among them.

    Source: ours; the claim is arXiv 2606.09762, Sec. 6.
    """

    def judge(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
        try:
            comparison = compared_games(results, records, benchmark)
        except StoreError:
            return None  # returns without a scale
        if comparison is None or comparison.scores["cycle"].max() < 1:
            return None
        late = late_scores(comparison.scores)
        enough = set(late.columns[late.count() >= seeds])
        rivals = [rival for rival in RIVALS if rival in enough]
        if not {JUDGED, BASELINE} <= enough or len(rivals) < least_rivals:
            return None
        shared = late[[JUDGED, *rivals]].dropna()
        if len(shared) < seeds:
            return None
        found, words = differences_in_words(shared, JUDGED, rivals)
        held = [rival for rival, interval in found.items() if interval.high >= 0]
        outcome: Outcome = "not reproduced"
        if len(held) == len(rivals):
            outcome = "reproduced"
        elif BASELINE in held and len(held) > 1:
            outcome = "partly"
        both = late.reindex(columns=[OTHER, *rivals]).dropna()
        if len(both) >= seeds:
            words += f"; not judged: {differences_in_words(both, OTHER, rivals)[1]}"
        return Verdict(
            verdict=outcome,
            reason=f"Score over the last quarter of the cycles, {words}; "
            f"{len(shared)} seeds. {loss_in_words(comparison, late)}",
            gap=size_of_games(comparison.runs[JUDGED], len(shared), paper),
        )

    return judge


judged("rl-minatar")(keeps_up("continual_minatar", PAPER_MINATAR, 8, len(RIVALS)))
judged("rl-octax")(keeps_up("continual_octax", PAPER_OCTAX, 4, 2))


@judged("rl-depth")
def rl_depth(results: pd.DataFrame, records: list[Record]) -> Verdict | None:
    """Judge whether one form of AdamO reaches more than Adam at every large depth.

    Args:
        results: Tidy numbers of a store.
        records: Of its files.

    Source: ours; arXiv 2606.09762 suggests it and shows no such experiment.
    """
    returns = depth_returns(results, records, DEPTHS_BENCHMARK)
    forms = {}
    for form in (JUDGED, OTHER):
        found = depth_differences(returns, form)
        deep = {
            depth: interval
            for depth, interval in found.items()
            if depth >= DEEP and interval.num_seeds >= LEAST_SEEDS
        }
        if deep:
            forms[form] = deep
    if not forms:
        return None
    above = [{d for d, i in deep.items() if i.low > 0} for deep in forms.values()]
    outcome: Outcome = "partly" if any(above) else "not reproduced"
    if set().union(*forms.values()) in above:
        outcome = "reproduced"
    words = [
        f"{form} minus {BASELINE} "
        + ", ".join(f"{interval} at depth {depth}" for depth, interval in deep.items())
        for form, deep in forms.items()
    ]
    runs = depth_runs(records, DEPTHS_BENCHMARK)
    record = next(iter(runs.values()))
    seeds = max(len(seeds_of(r)) for r in runs.values())
    return Verdict(
        verdict=outcome,
        reason=f"Return at the end of a visit, {'; '.join(words)}. One form must be "
        f"above at every depth; {len(forms)} had the chance.",
        gap=f"The paper only suggests it. One game ({record['settings']['games']}), "
        f"{record['settings']['env_steps']:,} environment steps, {seeds} seeds; its "
        f"agents have four layers and play {PAPER_MINATAR.env_steps:,} steps a visit.",
    )
