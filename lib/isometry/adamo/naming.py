"""What the groups of an optimiser know of each parameter: its name and its operator."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from isometry.adamo.pull import TABLE, Entry, entries_of
from isometry.core.messages import refusal, unknown
from isometry.weights import Row, Table, matches

Group = dict[str, Any]


def name_group(groups: list[Group], new: Group) -> None:
    """Number parameters without a name, if others in the optimiser have one, in place.

    torch refuses a mixture, and groups that are added later seldom have names.

    Args:
        groups: Those that are there.
        new: A group as a caller wrote it; its parameters become a list.
    """
    params = new["params"]
    if isinstance(params, set):
        return  # torch says what is wrong with it
    params = [params] if isinstance(params, Tensor) else list(params)
    new["params"] = params
    if len(new.get("param_names", params)) != len(params):
        new["param_names"] = _numbers(len(groups), new)
    named = "param_names" in new or any(isinstance(p, tuple) for p in params)
    unnamed = [i for i, group in enumerate(groups) if "param_names" not in group]
    if named:
        for number in unnamed:
            groups[number]["param_names"] = _numbers(number, groups[number])
    elif len(unnamed) < len(groups):
        new["param_names"] = _numbers(len(groups), new)


def _numbers(group: int, of: Group) -> list[str]:
    """Return stand-ins for the names of a group's parameters."""
    return [f"group{group}.{index}" for index in range(len(of["params"]))]


def tell_parameters(group: Group, exclude: Sequence[str] = ()) -> None:
    """Write into a group what each of its parameters is, in place.

    Args:
        group: A group of an optimiser.
        exclude: Parts of names to spare.

    Raises:
        ValueError: If there is something to exclude and there are no names.
    """
    entries = entries_of(group)
    if exclude:
        names = group.get("param_names")
        if names is None and group["params"]:
            raise ValueError(
                refusal(
                    "parameters with names, to exclude some of them",
                    "parameters alone",
                    "pass the model, model.named_parameters(), or mark(model) first",
                )
            )
        entries = [
            entry._replace(why="excluded")
            if not entry.why and any(matches(name, part) for part in exclude)
            else entry
            for name, entry in zip(names or (), entries, strict=True)
        ]
    group[TABLE] = [tuple(entry) for entry in entries]


def check_excluded(groups: list[Group], exclude: Sequence[str]) -> None:
    """Refuse a name to exclude that matches no parameter.

    Args:
        groups: All groups of an optimiser.
        exclude: Parts of names.

    Raises:
        ValueError: Names the first such part.
    """
    names = [name for group in groups for name in group.get("param_names", ())]
    for excluded in exclude:
        if not any(matches(name, excluded) for name in names):
            parts = {part for name in names for part in name.split(".")}
            raise ValueError(unknown("part of a parameter's name", excluded, parts))


def describe(optimizer: torch.optim.Optimizer) -> Table:
    """Return a table of parameters: name, shape, kind, and pulled or why not.

    Args:
        optimizer: AdamO, or one that :func:`with_isometry` was given.

    Returns:
        One row a parameter, in the order of the model where that is known.
    """
    rows: list[tuple[int, Row]] = []
    for number, group in enumerate(optimizer.param_groups):
        names = group.get("param_names", ())
        if len(names) != len(group["params"]):
            names = _numbers(number, group)
        strength = group.get("isometry_strength", 0.0)
        triples = zip(names, group["params"], entries_of(group), strict=True)
        for name, weight, entry in triples:
            rows.append((entry.place, _row(name, weight, entry, strength)))
    rows.sort(key=lambda pair: pair[0])
    return Table(rows=tuple(row for _, row in rows))


def _row(name: str, weight: Tensor, entry: Entry, strength: float) -> Row:
    """Return what is said of one parameter."""
    lazy = is_lazy(weight)
    why = entry.why or ("" if strength > 0 else "isometry_strength is 0")
    pulled = not why
    if pulled and lazy:
        why = "from its first forward on"
    elif pulled and entry.parts != 1:
        parts, of = entry.parts, ("rows", "columns")[entry.axis]
        each = str(parts) if isinstance(parts, int) else " + ".join(map(str, parts))
        why = f"{each} {'matrices, blocks of ' if isinstance(parts, int) else ''}{of}"
    if pulled and entry.members:
        why = f"each member by itself{', ' if why else ''}{why}"
    return Row(
        name=name,
        shape=() if lazy else tuple(weight.shape),
        kind=entry.kind,
        pulled=pulled,
        why=why,
    )
