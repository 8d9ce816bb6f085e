"""The second protocol's streams: who is in one, its gate and its four numbers."""

import json

import numpy as np
import pytest

from isometry.lab.choices import CHOICE_VERSION
from isometry.lab.comparison import with_choices
from isometry.lab.store import load_records, load_results, write_file
from isometry_book.evidence.protocol import enough, gated, search_not_ended
from isometry_book.evidence.streams import (
    _slopes,
    _stream_name,
    achievable_loss,
    gate_of,
    measured_plasticity,
    streams_of,
    table_of,
)

LEVELS = {"adam": 0.5, "adamo": 0.6}


@pytest.fixture
def streams(together):
    """Return the streams of some files."""

    def of(*files):
        return streams_of(*together(*files))

    return of


def accuracy(value, seeds=2, tasks=10):
    return {"online_accuracy": np.full((seeds, tasks), value)}


# --- which records make a stream ------------------------------------------------------


def test_a_stream_has_the_chosen_runs_and_the_control_of_the_first_fifth(made, streams):
    (stream,) = streams(*made.stream(LEVELS)).values()
    assert stream.name == "permuted_mnist"
    assert set(stream.runs) == {"adam", "adamo"}
    assert stream.control["settings"]["lr"] == 0.03
    assert stream.runs["adam"]["settings"]["lr"] == 1e-3
    assert set(stream.results["settings"]) == {
        r["hash"] for r in (*stream.runs.values(), stream.control)
    }
    assert set(stream.numbers(stream.control)["settings"]) == {stream.control["hash"]}


def test_choices_without_ladders_and_runs_without_a_choice_make_no_stream(
    made, streams
):
    first = made.choice(ladders=False)
    assert streams(made.run("adam", accuracy(0.5), choice=first)) == {}
    assert streams(made.run("adam", accuracy(0.5))) == {}
    without = {k: v for k, v in made.choice().items() if k != "ladders"}
    assert streams(made.run("adam", accuracy(0.5), choice=without)) == {}
    old = made.run("nap", accuracy(0.5), choice=first)
    early = made.run("adam", accuracy(0.5), early=first, lr=0.1)
    (stream,) = streams(old, early, *made.stream(LEVELS, control=False)).values()
    assert set(stream.runs) == set(LEVELS)
    assert stream.control is None


def test_of_two_choices_the_better_one_on_the_tuning_seeds_stands(made, streams):
    def chosen(score, lr, **kind):
        name = "choice" if kind.pop("whole", True) else "early"
        kind[name] = made.choice(score)
        return made.run("adam", accuracy(0.5), str((score, lr, name)), lr=lr, **kind)

    for order in (1, -1):
        files = [
            chosen(0.6, 1e-3),
            chosen(0.7, 1e-2),
            chosen(0.8, 1e-4, whole=False),
            chosen(0.9, 1e-1, whole=False),
        ]
        (stream,) = streams(*files[::order]).values()
        assert stream.runs["adam"]["settings"]["lr"] == 1e-2
        assert stream.control["settings"]["lr"] == 1e-1


def test_adamo_with_its_head_held_stands_beside_the_judged_form(made, streams):
    held = made.run(
        "adamo", accuracy(0.9), own={"isometry_head": True}, choice=made.choice(0.9)
    )
    coupled = made.run(
        "adam_isometry",
        accuracy(0.4),
        own={"isometry_head": True},
        choice=made.choice(),
    )
    (stream,) = streams(held, coupled, *made.stream(LEVELS)).values()
    assert set(stream.runs) == {"adam", "adamo", "adamo (head held)", "adam_isometry"}
    level = table_of(stream, "level").mean()
    assert level["adamo"] == pytest.approx(0.6)
    assert level["adamo (head held)"] == pytest.approx(0.9)


def test_of_two_sizes_the_one_with_more_methods_has_the_plain_name(made, streams):
    large = made.stream({**LEVELS, "nap": 0.4})
    small = made.stream(LEVELS, width=99, epochs=7)
    cnn = made.stream(LEVELS, network="cnn")
    other = made.stream(LEVELS, benchmark="random_label_mnist")
    for files in ((*large, *small, *cnn, *other), (*other, *cnn, *small, *large)):
        found = streams(*files)
        assert set(found) == {
            "permuted_mnist",
            "permuted_mnist (epochs=7, width=99)",
            "permuted_mnist cnn",
            "random_label_mnist",
        }
        assert set(found["permuted_mnist"].runs) == {"adam", "adamo", "nap"}
        for stream in found.values():
            (size,) = {
                (r["settings"]["width"], r["settings"]["network"], r["benchmark"])
                for r in (*stream.runs.values(), stream.control)
            }
            assert stream.name.startswith(size[2])
            assert stream.results["settings"].nunique() == len(stream.runs) + 1


def test_of_two_lengths_with_as_many_methods_the_longer_has_the_plain_name(
    made, streams
):
    def length(tasks):
        return made.run("adam", accuracy(0.5, tasks=tasks), choice=made.choice())

    assert set(streams(length(5), length(20))) == {
        "permuted_mnist",
        "permuted_mnist (tasks=5)",
    }


def test_settings_that_change_what_is_recorded_alone_do_not_part_a_stream(
    made, streams
):
    one = made.run("adam", accuracy(0.5), choice=made.choice(), diagnose_every=10)
    two = made.run("adamo", accuracy(0.5), choice=made.choice(), lr=0.1)
    assert set(streams(one, two)["permuted_mnist"].runs) == {"adam", "adamo"}
    perceptron = {"benchmark": "b", "settings": {}}
    assert _stream_name(perceptron) == "b", "from before there were others"


def test_a_stored_stream_is_read_with_its_choices(made, tmp_path):
    for place, (frame, record) in enumerate(made.stream(LEVELS)):
        path = tmp_path / "permuted_mnist" / f"{record['method']}-{place}.parquet"
        frame = frame.assign(settings=str(place))
        record["hash"] = str(place)
        for key, part in (("choice", "all"), ("early_choice", "first")):
            choice = record.pop(key)
            if choice:
                choice |= {"choice_version": CHOICE_VERSION, "part": part}
                choice |= {"benchmark": "permuted_mnist", "hash": str(place)}
                file = path.with_suffix(f".{part}.choice.json")
                file.parent.mkdir(exist_ok=True)
                file.write_text(json.dumps(choice))
        write_file(path, frame, record)
    records = with_choices(load_records(tmp_path), tmp_path)
    (stream,) = streams_of(load_results(tmp_path), records).values()
    assert set(stream.runs) == {"adam", "adamo"}
    assert gate_of(stream).passed


# --- the gate -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("falls", "passed"), [(0.2, True), (0.001, True), (0.0, False), (-0.2, False)]
)
def test_the_gate_is_the_slope_of_the_control_as_tuned_for_the_first_fifth(
    made, streams, falls, passed
):
    # What Adam as tuned for the whole stream loses is shown and decides nothing.
    files = made.stream(LEVELS, falls=falls, slopes={"adam": -0.3 if not passed else 0})
    (stream,) = streams(*files).values()
    gate = gate_of(stream)
    assert gate.passed is passed
    assert gate.early.estimate == pytest.approx(-falls)
    assert gate.whole.estimate == pytest.approx(0 if passed else -0.3)
    assert ("the control loses nothing" in str(gate)) is not passed


def test_a_loss_within_its_interval_is_none(made, streams):
    noisy = made.curve(0.5, -0.05, 8)
    noisy[:, -2:] += 0.2 * (-1.0) ** np.arange(8)[:, None]
    early = made.run("adam", {"online_accuracy": noisy}, early=made.choice(), lr=0.03)
    (stream,) = streams(early, *made.stream(LEVELS, control=False)).values()
    gate = gate_of(stream)
    assert gate.early.estimate < 0 < gate.early.high
    assert not gate.passed


def test_without_the_control_of_either_part_there_is_no_gate(made, streams):
    (stream,) = streams(*made.stream(LEVELS, control=False)).values()
    assert gate_of(stream) is None
    (stream,) = streams(*made.stream({"adamo": 0.6})).values()
    assert stream.control is not None
    assert gate_of(stream) is None


def test_streams_are_sorted_by_the_gate_and_those_with_too_little_left_out(
    made, together
):
    files = [
        *made.stream(LEVELS, benchmark="falls"),
        *made.stream(LEVELS, benchmark="steady", falls=0.0),
        *made.stream(LEVELS, benchmark="few", seeds=7),
        *made.stream({"adam": 0.5}, benchmark="alone"),
        *made.stream(LEVELS, benchmark="no control", control=False),
    ]
    passed, lost_nothing = gated(*together(*files), ("adamo", "adam"))
    assert list(passed) == ["falls"]
    assert lost_nothing == ["steady"]


# --- its numbers ----------------------------------------------------------------------


def test_level_and_slope_are_means_over_tasks_and_last_minus_first_fifth(made, streams):
    files = made.stream(LEVELS, slopes={"adamo": -0.1})
    (stream,) = streams(*files).values()
    part = np.linspace(-0.05, 0.05, 8)
    level, slope = table_of(stream, "level"), table_of(stream, "slope")
    np.testing.assert_allclose(level["adam"], 0.5 + part)
    np.testing.assert_allclose(level["adamo"], 0.6 + part)
    np.testing.assert_allclose(slope["adam"], 0, atol=1e-12)
    np.testing.assert_allclose(slope["adamo"], -0.1)


def test_a_fifth_of_the_tasks_is_counted_at_each_end(made):
    frame, _ = made.run("adam", {"online_accuracy": [np.arange(10.0) ** 2]})
    assert _slopes(frame).tolist() == [(64 + 81) / 2 - (0 + 1) / 2]


def test_a_metric_that_a_method_lacks_and_a_missing_seed_are_missing(made, streams):
    files = made.stream(
        LEVELS, metrics={"adamo": {"test_accuracy": np.full((8, 10), 0.7)}}
    )
    fewer = made.run("nap", accuracy(0.4, seeds=5), choice=made.choice())
    (stream,) = streams(*files, fewer).values()
    table = table_of(stream, "test_accuracy")
    assert table["adamo"].tolist() == pytest.approx([0.7] * 8)
    assert table["adam"].isna().all()
    assert table_of(stream, "level")["nap"].count() == 5
    assert enough(stream, ("adam", "nap")) is None
    assert enough(stream, ("adam", "redo")) is None
    assert enough(stream, ("adam", "adamo")).shape == (8, 2)


def test_a_search_that_was_left_open_is_named(made, streams):
    files = made.stream(LEVELS, ends={"adamo": {"lr": "open", "own": "limit"}})
    (stream,) = streams(*files).values()
    assert search_not_ended(stream, ("adam", "adamo")) == ["adamo"]
    assert search_not_ended(stream, ("adam",)) == []


# --- measured plasticity --------------------------------------------------------------


def losses(initial, final):
    return {
        "online_accuracy": np.full(np.shape(initial), 0.5),
        "initial_loss": initial,
        "final_loss": final,
    }


def test_plasticity_is_the_removed_share_of_the_loss_above_the_measured_bound(
    made, streams
):
    # One task of the first seed starts at the bound and does not count.
    values = losses([[2.5, 0.5], [1.5, 4.5]], [[1.5, 0.4], [0.5, 2.5]])
    (stream,) = streams(made.run("adam", values, choice=made.choice())).values()
    found = measured_plasticity(stream, achievable=0.5)["adam"]
    assert found.to_dict() == pytest.approx({0: 0.5, 1: (1 + 0.5) / 2})


def test_a_seed_whose_tasks_all_start_below_the_bound_is_missing(made, streams):
    values = losses([[2.0], [0.1]], [[1.0], [0.1]])
    other = losses([[2.0], [2.0]], [[0.0], [1.0]])
    files = (
        made.run("adam", values, choice=made.choice()),
        made.run("adamo", other, choice=made.choice()),
    )
    (stream,) = streams(*files).values()
    found = measured_plasticity(stream, achievable=0.0 + 0.5)
    assert found.index.tolist() == [0, 1]
    assert found["adam"].isna().tolist() == [False, True]
    assert found["adamo"].isna().sum() == 0


def test_the_achievable_loss_is_that_of_fresh_networks_in_many_more_epochs(
    made, streams, together
):
    def fresh(final, epochs, tasks=2, **changes):
        return made.run(
            changes.pop("method", "fresh"),
            losses(np.full((2, tasks), 9.0), np.full((2, tasks), final)),
            epochs=epochs,
            **changes,
        )

    own = made.run("adam", losses([[9.0] * 10], [[8.0] * 10]), choice=made.choice())
    files = [
        own,
        fresh(0.3, 10),
        fresh(0.2, 10, lr=0.1),  # the best learning rate counts
        fresh(0.01, 9),  # less than five times the epochs
        fresh(0.02, 50, width=512),  # another network
        fresh(0.03, 50, benchmark="other"),
        fresh(0.04, 50, method="adam"),
    ]
    (stream,) = streams(*files).values()
    results, records = together(*files)
    assert achievable_loss(results, records, stream) == pytest.approx(0.2)
    assert achievable_loss(results, records[:1], stream) is None
