"""Which method at which length of a task: streams, the rule, the drawing."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from isometry_book.c6_benchmark import lengths
from isometry_book.c6_benchmark.streams_tables import loaded_streams, numbers
from isometry_book.evidence.streams import streams_of

RESULTS = Path(__file__).resolve().parents[3] / "results"


@pytest.fixture(scope="module")
def stored():
    return lengths.by_length(RESULTS)


@pytest.fixture
def stream(made, together):
    """Return a stream of some levels."""

    def of(levels, **more):
        files = made.stream(levels, control=False, **more)
        (found,) = streams_of(*together(*files)).values()
        return found

    return of


def test_the_lengths_are_those_of_the_sweeps(stored):
    assert list(stored) == [20, 100, 400]
    for steps, own in stored.items():
        tasks = {record["settings"]["tasks"] for record in own.runs.values()}
        assert len(tasks) == 1
        assert set(own.runs) == set(lengths.METHODS), steps


def test_the_middle_length_is_the_stream_of_the_campaign(stored):
    usual = loaded_streams(RESULTS)["permuted_mnist"]
    level, middle = (numbers(one, "level")["mean"] for one in (usual, stored[100]))
    assert middle.to_dict() == pytest.approx(
        level[list(lengths.METHODS)].to_dict(), abs=1e-12
    )


def test_methods_keep_their_own_setting_at_every_length(stored):
    for method in lengths.METHODS:
        found = {
            str(
                {
                    k: v
                    for k, v in own.runs[method]["method_settings"].items()
                    if k != "isometry_strength"
                }
            )
            for own in stored.values()
        }
        assert len(found) == 1, method


def test_fresh_networks_do_not_count(stream):
    assert (
        lengths.first_at(stream({"adam": 0.5, "adamo": 0.6, "fresh": 0.9})) == "adamo"
    )


def test_without_an_interval_above_each_other_none_is_first(stream):
    close = stream({"adam": 0.5, "adamo": 0.52, "fire": 0.4}, noise={"adamo": 0.2})
    assert lengths.first_at(close) is None


def test_each_method_has_a_point_at_each_length(stream):
    both = {20: stream({"adam": 0.5, "adamo": 0.6}), 100: stream({"adam": 0.4})}
    _, ax = plt.subplots()
    lengths.draw(ax, both, "level")
    drawn = {c.get_label(): c.lines[0].get_ydata().tolist() for c in ax.containers}
    assert drawn["Adam"] == pytest.approx([0.5, 0.4])
    assert drawn["AdamO"] == pytest.approx([0.6])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["20", "100"]
    plt.close("all")
