"""The pages that guide a contributor name files, modules and commands that exist."""

import ast
import importlib
import re
import warnings
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "book").glob("*.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
    *sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")),
]
FOLDERS = "lib|book|chapters|tests|benchmarks|results|sweeps|\\.github|\\.ci"
# A path from the root, anywhere in the text; a bare file name in a code span; a link.
PATH = re.compile(rf"(?<![\w./:-])((?:{FOLDERS})/[\w./*-]*)")
FILE = re.compile(r"`(\.?[\w-]+\.(?:cff|css|js|json|lock|md|py|toml|yml|yaml))`")
LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)")
NAME = re.compile(r"(?<![\w./-])(isometry(?:_book)?(?:\.[A-Za-z_]\w*)+)")
TARGET = re.compile(r"`make ([a-z][a-z-]*)")
EXAMPLES = {"mean_square.toml"}  # files that a reader of a page would write


def relative(page):
    return str(page.relative_to(ROOT))


def lost_paths(text):
    """Return what looks like a path of the repository and matches no file."""
    paths = {found.rstrip(".") for found in PATH.findall(text)}
    lost = [path for path in paths if not any(ROOT.glob(path.rstrip("/")))]
    for name in set(FILE.findall(text)) - EXAMPLES:
        deeper = (ROOT / top for top in ("lib", "book", "tests", "results"))
        if not (ROOT / name).exists() and not any(
            next(folder.rglob(name), None) for folder in deeper
        ):
            lost.append(name)
    return sorted(lost)


def lost_links(text, folder):
    """Return the links to pages and files that lead nowhere."""
    return sorted(
        link
        for link in set(LINK.findall(text))
        if not (folder / link).exists() and not (folder / f"{link}.md").exists()
    )


def resolves(name):
    """Say whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            with warnings.catch_warnings():
                # The changelog names the paths of before, which lead to today's.
                warnings.simplefilter("ignore", DeprecationWarning)
                value = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            if not hasattr(value, attribute):
                return False
            value = getattr(value, attribute)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_path_on_a_page_exists(page):
    assert lost_paths(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_on_a_page_leads_somewhere(page):
    assert lost_links(page.read_text(), page.parent) == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_dotted_name_on_a_page_can_be_imported(page):
    names = set(NAME.findall(page.read_text()))
    assert sorted(name for name in names if not resolves(name)) == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_make_command_on_a_page_is_in_the_makefile(page):
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(TARGET.findall(page.read_text())) <= known


def test_the_reading_of_pages_finds_what_is_lost():
    text = (
        "`lib/isometry/figures/`, sweeps/*.nothing. `judges.py` and `core/`; not "
        "https://host/lib/nothing, nor `CONTRIBUTING.md`, `lib/isometry/*/__init__.py`."
    )
    lost = ["judges.py", "lib/isometry/figures/", "sweeps/*.nothing"]
    assert lost_paths(text) == lost
    assert lost_links("[a](nothing.md#x) [b](README.md) [c](lib)", ROOT) == [
        "nothing.md"
    ]
    assert resolves("isometry.experiments.run")
    assert not resolves("isometry.figures.style")


def test_contributing_gives_every_room_the_floor_that_the_house_has():
    tree = ast.parse((ROOT / "tests" / "test_house.py").read_text())
    (floors,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "FLOORS"
    ]
    rooms = {
        name.split(".")[1]: floor
        for name, floor in floors.items()
        if name.count(".") == 1
        and not (ROOT / "lib" / f"{name.replace('.', '/')}.py").exists()
    }
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("| floor |") : text.index("## Where it goes")]
    told = {
        name: float(floor)
        for floor, names in re.findall(r"^\| ([\d.]+) \| ([^|]*) \|", table, re.M)
        for name in re.findall(r"`([a-z0-9_]+)`", names)
    }
    assert told == rooms


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=relative
)
def test_a_form_for_issues_asks_for_something_and_says_what(form):
    content = yaml.safe_load(form.read_text())
    if form.name == "config.yml":
        assert content == {"blank_issues_enabled": True}
        return
    assert set(content) == {"name", "description", "body"}
    ids = [field["id"] for field in content["body"]]
    assert len(set(ids)) == len(ids) >= 3
    for field in content["body"]:
        assert field["type"] in ("input", "textarea")
        assert field["attributes"]["label"]
        assert field["attributes"]["description"]
    assert content["body"][0]["validations"]["required"]
