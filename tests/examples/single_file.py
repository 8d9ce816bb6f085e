"""The one file of AdamO, as it is or with another collection's base class."""

from pathlib import Path
from types import ModuleType

import torch

PATH = Path(__file__).parents[2] / "examples" / "adamo_single_file.py"
BASE = "class AdamO(torch.optim.Optimizer):"


def single_file(base=torch.optim.Optimizer):
    """Return the file as a module whose optimiser has a base class."""
    source = PATH.read_text()
    assert source.count(BASE) == 1
    module = ModuleType("adamo_single_file")
    module.base = base
    source = source.replace(BASE, "class AdamO(base):")
    exec(compile(source, str(PATH), "exec"), module.__dict__)
    return module
