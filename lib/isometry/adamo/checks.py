"""What a group of AdamO's parameters may say, and what is refused."""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from isometry.adamo.flow import max_stable_rate, strength_for_relaxation
from isometry.adamo.pull import ISOMETRY_KEYS, TABLE, entries_of
from isometry.core.messages import refusal, unknown
from isometry.weights import has_matrix

Test = Callable[[Any], bool]


# float16 is left out: eps=1e-8 is zero in it, and a step of zero over zero is NaN.
PRECISIONS = (torch.bfloat16, torch.float32, torch.float64)


def _number(value: Any, test: Callable[[float], bool]) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real | Tensor):
        return False
    if isinstance(value, Tensor) and value.numel() != 1:
        return False
    return test(float(value))


def _whole(value: Any, least: int) -> bool:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and value >= least


def _not_negative(value: Any) -> bool:
    return _number(value, lambda x: 0 <= x < math.inf)


def _decays(value: Any) -> bool:
    pair = isinstance(value, tuple | list) and len(value) == 2
    return pair and all(_number(b, lambda x: 0 <= x < 1) for b in value)


# key -> (test, what is needed, what to do)
RANGES: dict[str, tuple[Test, str, str]] = {
    "lr": (_not_negative, "a finite lr >= 0", "pass e.g. lr=1e-3"),
    "betas": (_decays, "two betas in [0, 1)", "pass e.g. betas=(0.9, 0.999)"),
    "eps": (_not_negative, "a finite eps >= 0", "pass e.g. eps=1e-8"),
    "weight_decay": (
        _not_negative,
        "a finite weight_decay >= 0",
        "pass e.g. weight_decay=0.0",
    ),
    "isometry_strength": (
        lambda x: not isinstance(x, Tensor) and _not_negative(x),
        "a finite isometry_strength >= 0",
        "pass a number, 0 for plain AdamW",
    ),
    "isometry_lr": (
        lambda x: x is None or _not_negative(x),
        "isometry_lr None or finite and >= 0",
        "pass None to follow lr",
    ),
    "isometry_every": (
        lambda x: x == "auto" or _whole(x, 1),
        "a whole isometry_every >= 1, or 'auto'",
        "pass 1 for a step every time",
    ),
    "isometry_dims": (
        lambda x: _whole(x, 0),
        "a whole isometry_dims >= 0",
        "pass the number of leading member dimensions",
    ),
}


def as_python(value: Any) -> Any:
    """Return a number of another package, such as numpy's, as one of Python's.

    Args:
        value: Anything; a tuple or list of numbers becomes one of Python's numbers.

    Example:
        >>> import numpy
        >>> as_python(numpy.int64(2)), as_python((numpy.float64(0.5), 0.9))
        (2, (0.5, 0.9))
    """
    if isinstance(value, tuple | list):
        return type(value)(as_python(each) for each in value)
    if type(value) in (bool, int, float) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def read_group(group: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Bring what a caller wrote into a group into its one form, in place.

    Numbers become Python's, and ``relaxation_steps`` becomes a strength.

    Args:
        group: Keywords of a group, or of the constructor.
        defaults: What holds for keys that the group lacks.

    Raises:
        ValueError: If a key is misspelt, or the time cannot be met.
    """
    for key in group:
        if key.startswith("isometry_") and key not in (*ISOMETRY_KEYS, TABLE):
            raise ValueError(unknown("key of a group", key, ISOMETRY_KEYS))
    for key in RANGES.keys() & group.keys():
        group[key] = as_python(group[key])
    steps = as_python(group.pop("relaxation_steps", None))
    if steps is None:
        return
    if "isometry_strength" in group:
        raise ValueError(
            refusal(
                "relaxation_steps or isometry_strength",
                "both",
                "leave one out; each follows from the other",
            )
        )
    chosen = {**defaults, **group}
    check_ranges(chosen)
    rate = chosen["isometry_lr"]
    rate = float(chosen["lr"] if rate is None else rate)
    group["isometry_strength"] = strength_for_relaxation(steps, rate)


def check_ranges(group: dict[str, Any]) -> None:
    """Refuse a value out of its range.

    Args:
        group: Keywords by name; those without a range are not looked at.

    Raises:
        ValueError: Names the first such value: needed, found, do this.
    """
    for key, (test, needed, do) in RANGES.items():
        if key in group and not test(group[key]):
            raise ValueError(refusal(needed, f"{key}={group[key]!r}", do))


def check_stable(group: dict[str, Any]) -> None:
    """Refuse a rate that cannot be stable even at isometry, and a decay that erases.

    Args:
        group: A complete group of parameters.

    Raises:
        ValueError: If ``isometry_lr * isometry_strength * isometry_every`` exceeds
            :func:`max_stable_rate` at sigma = 1, ``lr * weight_decay >= 1``, or
            ``isometry_every="auto"`` meets a rate that is a tensor.

    Source: ours, see :func:`max_stable_rate`.
    """
    lr = float(group["lr"])
    chosen = group["isometry_lr"]
    isometry_lr = lr if chosen is None else float(chosen)
    every = group["isometry_every"]
    if every == "auto":
        if isinstance(group["lr"] if chosen is None else chosen, Tensor):
            raise ValueError(
                refusal(
                    "a number as learning rate for isometry_every='auto'",
                    "a tensor, which may change on its device",
                    "pass a number, or a whole isometry_every",
                )
            )
        every = 1
    rate = isometry_lr * group["isometry_strength"] * every
    limit = max_stable_rate(1.0)
    if rate > limit:
        raise ValueError(
            refusal(
                f"isometry_lr * isometry_strength * isometry_every <= {limit}",
                f"{isometry_lr:g} * {group['isometry_strength']:g} * "
                f"{every} = {rate:g}",
                "lower one of the three; above it even an isometry is unstable",
            )
        )
    if lr * group["weight_decay"] >= 1:
        raise ValueError(
            refusal(
                "lr * weight_decay < 1",
                f"{lr:g} * {group['weight_decay']:g}",
                "lower one of the two; the decay would erase the weights",
            )
        )


def check_weights(group: dict[str, Any], asked: bool) -> None:
    """Refuse weights that are not finite, and a request that no parameter can meet.

    Args:
        group: A complete group of parameters.
        asked: Whether this group itself, not the defaults, asks for the isometry step.

    Raises:
        ValueError: If a weight holds NaN or infinity or is of eight bits, if FSDP1 has
            flattened it, if the group asks for a strength or for member dimensions but
            holds no matrix.
    """
    dims = group["isometry_dims"]
    matrices, lazy = [], False
    for weight, entry in zip(group["params"], entries_of(group), strict=True):
        if entry.why:
            continue
        if is_lazy(weight):
            lazy = True
        elif has_matrix(weight, dims + entry.members):
            matrices.append(weight)
    if not matrices and not lazy and group["params"] and (asked or dims > 0):
        raise ValueError(
            refusal(
                f"a parameter of at least {dims + 2} dimensions in a group with "
                f"isometry_strength={group['isometry_strength']:g}, "
                f"isometry_dims={dims}",
                f"shapes {[tuple(p.shape) for p in group['params']]}",
                "set isometry_strength=0 for this group, or lower isometry_dims",
            )
        )
    for parameter in group["params"]:
        _check_whole(parameter)
    for weight in matrices:
        _check_entries(weight)


def _check_whole(parameter: Tensor) -> None:
    """Refuse the flat parameters of FSDP1, and what it shows of them."""
    flat = getattr(parameter, "_is_flat_param", False)
    if flat or getattr(parameter, "_fsdp_flattened", False):
        raise ValueError(
            refusal(
                "weights that keep their shape",
                "a flat parameter of FullyShardedDataParallel",
                "use torch.distributed.fsdp.fully_shard, or isometry_strength=0",
            )
        )


def _check_entries(weight: Tensor) -> None:
    """Refuse a weight whose precision or whose entries cannot be pulled."""
    if weight.dtype not in PRECISIONS:
        raise ValueError(
            refusal(
                "weights of bfloat16, float32 or float64",
                f"{weight.dtype} in a weight of shape {tuple(weight.shape)}",
                "keep it in float32 under autocast, in bfloat16, or set "
                "isometry_strength=0 for its group",
            )
        )
    if weight.is_meta:
        return
    if not bool(torch.isfinite(weight).all()):
        raise ValueError(
            refusal(
                "finite weights",
                f"NaN or infinity in a weight of shape {tuple(weight.shape)}",
                "look at the initialisation or the checkpoint",
            )
        )
    held = torch.float64 if weight.dtype == torch.float64 else torch.float32
    norm = float(torch.linalg.vector_norm(weight.detach(), dtype=held))
    if norm > torch.finfo(held).max ** 0.25:
        raise ValueError(
            refusal(
                f"weights whose Gram matrix has a square in {held}",
                f"a norm of {norm:.1e} in a weight of shape {tuple(weight.shape)}",
                "scale it down, or set isometry_strength=0 for its group",
            )
        )
