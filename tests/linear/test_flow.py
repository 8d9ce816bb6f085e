import numpy as np
import pytest
import torch

from isometry.core.seeding import generator
from isometry.linear import (
    draw_chain,
    end_to_end,
    end_to_end_flow,
    gradient_descent,
    gradient_flow,
    half_squared_error,
    loss_gradients,
    mode_flow,
)

# The flows are integrated to 1e-10 relative; comparisons leave room for its growth.
FLOW = {"rtol": 1e-7, "atol": 1e-8}
TIMES = [0.0, 0.05, 0.2, 1.0]


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(0, *shape), dtype=torch.float64)


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_flow_of_balanced_layers_is_the_flow_of_their_product(depth):
    weights = draw_chain([4] * (depth + 1), generator=generator(1))
    start = end_to_end(weights)
    inputs, noise = draw(6, 4), draw(4, 4)
    targets = inputs @ (start + 0.2 * noise).mT
    found = gradient_flow(weights, inputs, targets, TIMES)
    expected = end_to_end_flow(start, depth, inputs, targets, TIMES)
    torch.testing.assert_close(found, expected, **FLOW)
    torch.testing.assert_close(found[0], start)


def test_unbalanced_layers_leave_the_flow_of_the_product():
    weights = draw_chain([4] * 3, "gaussian", generator=generator(2))
    start, inputs = end_to_end(weights), draw(6, 4)
    targets = inputs @ (start + 0.2 * draw(4, 4)).mT
    found = gradient_flow(weights, inputs, targets, TIMES)
    other = end_to_end_flow(start, 2, inputs, targets, TIMES)
    assert (found[-1] - other[-1]).norm() > 1e-2


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_aligned_modes_follow_the_flow_of_one_mode(depth):
    targets = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    starts = torch.tensor([0.3, 1.0, 0.8], dtype=torch.float64)
    weights = [torch.diag(starts ** (1 / depth)) for _ in range(depth)]
    inputs = torch.eye(3, dtype=torch.float64)
    flow = gradient_flow(weights, inputs, torch.diag(targets), TIMES)
    modes = flow.diagonal(dim1=1, dim2=2)
    for mode in range(3):
        expected = mode_flow(starts[mode].item(), targets[mode].item(), depth, TIMES)
        torch.testing.assert_close(modes[:, mode], torch.from_numpy(expected), **FLOW)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_mode_flow_solves_its_equation(depth):
    times = np.linspace(0, 2, 2001)
    values = mode_flow(0.2, 1.5, depth, times)
    assert values[0] == pytest.approx(0.2)
    slope = (values[2:] - values[:-2]) / (times[2:] - times[:-2])
    middle = values[1:-1]
    expected = depth * middle ** (2 - 2 / depth) * (1.5 - middle)
    # Central differences err by the third derivative times the squared step.
    np.testing.assert_allclose(slope, expected, atol=3e-5)


def test_closed_form_of_two_layers_does_not_overflow():
    assert mode_flow(1e-3, 3.0, 2, [0.0, 1e4])[-1] == pytest.approx(3.0)


def test_small_descent_steps_follow_the_flow():
    weights = draw_chain([3, 4, 3], "drifted", generator=generator(3))
    inputs, targets = draw(5, 3), draw(5, 3)
    errors = []
    for steps in (100, 200):
        final, _ = gradient_descent(weights, inputs, targets, 0.2 / steps, steps)
        flow = gradient_flow(weights, inputs, targets, [0.2])[-1]
        errors.append((end_to_end(final) - flow).norm())
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.05)


def test_loss_gradients_equal_automatic_differentiation():
    weights = draw_chain([4, 3, 5, 2], "gaussian", members=(2,), generator=generator(4))
    for weight in weights:
        weight.requires_grad_()
    inputs, targets = draw(6, 4), draw(2, 6, 2)
    loss = half_squared_error(weights, inputs, targets)
    expected = torch.autograd.grad(loss.sum(), weights)
    found = loss_gradients(weights, inputs, targets)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


ONE = torch.ones(1, 1, dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradient_flow([ONE], ONE, ONE, [1.0, 0.5]), "ascend"),
        (lambda: gradient_flow([ONE], ONE, ONE, []), "ascend"),
        (lambda: end_to_end_flow(ONE, 0, ONE, ONE, [1.0]), "depth >= 1"),
        (lambda: end_to_end_flow(ONE[0], 2, ONE, ONE, [1.0]), "square start"),
        (lambda: mode_flow(0.0, 1.0, 2, [1.0]), "start > 0"),
        (lambda: mode_flow(1.0, -1.0, 2, [1.0]), "target > 0"),
        (lambda: mode_flow(1.0, 1.0, 2, [-1.0]), "ascend"),
    ],
)
def test_bad_flows_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
