import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import jacfwd, jacrev, vmap

from isometry.core.seeding import generator
from isometry.maxmin import GroupSort, MaxMin, group_sort
from isometry.maxmin.sorting import SMALL

# torch compiles its own forward-mode rules by torch.jit.
forward_mode = pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(0, *shape), dtype=torch.float64)


def sorted_groups(x: torch.Tensor, group_size: int, dim: int) -> torch.Tensor:
    units = x.movedim(dim, -1)
    groups = units.reshape(*units.shape[:-1], -1, group_size)
    return groups.sort(-1).values.reshape(units.shape).movedim(-1, dim)


SHAPES = [((6,), 0), ((4, 6), -1), ((3, 4, 5, 5), 1), ((2, SMALL), 1), ((SMALL, 3), 0)]


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("group_size", [1, 2])
def test_group_sort_equals_sorting_each_group(shape, dim, group_size):
    x = draw(*shape)
    expected = sorted_groups(x, group_size, dim)
    assert torch.equal(group_sort(x, group_size, dim), expected)
    assert torch.equal(GroupSort(group_size, dim)(x), expected)


@settings(max_examples=40, deadline=None)
@given(
    group_size=st.integers(1, 8),
    groups=st.integers(1, 5),
    before=st.lists(st.integers(1, 4), max_size=2),
    after=st.lists(st.integers(1, 4), max_size=2),
)
def test_group_sort_keeps_norm_and_sorts(group_size, groups, before, after):
    x = draw(*before, groups * group_size, *after)
    dim = len(before)
    y = group_sort(x, group_size, dim)
    assert torch.equal(y, sorted_groups(x, group_size, dim))
    assert torch.equal(group_sort(y, group_size, dim), y)
    torch.testing.assert_close(y.norm(dim=dim), x.norm(dim=dim))


@pytest.mark.parametrize(("shape", "group_size"), [((3, 8), 2), ((3, 9), 3)])
def test_group_sort_gradients_of_both_orders(shape, group_size):
    x = draw(*shape).requires_grad_()
    torch.autograd.gradcheck(lambda x: group_sort(x, group_size), x)
    torch.autograd.gradgradcheck(lambda x: group_sort(x, group_size), x)


@forward_mode
def test_gradients_of_the_pair_form(monkeypatch):
    monkeypatch.setattr("isometry.maxmin.sorting.SMALL", 0)
    x = draw(3, 8).requires_grad_()
    torch.autograd.gradcheck(
        group_sort, x, check_forward_ad=True, check_batched_grad=True
    )
    torch.autograd.gradgradcheck(group_sort, x)


@forward_mode
@pytest.mark.parametrize("small", [0, 10**9])
def test_jacobian_is_a_permutation_even_at_ties(monkeypatch, small):
    monkeypatch.setattr("isometry.maxmin.sorting.SMALL", small)
    for row in (torch.tensor([2.0, 1.0, 3.0, 4.0]), torch.ones(4), torch.zeros(4)):
        for transform in (jacrev, jacfwd):
            jacobian = vmap(transform(group_sort))(row[None])[0]
            assert torch.equal(jacobian @ jacobian.T, torch.eye(4))
            assert torch.equal(jacobian @ row, group_sort(row))
    assert torch.equal(jacobian, torch.eye(4))


def test_pair_form_equals_sort_over_stacks_and_layouts(monkeypatch):
    monkeypatch.setattr("isometry.maxmin.sorting.SMALL", 0)
    x = draw(2, 4, 3, 6).to(memory_format=torch.channels_last).requires_grad_()
    y = vmap(lambda member: group_sort(member, 2, 0))(x)
    assert torch.equal(y, sorted_groups(x, 2, 1))
    weights = draw(2, 4, 3, 6)
    (gradient,) = torch.autograd.grad(y, x, weights)
    (expected,) = torch.autograd.grad(sorted_groups(x, 2, 1), x, weights)
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_group_sort_is_exact_in_every_type(dtype):
    x = draw(4, SMALL).to(dtype)
    y = group_sort(x)
    assert y.dtype == dtype
    assert torch.equal(y, sorted_groups(x, 2, -1))


@pytest.mark.parametrize(("shape", "dim"), [((4, 6), 1), ((2, 4, 3), 1)])
def test_compiled_sorting_equals_the_eager_one_in_one_graph(shape, dim):
    compiled = torch.compile(group_sort, backend="aot_eager", fullgraph=True)
    x = draw(*shape).requires_grad_()
    found, expected = compiled(x, 2, dim), group_sort(x, 2, dim)
    assert torch.equal(found, expected)
    weights = draw(*shape) + 1
    (gradient,) = torch.autograd.grad(found, x, weights)
    assert torch.equal(gradient, torch.autograd.grad(expected, x, weights)[0])


def test_maxmin_is_group_sort_of_two_and_copies():
    layer = MaxMin(dim=1)
    assert isinstance(layer, GroupSort)
    assert repr(layer) == "GroupSort(group_size=2, dim=1)"
    x = draw(2, 4, 3)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), group_sort(x, 2, 1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: MaxMin()(torch.ones(2, 5)), ValueError, "5 units in dim 1"),
        (lambda: group_sort(torch.ones(4, 3), 2, 1), ValueError, "divisible by"),
        (lambda: group_sort(torch.ones(4), 0), ValueError, "group_size >= 1"),
        (lambda: GroupSort(-2), ValueError, "group_size >= 1"),
        (lambda: GroupSort(2.0), TypeError, "an int as group_size"),
        (lambda: group_sort(torch.ones(4), 2, 1), IndexError, "1-dimensional"),
        (lambda: group_sort(torch.tensor(1.0)), IndexError, "0-dimensional"),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
