"""What parameters are by their names, and how a new network draws them."""

from collections.abc import Callable, Sequence
from math import prod, sqrt

import torch

from isometry.core.messages import refusal
from isometry.core.seeding import Label, generator
from isometry.core.stacking import Parameters
from isometry.methods.structure import DOUBLED, Architecture, Layer, Role, Structure

Shapes = dict[str, tuple[int, ...]]  # parameter name -> shape of one member's

KAIMING = ("kaiming", "kaiming_uniform")  # one variance, a normal and a uniform law
POSITIONS = 0.02  # standard deviation of a new position's entries


def role_of(name: str) -> Role:
    """Return what the parameter of that name is.

    Args:
        name: As in a network's ``shapes()``.
    """
    kind = name.rpartition(".")[2]
    if kind in ("gain", "offset"):
        return kind  # type: ignore[return-value]
    if kind == "bias":
        return "vector"
    if kind == "alpha":
        return "spared"
    if name.startswith("embed"):
        return "embedding"
    return "head" if name.startswith("head") else "hidden"


def _entries(shapes: Shapes) -> int:
    """Return the number of entries of all parameters together."""
    return sum(map(prod, shapes.values()))


def tapered(units: int, architecture: Architecture, layer: int) -> int:
    """Return the number of units of a hidden layer, at least one.

    Args:
        units: Of the first one.
        architecture: How they taper.
        layer: Which one, from 0.
    """
    return max(1, round(units * architecture.taper**layer))


def check_pairs(architecture: Architecture) -> None:
    """Refuse MaxMin on an odd number of units, which do not make pairs.

    Args:
        architecture: Names activation and width.

    Raises:
        ValueError: If they do not fit.
    """
    if architecture.activation != "maxmin":
        return
    differ = architecture.depth if architecture.taper != 1 else 1
    widths = (
        tapered(architecture.width, architecture, layer)
        for layer in range(max(1, differ))
    )
    odd = next((width for width in widths if width % 2), None)
    if odd is not None:
        needed = "an even width for maxmin"
        raise ValueError(refusal(needed, odd, "change width or activation"))


def units_of(architecture: Architecture, shapes: Callable[[int, int], Shapes]) -> int:
    """Return the number of units that stands for the width, see :class:`Architecture`.

    Args:
        architecture: Says what is held: the width, half of it, or all parameters.
        shapes: ``(units, outputs of a unit) -> Shapes`` of the whole network.
    """
    width = architecture.width
    if architecture.units == "width":
        return width
    if architecture.units == "half":
        return max(1, width // 2)
    outputs, most = outputs_of(architecture), _entries(shapes(width, 1))
    fits = (n for n in range(width, 1, -1) if _entries(shapes(n, outputs)) <= most)
    return next(fits, 1)


def outputs_of(architecture: Architecture) -> int:
    """Return how many outputs a unit has: two for CReLU and Fourier features.

    Args:
        architecture: Names the activation.
    """
    return 2 if architecture.activation in DOUBLED else 1


def _gain_of(name: str, architecture: Architecture) -> float:
    """Return the gain of a drawn weight: hidden weights have one, all others 1.

    Source: Saxe et al. 2014; He et al. 2015, Eq. 10.

    Example:
        >>> from isometry.methods.combine import ANY
        >>> _gain_of("head.weight", ANY)
        1.0
    """
    if role_of(name) != "hidden" or architecture.init == "default":
        return 1.0
    return sqrt(2) if architecture.init in KAIMING else architecture.init_gain


def spread_of(name: str, shape: tuple[int, ...], architecture: Architecture) -> float:
    """Return the standard deviation of a freshly drawn entry of a weight.

    Args:
        name: Says whether it is a hidden weight.
        shape: ``(out, in, ...)``; a kernel is the matrix ``(out, in * k * k)``.
        architecture: Initialisation and gain.
    """
    out, fan_in = shape[0], prod(shape[1:])
    if architecture.init == "default":
        return 1 / sqrt(3 * fan_in)
    sides = fan_in if architecture.init in KAIMING else max(out, fan_in)
    return _gain_of(name, architecture) / sqrt(sides)


def fresh_member(
    shapes: Shapes, architecture: Architecture, seed: int, *labels: Label
) -> Parameters:
    """Return one member's parameters, each drawn from its own generator.

    Orthogonal weights have the gain on hidden layers and gain 1 elsewhere, and zero
    biases; a kernel is orthogonal as the matrix ``(out, in * k * k)``. ``default`` is
    what ``torch.nn.Linear`` and ``torch.nn.Conv2d`` draw. ``kaiming`` weights are
    normal with standard deviation ``sqrt(2 / fan_in)`` in hidden layers, whatever their
    nonlinearity, as ``torch.nn.init.kaiming_normal_`` draws them for a ReLU, and
    ``sqrt(1 / fan_in)`` in heads and embeddings, with zero biases; a transformer's
    attention counts as hidden. ``kaiming_uniform`` weights have these variances and are
    uniform: up to ``sqrt(6 / fan_in)`` in hidden layers, ``sqrt(3 / fan_in)`` in heads
    and embeddings. A normalisation starts with gains one and offsets zero;
    positions are normal, with :data:`POSITIONS`.

    Args:
        shapes: Of one member.
        architecture: Initialisation and gain.
        seed: The member's seed.
        *labels: Which network of that seed, e.g. the task for a fresh one.

    Returns:
        name -> a tensor of its shape, float32.

    Source: Saxe et al. 2014 for orthogonal weights; He et al. 2015 for kaiming;
        Dosovitskiy et al. 2021 for positions.
    """
    parameters = {}
    for name, shape in shapes.items():
        tensor = torch.zeros(shape)
        if name.endswith(("gain", "offset")):
            parameters[name] = tensor.fill_(name.endswith("gain"))
            continue
        if name.endswith("alpha"):
            parameters[name] = tensor.fill_(architecture.alpha or 0.0)
            continue
        draw = generator(seed, "init", name, *labels)
        if name.endswith("positions"):
            parameters[name] = tensor.normal_(0, POSITIONS, generator=draw)
            continue
        if architecture.init == "default":
            fan_in = prod(shapes[name.replace("bias", "weight")][1:])
            bound = fan_in**-0.5
            tensor.uniform_(-bound, bound, generator=draw)
        elif len(shape) >= 2 and architecture.init == "kaiming":
            tensor.normal_(0, spread_of(name, shape, architecture), generator=draw)
        elif len(shape) >= 2 and architecture.init == "kaiming_uniform":
            bound = sqrt(3) * spread_of(name, shape, architecture)
            tensor.uniform_(-bound, bound, generator=draw)
        elif len(shape) >= 2:
            gain = _gain_of(name, architecture)
            torch.nn.init.orthogonal_(tensor, gain, generator=draw)
        parameters[name] = tensor
    return parameters


def layer_of(
    name: str, shapes: Shapes, outgoing: Sequence[str] = (), places: int = 1
) -> Layer:
    """Return a layer as methods see it.

    Args:
        name: ``<name>.weight`` and what there is of bias, gain and offset belong to it.
        shapes: Of one member.
        outgoing: The weights that read its units.
        places: At how many places of an image its units act.
    """
    own = {key: f"{name}.{key}" for key in ("weight", "bias", "gain", "offset")}
    own = {key: full for key, full in own.items() if full in shapes}
    return Layer(**own, outgoing=tuple(outgoing), places=places)


def chain_structure(
    architecture: Architecture,
    shapes: Shapes,
    fresh: Callable[..., Parameters],
    places: Sequence[int],
) -> Structure:
    """Return hidden layers that read one another, and a head, as methods see them.

    Args:
        architecture: Of the network.
        shapes: ``hidden.0.weight``, ..., ``head.weight``, ``head.bias``.
        fresh: ``(seed, *labels) -> Parameters``.
        places: Of each hidden layer, at how many places of an image its units act.
    """
    names = [*(f"hidden.{i}" for i in range(architecture.depth)), "head"]
    weights = [f"{name}.weight" for name in names]
    return Structure(
        roles={name: role_of(name) for name in shapes},
        layers=tuple(
            layer_of(names[i], shapes, [weights[i + 1]], places[i])
            for i in range(architecture.depth)
        ),
        heads=(layer_of("head", shapes),),
        activation=architecture.activation,
        spread={n: spread_of(n, shapes[n], architecture) for n in weights},
        fresh=fresh,
    )
