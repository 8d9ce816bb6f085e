"""Damaged checkpoints and results files: refused or named, never believed."""

import random
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from attacks.children import Tally, answered, in_a_line
from attacks.stores import compared, contents, lasting, rows
from isometry.lab.store import StoreError, load_usable, read_file
from isometry.stream import checkpoint as checkpoints

RUNS = sys.modules["isometry.lab.run"]  # the module, not the function
SMALL = "--set data=digits --set tasks=5 --set images_per_task=60 --set width=8"
SMALL += " --set batch_size=20 --profile smoke --seeds 0:2"
LINE = ["run", "permuted_mnist", "--method", "adamo", *SMALL.split()]
OTHERS = (
    ["--set", "width=16"],
    ["--set", "lr=0.05"],
    ["--set", "isometry_strength=0.5"],
    ["--seeds", "1:3"],
    ["--method", "adam"],
)
Pair = tuple[bytes, bytes]  # a checkpoint and its records


@dataclass(frozen=True)
class Saved:
    """Checkpoints of a run after some tasks, and of other runs.

    Attributes:
        states: After two tasks, three and four.
        others: Of runs with other settings, seeds, methods, code or packages.
    """

    states: list[Pair]
    others: list[Pair]


def stopped(line: list[str], out: Path, task: int) -> Pair:
    """Run a command, stop it after a task, and return its checkpoint."""

    def stop(bar: object, done: int, total: int) -> None:
        if done == task:
            raise KeyboardInterrupt

    with patch.object(RUNS, "_show_progress", stop):
        assert answered([*line, "--out", str(out)]).status == 130
    (path,) = out.glob(".work/*/*/checkpoint.pt")
    return path.read_bytes(), path.with_suffix(".records").read_bytes()


def saved(folder: Path) -> Saved:
    """Make checkpoints, whole ones."""
    states = [stopped(LINE, folder / "states", task) for task in (2, 3, 4)]
    others = [
        stopped(_with(LINE, change), folder / f"other{i}", 3)
        for i, change in enumerate(OTHERS)
    ]
    for i, name in enumerate(("code_digest", "device_name", "versions")):
        found = {"torch": "1.0"} if name == "versions" else "another"
        with patch.object(checkpoints, name, lambda *of, found=found: found):
            others.append(stopped(LINE, folder / f"changed{i}", 3))
    return Saved(states, others)


def _with(line: list[str], change: list[str]) -> list[str]:
    """Return a command with an option in the place of the one it has."""
    if change[0] == "--set":
        key = change[1].partition("=")[0]
        kept = [w for w in line if not w.startswith(f"{key}=")]
        return [*[w for w, n in _pairs(kept)], *change]
    place = line.index(change[0])
    return [*line[:place], *change, *line[place + 2 :]]


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    """Return words that are left when an option has lost its value."""
    following = [*words[1:], ""]
    pairs = zip(words, following, strict=True)
    return [(w, n) for w, n in pairs if not (w == "--set" and n.startswith("--"))]


# --- what may become of bytes --------------------------------------------------------


def flipped(draw: random.Random, content: bytes) -> bytes:
    """Flip one bit, or some."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(draw: random.Random, content: bytes) -> bytes:
    """Lose the end."""
    return content[: draw.randrange(len(content))]


def zeroed(draw: random.Random, content: bytes) -> bytes:
    """Lose a block, of which zeros are left."""
    start = draw.randrange(len(content))
    size = min(draw.choice((1, 16, 512, 4096)), len(content) - start)
    return content[:start] + bytes(size) + content[start + size :]


def spliced(draw: random.Random, content: bytes) -> bytes:
    """Lose a part in the middle, or have one twice."""
    first, second = draw.randrange(len(content)), draw.randrange(len(content))
    return content[:first] + content[second:]


DAMAGE = {"flipped": flipped, "cut": cut, "zeroed": zeroed, "spliced": spliced}


# --- checkpoints ---------------------------------------------------------------------


def _damaged(kind: str, draw: random.Random, known: Saved) -> Pair:
    """Return a checkpoint and its records after damage of a kind."""
    states = known.states
    place = draw.randrange(len(states))
    state, records = states[place]
    other, its_records = draw.choice(known.others)
    match kind:
        case "head of another":
            lines = draw.choice((1, 2))
            head = other.split(b"\n", lines)[:lines]
            return b"\n".join([*head, state.split(b"\n", lines)[lines]]), records
        case "of another run":
            return other, its_records
        case "records of another run":
            return state, its_records
        case "older than its records":
            return states[0][0], states[-1][1]
        case "newer than its records":
            return states[-1][0], states[0][1]
        case "records with a tail":
            return state, records + draw.randbytes(draw.randrange(1, 200))
        case "records damaged":
            return state, draw.choice(list(DAMAGE.values()))(draw, records)
        case "records without their last lines":
            lines = records.splitlines(keepends=True)
            return state, b"".join(lines[: draw.randrange(len(lines))])
    return DAMAGE[kind](draw, state), records


KINDS = (
    *[kind for kind in DAMAGE for _ in range(3)],
    "head of another",
    "of another run",
    "of another run",
    "records of another run",
    "older than its records",
    "newer than its records",
    "records with a tail",
    "records damaged",
    "records without their last lines",
)


def damaged_checkpoints(draw: random.Random, folder: Path, tries: int) -> Tally:
    """Damage a stopped run's checkpoint and let the run go on."""
    tally, known = Tally(), saved(folder)
    whole = folder / "whole"
    assert answered([*LINE, "--out", str(whole)]).status == 0
    numbers = contents(whole)
    (path,) = (folder / "states").glob(".work/*/*/checkpoint.pt")
    within = path.relative_to(folder / "states")
    for _ in range(tries):
        out, kind = folder / "out", draw.choice(KINDS)
        pair = _damaged(kind, draw, known)
        there = out / within
        there.parent.mkdir(parents=True)
        there.write_bytes(pair[0])
        there.with_suffix(".records").write_bytes(pair[1])
        ended = answered([*LINE, "--out", str(out)])
        tally.tries += 1
        if ended.status == 0:
            found, example = compared(out, numbers)
            if found:
                tally.fail(found, f"{kind}: {example}")
            tally.details[f"{kind}: went on, same numbers"] += not found
        elif not in_a_line(ended):
            tally.fail("unsaid", f"{kind}: {ended.err}")
        elif there.read_bytes() != pair[0] or list(out.glob("**/*.parquet")):
            tally.fail("lost", f"{kind}: what was there is another now")
        else:
            tally.said += 1
            tally.details[f"{kind}: refused"] += 1
        shutil.rmtree(out)
    return tally


# --- results -------------------------------------------------------------------------


def _swapped(files: list[Path], place: int, draw: random.Random) -> None:
    """Have one file's content under another's name."""
    other = draw.choice([f for f in files if f != files[place]])
    files[place].write_bytes(other.read_bytes())


def _copied(files: list[Path], place: int, draw: random.Random) -> None:
    """Have a file twice, as a program that keeps folders the same leaves it."""
    file = files[place]
    name = draw.choice(("{} (1)", "{} conflicted copy", "copy_of_{}")).format(file.stem)
    file.with_stem(name).write_bytes(file.read_bytes())


WHOLE_FILES: dict[str, Callable[[list[Path], int, random.Random], None]] = {
    "under another's name": _swapped,
    "twice": _copied,
}


@contextmanager
def _told(said: list[str]):
    """Keep the warnings meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    said += [str(one.message) for one in caught]


def damaged_results(draw: random.Random, folder: Path, tries: int) -> Tally:
    """Damage one results file of three and ask for all numbers."""
    tally, store = Tally(), folder / "store"
    for method in ("adam", "adamo", "l2"):
        line = _with(LINE, ["--method", method])
        assert answered([*line, "--out", str(store)]).status == 0
    files = sorted(store.glob("*/*.parquet"))
    contents_of = {file: file.read_bytes() for file in files}
    known = {file: read_file(file) for file in files}
    for count in range(tries):
        kind = draw.choice([*DAMAGE, *DAMAGE, *WHOLE_FILES])
        place = draw.randrange(len(files))
        if kind in WHOLE_FILES:
            WHOLE_FILES[kind](files, place, draw)
        else:
            files[place].write_bytes(DAMAGE[kind](draw, contents_of[files[place]]))
        tally.tries += 1
        _asked(tally, kind, store, files, place, known)
        if count % 20 == 0:
            ended = answered(["report", str(store)])
            if ended.status != 0 or "Traceback" in ended.err:
                tally.fail("unsaid", f"report, {kind}: {ended.err}")
        for file in set(store.glob("*/*.parquet")) - set(files):
            file.unlink()
        for file, content in contents_of.items():
            file.write_bytes(content)
    return tally


def _asked(
    tally: Tally, kind: str, store: Path, files: list[Path], place: int, known: dict
) -> None:
    """Ask a store with one damaged file for all numbers, and see what it gives."""
    said: list[str] = []
    try:
        with _told(said):
            usable = load_usable(store)
    except Exception as error:
        text = f"{kind}: {type(error).__name__}: {error}"
        tally.fail("lost" if isinstance(error, StoreError) else "unsaid", text)
        return
    found, damaged = rows(usable.frame), files[place]
    every = sum((rows(known[file][0]) for file in files), start=Counter())
    rest = every - rows(known[damaged][0])
    named = [line for line in said if str(damaged.parent / damaged.stem[:4]) in line]
    if rest - found:
        tally.fail("lost", f"{kind}: rows of files that nobody touched")
    elif found == every and _same(usable.records, [known[f][1] for f in files]):
        tally.said += bool(said)
        tally.details[f"{kind}: {'named' if said else 'same numbers and record'}"] += 1
    elif found == rest and (named or kind in WHOLE_FILES) and len(said) == 1:
        tally.said += 1
        tally.details[f"{kind}: left out and named"] += 1
    else:
        what = "left out without a word" if found == rest else "others"
        tally.fail("wrong", f"{kind}: numbers or record {what}; {said}")


def _same(records: list, others: list) -> bool:
    """Return whether the same records are there, whole."""
    return sorted(map(str, map(lasting, records))) == sorted(
        map(str, map(lasting, others))
    )
