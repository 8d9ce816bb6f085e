"""What each layer saw and how the outputs hang on what it said, from one run.

A network is taken apart with hooks: every layer with parameters hands over its input
``h`` and its output ``z``, a parameter that no known layer holds what it met and made,
and automatic differentiation gives ``B = df/dz`` for all outputs at once. That the
network consists of such layers, and that no parameter acts in any other way, is read
from the recorded graph and never assumed.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isometry.ntk.calls import OWN, Calls, is_conv1d
from isometry.ntk.checks import trainable_parameters

Layers = dict[str, nn.Module | nn.Parameter]
Made = dict[str, list[tuple[nn.Module, Tensor, Tensor]]]  # layer, input, output
Supported = Callable[[nn.Module], bool]


@dataclass(frozen=True)
class Trace:
    """One layer's part in one run over c inputs.

    Attributes:
        name: The layer's name in the model, or that of a bare parameter.
        module: The layer; for a subclass, torch's layer that computes the same; how a
            bare parameter stands there.
        input: h, ``(c, ...)``, what the layer was called with.
        sensitivity: B, ``(m, c, ...)``, the derivative of each output by z.

    Source: arXiv 2606.09762, Eq. 7-8, names of the factors.
    """

    name: str
    module: nn.Module
    input: Tensor
    sensitivity: Tensor


def layers_with_parameters(model: nn.Module, supported: Supported) -> Layers | str:
    """Return the layers that hold all trainable parameters, or why there are none.

    Args:
        model: Any module.
        supported: Says whether a layer's term is known in closed form.

    Returns:
        Name to layer, or to parameter where no supported layer has it under an ordinary
        name; or a sentence about the first parameter that has two places.
    """
    trainable = {id(p) for p in trainable_parameters(model).values()}
    owners: dict[int, str] = {}
    layers: Layers = {}
    for name, module in model.named_modules():
        own = {
            key: p
            for key, p in module.named_parameters(recurse=False, remove_duplicate=False)
            if id(p) in trainable
        }
        if not own:
            continue
        known = {"weight", "bias"} if supported(module) else set()
        if known and "forward" in vars(module):
            return f"layer {name!r} has a forward of its own"
        for key, parameter in own.items():
            if id(parameter) in owners:
                return f"{owners[id(parameter)]!r} and {name!r} share a parameter"
            owners[id(parameter)] = name
            if key in known:
                layers[name] = module
            else:
                layers[f"{name}.{key}" if name else key] = parameter
    return layers


def traces(model: nn.Module, layers: Layers, inputs: Tensor) -> list[Trace] | str:
    """Run the model once and return each layer's trace, or why that is impossible.

    Args:
        model: Maps ``(c, ...)`` to ``(c, m)``.
        layers: All layers with trainable parameters, by name.
        inputs: ``(c, ...)``.

    Returns:
        One trace for each layer the outputs depend on, in the order of ``layers``, or
        a sentence that says which assumption of the closed form does not hold.
    """
    calls, outputs = _run(model, layers, inputs)
    for name, made in calls.items():
        what = "parameter" if isinstance(layers[name], Tensor) else "layer"
        if len(made) > 1:
            return f"{what} {name!r} is called {len(made)} times in a run"
        if made and (not made[0][2].requires_grad or len(made[0][1]) != len(inputs)):
            return f"{what} {name!r} runs without a gradient or not once per input"
    used = {name: made[0] for name, made in calls.items() if made}
    recorded = [(h, z) for _, h, z in used.values()]
    outside = _acts_outside(model, outputs, recorded)
    if outside is not None:
        return f"parameter {outside!r} acts outside of the layers that are known"
    sensitivities = _sensitivities(outputs, [z for _, z in recorded])
    return [
        Trace(name, module, h.detach(), b)
        for (name, (module, h, _)), b in zip(used.items(), sensitivities, strict=True)
        if b is not None
    ]


def _run(model: nn.Module, layers: Layers, inputs: Tensor) -> tuple[Made, Tensor]:
    """Run the model and return what was called with what, and the outputs.

    A layer of torch's own is seen by a hook, a subclass by the function it calls, a
    bare parameter by the call it is used in.
    """
    calls: Made = {name: [] for name in layers}

    def keep(name: str, layer: nn.Module, seen: Tensor, output: Tensor) -> Tensor:
        calls[name].append((layer, seen, output))
        # A copy goes on, so that an activation in place leaves z as it was.
        return output.clone()

    def recorder(name: str):
        def record(module, arguments, keywords, output):
            seen = [*arguments, *keywords.values()]
            return keep(name, module, seen[0], output)

        return record

    handles, owners, bare = [], {}, {}
    for name, module in layers.items():
        if isinstance(module, Tensor):
            bare[id(module)] = name
        elif type(module) in OWN or is_conv1d(module):
            hook = recorder(name)
            handles.append(
                module.register_forward_hook(hook, prepend=True, with_kwargs=True)
            )
        else:
            owners.update({id(p): name for p in module.parameters(recurse=False)})
    try:
        watched = Calls(owners, bare, keep) if owners or bare else nullcontext()
        with torch.enable_grad(), watched:
            outputs = model(inputs.detach())
    finally:
        for handle in handles:
            handle.remove()
    return calls, outputs


def _acts_outside(model: nn.Module, outputs: Tensor, recorded) -> str | None:
    """Return a parameter that acts elsewhere than in a layer's z, or None.

    The recorded graph is walked from the outputs and from each layer's input; the walk
    stops at a layer's output. If it still meets a trainable parameter, that parameter
    is used by something else than its layer. One that it never meets does nothing.
    """
    trainable = {id(p): name for name, p in trainable_parameters(model).items()}
    stop = {z.grad_fn for _, z in recorded}
    waiting = [outputs.grad_fn, *(h.grad_fn for h, _ in recorded)]
    waiting += [None if h.grad_fn or not h.requires_grad else h for h, _ in recorded]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen or node in stop:
            continue
        leaf = node if isinstance(node, Tensor) else getattr(node, "variable", None)
        if isinstance(node, Tensor) or id(leaf) in trainable:
            return trainable.get(id(leaf), "that is an input")
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
    return None


def _sensitivities(outputs: Tensor, said: list[Tensor]) -> tuple[Tensor | None, ...]:
    """Return df_a/dz for all outputs a, ``(m, c, ...)`` for each z, None if f has none.

    Each output is summed over the batch: the inputs do not interact, so the derivative
    by one input's z is that input's own.
    """
    if not said:
        return ()
    count, num_outputs = outputs.shape
    each = torch.eye(num_outputs, dtype=outputs.dtype, device=outputs.device)
    each = each.unsqueeze(1).expand(-1, count, -1).contiguous()
    try:
        return torch.autograd.grad(
            outputs,
            said,
            each,
            retain_graph=True,  # for the passes below
            is_grads_batched=True,
            allow_unused=True,
        )
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        # Some backward formulas cannot be batched: one pass for each output.
        with torch.enable_grad():
            passes = [
                torch.autograd.grad(
                    outputs, said, one, retain_graph=True, allow_unused=True
                )
                for one in each
            ]
        return tuple(
            None if z[0] is None else torch.stack(z) for z in zip(*passes, strict=True)
        )
