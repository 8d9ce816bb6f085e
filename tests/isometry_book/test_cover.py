from itertools import pairwise

import torch

from isometry_book.cover import _maps, cover


def end_to_end(layers):
    product = torch.eye(2, dtype=torch.float64)
    for weight in layers:
        product = weight @ product
    return torch.linalg.svdvals(product)


def test_orthogonal_layers_keep_the_circle_at_any_depth():
    torch.testing.assert_close(
        end_to_end(_maps(True, 16)), torch.ones(2, dtype=torch.float64)
    )


def test_gaussian_layers_have_mean_squared_singular_value_one():
    for weight in _maps(False, 16):
        torch.testing.assert_close(
            torch.linalg.svdvals(weight).square().mean(),
            torch.tensor(1.0, dtype=torch.float64),
        )


def test_gaussian_layers_flatten_the_circle():
    largest, smallest = end_to_end(_maps(False, 16))
    assert smallest < 0.01 * largest


def test_the_cover_has_a_panel_for_each_kind_and_depth():
    assert len(cover().axes) == 8


def test_on_a_narrow_sheet_words_stay_inside_their_columns():
    figure = cover(3.7)
    figure.draw_without_rendering()
    boxes = [ax._left_title.get_window_extent() for ax in figure.axes[:4]]
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
