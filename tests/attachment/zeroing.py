"""Whether replacing a unit does what it promises, found out without the tracer."""

import copy
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from isometry.methods.resets.units import by_unit


def outputs_of(model, args, kwargs):
    """Return the floating point outputs of one call, of the same random numbers."""
    torch.manual_seed(0)
    # Models of transformers draw masks from NumPy's global state.
    np.random.seed(0)  # noqa: NPY002
    with torch.no_grad():
        found = model(*args, **kwargs)
    leaves = torch.utils._pytree.tree_leaves(found)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def zero_outgoing_(model, wiring, layer, unit, units):
    owned = dict(model.named_parameters())
    with torch.no_grad():
        for name in layer.outgoing:
            view = wiring.views[name]
            by_unit(view.of(owned[view.parameter]), units)[:, :, unit] = 0


def redraw_incoming_(model, wiring, layer, unit):
    owned = dict(model.named_parameters())
    with torch.no_grad():
        for name in (layer.weight, *layer.vectors()):
            view = wiring.views[name]
            view.of(owned[view.parameter])[:, unit] += 3.0


class UnseenError(AssertionError):
    """Nothing in a pass was equal to a layer's activations, in a layout known here."""


class _Forcing(TorchFunctionMode):
    """Sets a unit to zero in what is equal to its layer's activations."""

    def __init__(self, point, unit):
        super().__init__()
        self.point, self.unit, self.expected, self.hits = point, unit, None, 0

    def zeroed(self, activations):
        """In place, for whoever holds the same tensor: a nonlinearity may be so."""
        self.hits += 1
        activations.select(self.point.dim, self.unit).zero_()
        return activations

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        expected = self.expected
        if expected is None or not isinstance(out, Tensor):
            return out
        if out.numel() != expected.numel() or out.dtype != expected.dtype:
            return out
        if out.shape == expected.shape and torch.equal(out, expected):
            return self.zeroed(out)
        if not torch.equal(sorted_(out), sorted_(expected)):
            return out
        # In another layout: real numbers that are equal are the same entry.
        own = expected.select(self.point.dim, self.unit).reshape(-1)
        if torch.isin(expected, own[own != 0]).sum() == (own != 0).sum():
            self.hits += 1
            out.masked_fill_(torch.isin(out, own), 0)
        return out


def sorted_(tensor):
    return tensor.flatten().sort().values


@contextmanager
def forced(model, point, unit):
    """Inside the block a unit's activation is zero wherever the model runs."""
    mode = _Forcing(point, unit)

    def at_once(module, args, output):
        return mode.zeroed(output)

    def soon(module, args, output):
        mode.expected = None
        mode.expected = point.function(output.clone())

    hook = at_once if point.function is None else soon
    handle = model.get_submodule(point.module).register_forward_hook(hook)
    try:
        with mode:
            yield
        if not mode.hits:
            raise UnseenError(point)
    finally:
        handle.remove()


def check_units(model, wiring, args, kwargs, *, most=2, tolerance=1e-9):
    """Assert for some units of each layer what replacing them relies on.

    Zero outgoing weights are the same as zero activations; after that, incoming weights
    change nothing, unless a norm before the nonlinearity mixes units.
    """
    plain = outputs_of(copy.deepcopy(model), args, kwargs)
    for layer, point in zip(wiring.structure.layers, wiring.points, strict=True):
        owned = dict(model.named_parameters())
        view = wiring.views[layer.weight]
        units = view.of(owned[view.parameter]).shape[1]
        order = torch.randperm(units, generator=torch.Generator().manual_seed(1))
        moved = False
        for unit in order[:most].tolist():
            zeroed, patched = copy.deepcopy(model), copy.deepcopy(model)
            zero_outgoing_(zeroed, wiring, layer, unit, units)
            with forced(patched, point, unit):
                expected = outputs_of(patched, args, kwargs)
            found = outputs_of(zeroed, args, kwargs)
            for one, other in zip(found, expected, strict=True):
                scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
                torch.testing.assert_close(
                    one, other, rtol=0, atol=tolerance * scale, msg=str((layer, unit))
                )
            moved |= any(
                not torch.equal(one, other)
                for one, other in zip(found, plain, strict=True)
            )
            if layer.weight in mixing_layers(model, layer):
                continue
            redraw_incoming_(zeroed, wiring, layer, unit)
            again = outputs_of(zeroed, args, kwargs)
            for one, other in zip(again, found, strict=True):
                assert torch.equal(one, other), (layer, unit)
        yield layer.weight, moved


def mixing_layers(model, layer):
    """Return the layer's weight if a norm over units follows it, else nothing."""
    if layer.gain is None:
        return ()
    norm = model.get_submodule(layer.gain.rpartition(".")[0])
    mixing = torch.nn.LayerNorm, torch.nn.GroupNorm
    return (layer.weight,) if isinstance(norm, mixing) else ()
