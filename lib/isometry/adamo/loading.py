"""Checkpoints whose groups are not ours: each parameter gets its own moments."""

from itertools import islice
from typing import Any

import torch
from torch import Tensor

from isometry.adamo.pull import ISOMETRY_KEYS, TABLE, entries_of
from isometry.core.messages import refusal

Group = dict[str, Any]
MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg")
OWN = ("params", "param_names", TABLE, *ISOMETRY_KEYS)  # never taken from elsewhere


def fitted(state_dict: dict[str, Any], groups: list[Group]) -> dict[str, Any]:
    """Return a checkpoint in the order of some groups, if it has another one.

    Names say which parameter is which, if both have them. Else a checkpoint of one
    group is taken to hold the parameters in the order of the model, with those that
    need no gradient or without them. Settings on which the checkpoint's groups agree
    hold for all parameters of a group; the isometry's own stay as they are.

    Args:
        state_dict: Of a torch optimiser.
        groups: The groups that it is for.

    Returns:
        The same one, if its groups match or nothing says how they could.

    Raises:
        ValueError: If a moment has not the shape of its parameter.
    """
    saved = state_dict["param_groups"]
    order = _order(saved, groups)
    if order is None:
        return state_dict
    ids = [number for group in saved for number in group["params"]]
    owners = [group for group in saved for _ in group["params"]]
    parameters = [p for group in groups for p in group["params"]]
    state = {}
    for own, (parameter, source) in enumerate(zip(parameters, order, strict=True)):
        values = state_dict["state"].get(ids[source])
        if values is not None:
            _check_shapes(values, parameter)
            state[own] = values
    sources, numbers, made = iter(order), iter(range(len(order))), []
    for group in groups:
        size = len(group["params"])
        agreed = _agreed([owners[source] for source in islice(sources, size)])
        kept = {key: value for key, value in group.items() if key != "params"}
        made.append({**kept, **agreed, "params": list(islice(numbers, size))})
    return {**state_dict, "state": state, "param_groups": made}


def _order(saved: list[Group], groups: list[Group]) -> list[int] | None:
    """Return where each of our parameters stands in a checkpoint, or None."""
    theirs, ours = _names(saved), _names(groups)
    if ours and len(set(ours)) == len(ours) and sorted(theirs) == sorted(ours):
        same = [_names([g]) for g in saved] == [_names([g]) for g in groups]
        return None if same else [theirs.index(name) for name in ours]
    if [len(g["params"]) for g in saved] == [len(g["params"]) for g in groups]:
        return None
    places = [entry.place for group in groups for entry in entries_of(group)]
    if len(saved) != 1 or -1 in places:
        return None
    count = len(saved[0]["params"])
    if count == len(places):
        ranks = {place: rank for rank, place in enumerate(sorted(places))}
        return [ranks[place] for place in places]
    return places if max(places, default=0) < count > len(places) else None


def _names(groups: list[Group]) -> list[str]:
    """Return the names of all parameters, or none if one has none."""
    names = [name for group in groups for name in group.get("param_names", ())]
    whole = len(names) == sum(len(group["params"]) for group in groups)
    return names if whole else []


def _agreed(groups: list[Group]) -> Group:
    """Return the settings that are the same in all groups."""
    first, *others = groups or [{}]
    return {
        key: value
        for key, value in first.items()
        if key not in OWN and all(_same(value, g.get(key)) for g in others)
    }


def _same(one: Any, other: Any) -> bool:
    """Return whether two settings are equal, tensors included."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return one is other or bool(one == other)


def _check_shapes(values: dict[str, Any], parameter: Tensor) -> None:
    """Refuse moments of another shape than their parameter's."""
    for key in MOMENTS:
        found = values.get(key)
        if isinstance(found, Tensor) and found.shape != parameter.shape:
            raise ValueError(
                refusal(
                    f"{key} of shape {tuple(parameter.shape)}",
                    f"shape {tuple(found.shape)} in the checkpoint",
                    "load it into an optimiser of the same model",
                )
            )
