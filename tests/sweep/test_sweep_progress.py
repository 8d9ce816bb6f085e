"""Progress: what is counted, and how long the rest takes."""

import io
import sys
import time

import pytest

from isometry.sweep.job import REPORT, TUNE, Job
from isometry.sweep.progress import (
    ADDED,
    DONE,
    FAILED,
    RETRY,
    THERE,
    _left,
    _Tally,
    told,
)


def job(phase=TUNE, method="adam", label="lr=0.1", cost=1.0, seeds=(0, 1)):
    return Job(
        phase=phase,
        benchmark="bench",
        method=method,
        settings={},
        profile="smoke",
        seeds=seeds,
        store="store",
        device="cpu",
        metric="online_accuracy",
        label=label,
        cost=cost,
    )


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """Let progress be shown, and return a function that chooses where."""
    monkeypatch.setenv("ISOMETRY_PROGRESS", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")

    def on(stream):
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return on


def test_the_time_left_is_that_of_the_work_left_at_the_speed_so_far():
    started = time.monotonic() - 100
    assert _left(started, 1, 4) == "0:05:00 left"
    assert _left(started, 4, 4) == "0:00:00 left"
    assert _left(started, 0, 4) == "time left unknown"


def test_a_jobs_name_says_all_that_tells_it_from_others():
    assert job().name() == "tune bench adam lr=0.1 seeds 0,1"
    assert job(REPORT, label="").name() == "report bench adam seeds 0,1"


def test_a_row_notes_its_best_in_tuning_its_mean_in_the_report_and_failures():
    tally = _Tally(3, [0.25, 0.5], [DONE, DONE, FAILED])
    assert tally.note(TUNE) == "best 0.500  1 failed"
    assert tally.note(REPORT) == "mean 0.375  1 failed"
    assert _Tally(3).note(TUNE) == ""


def test_lines_count_what_was_there_and_weigh_by_cost(shown, monkeypatch):
    stream = shown(io.StringIO())
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    jobs = [job(cost=100.0), job(label="lr=0.2"), job(label="lr=0.3", cost=3.0)]
    with told(jobs) as tell:
        tell(jobs[0], THERE, None)
        now[0] = 10.0
        tell(jobs[1], RETRY, None)
        tell(jobs[1], DONE, 0.5)
        tell(jobs[2], FAILED, None)
    assert stream.getvalue().splitlines() == [
        "tune bench adam lr=0.2 seeds 0,1: tried again; 1 of 3, time left unknown",
        "tune bench adam lr=0.2 seeds 0,1: done; 2 of 3, 0:00:30 left",
        "tune bench adam lr=0.3 seeds 0,1: failed; 3 of 3, 0:00:00 left",
    ]


def test_jobs_of_a_search_that_goes_on_are_added_to_what_is_left(shown, monkeypatch):
    stream = shown(io.StringIO())
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    jobs = [job(), job(REPORT)]
    more = [job(label="lr=0.2", cost=2.0), job(label="lr=0.3", cost=7.0)]
    with told(jobs) as tell:
        now[0] = 10.0
        tell(jobs[0], DONE, 0.5)
        for one in more:
            tell(one, ADDED, None)
        tell(more[1], THERE, None)  # of a sweep that was stopped
        now[0] = 30.0
        tell(more[0], DONE, 0.6)
        tell(jobs[1], DONE, 0.6)
    assert stream.getvalue().splitlines() == [
        "tune bench adam lr=0.1 seeds 0,1: done; 1 of 2, 0:00:10 left",
        "tune bench adam lr=0.2 seeds 0,1: done; 3 of 4, 0:00:10 left",
        "report bench adam lr=0.1 seeds 0,1: done; 4 of 4, 0:00:00 left",
    ]


def test_in_a_terminal_there_is_a_row_a_phase_and_method(shown):
    stream = shown(Terminal())
    jobs = [job(), job(label="lr=0.2"), job(REPORT, "adamo")]
    with told(jobs) as tell:
        tell(jobs[0], DONE, 0.5)
        tell(jobs[2], FAILED, None)
    text = stream.getvalue()
    for part in ("all runs", "tune bench adam", "report bench adamo", "best 0.500"):
        assert part in text
    assert "2/3" in text
    assert "1 failed" in text


def test_zero_in_the_environment_keeps_progress_silent(shown, monkeypatch):
    stream = shown(Terminal())
    monkeypatch.setenv("ISOMETRY_PROGRESS", "0")
    with told([job()]) as tell:
        tell(job(), DONE, 0.5)
    assert stream.getvalue() == ""
