"""Combinations: ``layernorm+adamo`` is a method made of the places of its parts."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, make_dataclass, replace
from itertools import combinations
from typing import Any, get_type_hints

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.settings import keys
from isometry.core.stacking import Parameters
from isometry.methods.method import METHODS, AdamSettings, Method, adam
from isometry.methods.structure import Architecture, State
from isometry.methods.training import Training

RESETS = ("redo", "cbp", "snr", "cpr", "regrama")
# They act on weights last of all.
SCALES = ("nap", "newton_schulz", "weight_clipping", "soft_rescaling")
# What makes no sense for a reason that the places themselves do not show.
REFUSED: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (RESETS, RESETS, "both replace units"),
    (RESETS, ("maxmin", "crelu", "fourier"), "an output of {1} is not one unit's own"),
    (
        ("fresh",),
        (
            *RESETS,
            *("shrink_perturb", "selective_reinit"),
            *("fire", "dash", "optimizer_reset", "injection"),
        ),
        "a network for one task needs no {1}",
    ),
    (
        ("adalin",),
        ("maxmin", "crelu", "fourier", "aid", "smooth_leaky"),
        "adalin has no gate for {1}",
    ),
    (("l2",), ("l2_er",), "l2_er has the penalty of l2"),
    (("fire",), ("optimizer_reset",), "with fire the optimiser starts anew anyway"),
    (("fire",), ("newton_schulz",), "both put weights at their nearest isometry"),
    (SCALES, SCALES, "both set the scale of the weights"),
    (("spectral",), ("spectral_norm",), "both hold the largest singular value"),
    (("muon",), ("papo",), "muon takes the polar factor in the gradient's place"),
    (("head_decay",), ("fade",), "both decay the head"),
    (("newton_schulz",), ("adamo", "adam_isometry"), "the projection undoes the pull"),
)
# Stands for any architecture; no method's own value is among these.
ANY = Architecture(
    network="any",
    width=-1,
    depth=-1,
    activation="any",
    negative_slope=-1.0,
    init="any",
    init_gain=-1.0,
    normalisation="any",
    units="any",
)


def get(name: str) -> Method:
    """Return the method, or the combination of methods, of that name.

    ``a+b`` is the combination of a and b in either order. Parts that change the
    network come first in its name; a combination that is a method of its own, like
    ``layernorm+l2``, is that method.

    Args:
        name: As typed on the command line.

    Raises:
        KeyError: For a name that is not known; the nearest known one is named.
        ValueError: For a combination that makes no sense, with the reason.
    """
    if "+" not in name:
        return METHODS.get(name)
    parts: list[Method] = []
    for part in name.split("+"):
        found = METHODS.get(part.strip())
        parts += [METHODS.get(inner) for inner in found.parts] or [found]
    _check_parts(name, parts)
    known = METHODS.names()
    parts.sort(key=lambda m: (not _changed_fields(m), known.index(m.name)))
    for method in METHODS:
        if set(method.parts) == {m.name for m in parts}:
            return method
    return _combined(parts)


def _changed_fields(method: Method) -> set[str]:
    """Return the names of what a method changes of an architecture."""
    after = method.architecture(ANY, method.settings)
    names = [f.name for f in fields(ANY)]
    return {name for name in names if getattr(after, name) != getattr(ANY, name)}


def _conflict(first: Method, second: Method) -> str | None:
    """Return why two methods cannot be combined, or None if they can."""
    for method in (first, second):
        if method.name == "adam":
            return "adam is what every method starts from"
    if first.name == second.name:
        return f"{first.name} twice"
    for one, other in ((first, second), (second, first)):
        for left, right, reason in REFUSED:
            if one.name in left and other.name in right:
                return reason.format(one.name, other.name)
    measured, added = (
        [getattr(m, place) for m in (first, second) if getattr(m, place) is not None]
        for place in ("measured", "offset")
    )
    if len(measured) + len(added) > 1:
        return "both say what is measured"
    if adam not in (first.optimizer, second.optimizer):
        return f"two optimisers, {first.name} and {second.name}, and one step"
    both = _changed_fields(first) & _changed_fields(second)
    if both:
        return f"both change the network's {' and '.join(sorted(both))}"
    own = set(keys(first.settings)) & set(keys(second.settings))
    twice = own - set(keys(AdamSettings))
    if twice:
        return f"both have the setting {' and '.join(sorted(twice))}"
    return None


def _check_parts(name: str, parts: list[Method]) -> None:
    """Refuse parts of which two cannot be combined."""
    for first, second in combinations(parts, 2):
        reason = _conflict(first, second)
        if reason is not None:
            needed = "methods that go together"
            raise ValueError(refusal(needed, f"{name}: {reason}", "leave one out"))


def _combined_settings(parts: list[Method]) -> Any:
    """Return settings with the keys of all parts, each checked by its own part.

    Where a part's optimiser has no settings of Adam, the others' are left out.
    """
    types = [type(part.settings) for part in parts]
    stepper = next((p for p in parts if p.optimizer is not adam), None)
    unused: set[str] = set()
    if stepper is not None and not isinstance(stepper.settings, AdamSettings):
        unused = set(keys(AdamSettings))
    found: dict[str, tuple[str, Any, Any]] = {}
    for part in parts:
        hints = get_type_hints(type(part.settings))
        for own in fields(part.settings):
            if own.name in unused:
                continue
            value = getattr(part.settings, own.name)
            again = field(default=value, metadata=own.metadata)
            found.setdefault(own.name, (own.name, hints[own.name], again))

    def check(self: Any) -> None:
        for kind in types:
            kind(**{key: getattr(self, key) for key in keys(kind) if key in found})

    made = make_dataclass(
        "CombinedSettings",
        found.values(),
        namespace={"__post_init__": check, "__doc__": "Settings of a combination."},
        frozen=True,
        kw_only=True,
    )
    return made()


@dataclass(frozen=True)
class _Combination:
    """The functions of a combination: those of its parts, one after the other.

    Attributes:
        parts: The methods, in order.
    """

    parts: tuple[Method, ...]

    def architecture(self, architecture: Architecture, settings: Any) -> Architecture:
        """Return the architecture as all parts change it."""
        for part in self.parts:
            architecture = part.architecture(architecture, settings)
        return architecture

    def each(self, place: str, training: Training) -> dict[str, Any]:
        """Return what the parts that intervene at a place return there, by their names.

        Each part sees its own state. Those that set the scale of weights act last.
        """
        found = {}
        for part in sorted(self.parts, key=lambda p: p.name in SCALES):
            act: Callable[[Training], Any] | None = getattr(part, place)
            if act is not None:
                own = training.state.get(part.name, {})
                found[part.name] = act(replace(training, state=own))
        return found

    def start(self, training: Training) -> State:
        """Return what each part that carries something carries, by its name."""
        return self.each("start", training)

    def optimizer(self, training: Training) -> torch.optim.Optimizer:
        """Return the optimiser of the one part that brings its own."""
        (part,) = (p for p in self.parts if p.optimizer is not adam)
        own = training.state.get(part.name, {})
        return part.optimizer(replace(training, state=own))

    def penalty(self, training: Training) -> Tensor:
        """Return the sum of the penalties, ``(members,)``."""
        return torch.stack(list(self.each("penalty", training).values())).sum(0)

    def penalty_gradient_(self, training: Training) -> None:
        """Add the gradients of all penalties."""
        self.each("penalty_gradient_", training)

    def before_step(self, training: Training) -> None:
        """Let the parts act before a step."""
        self.each("before_step", training)

    def measured(self, training: Training) -> Parameters:
        """Return what the one part that has another network measured gives."""
        (found,) = self.each("measured", training).values()
        return found

    def offset(self, training: Training) -> Tensor | None:
        """Return what the one part that adds to the outputs adds."""
        (found,) = self.each("offset", training).values()
        return found

    def after_step(self, training: Training) -> None:
        """Let the parts act after a step."""
        self.each("after_step", training)

    def before_task(self, training: Training) -> None:
        """Let the parts act before a task."""
        self.each("before_task", training)


def _combined(parts: list[Method]) -> Method:
    """Return the method that does what all of these do."""
    whole = _Combination(tuple(parts))
    penalised = [p for p in parts if p.penalty is not None]
    written = all(p.penalty_gradient_ is not None for p in penalised)
    steppers = [p for p in parts if p.optimizer is not adam]
    return Method(
        name="+".join(part.name for part in parts),
        summary="; ".join(part.summary for part in parts),
        source="; ".join(part.source for part in parts),
        settings=_combined_settings(parts),
        search={key: grid for part in parts for key, grid in part.search.items()},
        architecture=whole.architecture,
        optimizer=whole.optimizer if steppers else adam,
        start=whole.start if any(p.start is not None for p in parts) else None,
        penalty=whole.penalty if penalised else None,
        penalty_gradient_=whole.penalty_gradient_ if penalised and written else None,
        before_step=whole.before_step if any(p.before_step for p in parts) else None,
        after_step=whole.after_step if any(p.after_step for p in parts) else None,
        before_task=whole.before_task if any(p.before_task for p in parts) else None,
        measured=whole.measured if any(p.measured for p in parts) else None,
        offset=whole.offset if any(p.offset for p in parts) else None,
        watches=any(part.watches for part in parts),
        watches_gradients=any(part.watches_gradients for part in parts),
        to_isometry=any(part.to_isometry for part in parts),
        reads=any(part.reads for part in parts),
        restarts=any(part.restarts for part in parts),
        not_for_games=next((p.not_for_games for p in parts if p.not_for_games), ""),
        parts=tuple(part.name for part in parts),
        trial_lr=(steppers or parts)[0].trial_lr,
    )
