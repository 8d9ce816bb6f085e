"""When a group of parameters is pulled, and how far: what optimisers share."""

import warnings
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from isometry.adamo.flow import amortised_every, max_stable_rate
from isometry.adamo.step import isometry_change, isometry_steps_
from isometry.core.messages import refusal
from isometry.weights import Operator, by_shape, has_matrix, marked, split

# Keys of a group: four settings, and two counters that belong to its state.
ISOMETRY_KEYS = (
    "isometry_strength",
    "isometry_lr",
    "isometry_every",
    "isometry_dims",
    "isometry_count",
    "isometry_due",
)
TABLE = "isometry_table"  # what each parameter of a group is; belongs to the model


class Entry(NamedTuple):
    """What a group says of one of its parameters, in plain values.

    Args:
        kind: As in :class:`isometry.weights.Operator`, like all but the last.
        why: Why it is not pulled; empty where it is.
        members: Leading dimensions that count members, beside those of the group.
        parts: Number of its matrices, or their sizes.
        axis: Along which they lie.
        place: Its place among the parameters of the model, or -1.
    """

    kind: str
    why: str
    members: int
    parts: int | tuple[int, ...]
    axis: int
    place: int

    @classmethod
    def of(cls, operator: Operator, place: int = -1) -> Self:
        """Return what a group says of a parameter.

        Args:
            operator: What the parameter is.
            place: Its place among the parameters of the model.
        """
        found = operator
        return cls(found.kind, found.why, found.members, found.parts, found.axis, place)


Pulled = tuple[Tensor, Entry]


def isometry_defaults(
    isometry_strength: float,
    isometry_lr: float | Tensor | None,
    isometry_every: int | str,
) -> dict[str, Any]:
    """Return what a group has under :data:`ISOMETRY_KEYS` unless it says otherwise.

    Args:
        isometry_strength: lambda.
        isometry_lr: eta_iso, or None to follow lr.
        isometry_every: k, or ``"auto"``.
    """
    values = (isometry_strength, isometry_lr, isometry_every, 0, 0, 0.0)
    return dict(zip(ISOMETRY_KEYS, values, strict=True))


def entries_of(group: dict[str, Any]) -> list[Entry]:
    """Return what each parameter of a group is, in their order.

    Args:
        group: A group of parameters. Without a table, or with one that another set of
            parameters had, their own attributes and shapes decide.
    """
    table = group.get(TABLE)
    if table is not None and len(table) == len(group["params"]):
        return [Entry(*row) for row in table]
    dims = group.get("isometry_dims", 0)
    return [Entry.of(marked(p, dims) or by_shape(p, dims)) for p in group["params"]]


def pieces_of(group: dict[str, Any], period: int) -> int:
    """Return into how many pieces at most a step that is due may be divided.

    With ``"auto"`` as many as steps have gone by: then the work never exceeds that of
    a step every time, and weights far from isometry come as near to its result. A whole
    number is one long step, as asked for.

    Args:
        group: A complete group.
        period: From :func:`rate_due`.
    """
    return period if group["isometry_every"] == "auto" else 1


def rate_due(group: dict[str, Any], *, in_graph: bool) -> tuple[float | Tensor, int]:
    """Count one step and return the rate that is due now, and the period.

    A group whose ``lr`` is zero rests: it is not pulled, and nothing is counted, also
    where ``isometry_lr`` is not zero. torch's distributed checkpoints make the state of
    an optimiser by such a step.

    Args:
        group: A complete group; its counters are advanced, unless in a graph.
        in_graph: Whether Python's branches are being frozen: then the rate of a k-th
            step is returned every time, and the caller decides on the device.

    Returns:
        ``(rate, k)``; the rate is 0.0 where no step is due.

    Source: ours. With ``"auto"`` the rates of the steps between are added up, so that
        a schedule is followed exactly. In a graph, where waiting saves no work, it is a
        step every time.
    """
    chosen = group["isometry_lr"]
    lr: Any = group.get("lr", chosen)  # a few optimisers have none
    # A tensor on an accelerator would have to be waited for.
    undecided = isinstance(lr, Tensor) and (in_graph or lr.device.type != "cpu")
    if not undecided and float(lr) == 0:
        return 0.0, 1
    rate = lr if chosen is None else chosen
    if undecided and chosen is not None:
        rate = rate * (lr != 0)
    if not isinstance(rate, Tensor):
        rate = float(rate)
    strength, every = float(group["isometry_strength"]), group["isometry_every"]
    if every == "auto":
        if in_graph:
            return rate * strength, 1
        period = amortised_every(strength, float(rate))
        group["isometry_count"] += 1
        group["isometry_due"] += rate * strength
        if group["isometry_count"] < period:
            return 0.0, period
        due = group["isometry_due"]
        group["isometry_count"], group["isometry_due"] = 0, 0.0
        return due, period
    if every > 1 and not in_graph:
        group["isometry_count"] += 1
        if group["isometry_count"] % every:
            return 0.0, every
    return rate * strength * every, every


def skipped(optimizer: torch.optim.Optimizer) -> Tensor | bool | None:
    """Return whether a GradScaler says that this step is not taken.

    Args:
        optimizer: Fused kernels are told by an attribute, and skip on the device.

    Returns:
        A bool if steps are counted, for which an accelerator has to be waited for;
        else the scaler's own tensor, 1 where the step is skipped, or None.
    """
    found_inf = getattr(optimizer, "found_inf", None)
    if found_inf is None or torch.compiler.is_compiling():
        return found_inf
    counted = any(
        group.get("isometry_every", 1) != 1 and not in_graph(group)
        for group in optimizer.param_groups
        if group.get("isometry_strength", 0) > 0
    )
    return bool(found_inf) if counted else found_inf


def warn_of_rate(optimizer: torch.optim.Optimizer, rate: float | Tensor) -> None:
    """Warn once if a schedule has lifted the rate past the limit of stability.

    Args:
        optimizer: Remembers that it has warned.
        rate: eta_iso * lambda * k of a step; a tensor is not looked at.
    """
    limit = max_stable_rate(1.0)
    if isinstance(rate, Tensor) or rate <= limit:
        return
    if not optimizer.__dict__.get("_isometry_warned"):
        optimizer.__dict__["_isometry_warned"] = True
        warnings.warn(
            refusal(
                f"isometry_lr * isometry_strength * isometry_every <= {limit}",
                f"{rate:.3g}, lifted by a schedule of the learning rate",
                "give isometry_lr or a lower strength; even an isometry is unstable",
            ),
            stacklevel=4,
        )


def pulled(group: dict[str, Any]) -> list[Pulled]:
    """Return the weights of a group that this step concerns, and what they are.

    Those are the matrices that have a gradient which is not sparse: a parameter that
    the optimiser leaves alone is left alone.

    Args:
        group: A complete group.
    """
    dims, params = group["isometry_dims"], group["params"]
    table = group[TABLE]
    if len(table) != len(params):
        table = entries_of(group)
    found = []
    for weight, row in zip(params, table, strict=True):
        if row[1] or (gradient := weight.grad) is None or gradient.is_sparse:
            continue
        entry = Entry(*row)
        if has_matrix(weight, dims + entry.members):
            found.append((weight, entry))
    return found


def move_(
    weights: list[Pulled],
    rate: float | Tensor,
    *,
    member_dims: int,
    taken: Tensor | None = None,
    pieces: int = 1,
) -> None:
    """Pull all matrices in some weights, in place.

    A weight that is sharded over processes and holds several matrices is gathered: a
    part that crosses the border of two shards is no view of it.

    Args:
        weights: From :func:`pulled`.
        rate: As in :func:`isometry.adamo.step.isometry_step_`, like the rest.
        member_dims: Of the group.
        taken: 1 to take the step.
        pieces: Into how many steps it may be divided.
    """
    alike: dict[int, list[Tensor]] = {}
    gathered: list[tuple[Any, Tensor]] = []
    for weight, row in weights:
        dims, whole = member_dims + row.members, weight
        if row.parts == 1:
            alike.setdefault(dims, []).append(weight)
            continue
        if hasattr(weight, "full_tensor"):
            whole = weight.full_tensor().clone()
            gathered.append((weight, whole))
        parts = split(whole, dims, row.parts, row.axis)
        alike.setdefault(dims, []).extend(parts)
    for dims, parts in alike.items():
        isometry_steps_(parts, rate, member_dims=dims, taken=taken, pieces=pieces)
    for sharded, whole in gathered:
        _reshard_(sharded, whole)


def differentiable_move_(
    weights: list[Pulled], rate: float | Tensor, *, member_dims: int
) -> None:
    """Pull all matrices in some weights, in place, and let gradients through.

    Args:
        weights: From :func:`pulled`; no leaves.
        rate: As in :func:`move_`.
        member_dims: Of the group.
    """
    for weight, row in weights:
        dims = member_dims + row.members
        parts = split(weight.clone(), dims, row.parts, row.axis)
        changes = [isometry_change(part, rate, member_dims=dims) for part in parts]
        weight.sub_(torch.cat(changes, dim=dims + row.axis))


def _reshard_(sharded: Any, whole: Tensor) -> None:
    """Write a whole weight, the same in every process, into its shards."""
    from torch.distributed.tensor import DTensor, Replicate

    mesh = sharded.device_mesh
    everywhere = [Replicate()] * mesh.ndim
    replica = DTensor.from_local(whole, mesh, everywhere, run_check=False)
    sharded.copy_(replica.redistribute(mesh, sharded.placements))


def in_graph(group: dict[str, Any]) -> bool:
    """Return whether Python's branches are being frozen into a graph.

    Args:
        group: Says whether it may be captured.
    """
    if torch.compiler.is_compiling():
        return True
    if not group.get("capturable", False) or not torch.cuda.is_available():
        return False
    return torch.cuda.is_current_stream_capturing()
