import subprocess
import sys

import numpy as np
import pytest
import torch

from isometry_book import chapter
from isometry_book.chapter import begin


@pytest.fixture
def outputs(monkeypatch):
    """What a chapter would show in a notebook."""
    shown = []
    monkeypatch.setattr(chapter, "_show", lambda data, text: shown.append(data))
    return shown


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: begin("fast"), ValueError, "smoke, laptop, paper, found fast"),
        (lambda: begin("smoke", data="minst"), ValueError, "did you mean 'mnist'"),
        (lambda: begin("smoke").publish(a=float("nan")), ValueError, "found a = nan"),
        (lambda: begin("smoke").publish(a=np.inf), ValueError, "found a = inf"),
        (lambda: begin("smoke").publish(a=True), TypeError, "a of type bool"),
        (lambda: begin("smoke").publish(a=None), TypeError, "a of type NoneType"),
        (lambda: begin("smoke").publish(a=[1]), TypeError, "a of type list"),
        (lambda: begin("smoke").publish(a=np.ones(2)), TypeError, r"shape \(2,\)"),
        (lambda: begin("smoke").publish(a=torch.ones(3)), TypeError, r"shape \(3,\)"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_published_numbers_become_plain_json(outputs):
    begin("smoke").publish(
        an_int=np.int64(3),
        a_float=torch.tensor(0.5),
        half=np.float32(0.5),
        text="adamo",
    )
    numbers = outputs[-1][chapter.NUMBERS_MIME]
    assert numbers == {"an_int": 3, "a_float": 0.5, "half": 0.5, "text": "adamo"}
    assert [type(v) for v in numbers.values()] == [int, float, float, str]


def test_text_may_say_not_finite(outputs):
    begin("smoke").publish(a="nan")
    assert outputs[-1][chapter.NUMBERS_MIME] == {"a": "nan"}


def test_begin_shows_its_conditions_and_publishes_profile_and_data(outputs):
    begin("smoke", data="digits")
    facts = outputs[0][chapter.BANNER_MIME]
    assert facts["profile"] == "smoke"
    assert facts["torch"] == torch.__version__
    assert all(isinstance(value, str) and value for value in facts.values())
    assert outputs[0][chapter.NUMBERS_MIME] == {
        "profile": "smoke",
        "data": "scikit-learn digits (8x8)",
    }


def test_a_chapter_without_data_says_so():
    assert begin("smoke").data_label == "no data set"


def test_begin_computes_on_one_thread():
    begin("smoke")
    assert torch.get_num_threads() == 1


def test_plain_python_prints_nothing():
    code = (
        "from isometry_book.chapter import begin;"
        "begin('laptop', data='digits').publish(x=1.0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_results_are_found_from_any_folder(tmp_path, monkeypatch):
    book = tmp_path / "book"
    for folder in ("results", "chapter"):
        (book / folder).mkdir(parents=True)
    (book / "_toc.yml").touch()
    for folder in (book, book / "chapter"):
        monkeypatch.chdir(folder)
        assert begin("smoke").results == book / "results"
