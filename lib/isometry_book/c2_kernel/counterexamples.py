"""What a kernel's rank and others say of constructed pairs, and what these then learn.

Each network of a pair (:mod:`isometry_book.c2_kernel.pairs`) learns by gradient descent
and by Adam, both on the whole batch; Adam's kernel is that of its first step.
"""

from collections.abc import Iterator
from functools import partial
from itertools import product

import pandas as pd
import torch
from torch import Tensor

from isometry.core.profile import ByProfile
from isometry.core.seeding import generator
from isometry.diagnostics import optimization_readiness
from isometry.ntk import conditioning, empirical_ntk, ntk_matrix
from isometry.ntk.preconditioned import preconditioned_ntk
from isometry.plasticity import feature_effective_rank, removed_fraction, trained
from isometry_book.c2_kernel.networks import linear_layers
from isometry_book.c2_kernel.pairs import PAIRS, Contestant

STEPS = 100
SEEDS = ByProfile(smoke=1, laptop=3, paper=3)  # draws of weights, rotations, tasks
# Learning rates tried: for gradient descent over that at which the largest eigenvalue
# is learned in a step, for Adam as they are.
SHARES = (0.5, 1.0, 1.5)
ADAM_RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
# What makes a pair an example. Set before any pair was measured; the sizes of pairs
# were then chosen to show it: an example has to exist, not to be frequent.
SAME = 0.01  # relative difference of a rank that counts as none
FALLEN = 0.5  # factor by which a rank that falls is smaller
DIFFERENT = 0.4  # in the share of the loss removed: one trains, the other does not
UNCHANGED = 0.05  # the same: what is learned does not fall


def _removed(one: Contestant, rates: dict[str, tuple[float, ...]]) -> Iterator[tuple]:
    """Yield optimiser, rate and the share of the loss that the steps remove."""
    data, count = (one.inputs, one.targets), len(one.inputs)
    with torch.no_grad():
        before = one.loss(one.model(one.inputs), one.targets)
    makers = {"descent": torch.optim.SGD, "adam": torch.optim.Adam}
    for name, tried in rates.items():
        for lr in tried:
            after = trained(
                one.model,
                data,
                STEPS,
                generator(0, "kernel", "counterexample", "order"),
                batch_size=count,
                optimizer=partial(makers[name], lr=lr),
                loss=one.loss,
            )
            with torch.no_grad():
                level = one.loss(after(one.inputs), one.targets)
            yield name, lr, max(0.0, float(removed_fraction(before, level, 0.0)))


def adam_start(one: Contestant) -> dict[str, Tensor]:
    """Return the diagonal D of Adam's first step: its second moment is g^2.

    Args:
        one: A network with its task.

    Returns:
        ``1 / (|g| + eps)`` by the parameter's name.

    Source: Kingma & Ba 2015, Algorithm 1, t = 1.
    """
    own = dict(one.model.named_parameters())
    value = one.loss(one.model(one.inputs), one.targets)
    gradients = torch.autograd.grad(value, list(own.values()))
    eps = 1e-8
    return {n: 1 / (g.abs() + eps) for n, g in zip(own, gradients, strict=True)}


def _features(one: Contestant) -> Tensor:
    """Return the last layer's inputs, ``(n, units)``."""
    seen: list[Tensor] = []
    last = linear_layers(one.model)[-1]
    handle = last.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.no_grad():
        one.model(one.inputs)
    handle.remove()
    return seen[0]


def _looked_at(one: Contestant) -> dict[str, float]:
    """Return the numbers that could foretell whether a network trains."""
    scales, count = adam_start(one), len(one.inputs)
    said = one.model(one.inputs).detach().requires_grad_()
    level = one.loss(said, one.targets)
    pull = torch.autograd.grad(level, said)[0].flatten()
    share = pull / level.detach().sqrt()
    kernels = {
        "": (empirical_ntk(one.model, one.inputs), None),
        "adam_": (preconditioned_ntk(one.model, one.inputs, scales), scales),
    }
    found = {"feature_rank": float(feature_effective_rank(_features(one)))}
    for name, (kernel, own) in kernels.items():
        matrix = ntk_matrix(kernel)
        summary = conditioning(matrix)
        found[f"{name}ntk_rank"] = summary.effective_rank
        found[f"{name}ntk_condition"] = summary.condition_number
        found[f"{name}ntk_largest"] = float(summary.eigenvalues[-1]) / count
        found[f"{name}along"] = float(share @ matrix @ share)
        draw = generator(0, "kernel", "counterexample", "minibatches")
        data = (one.model, one.inputs, one.targets)
        ready = optimization_readiness(*data, loss=one.loss, scales=own, generator=draw)
        found[f"{name}readiness"] = ready.readiness
        found[f"{name}decrease"] = ready.relative_decrease
    return found


def counterexamples(seeds: int) -> pd.DataFrame:
    """Return what every pair's networks look like, and what they learn.

    Args:
        seeds: Draws of weights, rotations and tasks.

    Returns:
        One row a pair, seed and network (``first``, ``second``): ``ntk_rank``,
        ``ntk_condition``, ``ntk_largest`` (eigenvalue, over the inputs), the same of
        ``adam_ntk``, ``feature_rank``, ``readiness``, its first factor ``decrease`` and
        what the kernel says of it, ``along``, the same of Adam (``adam_...``), and the
        share of the loss that ``STEPS`` steps remove: ``descent`` and ``adam`` at the
        rate that serves the first network best, ``descent_best`` and ``adam_best`` at
        its own.
    """
    rows = []
    for (name, make), seed in product(PAIRS.items(), range(seeds)):
        pair = make(seed)
        looks = [_looked_at(one) for one in pair]
        rates = {share / look["ntk_largest"] for look in looks for share in SHARES}
        grid = {"descent": tuple(sorted(rates)), "adam": ADAM_RATES}
        found = []
        for one in pair:
            runs = pd.DataFrame(_removed(one, grid), columns=["by", "lr", "share"])
            found.append(runs.pivot(index="lr", columns="by", values="share"))
        for place, look, own in zip(("first", "second"), looks, found, strict=True):
            row = {"pair": name, "seed": seed, "network": place, **look}
            for by in grid:
                row[by] = own.loc[found[0][by].idxmax(), by]
                row[f"{by}_best"] = own[by].max()
            rows.append(row)
    return pd.DataFrame(rows)


def examples(frame: pd.DataFrame) -> dict[str, bool]:
    """Return for every pair whether it is what it is called, in every draw.

    Args:
        frame: From :func:`counterexamples`.
    """
    table = frame.pivot(index=["pair", "seed"], columns="network")

    def gap(pair: str, share: str) -> pd.Series:
        return table.loc[pair, (share, "first")] - table.loc[pair, (share, "second")]

    def ratio(pair: str, number: str = "ntk_rank") -> pd.Series:
        return table.loc[pair, (number, "second")] / table.loc[pair, (number, "first")]

    def same(pair: str) -> bool:
        return bool((abs(ratio(pair) - 1) <= SAME).all())

    def fallen(pair: str) -> bool:
        return bool((ratio(pair) <= FALLEN).all())

    def trains(pair: str, share: str) -> bool:
        return bool((gap(pair, share) >= DIFFERENT).all())

    def unchanged(pair: str, share: str) -> bool:
        return bool((abs(gap(pair, share)) <= UNCHANGED).all())

    return {
        "scale": same("scale")
        and trains("scale", "descent")
        and unchanged("scale", "descent_best"),
        "eigenvalues": same("eigenvalues") and trains("eigenvalues", "descent_best"),
        "saturation": same("saturation")
        and trains("saturation", "descent")
        and unchanged("saturation", "adam"),
        "rotated": same("rotated")
        and unchanged("rotated", "descent")
        and trains("rotated", "adam_best"),
        "axes": fallen("axes")
        and trains("axes", "descent_best")
        and unchanged("axes", "adam_best"),
        "task": fallen("task") and unchanged("task", "descent_best"),
    }


def numbers(frame: pd.DataFrame) -> dict[str, float]:
    """Return each number of each network, the mean over draws, for the prose.

    Args:
        frame: From :func:`counterexamples`.

    Returns:
        ``<pair>_<number>_first`` and ``_second``.
    """
    means = frame.drop(columns="seed").groupby(["pair", "network"]).mean()
    return {
        f"{pair}_{number}_{place}": float(value)
        for (pair, place), row in means.iterrows()
        for number, value in row.items()
    }


def pairs_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs as a reader compares them: first / second, means over draws.

    Args:
        frame: From :func:`counterexamples`.
    """
    means = frame.groupby(["pair", "network"], sort=False).mean(numeric_only=True)

    def both(number: str, form: str) -> pd.Series:
        sides = means[number].unstack("network")
        return sides.apply(lambda row: " / ".join(f"{v:{form}}" for v in row), axis=1)

    return pd.DataFrame(
        {
            "rank of K": both("ntk_rank", ".1f"),
            "κ of K": both("ntk_condition", ".0f"),
            "readiness": both("readiness", ".2g"),
            "by descent": both("descent", ".2f"),
            "at own rate": both("descent_best", ".2f"),
            "Adam's κ": both("adam_ntk_condition", ".2g"),
            "by Adam": both("adam_best", ".2f"),
        }
    ).reindex(list(PAIRS))
