"""What a server of workers does once, so that no worker has to: it runs something."""

import tempfile
from pathlib import Path

import torch

from attacks.children import warm
from attacks.stores import RUN

torch.set_num_threads(1)
with tempfile.TemporaryDirectory() as folder:
    warm(RUN, Path(folder))
