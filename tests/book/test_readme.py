"""The README shows what the results say today."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book"))
import readme  # noqa: E402


def test_the_table_of_claims_is_current():
    text = readme.README.read_text()
    assert readme.with_table(text, readme.claims_table()) == text, (
        "run: python book/readme.py"
    )


def test_a_changed_verdict_changes_the_readme():
    text = readme.README.read_text()
    assert readme.with_table(text, "| another table |") != text


def test_the_figure_is_drawn_from_the_results(tmp_path):
    path = tmp_path / "figure.svg"
    readme.draw(path)
    assert path.read_text() == readme.FIGURE.read_text(), "run: python book/readme.py"


def test_the_code_of_the_readme_runs():
    text = readme.README.read_text()
    blocks = [rest.split("```", 1)[0] for rest in text.split("```python\n")[1:]]
    assert len(blocks[0].strip().splitlines()) <= 15
    for code in blocks:
        exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("command", ["make book", "make test"])
def test_the_commands_of_the_readme_exist(command):
    assert command in readme.README.read_text()
    target = command.split()[1]
    makefile = (ROOT / "Makefile").read_text()
    assert f"\n{target}:" in makefile
