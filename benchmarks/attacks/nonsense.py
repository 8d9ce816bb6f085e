"""Command lines and files that nobody meant, drawn as in ``tests/test_fuzz.py``."""

import os
import random
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import hypothesis
import numpy as np
import torch

from attacks.children import Tally, answered
from isometry.lab.store import StoreError

TESTS = Path(__file__).parents[2] / "tests" / "test_fuzz.py"
RUNS = sys.modules["isometry.lab.run"]


def drawn_by(tests: Path) -> ModuleType:
    """Return the module that draws nonsense."""
    spec = spec_from_file_location("test_fuzz", tests)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def many(draw: random.Random, strategy, count: int, act) -> None:
    """Do something with many examples of a strategy."""

    @hypothesis.seed(draw.getrandbits(32))
    @hypothesis.settings(
        max_examples=count,
        database=None,
        derandomize=False,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def every(example) -> None:
        act(example)

    every()


def nonsense_lines(draw: random.Random, folder: Path, tries: int) -> Tally:
    """Give command lines that nobody meant; what would be trained is not."""
    tally, fuzz = Tally(), drawn_by(TESTS)

    def reached(*arguments) -> None:
        raise StoreError("all is well, this would be trained")

    def act(line: list[str]) -> None:
        ended = answered(line)
        tally.tries += 1
        lines = ended.err.splitlines()
        one = len(lines) == 1 and lines[0].startswith("isometry: ") and not ended.out
        tally.said += ended.status == 2 and one
        if ended.status not in (0, 1, 2) or (ended.status == 2 and not one):
            tally.fail("unsaid", f"{line}: exit {ended.status}: {ended.err}")
        elif ended.status == 1 and "Traceback" in ended.err:
            tally.fail("unsaid", f"{line}: {ended.err}")

    os.chdir(folder)
    with patch.object(RUNS, "_execute", reached):
        many(draw, draw.choice((fuzz.RUNS, fuzz.LINES)), tries, act)
    return tally


def nonsense_files(draw: random.Random, folder: Path, tries: int) -> Tally:
    """Let the library read files of which one kind is damaged."""
    tally, fuzz = Tally(), drawn_by(TESTS)
    os.chdir(folder)
    torch.save(fuzz.STATE, "whole.pt")
    np.save("whole.npy", np.ones((2, 3)))
    kind = draw.choice(list(fuzz.FILES))
    make, read = fuzz.FILES[kind]
    path = make(folder)
    target = path.with_name(f"damaged{''.join(path.suffixes)}")
    original, statuses = fuzz.said, []

    def said(line: list[str]) -> tuple[int, str, str]:
        answer = original(line)
        statuses.append(answer[0])
        return answer

    fuzz.said = said

    def act(changed: bytes) -> None:
        target.write_bytes(changed)
        tally.tries += 1
        try:
            statuses.clear()
            read(target)  # for some kinds by a command, whose line is checked there
            tally.said += 2 in statuses
            tally.details[f"{kind}: read"] += 2 not in statuses
        except (ValueError, KeyError, StoreError) as error:
            line = str(error.args[0])
            if "\n" in line or len(line) < 9:
                tally.fail("unsaid", f"{kind}: {line!r}")
            else:
                tally.said += 1
        except BaseException as error:
            tally.fail("unsaid", f"{kind}: {type(error).__name__}: {error}")

    many(draw, fuzz.damaged(path.read_bytes()), tries, act)
    return tally
