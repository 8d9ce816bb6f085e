"""The exercises' checks let right answers through, and the bugs of the text not."""

import re
from pathlib import Path

import pytest
import torch

from isometry.adamo import isometry_step_
from isometry.maxmin import MaxMin
from isometry_book import exercises

ROOT = Path(__file__).resolve().parents[2]


def test_a_number_is_right_within_its_error():
    assert exercises.number(1 / 6, 1 / 6) == "right"
    assert exercises.number(1 / 8, 1 / 6) == "not yet, and too small"


def test_maxmin_of_the_library_is_right():
    assert exercises.row_by_row(MaxMin()).startswith("right")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (torch.relu, "the length of the batch"),
        (lambda x: x.sort(dim=0).values, "the first example's output"),
        (lambda x: x.norm() * x / x.norm(dim=-1, keepdim=True) / 2, "example's length"),
    ],
)
def test_what_looks_at_other_examples_or_changes_lengths_is_not(wrong, why):
    assert why in exercises.row_by_row(wrong)


def test_the_isometry_step_of_the_library_is_right():
    assert exercises.pulls_to_isometry(isometry_step_).startswith("right")


@pytest.mark.parametrize("chapter", ["04_maxmin_networks", "05_adamo"])
def test_the_bugs_of_the_chapters_are_found_and_their_solutions_are_right(chapter):
    text = (ROOT / "chapters" / f"{chapter}.md").read_text()
    exercise = text[text.index("silent bug") :]
    code = re.search(r"\n(def (\w+)\(.*?)\n\n?print", exercise, re.S)
    solution = re.search(r"```python\n(.*?)```", exercise, re.S)
    look = exercises.row_by_row if "04" in chapter else exercises.pulls_to_isometry
    answers = []
    for source in (code[1], re.sub(r"(?m)^   ", "", solution[1])):
        names = {"torch": torch}
        exec(source, names)
        answers.append(look(names[code[2]]).split(":")[0])
    assert answers == ["not yet", "right"]
