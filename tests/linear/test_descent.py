import pytest
import torch

from isometry.core.seeding import generator
from isometry.linear import (
    deep_linear_ntk,
    draw_chain,
    end_to_end,
    gradient_descent,
    half_squared_error,
    kernel_matrix,
    learning_time,
)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(0, *shape), dtype=torch.float64)


def test_first_order_change_of_the_outputs_is_minus_kernel_times_error():
    weights = draw_chain([4, 5, 3], "gaussian", generator=generator(1))
    inputs, targets = draw(6, 4), draw(6, 3)
    outputs = inputs @ end_to_end(weights).mT
    matrix = kernel_matrix(deep_linear_ntk(weights, inputs))
    lr = 1e-7
    after, _ = gradient_descent(weights, inputs, targets, lr, 1)
    change = (inputs @ end_to_end(after).mT - outputs).flatten() / lr
    expected = -matrix @ (outputs - targets).flatten()
    # The second order in lr is what remains.
    torch.testing.assert_close(change, expected, rtol=1e-5, atol=1e-5)


def test_members_descend_alone_and_a_diverged_one_stays_at_infinity():
    weights = draw_chain([3, 3, 3], members=(3,), generator=generator(2))
    inputs, targets = draw(4, 3), draw(3, 4, 3)
    rates = torch.tensor([0.01, 1e6, 0.02], dtype=torch.float64)
    _, losses = gradient_descent(weights, inputs, targets, rates, 40)
    assert losses.shape == (41, 3)
    assert losses[-1, 1].isinf()
    for member in (0, 2):
        _, alone = gradient_descent(
            [weight[member] for weight in weights],
            inputs,
            targets[member],
            rates[member].item(),
            40,
        )
        torch.testing.assert_close(losses[:, member], alone)


def test_descent_leaves_the_given_weights_as_they_are():
    weights = draw_chain([2, 2], generator=generator(3))
    before = weights[0].clone()
    after, losses = gradient_descent(weights, draw(3, 2), draw(3, 2), 0.1, 5)
    assert torch.equal(weights[0], before)
    torch.testing.assert_close(
        losses[-1], half_squared_error(after, draw(3, 2), draw(3, 2))
    )


def test_learning_time_is_the_first_step_below_the_fraction():
    losses = torch.tensor([[8.0, 8.0, 8.0], [4.0, 9.0, 7.0], [2.0, 0.0, 6.0]])
    assert learning_time(losses, 0.5).tolist() == [1.0, 2.0, float("inf")]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradient_descent([], draw(1, 1), draw(1, 1), 0.1, 1), "one weight"),
        (lambda: gradient_descent([draw(1, 1)], draw(1, 1), 0, 0.1, -1), "steps >= 0"),
        (lambda: learning_time(torch.ones(3), 1.0), "0 < fraction < 1"),
    ],
)
def test_bad_descents_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
