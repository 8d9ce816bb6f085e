"""What the kernel says of training: theory, linearisation and network."""

import pytest
import torch
from torch import nn

from isometry.ntk import conditioning, empirical_ntk, layer_kernels, ntk_matrix
from isometry.ntk.dynamics import (
    best_constant_lr,
    predicted_residuals,
    removed_along_directions,
    removed_by_descent,
    trained_residuals,
)
from isometry.ntk.preconditioned import preconditioned_ntk
from isometry.plasticity.measure import removed_fraction

DOUBLE = torch.float64


@pytest.fixture
def problem():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 3)).double()
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(4, 5, generator=draw, dtype=DOUBLE)
    targets = torch.randn(4, 3, generator=draw, dtype=DOUBLE)
    matrix = ntk_matrix(empirical_ntk(model, inputs))
    lr = 1 / conditioning(matrix).eigenvalues[-1].item()
    return model, inputs, targets, matrix, lr


def test_linearised_network_follows_its_kernel_exactly(problem):
    model, inputs, targets, matrix, lr = problem
    found = trained_residuals(model, inputs, targets, lr, 50, linearized=True)
    expected = predicted_residuals(matrix, found[0], lr, 50)
    torch.testing.assert_close(found, expected)


def test_network_follows_plain_gradient_descent(problem):
    model, inputs, targets, _, lr = problem
    found = trained_residuals(model, inputs, targets, lr, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step in range(4):
        residual = model(inputs) - targets
        torch.testing.assert_close(found[step], residual.detach().flatten())
        optimizer.zero_grad()
        (residual.square().sum() / 2).backward()
        optimizer.step()


def test_network_starts_along_its_linearisation(problem):
    model, inputs, targets, matrix, lr = problem
    short = lr * 1e-5
    found = trained_residuals(model, inputs, targets, short, 1)
    step = (found[1] - found[0]) / short
    # The error is of second order in the step: 1e-5 of the change.
    torch.testing.assert_close(step, -matrix @ found[0], rtol=1e-3, atol=1e-3)


def test_training_leaves_the_model_as_it_was(problem):
    model, inputs, targets, _, lr = problem
    before = [p.clone() for p in model.parameters()]
    trained_residuals(model, inputs, targets, lr, 2)
    for now, then in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(now, then, rtol=0, atol=0)


def test_progress_along_an_eigenvector_is_its_eigenvalue(problem):
    *_, matrix, lr = problem
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    residuals = predicted_residuals(matrix, vectors.sum(1), lr, 1)
    for index, value in enumerate(eigenvalues):
        removed = removed_along_directions(residuals, vectors[:, [index]])
        torch.testing.assert_close(removed[1], 1 - (1 - lr * value) ** 2)


def test_layer_kernels_add_up_to_the_kernel(problem):
    model, inputs, *_ = problem
    terms = layer_kernels(model, inputs)
    assert list(terms) == ["0", "2"]
    total = torch.stack(list(terms.values())).sum(0)
    torch.testing.assert_close(total, empirical_ntk(model, inputs))


def test_term_of_a_layer_is_the_kernel_of_its_parameters_alone(problem):
    model, inputs, *_ = problem
    term = layer_kernels(model, inputs)["0"]
    model[2].requires_grad_(False)
    alone = empirical_ntk(model, inputs, method="jacobian")
    torch.testing.assert_close(term, alone)


def test_layer_kernels_of_what_is_no_sum_are_refused():
    layer = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="sum over layers"):
        layer_kernels(nn.Sequential(layer, nn.ReLU(), layer), torch.ones(2, 3))


def tasks_of(matrix, count, seed=0):
    """Return residuals at the start: the eigenvectors, then random directions."""
    draw = torch.Generator().manual_seed(seed)
    random = torch.randn(count, len(matrix), generator=draw, dtype=DOUBLE)
    vectors = torch.linalg.eigh(matrix).eigenvectors.mT
    return torch.cat([vectors, random / random.norm(dim=1, keepdim=True)])


def plasticities(matrix, tasks, lr, steps):
    """Return Eq. 1's fraction for each residual, by taking the steps one by one."""
    left = tasks
    for _ in range(steps):
        left = left - lr * left @ matrix
    losses = tasks.square().sum(1) / 2, left.square().sum(1) / 2
    return removed_fraction(*losses, 0.0)


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_worst_task_at_the_inverse_of_the_largest_eigenvalue_is_told_by_kappa(
    problem, steps
):
    *_, matrix, lr = problem
    eigenvalues = torch.linalg.eigvalsh(matrix)
    kappa = float(eigenvalues[-1] / eigenvalues[0])
    found = plasticities(matrix, tasks_of(matrix, 500), lr, steps)
    bound = 1 - (1 - 1 / kappa) ** (2 * steps)
    assert found.min() == pytest.approx(bound)
    assert found[len(matrix) :].min() > bound  # no random task is as bad
    assert removed_by_descent(eigenvalues, lr, steps).min() == pytest.approx(bound)


@pytest.mark.parametrize("steps", [1, 4])
def test_no_constant_step_serves_the_worst_task_better(problem, steps):
    *_, matrix, _ = problem
    eigenvalues = torch.linalg.eigvalsh(matrix)
    kappa = float(eigenvalues[-1] / eigenvalues[0])
    best = best_constant_lr(eigenvalues)
    worst = float(removed_by_descent(eigenvalues, best, steps).min())
    assert worst == pytest.approx(1 - ((kappa - 1) / (kappa + 1)) ** (2 * steps))
    for share in torch.linspace(0.05, 1.5, 300).tolist():
        other = removed_by_descent(eigenvalues, share * best, steps).min()
        assert other <= worst + 1e-12


def test_random_tasks_meet_the_mean_over_the_spectrum(problem):
    *_, matrix, lr = problem
    tasks = tasks_of(matrix, 40_000)[len(matrix) :]
    found = plasticities(matrix, tasks, lr, 2)
    expected = removed_by_descent(torch.linalg.eigvalsh(matrix), lr, 2).mean()
    error = float(found.std() / len(found) ** 0.5)
    assert float(found.mean()) == pytest.approx(float(expected), abs=4 * error)
    assert 4 * error < 0.01


def test_what_no_step_can_remove_belongs_to_the_achievable_loss():
    matrix = torch.diag(torch.tensor([4.0, 1.0, 0.0], dtype=DOUBLE))
    task = torch.tensor([[1.0, 2.0, 5.0]], dtype=DOUBLE)
    left = predicted_residuals(matrix, task[0], 0.25, 3)[-1]
    losses = task.square().sum() / 2, left.square().sum() / 2
    found = removed_fraction(*losses, 5.0**2 / 2)
    own = removed_by_descent(torch.tensor([4.0, 1.0], dtype=DOUBLE), 0.25, 3)
    shares = torch.tensor([1.0, 4.0], dtype=DOUBLE) / 5
    torch.testing.assert_close(found, (shares * own).sum())


def scales_of(model, seed):
    """Return one over Adam's denominators, as after some gradients, by name."""
    draw = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(p.shape, generator=draw, dtype=DOUBLE).add(0.1).rsqrt()
        for name, p in model.named_parameters()
    }


def test_steps_with_frozen_moments_follow_the_preconditioned_kernel(problem):
    model, inputs, targets, *_ = problem
    scales = scales_of(model, 0)
    kernel = ntk_matrix(preconditioned_ntk(model, inputs, scales))
    lr = 1e-6  # so short that the network is its linearisation
    before = model(inputs).detach()
    (model(inputs) - targets).square().sum().div(2).backward()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p -= lr * scales[name] * p.grad
        moved = (model(inputs) - before) / lr
    expected = -kernel @ (before - targets).flatten()
    # of second order in the step
    torch.testing.assert_close(moved.flatten(), expected, rtol=1e-3, atol=1e-3)


def test_preconditioning_changes_kappa_by_no_more_than_its_own_spread(problem):
    model, inputs, _, matrix, _ = problem
    for seed in range(5):
        scales = scales_of(model, seed)
        kernel = ntk_matrix(preconditioned_ntk(model, inputs, scales))
        entries = torch.cat([s.flatten() for s in scales.values()])
        spread = float(entries.max() / entries.min())
        ratio = float(torch.linalg.cond(kernel) / torch.linalg.cond(matrix))
        assert 1 / spread <= ratio <= spread


def test_a_preconditioner_may_cure_a_kernel_or_spoil_it():
    layer, inputs = nn.Linear(2, 1, bias=False), torch.diag(torch.tensor([1.0, 3.0]))
    for scale, kappa in (((1.0, 1 / 9), 1.0), ((1.0, 9.0), 81.0), ((1.0, 1.0), 9.0)):
        kernel = preconditioned_ntk(layer, inputs, {"weight": torch.tensor([scale])})
        found = float(torch.linalg.cond(ntk_matrix(kernel)))
        assert found == pytest.approx(kappa, rel=1e-5)


def test_directions_that_cannot_be_learned_are_refused():
    with pytest.raises(ValueError, match="positive eigenvalues"):
        removed_by_descent(torch.tensor([1.0, 0.0]), 0.1, 1)


@pytest.mark.parametrize(
    ("lr", "steps", "message"), [(0.0, 1, "lr"), (1.0, -1, "step")]
)
def test_steps_and_learning_rate_out_of_range_are_refused(lr, steps, message):
    with pytest.raises(ValueError, match=message):
        predicted_residuals(torch.eye(2), torch.ones(2), lr, steps)
