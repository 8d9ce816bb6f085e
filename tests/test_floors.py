"""The shape of the library, read from its syntax: floors, sizes, sources."""

import ast
from pathlib import Path

import isometry
import pytest

ROOT = Path(isometry.__file__).parent
FLOORS = {
    "core": 0,
    "plasticity": 1,
    "ntk": 1,
    "linear": 1,
    "maxmin": 1,
    "adamo": 1,
    "methods": 2,
    "diagnostics": 2,
    "supervised": 3,
    "rl": 3,
    "experiments": 4,
    "figures": 4,
    # The package's front, which names what most users want, and the command line.
    "__init__": 5,
    "__main__": 5,
    "cli": 5,
    "cli_data": 5,
}
SEPARATE_ROOMS = (1, 3)  # floors whose rooms do not import each other
MOST_LINES = 350
MOST_LINES_OF_A_FUNCTION = 60  # without its docstring and the functions inside it

# What may be longer, with the reason. Short, or the limit is none.
LONG_MODULES: dict[str, str] = {
    "isometry.experiments.ledger": "the wording of all claims in one table, no code",
}
LONG_FUNCTIONS = {
    "isometry.figures.kernel_ellipse.kernel_ellipse": "half of it is one SVG template",
}


def room(module: str) -> str:
    """Return the room of a dotted module name: ``isometry.core.seeding`` -> core."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
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
    return {name for name in found if str(name).split(".")[0] == "isometry"}


def target_room(name: str) -> str:
    """Return the room that an import reaches; ``isometry.AdamO`` is the front."""
    found = room(name)
    return found if found in FLOORS else "__init__"


def violations(source: str, module: str) -> list[str]:
    """Return one line an import that goes up, or to a neighbour of a floor of rooms."""
    own = room(module)
    lines = []
    for name in sorted(imported(source, module)):
        other = target_room(name)
        up = FLOORS[other] > FLOORS[own]
        aside = other != own and FLOORS[other] == FLOORS[own] in SEPARATE_ROOMS
        if up or aside:
            lines.append(f"{module} (floor {FLOORS[own]}) imports {name}")
    return lines


MODULES = {module_name(p): p for p in sorted(ROOT.rglob("*.py"))}


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
        ("isometry.ntk.x", "def f():\n    import isometry.experiments.run", False),
        ("isometry.ntk.x", "from ..linear import flow", False),
        ("isometry.ntk.x", "importlib.import_module('isometry.cli')", False),
        ("isometry.rl.x", "from isometry.supervised import data", False),
        ("isometry.ntk.x", "from .terms import layer", True),
        ("isometry.ntk.x", "from isometry.core import matrices", True),
        ("isometry.figures.x", "from isometry.experiments import store", True),
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
