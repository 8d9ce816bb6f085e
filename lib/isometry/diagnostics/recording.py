"""Which linear maps and activation functions a forward pass calls, in which order.

torch calls a mode of functions for each of its operations, whether a module or a line
of ``forward`` asks for it. So ``nn.ReLU`` and ``torch.relu`` are both seen.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from isometry.maxmin import GroupSort

Function = Callable[..., Any]
Map = Callable[[Tensor], Tensor]

LINEAR: tuple[Function, ...] = (functional.linear,)
CONVOLUTIONS: tuple[Function, ...] = (
    functional.conv1d,
    functional.conv2d,
    functional.conv3d,
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)
ACTIVATIONS: tuple[str, ...] = (
    "celu",
    "elu",
    "gelu",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "tanh",
)
ACTIVATION_MODULES = (GroupSort,)  # activations that are no single torch function


def _named_functions() -> dict[Function, str]:
    """Return each form of each activation function, also in place, with its name."""
    found = {}
    for name in ACTIVATIONS:
        for home in (functional, torch, Tensor):
            for form in (name, f"{name}_"):
                if hasattr(home, form):
                    found[getattr(home, form)] = name
    return found


NAMED = _named_functions()


@dataclass(frozen=True)
class Recording:
    """Where calls are reported while a model runs.

    Attributes:
        on_linear: Given the weight's name, the weight, the input and whether it is a
            convolution; returns the input to go on with.
        after_linear: Given what the linear map returned, and the map itself, to be
            called with other inputs; returns the output to go on with.
        on_activation: Given a name, the function's name and the output.
        names: Identity of a parameter to its name.
        modules: The modules at work, the innermost last.
        used: How often each name was reported.
    """

    on_linear: Callable[[str, Tensor, Tensor, bool], Tensor]
    after_linear: Callable[[Tensor, Map], Tensor]
    on_activation: Callable[[str, str, Tensor], None]
    names: dict[int, str] = field(default_factory=dict)
    modules: list[tuple[str, nn.Module]] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)

    def linear(self, function: Function, arguments: Any, keywords: Any) -> Tensor:
        """Report a linear map, run it, and return its output."""
        given = list(arguments)
        seen = given.pop(0) if given else keywords.pop("input")
        weight = given[0] if given else keywords["weight"]
        convolution = function in CONVOLUTIONS
        fallback = f"{self.modules[-1][0]}.weight" if self.modules else "weight"
        name = self.names.get(id(weight), fallback.removeprefix("."))

        def again(inputs: Tensor) -> Tensor:
            return function(inputs, *given, **keywords)

        output = again(self.on_linear(name, weight, seen, convolution))
        return self.after_linear(output, again)

    def activation(self, function: str, output: Tensor) -> None:
        """Report an activation under the name of the module at work."""
        name, module = self.modules[-1] if self.modules else ("", None)
        parameters = module is not None and any(True for _ in module.parameters())
        leaf = module is not None and not any(True for _ in module.children())
        if not leaf or (parameters and function != "prelu"):
            name = f"{name}.{function}" if name else function
        count = self.used[name] = self.used.get(name, 0) + 1
        shown = name if count == 1 else f"{name} ({count})"
        self.on_activation(shown or function, function, output)


# torch asks for a subclass here, as it does for modules and optimisers.
class _Mode(TorchFunctionMode):
    """Hands the calls of interest to a recording, and runs all others."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording

    def __torch_function__(self, func, types, args=(), kwargs=None):
        keywords = dict(kwargs or {})
        if func in LINEAR or func in CONVOLUTIONS:
            return self.recording.linear(func, args, keywords)
        output = func(*args, **keywords)
        if func in NAMED and not self._inside():
            self.recording.activation(NAMED[func], output)
        return output

    def _inside(self) -> bool:
        modules = self.recording.modules
        return any(isinstance(module, ACTIVATION_MODULES) for _, module in modules)


@contextmanager
def recorded(model: nn.Module, recording: Recording) -> Iterator[None]:
    """Report the model's calls inside the block; its hooks are removed after it.

    Args:
        model: Any module.
        recording: Where to report.
    """
    recording.names.update({id(p): name for name, p in model.named_parameters()})

    def enter(module: nn.Module, _: Any) -> None:
        recording.modules.append((names[module], module))

    def leave(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(module, ACTIVATION_MODULES) and isinstance(output, Tensor):
            recording.activation(type(module).__name__, output)
        recording.modules.pop()

    names = {module: name for name, module in model.named_modules()}
    handles: list[Any] = []
    for module in model.modules():
        handles.append(module.register_forward_pre_hook(enter, prepend=True))
        handles.append(module.register_forward_hook(leave))
    try:
        with _Mode(recording):
            yield
    finally:
        for handle in handles:
            handle.remove()
