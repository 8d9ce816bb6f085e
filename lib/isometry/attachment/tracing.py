"""One pass of a model in which every tensor knows whose units lie in it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from isometry.attachment.known import Known, tensors_in
from isometry.attachment.values import (
    Expression,
    Held,
    Source,
    Units,
    Value,
    joined,
)


@dataclass
class Call:
    """One operation, after it has run.

    Attributes:
        op: The operation.
        args: Its arguments.
        kwargs: Its keywords.
        out: What it returned.
        values: What was known of its tensors before, by identity.
        trace: The pass.
    """

    op: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any
    values: dict[int, Value]
    trace: "Trace"

    @property
    def name(self) -> str:
        """Its plain name; an operation in place has that of the other form."""
        name = str(self.op._schema.name.partition("::")[2])
        return name if name.startswith("__") else name.removesuffix("_")

    def of(self, tensor: Any) -> Value:
        """Return what was known of an argument; of anything but a tensor: None.

        Args:
            tensor: One of the arguments.
        """
        return self.values.get(id(tensor))

    def argument(self, index: int, default: Any = None) -> Any:
        """Return an argument by its place, also one that was given by its name.

        Args:
            index: Its place.
            default: Where it was not given.
        """
        if index < len(self.args):
            return self.args[index]
        given = self.op._schema.arguments
        name = given[index].name if index < len(given) else ""
        return self.kwargs.get(name, default)

    @property
    def units(self) -> list[Units]:
        """Those of the arguments that have units."""
        return [v for v in self.values.values() if isinstance(v, Units)]


@dataclass
class Sight:
    """One call of a module that returned one tensor.

    Attributes:
        number: Counts all calls of modules, in the order in which they end.
        ndim: Number of dimensions of the tensor.
        value: What is known of it.
        same: Whether the module returned what it was given, up to a view.
    """

    number: int
    ndim: int
    value: Value
    same: bool


class Trace(TorchDispatchMode):
    """Follows the units of a model's layers through all operations.

    Args:
        follow: What an operation makes of the units in its arguments, one value for
            each of its outputs.
        sources: The model's weights, by parameter.
        buffers: The model's buffers, path of the module by memory.
    """

    def __init__(
        self,
        follow: Callable[[Call], Any],
        sources: Mapping[str, list[Source]],
        buffers: Mapping[int, str],
    ) -> None:
        super().__init__()
        self.known = Known()
        self.sources = sources
        self.buffers = buffers
        self.sights: dict[str, list[Sight]] = {}
        self.uses: dict[str, set[Any]] = {}  # of vectors: by whom, and as what
        self.last: list[Source] = []  # over whose units a softmax is taken
        self.paths: list[str] = []  # of the modules at work, the innermost last
        self._follow = follow
        self._ended = 0

    @property
    def inside(self) -> str:
        """Path of the innermost module at work."""
        return self.paths[-1] if self.paths else ""

    def use(self, held: Held, use: Any) -> None:
        """Remember that a parameter is used.

        Args:
            held: The parameter.
            use: By whom and as what.
        """
        self.uses.setdefault(held.name, set()).add(use)

    def used_otherwise(self, held: Held, by: str) -> None:
        """Remember that a parameter is used by an operation that reads no units.

        Args:
            held: The parameter.
            by: Name of the operation.
        """
        self.use(held, by)
        for source in self.sources.get(held.name, ()):
            source.otherwise = source.otherwise or by

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = list(tensors_in((args, kwargs)))
        values = {id(tensor): self.known.of(tensor) for tensor in given}
        out = func(*args, **kwargs)
        call = Call(func, args, kwargs, out, values, self)
        found = self._follow(call)
        outputs = list(out) if isinstance(out, tuple | list) else [out]
        if not isinstance(found, list):
            found = [found] * len(outputs)
        written = _written(func, args, kwargs)
        for output, value in zip(outputs, found, strict=True):
            for tensor in tensors_in(output):
                if any(tensor is changed for changed in written):
                    self.known.overwrite(tensor, value)
                else:
                    self.known.note(tensor, value)
        for tensor in written:
            value = values[id(tensor)]
            if value is not None and not any(tensor is o for o in outputs):
                if isinstance(value, Units):
                    value.refuse(f"{call.name} overwrites them")
                self.known.overwrite(tensor, joined(values.values()))
        return out

    def leaves_torch(self, given: Any) -> None:
        """Refuse units that are handed to what this mode does not see.

        Args:
            given: What holds them.
        """
        for tensor in tensors_in(given):
            value = self.known.of(tensor)
            if isinstance(value, Units):
                value.refuse("they leave torch for NumPy or Python")

    def saw(self, path: str, given: Iterable[Value], output: Any) -> None:
        """Remember what a module returned.

        Args:
            path: Of the module.
            given: What was known of its arguments.
            output: What it returned.
        """
        value = self.known.of(output) if isinstance(output, Tensor) else None
        before = [v.expression for v in given if isinstance(v, Units)]
        same = isinstance(value, Units) and value.expression in before
        ndim = output.ndim if isinstance(output, Tensor) else 0
        self._ended += 1
        sight = Sight(self._ended, ndim, value, same)
        self.sights.setdefault(path, []).append(sight)


# Ways out of torch that no mode of operations sees.
EXITS = tuple(
    getattr(Tensor, name)
    for name in ("numpy", "tolist", "__array__", "__dlpack__", "data_ptr")
)


class _Exits(TorchFunctionMode):
    """Tells a trace which tensors are handed to NumPy and others."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in EXITS:
            self.trace.leaves_torch(args)
        return func(*args, **(kwargs or {}))


def _written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Return the tensors that an operation changes."""
    if not func._schema.is_mutable:
        return []
    found = []
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[index] if index < len(args) else kwargs.get(argument.name)
            found += list(tensors_in(given))
    return found


@contextmanager
def watched(model: nn.Module, trace: Trace) -> Iterator[None]:
    """Show a pass what each module returns; the hooks are removed after it.

    Args:
        model: Any module.
        trace: The pass.
    """
    handles = []
    waiting: list[list[Value]] = []

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        trace.paths.append(paths[module])
        waiting.append([trace.known.of(t) for t in tensors_in((args, kwargs))])

    def leave(_: nn.Module, __: Any, output: Any) -> None:
        trace.saw(trace.paths.pop(), waiting.pop(), output)

    paths = {module: path for path, module in model.named_modules()}
    for module in paths:
        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave))
    try:
        with torch.no_grad(), trace, _Exits(trace):
            yield
    finally:
        for handle in handles:
            handle.remove()


def next_expression(
    call: Call, parents: list[Expression], *, again: bool, samples: int
) -> Expression:
    """Return how an operation's output was computed.

    Args:
        call: The operation.
        parents: Expressions of its arguments.
        again: Whether it can be computed again from them.
        samples: Entries of each unit.
    """
    name = call.name
    packet = getattr(torch.ops.aten, name, None)
    op = getattr(packet, call.op._overloadname, None) if again and packet else None

    def replaced(argument: Any) -> Any:
        value = call.of(argument)
        return value.expression if isinstance(value, Units) else argument

    return Expression(
        op=op,
        arguments=() if op is None else tuple(map(replaced, call.args)),
        keywords={} if op is None else dict(call.kwargs),
        parents=tuple(parents),
        kind=name,
        samples=samples,
    )
