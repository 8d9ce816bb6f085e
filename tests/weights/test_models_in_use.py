"""The page of models in use, made anew where the models can be made."""

import json
from importlib.util import find_spec

import models_in_use as page
import pytest
from models_in_use import RECIPES

REPORT = json.loads(page.REPORT.read_text())
STORED = REPORT["models"]
BESIDE = {"seconds", "kernel_seconds", "error", "left_out"}  # not the same twice
LARGE = 1_000_000  # parameters


def marked(recipe):
    large = STORED[recipe.name]["parameters"] > LARGE
    marks = [pytest.mark.slow] if large else []
    return pytest.param(recipe, id=recipe.name, marks=marks)


def test_the_page_shows_what_the_script_wrote():
    text = page.PAGE.read_text()
    assert text == page.paged(text, page.table(REPORT))
    assert list(STORED) == [recipe.name for recipe in RECIPES]
    assert len(RECIPES) >= 15


@pytest.mark.filterwarnings("ignore")  # the libraries' own
@pytest.mark.parametrize("recipe", [marked(recipe) for recipe in RECIPES])
def test_a_model_in_use_is_pulled_looked_at_and_has_the_right_kernel(recipe):
    if recipe.package and not find_spec(recipe.package):
        pytest.skip(f"needs {recipe.package}")
    found, stored = page.examined(recipe), STORED[recipe.name]
    assert {k: v for k, v in found.items() if k not in BESIDE} == {
        k: v for k, v in stored.items() if k not in BESIDE
    }
