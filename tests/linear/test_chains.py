import pytest
import torch

from isometry.core.matrices import singular_values, smaller_gram
from isometry.core.seeding import generator
from isometry.linear import (
    draw_chain,
    end_to_end,
    prefix_products,
    suffix_products,
)


def test_products_around_a_layer_give_the_network():
    weights = draw_chain([3, 5, 2, 4], "gaussian", members=(2,), generator=generator(0))
    product = end_to_end(weights)
    assert product.shape == (2, 4, 3)
    for prefix, weight, suffix in zip(
        prefix_products(weights), weights, suffix_products(weights), strict=True
    ):
        torch.testing.assert_close(suffix @ weight @ prefix, product)
    x = torch.randn(2, 3, 1, generator=generator(1), dtype=torch.float64)
    y = x
    for weight in weights:
        y = weight @ y
    torch.testing.assert_close(product @ x, y)


@pytest.mark.parametrize("sizes", [[4, 4, 4], [3, 6, 6], [6, 4, 2], [1, 3], [3, 1]])
def test_orthogonal_draw_has_unit_singular_values(sizes):
    for weight in draw_chain(sizes, members=(3,), generator=generator(2)):
        gram = smaller_gram(weight)
        identity = torch.eye(gram.shape[-1], dtype=gram.dtype).expand_as(gram)
        torch.testing.assert_close(gram, identity)


def test_orthogonal_draw_is_uniform_over_rotations():
    weight = draw_chain([2, 2], members=(4000,), generator=generator(3))[0]
    assert abs(weight.mean(0)).max() < 0.05
    assert abs((torch.linalg.det(weight) > 0).double().mean() - 0.5) < 0.05


@pytest.mark.parametrize("draw", ["orthogonal", "gaussian", "drifted"])
def test_square_draws_keep_the_mean_squared_length(draw):
    weight = draw_chain([64, 64], draw, members=(8,), generator=generator(4))[0]
    mean_square = singular_values(weight).square().mean()
    assert abs(mean_square - 1) < 0.02


def test_drift_leads_from_orthogonal_to_gaussian():
    def spread(draw, drift=0.0):
        draws = generator(5)
        weight = draw_chain([48, 48], draw, drift=drift, generator=draws)[0]
        return singular_values(weight).std()

    spreads = [spread("drifted", drift) for drift in (0.0, 0.1, 0.5, 1e6)]
    assert spreads == sorted(spreads)
    assert spreads[0] < 1e-12
    torch.testing.assert_close(spreads[-1], spread("gaussian"), rtol=0.1, atol=0)


def test_draw_depends_on_the_generator_alone():
    first, second = (draw_chain([4, 4], generator=generator(6)) for _ in range(2))
    assert torch.equal(first[0], second[0])


SQUARE = torch.eye(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: prefix_products([]), ValueError, "at least one weight"),
        (lambda: end_to_end([SQUARE, torch.eye(3)]), ValueError, "W_2 with 2 inputs"),
        (lambda: suffix_products([SQUARE, torch.ones(2)]), ValueError, "W_2"),
        (lambda: end_to_end([SQUARE.int()]), TypeError, "floating-point"),
        (lambda: end_to_end([SQUARE * torch.nan]), ValueError, "finite W_1"),
        (lambda: draw_chain([4, 4], "ortogonal"), ValueError, "did you mean"),
        (lambda: draw_chain([4]), ValueError, "sizes"),
        (lambda: draw_chain([4, 0]), ValueError, "sizes"),
        (lambda: draw_chain([4, 4], "drifted", drift=-1), ValueError, "drift >= 0"),
    ],
)
def test_bad_chains_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
