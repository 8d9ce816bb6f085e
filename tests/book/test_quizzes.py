"""Every chapter has five questions with one right answer, and each answer says why."""

import tomllib

import pytest
from press import ROOT, chapter_files

QUIZZES = tomllib.loads((ROOT / "book" / "quizzes.toml").read_text())
CHAPTERS = chapter_files(ROOT)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_asks_five_questions_of_three_answers(path):
    questions = QUIZZES[path.stem]
    assert len(questions) == 5
    assert path.read_text().count("```{quiz}\n") == 1
    for question in questions:
        assert question["ask"].endswith("?")
        told = [question["right"], *question["wrong"]]
        assert len({answer for answer, _ in told}) == len(told) == 3
        assert all(len(why) >= 15 and why.endswith(".") for _, why in told)


def test_no_quiz_is_of_a_chapter_that_is_not_there():
    assert set(QUIZZES) == {path.stem for path in CHAPTERS}
