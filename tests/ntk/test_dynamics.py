"""What the kernel says of training: theory, linearisation and network."""

import pytest
import torch
from isometry.ntk import conditioning, empirical_ntk, layer_kernels, ntk_matrix
from isometry.ntk.dynamics import (
    predicted_residuals,
    removed_along_directions,
    trained_residuals,
)
from torch import nn

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


@pytest.mark.parametrize(
    ("lr", "steps", "message"), [(0.0, 1, "lr"), (1.0, -1, "step")]
)
def test_steps_and_learning_rate_out_of_range_are_refused(lr, steps, message):
    with pytest.raises(ValueError, match=message):
        predicted_residuals(torch.eye(2), torch.ones(2), lr, steps)
