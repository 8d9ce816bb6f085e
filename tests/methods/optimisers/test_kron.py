"""PSGD Kron against its equations, by inverses, and against the public package."""

import contextlib
import io
from math import exp, sqrt

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods.optimisers.kron import Kron

LR = 1e-2  # of the toy


def noise_of(own, step):
    """Return the noise of a step by name, ``(members, ...)``, drawn once more."""
    found = {name: [] for name in own.parameters}
    for draw in own.training.generators("kron", step):
        sizes = [p[0].numel() for p in own.parameters.values()]
        row = torch.randn(sum(sizes), generator=draw).double().split(sizes)
        for (name, p), part in zip(own.parameters.items(), row, strict=True):
            found[name].append(part.view(p.shape[1:]).numpy())
    return {name: np.stack(parts) for name, parts in found.items()}


def longest_column_bound(matrix):
    """Return the lower bound on a norm that the package takes."""
    column = matrix[:, np.square(matrix).sum(0).argmax()]
    row = column @ matrix
    return np.linalg.norm(matrix @ (row / np.linalg.norm(row)))


def fitted(factors, momentum, noise, rate):
    """Return a weight's two factors after a fit, by explicit inverses."""
    rows, columns = factors
    seen = rows @ momentum @ columns.T
    spread = np.linalg.inv(rows).T @ noise @ np.linalg.inv(columns)
    found = []
    for own, one, other in (
        (rows, seen @ seen.T, spread @ spread.T),
        (columns, seen.T @ seen, spread.T @ spread),
    ):
        move = np.triu(one - other) / longest_column_bound(one + other)
        found.append(own - rate * move @ own)
    return found


def by_hand(weight, gradients, noises, rate=0.1, momentum=0.9):
    """Return a weight or vector after some steps that all fit the factors."""
    factors = [np.eye(n) for n in weight.shape]
    mean = np.zeros_like(weight)
    for step, (gradient, noise) in enumerate(zip(gradients, noises, strict=True)):
        mean = momentum * mean + (1 - momentum) * gradient
        update = mean / (1 - momentum ** (step + 1))
        damping = sqrt(np.finfo(np.float32).eps) * np.abs(update).mean()
        update = update + damping * noise
        if weight.ndim == 1:
            own = np.diag(factors[0])
            one, other = (own * update) ** 2, (noise / own) ** 2
            own = own - rate * (one - other) / (one + other).max() * own
            factors = [np.diag(own)]
            update = own**2 * update
        else:
            factors = fitted(factors, update, noise, rate)
            rows, columns = factors
            update = rows.T @ rows @ update @ columns.T @ columns
        weight = weight - LR * update * min(1, 1.1 / sqrt((update**2).mean()))
    return weight


def test_it_is_the_published_rule_for_every_member(toy):
    own, steps = toy("kron"), 5
    before = own.copy()
    drawn = [own.draw("gradient", step) for step in range(steps)]
    noises = [noise_of(own, step) for step in range(steps)]
    for step in range(steps):
        own.adam_step(step)
    for name, array in before.items():
        for i in range(3):
            gradients = [g[name][i].numpy() for g in drawn]
            wanted = by_hand(array[i], gradients, [v[name][i] for v in noises])
            assert_close(own.parameters[name][i].detach(), torch.from_numpy(wanted))


def test_updates_become_white_where_gradients_are_not():
    """The spread of an update's singular values over those of the gradients'."""
    draw = generator(3, "white")
    mix = torch.linspace(0.2, 5, 6, dtype=torch.float64).diag()
    weight = torch.zeros(1, 6, 4, dtype=torch.float64, requires_grad=True)
    optimizer = Kron([weight], 1.0, draws=lambda s: [generator(s)], momentum=0.0)
    updates = []
    for _ in range(1500):
        normal = torch.randn(6, 4, generator=draw, dtype=torch.float64)
        weight.grad = (mix @ normal)[None]
        before = weight.detach().clone()
        optimizer.step()
        updates.append((before - weight.detach())[0])
    late = torch.stack(updates[500:])
    values = torch.linalg.eigvalsh(torch.einsum("noi,npi->op", late, late))
    assert float(values[-1] / values[0]) < 2 < (5 / 0.2) ** 2


def test_long_sides_have_a_diagonal_and_vectors_too():
    like = {"requires_grad": True}
    own = [torch.ones(2, 3, 7, **like), torch.ones(2, 5, **like)]
    optimizer = Kron(own, 0.1, draws=lambda s: [generator(s)] * 2, largest=4)
    for parameter in own:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    shapes = [
        {k: tuple(v.shape) for k, v in optimizer.state[p].items() if v.ndim == 4}
        for p in own
    ]
    assert shapes == [
        {"rows": (2, 1, 3, 3), "columns": (2, 1, 1, 7)},
        {"rows": (2, 1, 1, 5)},
    ]


def test_factors_are_fitted_at_every_step_and_later_at_few():
    weight = torch.ones(1, 2, 2, requires_grad=True)
    asked = []

    def draws(step):
        asked.append(step)
        return [generator(step)]

    optimizer = Kron([weight], 1e-3, draws=draws)
    for step in range(5000):
        weight.grad = torch.randn(1, 2, 2, generator=generator(step))
        optimizer.step()
    assert asked[:501] == list(range(501))
    late = [step for step in asked if step >= 4500]
    assert len(late) == pytest.approx(500 * 0.03, abs=1)
    share = exp(-1e-3 * (1500 - 500))
    middle = [step for step in asked if 1400 <= step < 1600]
    assert len(middle) == pytest.approx(200 * share, rel=0.15)


def test_it_matches_the_public_package(monkeypatch):
    """With our noise; without its balancing; its solves in float64 as all else."""
    package = pytest.importorskip("kron_torch.kron")
    torch.compiler.set_stance("force_eager")
    try:
        compare(package, monkeypatch)
    finally:
        torch.compiler.set_stance("default")


def compare(package, monkeypatch):
    def solved(x, factor):
        flat = x.reshape(-1, x.shape[-1])
        own = torch.linalg.solve_triangular(factor, flat, upper=True, left=False)
        return own.reshape(x.shape)

    monkeypatch.setattr(package, "_solve_triangular_right", solved)
    shapes = ((4, 3), (4,), (1, 5))
    theirs = [torch.ones(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    ours = [p.detach().clone()[None].requires_grad_() for p in theirs]
    optimizer = package.Kron(theirs, lr=0.01, precond_dtype=torch.float64)
    monkeypatch.setattr(optimizer.rng, "random", lambda: 1.0)
    own = Kron(ours, 0.01, draws=lambda step: [generator(step, "noise")])
    for step in range(30):
        for i, (p, q) in enumerate(zip(theirs, ours, strict=True)):
            p.grad = torch.randn(p.shape, generator=generator(i, step)).double()
            q.grad = p.grad.clone()[None]
        row = torch.randn(
            sum(p.numel() for p in theirs), generator=generator(step, "noise")
        )
        parts = iter(row.double().split([p.numel() for p in theirs]))
        monkeypatch.setattr(
            torch, "randn_like", lambda g, p=parts: next(p).view(g.shape)
        )
        with contextlib.redirect_stdout(io.StringIO()):
            optimizer.step()
        own.step()
    for p, q in zip(theirs, ours, strict=True):
        assert_close(q[0], p)
