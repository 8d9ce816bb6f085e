"""The ledger of claims, and how the plasticity-loss claim is judged."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isometry.lab.store import COLUMNS, add_results, result_path
from isometry_book.c1_plasticity.judge import _change, _plasticity_loss, _same_setting
from isometry_book.claims.claim import (
    CLAIMS,
    JUDGES,
    LEDGER,
    NOT_TESTED,
    OUTCOMES,
    Outside,
    Verdict,
    get,
    judged,
)
from isometry_book.claims.verdicts import _verdict_on, judge_all

KEYS = [row["key"] for row in LEDGER["claims"]]
RESULTS = Path(__file__).parents[3] / "results"
EMPTY = pd.DataFrame(columns=COLUMNS)


# --- the ledger -----------------------------------------------------------------------


def test_every_key_is_there_once():
    assert len(set(KEYS)) == len(KEYS)
    assert list(CLAIMS.names()) == KEYS, "in the ledger's order"


@pytest.mark.parametrize("key", KEYS)
def test_every_claim_says_what_where_and_by_which_criterion(key):
    claim = get(key)
    assert claim.key == key
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key)
    assert 1 <= claim.chapter <= 7
    assert len(claim.title) < 60
    for text in (claim.title, claim.text, claim.source, claim.criterion):
        assert text.strip() == text
        assert "\n" not in text
        assert "  " not in text
    assert len(claim.source) > 8
    for text in (claim.text, claim.criterion):
        assert len(text) > 30
        assert text.endswith(".")


def test_what_others_measured_stands_with_its_claim_and_judges_nothing():
    for row in LEDGER["outside"]:
        own = Outside(who=row["who"], what=row["what"], where=row["where"])
        assert own in get(row["claim"]).outside
        assert own.who.strip() == own.who
        assert own.what.endswith(".")
        assert own.where.startswith(("github.com/", "arXiv "))
    found = {key: get(key).outside for key in KEYS if get(key).outside}
    assert list(found) == ["anisotropy", "strength", "bench-permuted-mnist"]
    assert sum(map(len, found.values())) == len(LEDGER["outside"]), "no key is misspelt"
    assert "224.69 to 224.67" in get("strength").outside[0].what
    assert _verdict_on(get("strength"), EMPTY, []) is NOT_TESTED


def test_every_chapter_has_a_claim():
    assert {get(key).chapter for key in KEYS} == set(range(1, 8))


def test_an_unknown_claim_is_refused_with_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'plasticity-loss'"):
        get("plasticity-los")
    with pytest.raises(KeyError, match="unknown claim 'no'"):
        judged("no")


@pytest.mark.parametrize("first", ["c7_games.judge", "c5_adamo.revival_judge"])
def test_claims_keep_their_order_whichever_judge_is_imported_first(first):
    script = (
        f"import isometry_book.{first}\n"
        "from isometry_book.claims.claim import CLAIMS, JUDGES\n"
        "from isometry_book.claims.verdicts import judge_all\n"
        "judge_all('nowhere')\n"
        "print(*CLAIMS.names())\n"
        "assert set(JUDGES) == set(CLAIMS.names())\n"
    )
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said.split() == KEYS


# --- judging --------------------------------------------------------------------------


@pytest.mark.parametrize("exists", [True, False])
def test_without_results_nothing_is_tested(tmp_path, exists):
    folder = tmp_path / "results"
    if exists:
        folder.mkdir()
        (folder / "README.md").touch()
    verdicts = judge_all(folder)
    assert list(verdicts) == KEYS, "in the ledger's order"
    assert set(verdicts.values()) == {NOT_TESTED}


def test_a_claim_whose_judge_is_not_there_or_has_not_enough_is_not_tested(monkeypatch):
    claim, frame = get(KEYS[0]), pd.DataFrame({"seed": [0]})
    monkeypatch.delitem(JUDGES, claim.key)
    assert _verdict_on(claim, frame, []) is NOT_TESTED
    monkeypatch.setitem(JUDGES, claim.key, lambda results, records: None)
    assert _verdict_on(claim, frame, []) is NOT_TESTED
    reached = Verdict(verdict="partly", reason="because")
    monkeypatch.setitem(JUDGES, claim.key, lambda *_: reached)
    assert _verdict_on(claim, frame, []) is reached
    assert _verdict_on(claim, EMPTY, []) is NOT_TESTED


def test_a_claim_has_one_judge():
    with pytest.raises(ValueError, match=r"plasticity-loss has a judge: .*c1_plast"):
        judged("plasticity-loss")(_plasticity_loss)


# --- plasticity-loss ------------------------------------------------------------------

TASKS = 10
SETTINGS = {"lr": 1e-3, "data": "mnist"}


def curves(start, end, seeds, spread=0.0):
    """Return plasticity ``(seeds, tasks)``: ``start`` in two tasks, then ``end``."""
    values = np.full((seeds, TASKS), float(end))
    values[:, :2] = start
    rng = np.random.default_rng(0)
    return values + spread * rng.standard_normal((seeds, 1)) * (np.arange(TASKS) >= 2)


def store_of(method, name, values, settings=None):
    """Return tidy numbers and the record of one file."""
    frame = pd.DataFrame(
        [
            ("random_label_mnist", method, name, seed, task, "plasticity", value)
            for seed, row in enumerate(values)
            for task, value in enumerate(row)
        ],
        columns=COLUMNS,
    )
    record = {
        "experiment_version": 1,
        "benchmark": "random_label_mnist",
        "method": method,
        "hash": name,
        "settings": settings or SETTINGS,
        "method_settings": {},
        "runs": [{"seeds": list(range(len(values))), "status": {}}],
    }
    return frame, record


def judgement(adam, fresh, adam_settings=None, fresh_settings=None):
    files = (
        store_of("adam", "a", adam, adam_settings),
        store_of("fresh", "f", fresh, fresh_settings),
    )
    results = pd.concat([frame for frame, _ in files], ignore_index=True)
    return _plasticity_loss(results, [record for _, record in files])


@pytest.mark.parametrize(
    ("adam", "fresh", "outcome"),
    [
        (curves(0.9, 0.5, 5, 0.02), curves(0.9, 0.9, 5), "reproduced"),
        (curves(0.9, 0.5, 5), curves(0.9, 0.885, 5), "reproduced"),
        (curves(0.9, 0.5, 5), curves(0.9, 0.85, 5), "partly"),  # the ceiling falls too
        (curves(0.9, 0.5, 5), curves(0.8, 0.9, 5), "partly"),
        (curves(0.9, 0.9, 5, 0.1), curves(0.9, 0.9, 5), "not reproduced"),
        (curves(0.5, 0.9, 5), curves(0.9, 0.9, 5), "not reproduced"),
    ],
)
def test_each_outcome_of_plasticity_loss(adam, fresh, outcome):
    verdict = judgement(adam, fresh)
    assert verdict.verdict == outcome
    assert verdict.verdict in OUTCOMES
    assert "5 seeds" in verdict.reason
    assert "10 tasks" in verdict.reason
    assert verdict.reason.endswith(".")
    assert verdict.gap.endswith(".")


def test_the_verdict_names_the_paired_difference():
    verdict = judgement(curves(0.9, 0.5, 6), curves(0.9, 0.9, 6))
    assert "Adam -0.400 [-0.400, -0.400]" in verdict.reason


def test_fewer_than_five_seeds_do_not_suffice():
    assert judgement(curves(0.9, 0.5, 4), curves(0.9, 0.9, 5)) is None
    assert judgement(curves(0.9, 0.5, 5), curves(0.9, 0.9, 4)) is None


def test_methods_under_different_settings_are_not_compared():
    other = {"lr": 0.5, "data": "mnist"}
    numbers = (curves(0.9, 0.5, 5), curves(0.9, 0.9, 5))
    assert judgement(*numbers, fresh_settings=other) is None
    assert judgement(*numbers, other, other) is not None


def test_digits_say_nothing_about_a_claim_on_mnist():
    digits = {"lr": 1e-3, "data": "digits"}
    numbers = (curves(0.9, 0.5, 5), curves(0.9, 0.9, 5))
    assert judgement(*numbers, digits, digits) is None


def test_without_one_of_the_methods_there_is_no_verdict():
    frame, record = store_of("adam", "a", curves(0.9, 0.5, 5))
    assert _plasticity_loss(frame, [record]) is None
    assert _plasticity_loss(EMPTY, []) is None


def test_the_longest_common_setting_is_judged():
    short = store_of("adam", "a", curves(0.9, 0.5, 5)[:, :4], {"tasks": 4})
    also_short = store_of("fresh", "b", curves(0.9, 0.9, 5)[:, :4], {"tasks": 4})
    long = store_of("adam", "c", curves(0.9, 0.6, 5), {"tasks": 10})
    also_long = store_of("fresh", "d", curves(0.9, 0.9, 5), {"tasks": 10})
    files = [long, short, also_short, also_long]
    results = pd.concat([frame for frame, _ in files], ignore_index=True)
    records = [record for _, record in files]
    found = _same_setting(results, records, "random_label_mnist", ("adam", "fresh"))
    assert [frame["settings"].iloc[0] for frame in found] == ["c", "d"]
    assert _same_setting(results, records, "permuted_mnist", ("adam", "fresh")) is None


def test_a_change_is_paired_by_seed():
    values = curves(0.0, 0.0, 5) + np.arange(5.0)[:, None] * 10
    values[:, -2:] -= 0.25
    frame, _ = store_of("adam", "a", values)
    interval = _change(frame, "plasticity")
    assert interval.estimate == pytest.approx(-0.25)
    assert interval.high - interval.low < 1e-12
    assert interval.num_seeds == 5


def test_a_store_is_judged_from_its_files(tmp_path):
    for method, name, end in (("adam", "a", 0.5), ("fresh", "f", 0.9)):
        frame, record = store_of(method, name, curves(0.9, end, 5))
        path = result_path(tmp_path, "random_label_mnist", method, name)
        add_results(path, frame, record)
    verdicts = judge_all(tmp_path)
    assert verdicts["plasticity-loss"].verdict == "reproduced"
    assert verdicts["bench-permuted-mnist"] == NOT_TESTED


# --- the committed results ------------------------------------------------------------

FIRST_CLAIMS = 31  # of the first protocol; what the ledger has beyond them came later


def test_every_verdict_on_the_committed_results_is_one_of_the_five(verdicts):
    assert list(verdicts) == KEYS
    assert {verdict.verdict for verdict in verdicts.values()} <= set(OUTCOMES)
    for key, verdict in verdicts.items():
        assert verdict.reason.endswith("."), key
        assert "nan" not in verdict.reason.split(), key
    tested = {key for key, verdict in verdicts.items() if verdict != NOT_TESTED}
    assert {"plasticity-loss", "decomposition", "strength"} <= tested


def test_every_claim_of_the_first_protocol_keeps_its_first_verdict_with_its_reason():
    first = json.loads((RESULTS / "first_protocol.json").read_text())
    assert re.fullmatch("[0-9a-f]{7,40}", first["commit"])
    kept = list(first["verdicts"])
    assert kept == [key for key in KEYS if key in kept]
    assert len(kept) == FIRST_CLAIMS
    for verdict in first["verdicts"].values():
        assert verdict["verdict"] in OUTCOMES
        assert len(verdict["reason"]) > 30
        assert len(verdict["criterion"]) > 30
