"""The room of what is faster has one door."""

import ast
from pathlib import Path

import isometry
from isometry.rl.ppo import fast

LIB = Path(isometry.__file__).parents[1]
BENCHMARKS = LIB.parent / "benchmarks"
ROOM = "isometry.rl.ppo.fast"
INSIDE = LIB / "isometry/rl/ppo/fast"


def from_the_room(source):
    """Return (module, name) for each thing that a source takes from the room."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(a.name, "") for a in node.names if a.name.startswith(ROOM)]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(ROOM):
            found += [(node.module, alias.name) for alias in node.names]
    return found


def test_nobody_outside_the_room_imports_more_than_its_door():
    files = [*LIB.rglob("*.py"), *BENCHMARKS.rglob("*.py")]
    taken = {
        (path.name, *one)
        for path in files
        if INSIDE not in path.parents
        for one in from_the_room(path.read_text())
    }
    assert {name for _, _, name in taken} == set(fast.__all__), "who uses the rest?"
    assert {module for _, module, _ in taken} == {ROOM}


def test_the_reading_finds_what_goes_past_the_door():
    source = "def f():\n    from isometry.rl.ppo.fast.gradient import moments"
    assert from_the_room(source) == [(ROOM + ".gradient", "moments")]
    assert from_the_room("import isometry.rl.ppo.fast.reading") == [
        (ROOM + ".reading", "")
    ]
