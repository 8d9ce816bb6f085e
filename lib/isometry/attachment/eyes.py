"""Hooks that show a watcher what goes through a model; copies of them see nothing."""

from typing import Any

import torch
from torch import nn


class Eye:
    """A forward hook that shows one module's output; a copy of it sees nothing.

    So a copied or unpickled model is not watched by whom the first was attached to.

    Args:
        watcher: Whom it shows what it sees, or None.
        index: Which point it is.
    """

    def __init__(self, watcher: Any = None, index: int = 0) -> None:
        self.watcher = watcher
        self.index = index

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """Show the output, if the pass counts."""
        watcher = self.watcher
        if watcher is not None and watcher.attentive():
            if torch.compiler.is_compiling():
                watcher.see_in_graph(self.index, output)
            else:
                watcher.see(self.index, output)

    def __deepcopy__(self, memo: Any) -> "Eye":
        return Eye()

    def __reduce__(self) -> tuple[Any, ...]:
        return Eye, ()


class Door:
    """A hook before the whole model that shows what goes in; a copy sees nothing.

    Args:
        watcher: Whom it shows what it sees, or None.
    """

    def __init__(self, watcher: Any = None) -> None:
        self.watcher = watcher

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Show the arguments, if the pass counts."""
        watcher = self.watcher
        if watcher is not None and watcher.attentive():
            watcher.enter(args, kwargs)

    def __deepcopy__(self, memo: Any) -> "Door":
        return Door()

    def __reduce__(self) -> tuple[Any, ...]:
        return Door, ()
