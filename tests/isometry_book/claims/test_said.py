"""What a verdict says in a sentence is so in the committed results."""

import json
import re
from pathlib import Path

import pytest

from isometry_book.claims.claim import CLAIMS, LEDGER, OUTCOMES
from isometry_book.claims.verdicts import first_verdicts

RESULTS = Path(__file__).resolve().parents[3] / "results"
FIRST = json.loads((RESULTS / "first_protocol.json").read_text("utf-8"))["verdicts"]
INTERVAL = r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]"


@pytest.fixture(scope="module")
def reasons(verdicts):
    """The reasons of the verdicts that have a sentence, by claim."""
    return {
        claim.key: verdicts[claim.key].reason
        for claim in CLAIMS
        if verdicts[claim.key].verdict in claim.said
    }


def after(words, reason):
    """Return all intervals that follow some words."""
    return [
        [float(x) for x in hit] for hit in re.findall(f"{words} {INTERVAL}", reason)
    ]


def test_sentences_belong_to_outcomes_and_have_no_numbers():
    for claim in CLAIMS:
        assert set(claim.said) <= set(OUTCOMES)
        for sentence in claim.said.values():
            assert sentence.endswith(".")
            assert not re.search(r"\d", sentence)


def test_the_condition_foretells_across_methods_and_not_across_seeds(reasons):
    if "anisotropy" not in reasons:
        pytest.skip("the verdict is another")
    reason = reasons["anisotropy"].split("kernel of Adam")[0]
    own = re.sub(r"size minus[^;]*", "", reason)
    seeds, methods = after("across seeds", own), after("across methods", own)
    assert len(seeds) == len(methods) >= 2
    assert all(low < 0 < high for _, low, high in seeds)
    assert all(high < -0.3 for _, _, high in methods)


def test_the_kernel_of_adam_goes_with_plasticity_over_time_on_one_stream_more(verdicts):
    parts = re.split(r"kernel of (?=gradient|Adam)", verdicts["anisotropy"].reason)[1:]
    own = {"gradient": [], "Adam": []}
    for part in parts:
        kept = re.sub(r"size minus.*", "", part)
        assert len(after("across seeds", kept)) == 1
        own[part.split()[0].rstrip(",")].append(kept)
    for kernel, streams in {"gradient": 1, "Adam": 2}.items():
        assert len(own[kernel]) == 3
        over = [after("over time", one)[0] for one in own[kernel]]
        seeds = [after("across seeds", one)[0] for one in own[kernel]]
        assert sum(high < -0.2 for _, _, high in over) == streams
        assert all(low < 0 < high for _, low, high in seeds)


def test_the_gates_explain_more_than_the_weights(reasons):
    (gates,) = after(r"explain", reasons["nonlinear-gap"])
    (weights,) = after(r"the weights", reasons["nonlinear-gap"])
    assert gates[1] > 0.5 > weights[2]


def test_the_bias_is_where_adamo_does_not_help(reasons):
    reason = reasons["revival"]
    by_bias = re.search(r"just too low ([\d.]+) and ([\d.]+)", reason)
    assert float(by_bias[1]) <= float(by_bias[2])
    by_itself = re.search(r"ten tasks.*?([\d.]+) under AdamO, ([\d.]+) under", reason)
    assert float(by_itself[1]) > 0.5 > float(by_itself[2])


def test_the_share_follows_the_pull_and_accuracy_less(reasons):
    reason = reasons["strength"]
    (share,) = after("without a pull", reason)
    (accuracy,) = after("accuracy the pull foretells", reason)
    assert share[2] < -0.9
    assert accuracy[2] < 0.5


@pytest.mark.parametrize(
    "stream", ["random-label", "permuted-mnist", "permuted-cifar10"]
)
def test_newton_schulz_comes_nearest(stream, reasons):
    reason = reasons[f"bench-{stream}"]
    gaps = dict(re.findall(r"(Adam|[\w-]+(?: Init)?) (-?[\d.]+) \[", reason)[:6])
    assert len(gaps) == 6
    assert min(gaps, key=lambda name: float(gaps[name])) in {"newton_schulz", "Schulz"}


def test_redo_alone_is_above_where_labels_are_shuffled(reasons):
    own = reasons["bench-label-shuffled"].split("So many")[0]
    gaps = re.findall(rf"(\w+) {INTERVAL}, p", own)
    assert len(gaps) == 6
    assert {name for name, *_, high in gaps if float(high) < 0} == {"redo"}
    assert all(float(low) > 0 for name, _, low, _ in gaps if name != "redo")


def test_on_one_stream_all_go_with_the_next_task_and_on_another_none(reasons):
    streams = reasons["mechanism"].split(": ", 1)[1].split("; ")
    signs = [[high < 0 for _, _, high in after(r"\w+", one)] for one in streams]
    assert sorted({all(one) for one in signs if all(one) or not any(one)}) == [
        False,
        True,
    ]


def test_adamo_ends_where_it_began_on_five_streams(reasons):
    own = after(r"\w+_\w+(?: cnn)?", reasons["plasticity-kept"])
    gaps = after("minus adam", reasons["plasticity-kept"])
    assert len(own) == len(gaps) == 5
    assert all(low > -0.01 for _, low, _ in own)
    assert all(low > 0 for _, low, _ in gaps)


def test_the_projection_alone_is_above_among_convolutions(reasons):
    own = reasons["bench-cnn"].split("So many")[0]
    gaps = {
        name: float(low) for name, _, low, _ in re.findall(rf"(\w+) {INTERVAL}, p", own)
    }
    assert gaps["adam"] > 0.2 > gaps["l2_init"] > 0
    (projection,) = after("newton_schulz", own)
    assert projection[2] < 0


def test_adamo_has_the_second_best_mean_rank(reasons):
    ranks = re.findall(r"(\w+) [\d.]+[,.]", reasons["recommendation"].split(": ")[1])
    assert ranks[:2] == ["adamo_maxmin", "adamo"]
    assert ranks[5] == "adam"
    assert "over 5 streams" in reasons["recommendation"]


def test_adamo_lifts_maxmin_networks_but_where_labels_are_shuffled(reasons):
    found = dict(
        zip(
            ("labels", "cifar10", "convolutions", "mnist", "random"),
            after(r"\w+_\w+(?: cnn)?", reasons["maxmin-form"]),
            strict=True,
        )
    )
    assert found.pop("labels")[2] < 0 < min(low for _, low, _ in found.values())


def test_at_32_layers_the_pull_makes_maxmin_agents_alone_learn(reasons):
    _, middle, deep = re.split(r"at \d+ layers", reasons["rl-depth"])
    for pair in ("adamo minus adam", "adamo_maxmin minus maxmin"):
        assert after(pair, middle)[0][1] > 0
    (plain,), (maxmin,) = (
        after(pair, deep) for pair in ("adamo minus adam", "adamo_maxmin minus maxmin")
    )
    assert plain[1] < 0 < plain[2]
    assert maxmin[1] > 0


def test_a_verdict_that_is_not_the_first_says_why_and_no_other_does(verdicts):
    before = first_verdicts(verdicts, RESULTS)
    assert len(before) > 15
    other = {k for k, old in before.items() if old["verdict"] != verdicts[k].verdict}
    said = {claim.key for claim in CLAIMS if claim.changed}
    assert other <= said, "why?"
    assert said <= set(before), "nothing changed there"
    assert sum(len(one["claims"]) for one in LEDGER["changed"]) == len(said)


def test_the_old_criterion_stands_where_the_text_says_so():
    for claim in CLAIMS:
        same = FIRST.get(claim.key, {}).get("criterion") == claim.criterion
        assert same or "The criterion is the old one." not in claim.changed
        assert not (same and claim.changed) or "old one" in claim.changed


def test_the_drift_of_residual_networks_was_not_measured_anew(verdicts):
    now = verdicts["residual-drift"].reason
    assert now == FIRST["residual-drift"]["reason"], "the ledger says so"
