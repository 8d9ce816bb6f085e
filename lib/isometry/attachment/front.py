"""``isometry.attach``: a method by its name on a model and an optimiser."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from isometry.attachment.architecture import change_architecture
from isometry.attachment.attached import Attached, is_attached
from isometry.attachment.binding import Binding
from isometry.attachment.building import wire
from isometry.attachment.wiring import Initialise, Wiring
from isometry.core.messages import refusal
from isometry.core.settings import changed, keys
from isometry.methods import METHODS, AdamSettings, Method, get
from isometry.methods.method import adam

COUNTED = ("cbp",)  # their own Adam counts steps by entries; any other serves as well


def attach(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    method: str,
    *,
    inputs: Any = None,
    lr: float | None = None,
    seed: int = 0,
    initialise: Initialise | None = None,
    wiring: Wiring | None = None,
    process_group: Any = None,
    **settings: Any,
) -> Attached:
    """Put a method to work on a model and an optimiser, in a training loop of any kind.

    The loss gets ``plastic.penalty()`` on top, ``plastic.step()`` follows each
    ``optimizer.step()``, and ``plastic.new_task()`` opens each task but the first.

    Layers, and who reads them, are found by following one forward pass: the first one
    in training mode, or one with ``inputs`` at once. Where the pass leaves open which
    entries belong to a unit, units of that layer are not replaced, and ``report()``
    says why. Frozen parameters, and those that the optimiser does not hold, are left
    alone; so is, by methods that work towards isometry, a parameter whose attribute
    ``isometry`` is False.

    Args:
        model: The network, also one under ``torch.compile`` or
            ``DistributedDataParallel``. Attach before it is compiled, with ``inputs``.
        optimizer: Any of torch's over the model's parameters; None: the method's own,
            which is ``plastic.optimizer`` then.
        method: A name from ``isometry list methods``, or several: ``"redo+l2_init"``.
        inputs: A minibatch for the first look at the model: a tensor, a tuple of
            arguments, or a dictionary of keyword arguments.
        lr: Learning rate of the method's own optimiser, > 0.
        seed: Of what the method draws; processes that train one model take the same.
        initialise: ``(model, generator)``: draws the model's parameters anew in place,
            for methods that ask for a new network. None: ``reset_parameters`` of each
            module.
        wiring: What the model's parameters and layers are, instead of finding out.
        process_group: The processes that train this model, whose activations are looked
            at together; None: those of ``DistributedDataParallel``, if it is that.
        **settings: The method's own.

    Returns:
        The attached method.

    Raises:
        KeyError: For a method or a setting that is not known.
        TypeError: If the optimiser is not one of torch's.
        ValueError: If the method cannot work on this model or with this optimiser, if
            something is attached already, or a setting is out of range.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> plastic = attach(model, sgd, "redo+l2_init", redo_every=100)
        >>> loss = model(torch.ones(1, 4)).sum() + plastic.penalty()
        >>> loss.backward(); sgd.step(); plastic.step()
    """
    chosen = get(method)
    root, found_group = _unwrapped(model)
    _check_model(root)
    optimizer = _torch_optimizer(optimizer)
    own = _settings(chosen, optimizer, lr, settings)
    look, wired = _arguments(inputs), partial(_wired, root, initialise)
    _spared(root, optimizer)  # refuses before anything is changed
    if wiring is None:
        change_architecture(root, optimizer, chosen, own, look, wired)
        if look is not None:
            wiring = wired(*look)
    if wiring is None and optimizer is None:
        needed = "inputs= where the method brings its optimiser"
        raise ValueError(refusal(needed, "none", "pass a minibatch"))
    binding = Binding(
        root,
        optimizer,
        chosen,
        own,
        spared=_spared(root, optimizer),
        to_isometry=chosen.to_isometry,
        beside=optimizer is not None and "adamo" in _optimisers(chosen),
        lr=float(lr if optimizer is None else optimizer.param_groups[0]["lr"]),  # type: ignore[arg-type]
        seed=seed,
        group=process_group or found_group,
    )
    return Attached(binding, wired, wiring)


def _unwrapped(model: nn.Module) -> tuple[nn.Module, Any]:
    """Return the model inside torch's wrappers, and the processes that share it."""
    group = None
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            group, model = model.process_group, model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model, group


def _check_model(model: nn.Module) -> None:
    """Refuse what cannot be attached to."""
    found = do = ""
    if is_attached(model):
        found = "one with a method attached"
        do = 'detach() that, or name both in one call: "redo+l2_init"'
    elif isinstance(model, nn.DataParallel):
        found, do = "DataParallel, which copies it", "use DistributedDataParallel"
    for name, parameter in model.named_parameters():
        if nn.parameter.is_lazy(parameter):
            found, do = f"a lazy {name!r}", "call the model once before"
        elif hasattr(parameter, "full_tensor") or hasattr(parameter, "_is_flat_param"):
            found, do = f"a sharded {name!r}", "use DistributedDataParallel"
    if found:
        needed = "a model of whole parameters with nothing attached"
        raise ValueError(refusal(needed, found, do))


def _torch_optimizer(optimizer: Any) -> torch.optim.Optimizer | None:
    """Return torch's optimiser, also out of the wrapper of another library."""
    inner = getattr(optimizer, "optimizer", None)
    if isinstance(inner, torch.optim.Optimizer):
        return inner
    if optimizer is None or isinstance(optimizer, torch.optim.Optimizer):
        return optimizer
    found = type(optimizer).__name__
    raise TypeError(refusal("a torch optimiser, or None", found, "pass e.g. SGD"))


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Return the arguments of a forward pass."""
    if inputs is None:
        return None
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)), {}


def _parts(method: Method) -> list[Method]:
    """Return the methods that a method is a combination of, or itself."""
    return [METHODS.get(name) for name in method.parts] or [method]


def _optimisers(method: Method) -> set[str]:
    """Return the names of its parts that bring an optimiser."""
    return {part.name for part in _parts(method) if part.optimizer is not adam}


def _settings(
    method: Method,
    optimizer: torch.optim.Optimizer | None,
    lr: float | None,
    given: dict[str, Any],
) -> Any:
    """Return the method's settings; refuse what does not go with the optimiser."""
    if "maxmin_start" in keys(method.settings):
        start = given.setdefault("maxmin_start", "network")
        if start != "network":
            needed = "maxmin_start=network on a model that is there"
            do = "draw its weights with torch.nn.init.orthogonal_ first"
            raise ValueError(refusal(needed, repr(start), do))
    own = changed(method.settings, given)
    if optimizer is None:
        if lr is None or not lr > 0:
            needed = f"lr > 0 for the optimiser that {method.name} brings"
            raise ValueError(refusal(needed, lr, "pass lr=1e-3, or an optimizer"))
        return own
    kind = type(optimizer).__name__
    alone = sorted(_optimisers(method) - {"adamo", *COUNTED})
    if alone:
        needed = f"optimizer=None for {alone[0]}, which is an optimiser itself"
        raise ValueError(refusal(needed, kind, "pass None and lr"))
    twice = [key for key in ("lr", *keys(AdamSettings)) if key in given]
    if lr is not None or twice:
        needed = "no settings of an optimiser beside one"
        found = f"{kind} and {twice[0] if twice else 'lr'}"
        raise ValueError(refusal(needed, found, f"set it in {kind}"))
    return own


def _spared(
    model: nn.Module, optimizer: torch.optim.Optimizer | None
) -> dict[str, str]:
    """Return the names of parameters to leave alone -> why."""
    named = dict(model.named_parameters())
    spared = {name: "it is frozen" for name, p in named.items() if not p.requires_grad}
    if len(spared) == len(named):
        needed = "a parameter that needs a gradient"
        raise ValueError(refusal(needed, "none", "unfreeze a layer"))
    if optimizer is not None:
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        trained = {name: p for name, p in named.items() if name not in spared}
        other = [name for name, p in trained.items() if id(p) not in held]
        if len(other) == len(trained):
            needed = "an optimiser of this model's parameters"
            found = f"{type(optimizer).__name__} of others"
            do = "make it from model.parameters(), after the model is moved or copied"
            raise ValueError(refusal(needed, found, do))
        spared |= dict.fromkeys(other, "the optimiser does not hold it")
    return spared


def _wired(
    model: nn.Module,
    initialise: Initialise | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Wiring:
    """Return the model's wiring, which does not depend on marks of isometry."""
    marked = [p for p in model.parameters() if getattr(p, "isometry", None) is False]
    for parameter in marked:
        del parameter.isometry  # type: ignore[attr-defined]
    try:
        return wire(model, args, kwargs, initialise=initialise)
    finally:
        for parameter in marked:
            parameter.isometry = False  # type: ignore[attr-defined]
