"""From any model and one example call to what methods need to know of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from isometry.attachment.fresh import fresh_of, spread_of
from isometry.attachment.judging import Judge, Judged
from isometry.attachment.known import tensors_in
from isometry.attachment.operations import follow
from isometry.attachment.shapes import whole
from isometry.attachment.survey import known_weights, named_heads, role_of, sources_of
from isometry.attachment.tracing import Trace, watched
from isometry.attachment.values import INPUT, Data, Source, Units
from isometry.attachment.wiring import Initialise, Wiring
from isometry.core.untouched import untouched
from isometry.methods import Structure
from isometry.ntk.checks import unwrapped


def wire(
    model: nn.Module,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    head: str | Iterable[str] | None = None,
    initialise: Initialise | None = None,
) -> Wiring:
    """Return a model as methods see it, from one call that leaves no trace on it.

    The model runs once, in its own mode, and each tensor carries along whose units lie
    in it. Units can be replaced where zero weights after them are the same as zero
    activations: a nonlinearity acts on each by itself, and then only known weights read
    them, through pools, dropout, views and whatever else is linear and keeps zeros. A
    norm before the nonlinearity may mix them, as LayerNorm does; after it, none may
    stand. All else is refused with the reason.

    Args:
        model: Any module, also compiled or wrapped for data parallelism.
        args: An example's positional arguments; a tensor alone is one of them.
        kwargs: Its keyword arguments.
        head: Parts of the names of the heads, as AdamO's ``exclude`` has them; None:
            by the names in use, and without any, the weights whose outputs are the
            model's.
        initialise: ``(model, generator) -> None`` draws the model anew, in place; None:
            each module does so by its own ``reset_parameters``, then the model by its
            ``_init_weights``, and what nothing draws keeps the value that it has now.

    Returns:
        Names are those of ``named_parameters`` of the model without its wrappers;
        ``weight[i]`` is one of several matrices in a parameter, and
        ``weight[:, i:j]``, which is spared, the columns that read one of several
        layers.

    Raises:
        ValueError: If the model has no parameters, or others than plain ones with a
            shape, or ``head`` no match.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> wiring = wire(model, torch.zeros(1, 3))
        >>> wiring.structure.layers[0].outgoing, wiring.points[0].module
        (('2.weight',), '1')
    """
    model = unwrapped(model)
    weights = known_weights(model)
    trace = Trace(follow, sources_of(weights), _buffers(model))
    given = (args,) if isinstance(args, Tensor) else tuple(args)
    keywords = dict(kwargs or {})
    outputs = _run(model, trace, given, keywords)
    heads = named_heads(model, weights, head)
    if head is None and not heads:
        ends = [s for s in outputs or trace.last if not s.readings]
        heads = frozenset(source.view.parameter for source in ends)
    inputs = [t for t in tensors_in((given, keywords)) if t.ndim]
    judge = Judge(
        trace=trace,
        roles={weight.names[0]: role_of(weight, heads) for weight in weights},
        owned=dict(model.named_parameters()),
        batch=inputs[0].shape[0] if inputs else 1,
    )
    return _wiring(model, judge.judged(), initialise)


def _buffers(model: nn.Module) -> dict[int, str]:
    """Return the paths of modules by the memory of their buffers."""
    return {
        buffer.untyped_storage()._cdata: name.rpartition(".")[0]
        for name, buffer in model.named_buffers()
        if buffer.layout == torch.strided
    }


def _run(
    model: nn.Module, trace: Trace, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Source]:
    """Run the model once, and return the weights whose units are its outputs."""
    for name, parameter in model.named_parameters():
        trace.known.note(parameter, whole(name, parameter))
    args, kwargs = tree_map_only(Tensor, torch.clone, (args, kwargs))
    for tensor in tensors_in((args, kwargs)):
        trace.known.note(tensor, Data((INPUT,)))
    found: list[Source] = []
    with untouched(model, evaluation=False), watched(model, trace):
        outputs = model(*args, **kwargs)
        for tensor in tensors_in(outputs):
            value = trace.known.of(tensor)
            if isinstance(value, Data):
                value.refuse()
            if isinstance(value, Units):
                found += value.sources
                value.refuse("its units are an output of the model")
        for tensor in _kept(model):
            value = trace.known.of(tensor)
            if isinstance(value, Units):
                value.refuse("the model keeps its units beyond the call")
    return found


def _kept(model: nn.Module) -> Iterator[Tensor]:
    """Yield what a model holds besides parameters, such as the state of an episode."""
    for module in model.modules():
        for name, held in vars(module).items():
            if name not in ("_modules", "_parameters"):
                yield from tensors_in(held, 3)


def _wiring(model: nn.Module, judged: Judged, initialise: Initialise | None) -> Wiring:
    """Return what was found in the form that methods know."""
    fresh = fresh_of(model, judged.views, initialise)
    weights = [layer.weight for layer in (*judged.layers, *judged.inner, *judged.heads)]
    structure = Structure(
        roles=judged.roles,
        layers=tuple(judged.layers),
        heads=tuple(judged.heads),
        inner=tuple(judged.inner),
        activation=judged.activation,
        spread=spread_of(
            model, {n: judged.views[n] for n in weights}, fresh, initialise
        ),
        fresh=fresh,
    )
    return Wiring(
        structure=structure,
        views=judged.views,
        points=tuple(judged.points),
        refused=judged.refused,
        running=judged.running,
    )
