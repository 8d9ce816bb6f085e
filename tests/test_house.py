"""The shape of both packages, read from their syntax: floors, circles, doors, sizes."""

import ast
import tomllib
from pathlib import Path

import pytest

import isometry
from isometry.cli import PLUGINS

ROOT = Path(isometry.__file__).parents[1]

# A module imports only lower floors and its own room; the longest name counts.
FLOORS = {
    "isometry.core": 0,
    "isometry.moved": 0,  # old paths, of which rooms on every floor have some
    "isometry.weights": 0.5,  # what adamo, and floors above it, know of a network
    "isometry.plasticity": 1,
    "isometry.ntk": 1,
    "isometry.linear": 1,
    "isometry.maxmin": 1,
    "isometry.adamo": 1,
    "isometry.methods": 2,
    "isometry.diagnostics": 2,
    "isometry.stream": 2.5,
    # Data and games know nothing of what learns on them.
    "isometry.supervised.data": 3,
    "isometry.rl.games": 3,
    "isometry.rl.tabular": 3,
    "isometry.supervised": 4,
    "isometry.rl": 4,
    "isometry.tracking": 4,
    "isometry.lab": 5,
    "isometry.sweep": 6,
    "isometry.suites": 6.5,
    # The package's fronts, which name what most users want, and the command line.
    "isometry.experiments": 7,
    "isometry": 7,
    "isometry.__main__": 7,
    "isometry.catalogue": 7,
    "isometry.cli": 7,
    "isometry.commands": 7,
    "isometry.cli_data": 7,
    "isometry.cli_suite": 7,
    # The book: what all chapters share, then one chapter above the other.
    "isometry_book": 8,
    "isometry_book.style": 8,
    "isometry_book.controls": 8,
    "isometry_book.measured": 8,
    "isometry_book.chapter": 9,
    "isometry_book.cover": 9,
    "isometry_book.claims.claim": 8,
    "isometry_book.evidence": 9,
    "isometry_book.interventions": 9,
    "isometry_book.c1_plasticity": 11,
    "isometry_book.c2_kernel": 12,
    "isometry_book.c3_deep_linear": 13,
    "isometry_book.c4_maxmin": 14,
    "isometry_book.c5_adamo": 15,
    "isometry_book.c6_benchmark": 16,
    "isometry_book.c7_games": 17,
    "isometry_book.claims.verdicts": 18,
    "isometry_book.studies": 18,
    "isometry_book.cli": 19,
}
# Floors whose rooms do not import each other: the paper's ideas; images, games and
# tracking, of which each wing may use its own lower rooms.
SEPARATE = ({1}, {3, 4})
PACKAGES = ("isometry", "isometry_book")
MOST_FILES = 25  # of a room
MOST_LINES = 350
MOST_LINES_OF_A_FUNCTION = 60  # without its docstring and the functions inside it

# What may be longer, with the reason. Short, or the limit is none.
LONG_MODULES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


PATHS = {module_name(p): p for k in PACKAGES for p in sorted((ROOT / k).rglob("*.py"))}
TEXTS = {module: path.read_text() for module, path in PATHS.items()}
TREES = {module: ast.parse(text) for module, text in TEXTS.items()}
FRONTS = [module for module, path in PATHS.items() if path.stem == "__init__"]


def room(module: str) -> str:
    """Return the room of a dotted name: ``isometry.core.seeding`` -> isometry.core."""
    parts = module.split(".")
    while ".".join(parts) not in FLOORS:
        parts.pop()
    return ".".join(parts)


def for_types_only(node: ast.AST) -> bool:
    """Return whether a node is ``if TYPE_CHECKING:``, which never runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def nodes(tree: ast.AST, types: bool = True):
    """Yield the nodes of a tree; without ``types`` those that may run."""
    for node in ast.iter_child_nodes(tree):
        if types or not for_types_only(node):
            yield node
            yield from nodes(node, types)


def imported(tree: ast.Module, module: str, types: bool = True) -> set[str]:
    """Return the names of ours that a module imports, also inside functions."""
    found = set()
    for node in nodes(tree, types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:  # relative: one dot is the module's own package
                package = module.split(".")[: -node.level]
                start = ".".join([*package, start]).rstrip(".")
            found |= {f"{start}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in (
            "import_module",
            "__import__",
        ):
            found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    return {name for name in found if str(name).split(".")[0] in PACKAGES}


def violations(tree: ast.Module, module: str) -> list[str]:
    """Return one line an import that goes up, or aside to a room that stands apart."""
    own = room(module)
    lines = []
    for name in sorted(imported(tree, module)):
        other = room(name)
        up = FLOORS[other] > FLOORS[own]
        floors = {FLOORS[own], FLOORS[other]}
        apart = any(floors <= group for group in SEPARATE) and other != own
        own_wing = other.split(".")[:2] == own.split(".")[:2] and len(floors) == 2
        if up or (apart and not own_wing):
            lines.append(f"{module} (floor {FLOORS[own]}) imports {name}")
    return lines


def circles(graph: dict[str, set[str]]) -> set[str]:
    """Return what lies on a circle, or on a way from one to another."""
    left = set(graph)
    while True:
        leads_on = {one for one in left if graph[one] & left}
        is_led_to = set().union(*(graph[one] for one in left)) & left
        if left == leads_on & is_led_to:
            return left
        left = leads_on & is_led_to


def hiding(tree: ast.Module, package: str, modules: set[str]) -> set[str]:
    """Return what a package's front calls by the name of another of its modules."""
    bound = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound[node.name] = ""
        elif isinstance(node, ast.Assign):
            bound |= {t.id: "" for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            bound |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    inside = {name: f"{package}.{name}" for name in bound}
    return {n for n, path in inside.items() if path in modules and bound[n] != path}


def public(tree: ast.Module):
    for node in tree.body:
        named = isinstance(node, ast.FunctionDef | ast.ClassDef)
        if named and not node.name.startswith("_"):
            yield node


def height(node: ast.AST) -> int:
    return node.end_lineno - node.lineno + 1


def own_lines(node: ast.FunctionDef) -> int:
    """Return a function's lines without its docstring and the functions inside it."""
    lines = height(node) - sum(
        height(inner) for inner in node.body if isinstance(inner, ast.FunctionDef)
    )
    return lines - (ast.get_docstring(node) is not None) * height(node.body[0])


LENGTHS = {
    f"{module}.{node.name}": own_lines(node)
    for module, tree in TREES.items()
    for node in nodes(tree)
    if isinstance(node, ast.FunctionDef)
}


# --- floors and doors ----------------------------------------------------------------


def test_every_room_has_a_floor_and_every_floor_a_room():
    assert {room(name) for name in PATHS} == set(FLOORS)


@pytest.mark.parametrize("module", PATHS)
def test_a_module_imports_only_lower_floors_and_its_own_room(module):
    assert violations(TREES[module], module) == []


@pytest.mark.parametrize(
    ("module", "source", "allowed"),
    [
        ("isometry.core.x", "import isometry.adamo.flow", False),
        ("isometry.core.x", "from isometry import AdamO", False),
        ("isometry.ntk.x", "def f():\n    from isometry.adamo import flow", False),
        ("isometry.ntk.x", "def f():\n    import isometry.lab.run", False),
        ("isometry.ntk.x", "from ..linear import flow", False),
        ("isometry.ntk.x", "importlib.import_module('isometry.cli')", False),
        ("isometry.ntk.x", "if TYPE_CHECKING:\n    import isometry.lab.run", False),
        ("isometry.rl.x", "from isometry.supervised import data", False),
        ("isometry.rl.games.x", "from isometry.rl import agent", False),
        ("isometry.rl.games.x", "from isometry.supervised.data import sets", False),
        ("isometry.rl.x", "from isometry.rl.games import registry", True),
        ("isometry.ntk.x", "from .terms import layer", True),
        ("isometry.ntk.x", "from isometry.core import matrices", True),
        ("isometry.lab.x", "from isometry_book import style", False),
        ("isometry_book.c5_adamo.x", "from isometry_book.c4_maxmin import fits", True),
        ("isometry_book.c4_maxmin.x", "import isometry_book.c5_adamo.pull", False),
        ("isometry.core.x", "import torch", True),
    ],
)
def test_the_reading_of_imports_tells_allowed_from_forbidden(module, source, allowed):
    assert (violations(ast.parse(source), module) == []) is allowed


def test_the_library_knows_its_book_by_one_door_alone():
    library = [module for module in PATHS if module.split(".")[0] == "isometry"]
    named = {m for m in library if "isometry_book" in ast.unparse(TREES[m])}
    assert named == set()
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {PLUGINS: {"book": "isometry_book.cli:extend"}}


# --- circles -------------------------------------------------------------------------


def test_no_module_imports_itself_by_a_detour():
    # What only a type checker reads is left out: it orders no loading, and a report
    # that prints itself must name its type where it is printed.
    graph = {}
    for module, tree in TREES.items():
        names = imported(tree, module, types=False)
        parts = {name if name in PATHS else name.rpartition(".")[0] for name in names}
        graph[module] = parts & set(PATHS)
    assert circles(graph) == set()


@pytest.mark.parametrize(
    ("arrows", "on_circles"),
    [
        ("ab bc ac", ""),
        ("ab ba", "ab"),
        ("aa ab", "a"),
        ("xa ab bc ca cy", "abc"),
        ("ab bc cd de ec", "cde"),
    ],
)
def test_circles_are_found_and_what_hangs_on_them_is_not(arrows, on_circles):
    graph = {name: set() for name in "abcdexy"}
    for start, end in arrows.split():
        graph[start].add(end)
    assert circles(graph) == set(on_circles)


def test_an_import_for_types_only_is_told_from_one_that_runs():
    tree = ast.parse("if TYPE_CHECKING:\n    import isometry.lab\nimport isometry.rl")
    assert imported(tree, "isometry.x", types=False) == {"isometry.rl"}
    assert imported(tree, "isometry.x") == {"isometry.rl", "isometry.lab"}


# --- rooms and names -----------------------------------------------------------------


@pytest.mark.parametrize("front", FRONTS)
def test_a_room_has_few_files(front):
    assert len(list(PATHS[front].parent.glob("*.py"))) <= MOST_FILES


@pytest.mark.parametrize("front", FRONTS)
def test_no_name_hides_a_module(front):
    assert hiding(TREES[front], front, set(PATHS)) == set()


@pytest.mark.parametrize(
    ("source", "hidden"),
    [
        ("from p.run import run", {"run"}),
        ("from p.run import start as run", {"run"}),
        ("def run():\n    pass", {"run"}),
        ("run = 1", {"run"}),
        ("from p import run", set()),
        ("from p.run import start", set()),
    ],
)
def test_what_hides_a_module_is_told_from_the_module(source, hidden):
    assert hiding(ast.parse(source), "p", {"p.run"}) == hidden


# --- sizes and words -----------------------------------------------------------------


@pytest.mark.parametrize("module", PATHS)
def test_modules_and_functions_are_short(module):
    if module not in LONG_MODULES:
        assert len(TEXTS[module].splitlines()) <= MOST_LINES
    long = [
        f"{module}.{node.name}"
        for node in nodes(TREES[module])
        if isinstance(node, ast.FunctionDef)
        and own_lines(node) > MOST_LINES_OF_A_FUNCTION
    ]
    assert [name for name in long if name not in LONG_FUNCTIONS] == []


def test_exceptions_from_the_lengths_are_still_needed():
    for module in LONG_MODULES:
        assert len(TEXTS[module].splitlines()) > MOST_LINES
    for function in LONG_FUNCTIONS:
        assert LENGTHS[function] > MOST_LINES_OF_A_FUNCTION


@pytest.mark.parametrize("module", PATHS)
def test_every_public_name_has_a_docstring(module):
    unexplained = [n.name for n in public(TREES[module]) if not ast.get_docstring(n)]
    assert unexplained == [], f"{PATHS[module]}: add a docstring"
