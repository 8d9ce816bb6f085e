"""Chapter 5: what each known method controls of a spectrum, by its force alone.

Every force is that of the registered method, see :mod:`isometry_book.c5_adamo.forces`.
All start from the same drifted networks, and settings give them one pace: near its goal
a deviation of a layer of 64 units shrinks by 1/e in :data:`RELAXATION` steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from isometry.core.matrices import singular_values
from isometry.lab.store import TIDY
from isometry.plasticity import dormant_fraction
from isometry_book.c5_adamo.drifted_network import (
    LAYERS,
    Drifted,
    drifted_network,
)
from isometry_book.c5_adamo.forces import Weights, at_times, forced, network_with

BENCHMARK = "partial_measures"
SHOWN = 2  # the layer whose whole spectrum is stored: the square one
EVERY = 3  # of its singular values, one in so many is stored
RELAXATION = 20  # steps
DORMANT = 0.1  # threshold of ReDo's score


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the study of forces is.

    Attributes:
        seeds: Networks, as one stack.
        drifted_steps: Of Adam, before a force acts.
        times: Steps of the force after which spectra are stored.
    """

    seeds: int
    drifted_steps: int
    times: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One method whose force is looked at.

    Attributes:
        controls: What of the spectrum it controls, as a table prints it.
        changes: Of the method's settings, for the common pace.

    Source: arXiv 2606.09762, Sec. 5.
    """

    controls: str
    changes: Mapping[str, Any] = field(default_factory=dict)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "adamo": Measure(
            controls="every singular value: to one",
            changes={"isometry_strength": 1 / (8 * RELAXATION)},
        ),
        "parseval": Measure(
            controls="every singular value of the hidden layers: the same force",
            changes={"parseval_strength": 1 / (8 * RELAXATION), "parseval_scale": 1.0},
        ),
        "nap": Measure(controls="the mean square: to that of the start"),
        "spectral": Measure(
            controls="the maximum: to one, and so all above one, in turn",
            changes={"spectral_strength": 1 / (8 * RELAXATION)},
        ),
        "spectral_norm": Measure(
            controls="the maximum: towards zero, in the end with all others",
            changes={"spectral_norm_strength": 1 / RELAXATION},
        ),
        "l2": Measure(
            controls="the mean square: to zero, all ratios kept",
            changes={"l2_strength": 1 / RELAXATION},
        ),
        "l2_init": Measure(
            controls="every singular value, and every direction: to the start",
            changes={"l2_init_strength": 1 / RELAXATION},
        ),
        "layernorm": Measure(
            controls="nothing; the mean square of pre-activations instead"
        ),
        "redo": Measure(
            controls="nothing; the share of dormant units instead",
            changes={"redo_every": 1, "redo_window": 1, "redo_threshold": DORMANT},
        ),
    }
)


def evolve(start: Drifted, name: str, times: Sequence[int]) -> list[Weights]:
    """Return the weights under one force alone, at some times.

    Args:
        start: Drifted networks; biases are taken as zero, so that weights alone decide.
        name: A key of :data:`MEASURES`.
        times: Steps, ascending, from 0.
    """
    steps = forced(
        name,
        MEASURES[name].changes,
        start.weights,
        initial=start.initial,
        inputs=start.inputs,
    )
    return at_times(steps, times)


def spectra(weights: Weights) -> list[Tensor]:
    """Return the singular values of every layer, each ``(seeds, d)``, descending.

    Args:
        weights: One ``(seeds, out, in)`` a layer.

    Source: definition.
    """
    return [singular_values(weight) for weight in weights]


def moments(values: Tensor) -> dict[str, Tensor]:
    """Return the moments that methods speak of, each ``(seeds,)``.

    Args:
        values: Singular values of a layer, ``(seeds, d)``, descending.

    Source: definitions.
    """
    smallest = values[:, -1]
    floor = torch.finfo(values.dtype).tiny
    return {
        "mean_square": values.square().mean(1),
        "largest": values[:, 0],
        "smallest": smallest,
        "condition_number": values[:, 0] / smallest.clamp(min=floor),
    }


def own_numbers(name: str, start: Drifted, end: Weights) -> dict[str, Tensor]:
    """Return what tells whether a method does what it is said to, each ``(seeds,)``.

    Args:
        name: A key of :data:`MEASURES`.
        start: The drifted networks.
        end: Their weights after the force has acted.

    Returns:
        Over the hidden layers: ``ratio_change``, how far any ratio of two singular
        values has changed; ``distance_to_start``, of the spectrum from that at
        initialisation, over what it was; ``spectrum_change``, of any singular value;
        ``below_change``, of any that began below one, as a share of itself.
        For LayerNorm, ``scale_effect``: how far the first layer's activations change
        when its weight is doubled. For ReDo, ``dormant_before`` and ``dormant_after``.
    """
    first, before, after = (
        spectra(w[:-1]) for w in (start.initial, start.weights, end)
    )
    triples = list(zip(first, before, after, strict=True))
    found = {
        "ratio_change": torch.stack(
            [((a / a[:, :1]) / (b / b[:, :1]) - 1).abs().amax(1) for _, b, a in triples]
        ).amax(0),
        "distance_to_start": torch.stack(
            [(a - f).norm(dim=1) / (b - f).norm(dim=1) for f, b, a in triples]
        ).amax(0),
        "spectrum_change": torch.stack(
            [(a - b).abs().amax(1) for _, b, a in triples]
        ).amax(0),
        "below_change": torch.stack(
            [((a / b - 1).abs() * (b < 1)).amax(1) for _, b, a in triples]
        ).amax(0),
    }
    if name == "layernorm":
        network, parameters = network_with(name, end)
        doubled = parameters | {"hidden.0.weight": 2 * parameters["hidden.0.weight"]}
        once, twice = (
            network.hidden_activations(own, start.inputs)[0]
            for own in (parameters, doubled)
        )
        found["scale_effect"] = (once - twice).abs().amax((1, 2))
    if name == "redo":
        for key, weights in (("before", start.weights), ("after", end)):
            network, parameters = network_with(name, weights)
            hidden = network.hidden_activations(parameters, start.inputs)
            shares = [dormant_fraction(seen, DORMANT) for seen in hidden]
            found[f"dormant_{key}"] = torch.stack(shares).mean(0)
    return found


def force_numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return all tidy numbers on the partial measures; the task is the step.

    Methods are :data:`MEASURES`. Metrics: :func:`moments` by layer, a part of the
    square layer's spectrum as ``sigma_00``, ``sigma_03``, ..., and at the last step
    :func:`own_numbers`.

    Args:
        sizes: How large.
        data: A data set's name.
    """
    start = drifted_network(sizes.seeds, sizes.drifted_steps, data)
    times, rows = sizes.times, []

    def add(name: str, time: int, metric: str, values: Tensor) -> None:
        for seed, value in enumerate(values.tolist()):
            rows.append((BENCHMARK, name, seed, time, metric, value))

    for name in MEASURES:
        found = evolve(start, name, times)
        for time, weights in zip(times, found, strict=True):
            for layer, values in zip(LAYERS, spectra(weights[:-1]), strict=False):
                for metric, own in moments(values).items():
                    add(name, time, f"{metric}_{layer}", own)
            shown = singular_values(weights[SHOWN])
            for index in range(0, shown.shape[1], EVERY):
                add(name, time, f"sigma_{index:02d}", shown[:, index])
        for metric, own in own_numbers(name, start, found[-1]).items():
            add(name, times[-1], metric, own)
    return pd.DataFrame(rows, columns=TIDY)


def summary(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return what each force made of the square layer's spectrum.

    Args:
        numbers: From :func:`force_numbers`, or stored.

    Returns:
        One row a measure: force, controls, and mean_square, largest and smallest at the
        last step, means over the seeds; first a row for the drifted networks.
    """
    kept = ("mean_square", "largest", "smallest")
    layer = LAYERS[SHOWN]
    first, last = numbers["task"].min(), numbers["task"].max()

    def row(force: str, controls: str, method: str, time: int) -> dict[str, object]:
        own = numbers[(numbers["method"] == method) & (numbers["task"] == time)]
        means = own.groupby("metric")["value"].mean()
        found = {metric: means[f"{metric}_{layer}"] for metric in kept}
        return {"force": force, "controls": controls, **found}

    rows = [row("before", "", next(iter(MEASURES)), first)]
    rows += [
        row(name, measure.controls, name, last) for name, measure in MEASURES.items()
    ]
    return pd.DataFrame(rows)
