"""Tables beside the comparison's scores: choices, costs and gains over Adam."""

import json

import pandas as pd
import pytest

from isometry.lab.store import COLUMNS, write_file
from isometry_book.c5_adamo import cost
from isometry_book.c6_benchmark import tables
from isometry_book.c6_benchmark.comparisons import Comparison


def choice(chosen, *tried):
    return {"chosen": chosen, "candidates": [{"values": values} for values in tried]}


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (choice({"lr": 1e-3}, {"lr": 1e-4}, {"lr": 1e-3}, {"lr": 1e-2}), "lr=0.001"),
        (choice({"lr": 1e-4}, {"lr": 1e-4}, {"lr": 1e-3}, {"lr": 1e-2}), "lr=0.0001*"),
        (choice({"lr": 1e-4}, {"lr": 1e-4}, {"lr": 1e-3}), "lr=0.0001"),
        (choice({"crelu_size": "half"}, {"crelu_size": "half"}), "crelu_size=half"),
        (
            choice({"k": 9, "lr": 0.1}, *({"k": k, "lr": 0.1} for k in (1, 3, 9))),
            "k=9* lr=0.1",
        ),
    ],
)
def test_a_choice_at_the_end_of_three_or_more_has_a_star(record, text):
    assert tables._chosen_text(record) == text


def comparison(adam, other):
    scores = pd.DataFrame({"adam": adam, "adamo": other})
    runs = {
        name: {
            "benchmark": "stream",
            "hash": name,
            "choice": choice({"lr": 1.0}, {"lr": 1.0}, {"lr": 2.0}),
        }
        for name in scores
    }
    return Comparison(runs, scores, pd.DataFrame(), {})


def test_choices_have_a_row_a_method_and_a_column_a_benchmark():
    found = {"one": comparison([0.1], [0.2]), "two": comparison([0.1], [0.2])}
    del found["two"].runs["adam"]
    table = tables.choices_table(found)
    assert table.loc["adamo"].tolist() == ["lr=1.0", "lr=1.0"]
    assert table.loc["adam"].tolist() == ["lr=1.0", ""]


def test_ranks_are_of_the_means_without_the_ceiling():
    def one(**means):
        return Comparison({}, pd.DataFrame(), pd.DataFrame({"mean": means}), {})

    found = {
        "one": one(fresh=0.9, adam=0.1, adamo=0.5, nap=0.3),
        "two": one(adam=0.2, adamo=0.4, nap=0.3, muon=0.5),
    }
    table = tables.ranks_table(found)
    assert table.index.tolist() == ["adamo", "nap", "adam"]
    assert table.loc["nap"].tolist() == [2, 3, 2.5]


def test_gains_are_paired_with_adam_in_units_of_the_best_methods_mean_gain():
    found = {
        "one": comparison([0.1, 0.5], [0.2, 0.5]),  # gains 0.1 and 0, mean 0.05
        "two": comparison([0.3, 0.3], [0.6, 0.1]),  # gains 0.3 and -0.2, mean 0.05
    }
    table = tables.gain_performance_profiles(found, ["adamo"])
    share = table.set_index("threshold")["fraction"]
    assert share.index[[0, -1]].tolist() == pytest.approx([-4, 6])
    assert share.iloc[0] == 0.75  # the smallest gain itself is not above
    assert share.iloc[-1] == 0
    assert share[(share.index > 2.1) & (share.index < 5.9)].unique() == [0.25]


def test_numbers_for_figures_are_those_of_the_run_and_finite(tmp_path):
    rows = [
        ("stream", name, name, 0, 0, "x", value)
        for name, value in (("adam", 1.0), ("adamo", float("inf")), ("other", 3.0))
    ]
    for row in rows:
        record = {"benchmark": "stream", "method": row[1], "hash": row[2], "runs": []}
        frame = pd.DataFrame([row], columns=COLUMNS)
        write_file(tmp_path / "stream" / f"{row[1]}.parquet", frame, record)
    one = comparison([0.1], [0.2])
    found = tables.diagnosed_tasks(tmp_path, one, ["adam", "adamo"])
    assert found[["label", "value"]].values.tolist() == [["adam", 1.0]]


def test_the_report_of_costs_becomes_a_table_cheapest_first(tmp_path, monkeypatch):
    def row(ratio):
        return dict.fromkeys(cost.COSTS, ratio) | {"lowest": 0.0}

    report = {"networks": {"small": {"slow": row(2.0), "adam": row(1.0)}, "large": {}}}
    path = tmp_path / cost.METHODS_REPORT
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(report))
    monkeypatch.chdir(tmp_path)
    numbers = cost.method_cost_numbers(None, "digits").assign(settings="x")
    folder = tmp_path / "store" / cost.METHODS_BENCHMARK
    for method, part in numbers.groupby("method"):
        record = {"benchmark": "b", "method": method, "hash": "x", "runs": []}
        write_file(folder / f"{method}.parquet", part[COLUMNS], record)
    table = tables.costs(tmp_path / "store")
    assert table.index.tolist() == ["adam", "slow"]
    assert table.loc["slow"].to_dict() == dict.fromkeys(cost.COSTS, 2.0)


def test_other_metrics_stand_in_the_order_of_the_scores(tmp_path):
    for name, value in (("adam", 1.0), ("adamo", 3.0)):
        rows = [
            ("stream", name, name, seed, task, "final_accuracy", value + task)
            for seed in range(4)
            for task in range(2)
        ]
        record = {"benchmark": "stream", "method": name, "hash": name, "runs": []}
        frame = pd.DataFrame(rows, columns=COLUMNS)
        write_file(tmp_path / "stream" / f"{name}.parquet", frame, record)
    one = comparison([0.1], [0.2])
    table = pd.DataFrame({"mean": {"adamo": 0.2, "adam": 0.1}})
    one = Comparison(one.runs, one.scores, table, {})
    found = tables.metrics_table(tmp_path, one, ["final_accuracy"])
    assert found["final_accuracy"].to_dict() == {"adamo": 3.5, "adam": 1.5}
    assert found.index.tolist() == ["adamo", "adam"]


def test_without_the_report_the_study_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"run benchmarks/methods_cost\.py"):
        cost.method_cost_numbers(None, "digits")
