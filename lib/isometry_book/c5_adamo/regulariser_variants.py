"""Chapter 5: the forms in which the Gram regulariser was written and run, as data.

Each variant changes one thing of Eq. 16. In singular values the pull is
``sigma' = -factor rate sigma (sigma^2 - s)``, so it goes to ``sqrt(s)``, and near there
a deviation shrinks by 1/e in ``1 / (2 factor rate s)`` steps. So each is a registered
method, AdamO or the coupled penalty, on ``W / sqrt(s)`` at ``factor s / 4`` times the
strength.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

import pandas as pd
import torch
from torch import Tensor

from isometry.core.matrices import singular_values
from isometry.core.messages import refusal, unknown
from isometry.core.seeding import generator
from isometry_book.c5_adamo.forces import forced


@dataclass(frozen=True, kw_only=True)
class _RegulariserVariant:
    """One form of the regulariser.

    Attributes:
        label: As a table prints it.
        source: Who writes or runs it so.
        effect: What it changes, one clause.
        factor: The gradient is ``factor * W (Gram - s I)``.
        gain: s of matrices with no more rows than columns, > 0.
        rectangular: Whether s is multiplied by out / in where out > in.
        coupled: Whether the penalty is in Adam's loss.
        head: Whether the last layer is regularised.

    Source: arXiv 2606.09762, Eq. 16, and public code; see the page on departures.
    """

    label: str
    source: str
    effect: str
    factor: float = 4.0
    gain: float = 1.0
    rectangular: bool = False
    coupled: bool = False
    head: bool = True

    def target(self, out: int, fan_in: int) -> float:
        """Return s: the squared singular value that the pull leads to.

        Args:
            out: Rows of the weight.
            fan_in: Columns of the weight.
        """
        wider = self.rectangular and out > fan_in
        return self.gain * (out / fan_in if wider else 1.0)


VARIANTS: Mapping[str, _RegulariserVariant] = MappingProxyType(
    {
        "equation": _RegulariserVariant(
            label="Eq. 16",
            source="the paper; the default here",
            effect="every singular value to one",
        ),
        "half": _RegulariserVariant(
            label="factor 1/2",
            source="the authors' public code",
            effect="the same end in twice the time",
            factor=2.0,
        ),
        "rectangular": _RegulariserVariant(
            label="rectangular scaling",
            source="the authors' public code, an option",
            effect="widening layers stretch by the root of out / in",
            rectangular=True,
        ),
        "relu_gain": _RegulariserVariant(
            label="ReLU gain",
            source="the authors' public code, an option",
            effect="all layers stretch by the root of 2, in half the time",
            gain=2.0,
        ),
        "coupled": _RegulariserVariant(
            label="coupled",
            source="the authors' public code, an option",
            effect="the same end; Adam sets the pace, whatever the strength",
            coupled=True,
        ),
        "no_head": _RegulariserVariant(
            label="head left out",
            source="the authors' reinforcement-learning code",
            effect="the head keeps the scale that the task gives it",
            head=False,
        ),
    }
)


def variant(name: str) -> _RegulariserVariant:
    """Return the variant of that name; KeyError names the nearest known one.

    Args:
        name: A key of :data:`VARIANTS`.
    """
    if name not in VARIANTS:
        raise KeyError(unknown("variant", name, VARIANTS))
    return VARIANTS[name]


def _pulled(weight: Tensor, name: str, strength: float, lr: float) -> Iterator[Tensor]:
    """Yield a weight ``(out, in)`` before the first step of a variant and after each.

    In ``V = W / sqrt(s)`` the gradient ``factor W (Gram - s I)`` is
    ``factor s sqrt(s) V (Gram(V) - I)``: that of Eq. 16 with another factor.
    """
    form = variant(name)
    target = form.target(*weight.shape)
    root = math.sqrt(target)
    method = "adam_isometry" if form.coupled else "adamo"
    changes = {"isometry_strength": strength * form.factor / 4 * target}
    start = (weight.unsqueeze(0) / root,)
    for (moved,) in forced(method, changes, start, lr=lr, descent=False):
        yield root * moved[0]


def _variant_relaxation(name: str, strength: float, lr: float) -> float:
    """Return the relaxation time of a layer that is not widened, in steps."""
    form = variant(name)
    if form.coupled:
        return math.nan
    return 1 / (2 * form.factor * lr * strength * form.gain)


def pulled_weights(
    weights: Sequence[Tensor],  # each (out, in); the last is the head
    name: str,
    strength: float,
    lr: float,
    steps: int,
) -> list[Tensor]:
    """Pull the layers of a network under one variant, with no task at all.

    Args:
        weights: Of every layer; they stay as they are.
        name: A key of :data:`VARIANTS`.
        strength: lambda, >= 0.
        lr: eta_iso, and the learning rate of the coupled form's Adam.
        steps: Optimiser steps, >= 0.

    Returns:
        The weights afterwards.

    Raises:
        KeyError: If the variant is not known.
        ValueError: If there is no layer.

    Source: arXiv 2606.09762, last term of Eq. 20; coupled: the loss of Sec. 4.4.
    """
    if not weights:
        raise ValueError(refusal("at least one weight", 0, "pass the layers"))
    regularised = len(weights) if variant(name).head else len(weights) - 1
    return [
        next(islice(_pulled(weight, name, strength, lr), steps, None))
        if layer < regularised
        else weight.clone()
        for layer, weight in enumerate(weights)
    ]


def _measured_relaxation(
    name: str, strength: float, lr: float, *, width: int = 32, start: float = 1.02
) -> int:
    """Return after how many steps a small deviation has shrunk by 1/e, measured."""
    form = variant(name)
    end = math.sqrt(form.target(width, width))
    draw = generator(0, "relaxation", width)
    weight = torch.empty(width, width, dtype=torch.float64)
    torch.nn.init.orthogonal_(weight, end * start, generator=draw)
    for step, moved in enumerate(islice(_pulled(weight, name, strength, lr), 10**6)):
        deviation = (singular_values(moved) / end - 1).abs().mean()
        if deviation <= abs(start - 1) / math.e:
            return step
    raise RuntimeError(refusal("a pull that acts", f"lr {lr:g}", "raise the strength"))


def variant_table(relaxation: float, lr: float) -> pd.DataFrame:
    """Return what each variant does at one common strength.

    Args:
        relaxation: Steps that Eq. 16 needs; sets the common strength.
        lr: eta_iso.

    Returns:
        One row a variant: variant, goal_widening and goal (singular values of a layer
        with 3 rows to 2 columns, and of the others), relaxation_steps, measured_steps,
        head, effect, source.
    """
    strength = 1 / (8 * lr * relaxation)
    rows = [
        {
            "variant": form.label,
            "goal_widening": math.sqrt(form.target(3, 2)),
            "goal": math.sqrt(form.gain),
            "relaxation_steps": _variant_relaxation(name, strength, lr),
            "measured_steps": _measured_relaxation(name, strength, lr),
            "head": form.head,
            "effect": form.effect,
            "source": form.source,
        }
        for name, form in VARIANTS.items()
    ]
    return pd.DataFrame(rows)
