"""The stand-ins of models from libraries are those of the weights' tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "weights"))

# A script of its own processes; importing it warns, in some versions of torch.
collect_ignore = ["distributed_steps.py"]
