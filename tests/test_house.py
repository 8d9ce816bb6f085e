"""The shape of the library, read from its syntax: floors, sizes, sources."""

import ast
from pathlib import Path

import pytest

import isometry

ROOT = Path(isometry.__file__).parents[1]

# A module imports only lower floors and its own room; the longest name counts.
FLOORS = {
    "isometry.core": 0,
    "isometry.plasticity": 1,
    "isometry.ntk": 1,
    "isometry.linear": 1,
    "isometry.maxmin": 1,
    "isometry.adamo": 1,
    "isometry.methods": 2,
    "isometry.diagnostics": 2,
    "isometry.supervised": 4,
    "isometry.rl": 4,
    "isometry.lab": 5,
    "isometry.sweep": 6,
    # The package's fronts, which name what most users want, and the command line.
    "isometry.experiments": 7,
    "isometry": 7,
    "isometry.__main__": 7,
    "isometry.cli": 7,
    "isometry.cli_data": 7,
    # The book: what all chapters share, then one chapter above the other.
    "isometry_book": 8,
    "isometry_book.style": 8,
    "isometry_book.controls": 8,
    "isometry_book.chapter": 9,
    "isometry_book.cover": 9,
    "isometry_book.claims.claim": 8,
    "isometry_book.claims.ledger": 8,
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
SEPARATE_ROOMS = (1, 4)  # floors whose rooms do not import each other
MOST_LINES = 350
PACKAGES = ("isometry", "isometry_book")
MOST_LINES_OF_A_FUNCTION = 60  # without its docstring and the functions inside it

# What may be longer, with the reason. Short, or the limit is none.
LONG_MODULES: dict[str, str] = {
    "isometry_book.claims.ledger": "the wording of all claims in one table, no code",
}
LONG_FUNCTIONS = {
    "isometry_book.c2_kernel.ellipse.kernel_ellipse": "half of it is one SVG template",
}


def room(module: str) -> str:
    """Return the room of a dotted name: ``isometry.core.seeding`` -> isometry.core."""
    parts = module.split(".")
    while ".".join(parts) not in FLOORS:
        parts.pop()
    return ".".join(parts)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(source: str, module: str) -> set[str]:
    """Return the modules of isometry that a module imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
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


def violations(source: str, module: str) -> list[str]:
    """Return one line an import that goes up, or to a neighbour of a floor of rooms."""
    own = room(module)
    lines = []
    for name in sorted(imported(source, module)):
        other = room(name)
        up = FLOORS[other] > FLOORS[own]
        aside = other != own and FLOORS[other] == FLOORS[own] in SEPARATE_ROOMS
        if up or aside:
            lines.append(f"{module} (floor {FLOORS[own]}) imports {name}")
    return lines


MODULES = {
    module_name(p): p for k in PACKAGES for p in sorted((ROOT / k).rglob("*.py"))
}


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


def test_every_room_has_a_floor():
    assert {room(name) for name in MODULES} <= set(FLOORS)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_lower_floors_and_its_own_room(module):
    assert violations(MODULES[module].read_text(), module) == []


@pytest.mark.parametrize(
    ("module", "source", "allowed"),
    [
        ("isometry.core.x", "import isometry.adamo.flow", False),
        ("isometry.core.x", "from isometry import AdamO", False),
        ("isometry.ntk.x", "def f():\n    from isometry.adamo import flow", False),
        ("isometry.ntk.x", "def f():\n    import isometry.lab.run", False),
        ("isometry.ntk.x", "from ..linear import flow", False),
        ("isometry.ntk.x", "importlib.import_module('isometry.cli')", False),
        ("isometry.rl.x", "from isometry.supervised import data", False),
        ("isometry.ntk.x", "from .terms import layer", True),
        ("isometry.ntk.x", "from isometry.core import matrices", True),
        ("isometry.lab.x", "from isometry_book import style", False),
        ("isometry_book.c5_adamo.x", "from isometry_book.c4_maxmin import fits", True),
        ("isometry_book.c4_maxmin.x", "import isometry_book.c5_adamo.pull", False),
        ("isometry.core.x", "import torch", True),
    ],
)
def test_the_reading_of_imports_tells_allowed_from_forbidden(module, source, allowed):
    assert (violations(source, module) == []) is allowed


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_are_short(module):
    text = MODULES[module].read_text()
    if module not in LONG_MODULES:
        assert len(text.splitlines()) <= MOST_LINES
    long = [
        f"{module}.{node.name}: {own_lines(node)} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and own_lines(node) > MOST_LINES_OF_A_FUNCTION
        and f"{module}.{node.name}" not in LONG_FUNCTIONS
    ]
    assert long == []


def test_exceptions_from_the_lengths_are_still_needed():
    names = {
        f"{module}.{node.name}": own_lines(node)
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    for module in LONG_MODULES:
        assert len(MODULES[module].read_text().splitlines()) > MOST_LINES
    for function in LONG_FUNCTIONS:
        assert names[function] > MOST_LINES_OF_A_FUNCTION


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_a_docstring(module):
    path = MODULES[module]
    tree = ast.parse(path.read_text())
    unexplained = [n.name for n in public(tree) if not ast.get_docstring(n)]
    assert unexplained == [], f"{path}: add a docstring"
