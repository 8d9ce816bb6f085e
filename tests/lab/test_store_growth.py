"""A store that grows: each file is read once, and work grows as the records do."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from isometry.cli import main
from isometry.core.settings import settings_hash
from isometry.lab.curves import draw
from isometry.lab.labels import baselines_of, labels_of, scales_of
from isometry.lab.performance_profiles import profile_text
from isometry.lab.report import report
from isometry.lab.store import (
    COLUMNS,
    load_records,
    load_results,
    load_usable,
    result_files,
    result_path,
    write_file,
)
from isometry_book.claims.verdicts import judge_all

METHODS = ("adam", "adamo", "redo")


class Counted(float):
    """A setting that counts how often it is compared."""

    compared = 0

    def __eq__(self, other):
        Counted.compared += 1
        return float(self) == other

    def __ne__(self, other):
        return not self == other

    __hash__ = float.__hash__


def record(place, value=float):
    """Return the record of one of many runs: a method at a learning rate."""
    settings = {"lr": value(1e-3 * (1 + place // 3)), "width": value(8), "tasks": 2}
    named = "bench", METHODS[place % 3], settings, {"k": value(place)}
    keys = "benchmark", "method", "settings", "method_settings"
    plain = "bench", METHODS[place % 3], {"lr": float(settings["lr"])}, place
    return {**dict(zip(keys, named, strict=True)), "hash": settings_hash(*plain)}


@pytest.fixture
def grown(tmp_path):
    """A store of nine files."""
    for place in range(9):
        own = record(place)
        names = own["benchmark"], own["method"], own["hash"]
        rows = [
            (*names, seed, task, metric, float(place + seed + task))
            for seed in (0, 1)
            for task in (0, 1)
            for metric in ("loss", "online_accuracy")
        ]
        own["runs"] = [{"seeds": [0, 1], "status": {}}]
        path = result_path(tmp_path / "store", *names)
        write_file(path, pd.DataFrame(rows, columns=COLUMNS), own)
    return tmp_path / "store"


@pytest.fixture
def opened(monkeypatch):
    """How often each file was read."""
    counts, plain = Counter(), Path.open

    def counting(path, *args, **keywords):
        counts[path.name] += 1
        return plain(path, *args, **keywords)

    monkeypatch.setattr(Path, "open", counting)
    return counts


def typed(*arguments):
    """Run a command, which must succeed."""
    with pytest.raises(SystemExit, match=r"^0$"):
        main([str(one) for one in arguments])


@pytest.mark.parametrize(
    "reader",
    [
        report,
        load_results,
        load_records,
        load_usable,
        judge_all,
        lambda store: profile_text(store, "online_accuracy"),
        lambda store: draw(store, store.parent / "curves.svg"),
        lambda store: typed("report", store),
        lambda store: typed("report", store, "--show", "profile"),
        lambda store: typed("report", store, "--plot", store.parent / "curves.png"),
    ],
)
def test_every_file_is_opened_once(grown, opened, reader):
    reader(grown)
    names = {file.name for file in result_files(grown)}
    assert {name: opened[name] for name in names} == dict.fromkeys(names, 1)


def test_numbers_of_a_metric_are_all_of_its_numbers(grown):
    whole, part = load_usable(grown), load_usable(grown, ["loss"])
    wanted = whole.frame[whole.frame["metric"] == "loss"].reset_index(drop=True)
    pd.testing.assert_frame_equal(part.frame, wanted)
    assert part.records == whole.records == load_records(grown)
    assert part.metrics == whole.metrics == ["loss", "online_accuracy"]


@pytest.mark.parametrize("made", [labels_of, scales_of, baselines_of])
def test_comparisons_grow_as_the_records_do(made):
    counts = []
    for size in (60, 120, 240):
        records = [record(place, Counted) for place in range(size)]
        Counted.compared = 0
        made(records)
        counts.append(Counted.compared)
    assert counts[2] - counts[1] <= 2.2 * (counts[1] - counts[0])
    assert counts[2] <= 12 * 240
