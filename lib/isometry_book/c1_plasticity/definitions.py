"""The same word, different numbers: one network under every definition in use."""

import pandas as pd
import torch
from torch import Tensor, nn

from isometry.core.matrices import singular_values
from isometry.plasticity import (
    dead_fraction,
    dormant_fraction,
    effective_rank,
    srank,
    stable_rank,
    threshold_rank,
)

Row = tuple[str, str, str, float]  # family, variant, who uses it, value


def _hidden_values(model: nn.Sequential, inputs: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return pre-activations and activations of every hidden layer."""
    pairs, values = [], inputs
    with torch.no_grad():
        layers = list(model)
        for linear, activation in zip(layers[::2], layers[1::2], strict=False):
            before = linear(values)
            values = activation(before)
            pairs.append((before, values))
    return pairs


def _dormancy_rows(pairs: list[tuple[Tensor, Tensor]]) -> list[Row]:
    """Return the fraction of dormant units under each definition, all layers pooled.

    Source: Sokar et al. 2023; the variants are named in ``book/definitions-differ``.
    """

    def mean(values: list[Tensor]) -> float:
        return float(torch.stack(values).mean())

    after = [a for _, a in pairs]
    before = [b for b, _ in pairs]
    sokar = "Sokar et al. 2023"
    return [
        (
            "dormant",
            f"score <= {t}",
            sokar,
            mean([dormant_fraction(a, t) for a in after]),
        )
        for t in (0.1, 0.025, 0.0)
    ] + [
        (
            "dormant",
            "score <= 0.1 on |pre-activation|",
            "some re-implementations",
            mean([dormant_fraction(b, 0.1) for b in before]),
        ),
        (
            "dormant",
            "zero on all inputs",
            "dead units",
            mean(list(map(dead_fraction, after))),
        ),
    ]


def _rank_rows(features: Tensor) -> list[Row]:
    """Return the rank of the features under each definition.

    Source: as named in the rows.
    """
    values = singular_values(features.double())
    centred = singular_values((features - features.mean(0)).double())
    found = {
        ("exp entropy of sigma", "Roy & Vetterli 2007"): effective_rank(values),
        ("the same, centred", "chosen in this book"): effective_rank(centred),
        ("exp entropy of sigma^2", "spectra"): effective_rank(values.square()),
        ("||A||_F^2 / ||A||_2^2", "stable rank"): stable_rank(values),
        ("99 % of the sum", "srank, also called stable rank"): srank(values),
        ("sigma above 1 % of the largest", "rank"): threshold_rank(values),
    }
    return [("rank", *names, float(value)) for names, value in found.items()]


def _l2_init_rows(model: nn.Module, initial: nn.Module, strength: float) -> list[Row]:
    """Return the L2 Init penalty as four public programs compute it.

    Source: Kumar et al. 2023 and public code; see ``book/definitions-differ``.
    """
    pairs = zip(model.parameters(), initial.parameters(), strict=True)
    moved = [(p - q).detach().double() for p, q in pairs]
    total = float(torch.stack([d.square().sum() for d in moved]).sum())
    per_tensor = float(torch.stack([d.square().mean() for d in moved]).sum())
    found = {
        ("lambda ||d||^2", "Kumar et al. 2023, paper"): strength * total,
        ("lambda/2 ||d||^2", "Kumar et al. 2023, code"): strength / 2 * total,
        ("lambda ||d||", "a benchmark suite"): strength * total**0.5,
        ("lambda sum_l ||d_l||^2 / numel", "other code"): strength * per_tensor,
    }
    return [("L2 Init", *names, value) for names, value in found.items()]


def definitions_table(
    model: nn.Sequential, initial: nn.Sequential, inputs: Tensor
) -> pd.DataFrame:
    """Return one network's dormancy, rank and L2 Init penalty under each definition.

    Args:
        model: A trained network: linear layers and activations in turn.
        initial: The same network as it was initialised.
        inputs: ``(n, features)``.

    Returns:
        Columns ``family, variant, source, value``.
    """
    pairs = _hidden_values(model, inputs)
    rows = _dormancy_rows(pairs) + _rank_rows(pairs[-1][1])
    rows += _l2_init_rows(model, initial, 1e-2)
    return pd.DataFrame(rows, columns=["family", "variant", "source", "value"])
