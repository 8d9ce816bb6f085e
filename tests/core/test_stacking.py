"""Members of a stack never touch, and each is torch's own linear layer."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.core.stacking import member, stack, stacked_linear


def drawn(*shape, label="x", grad=False):
    tensor = torch.randn(shape, generator=generator(0, label), dtype=torch.float64)
    return tensor.requires_grad_(grad)


SHAPES = [
    (1, 1, 1, 1),
    (3, 5, 4, 2),
    (2, 1, 3, 7),
    (4, 6, 1, 3),
]  # members, batch, i, o


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_bias", [True, False])
def test_stacked_linear_is_a_linear_layer_for_every_member(shape, with_bias):
    members, batch, inputs, outputs = shape
    x = drawn(members, batch, inputs)
    weight = drawn(members, outputs, inputs, label="w")
    bias = drawn(members, outputs, label="b") if with_bias else None
    found = stacked_linear(x, weight, bias)
    assert found.shape == (members, batch, outputs)
    for i in range(members):
        own_bias = None if bias is None else bias[i]
        assert_close(found[i], functional.linear(x[i], weight[i], own_bias))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "needs", [(True, True, True), (False, True, True), (True, False, False)]
)
def test_stacked_linear_has_the_derivative_that_finite_differences_see(shape, needs):
    members, batch, inputs, outputs = shape
    arguments = (
        drawn(members, batch, inputs, grad=needs[0]),
        drawn(members, outputs, inputs, label="w", grad=needs[1]),
        drawn(members, outputs, label="b", grad=needs[2]),
    )
    assert gradcheck(stacked_linear, arguments)
    if needs[0] or needs[1]:
        assert gradcheck(stacked_linear, arguments[:2])


def test_inputs_that_need_no_gradient_get_none():
    x, weight = drawn(2, 3, 4), drawn(2, 5, 4, label="w", grad=True)
    stacked_linear(x, weight).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_the_gradient_is_that_of_autograd_through_torchs_own_product():
    gradients = []
    for layer in (
        stacked_linear,
        lambda x, w, b: torch.einsum("mbi,moi->mbo", x, w) + b[:, None],
    ):
        arguments = (
            drawn(3, 5, 4, grad=True),
            drawn(3, 2, 4, label="w", grad=True),
            drawn(3, 2, label="b", grad=True),
        )
        # A curved loss, so that the incoming gradient differs from entry to entry.
        layer(*arguments).pow(3).sum().backward()
        gradients.append([x.grad for x in arguments])
    assert_close(gradients[0], gradients[1])


def test_weight_gradients_come_out_contiguous():
    weight = drawn(2, 5, 4, label="w", grad=True)
    loss = stacked_linear(drawn(2, 3, 4), weight).pow(2).sum()
    # Not `weight.grad`: what is accumulated there has been copied into place.
    assert torch.autograd.grad(loss, weight)[0].is_contiguous()


def test_a_second_derivative_is_refused_instead_of_wrong():
    x, weight = drawn(1, 2, 2, grad=True), drawn(1, 2, 2, label="w", grad=True)
    loss = stacked_linear(x, weight).pow(2).sum()
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_one_members_loss_has_no_gradient_in_another_member():
    x = drawn(3, 4, 2)
    weight = drawn(3, 5, 2, label="w", grad=True)
    bias = drawn(3, 5, label="b", grad=True)
    stacked_linear(x, weight, bias)[1].square().sum().backward()
    for parameter in (weight, bias):
        assert (parameter.grad[[0, 2]] == 0).all()
        assert (parameter.grad[1] != 0).any()


def test_a_member_that_is_not_finite_leaves_the_others_as_they_are():
    x, weight = drawn(3, 4, 2), drawn(3, 5, 2, label="w")
    sound = stacked_linear(x, weight)
    weight[1, 0, 0] = float("nan")
    found = stacked_linear(x, weight)
    assert torch.equal(found[[0, 2]], sound[[0, 2]])
    assert found[1].isnan().any()


def test_members_of_a_stack_are_what_was_stacked():
    single = [{"w": drawn(2, 3, label=i), "b": drawn(2, label=f"b{i}")} for i in "abc"]
    stacked = stack(single)
    assert stacked["w"].shape == (3, 2, 3)
    for i, parameters in enumerate(single):
        for name, tensor in member(stacked, i).items():
            assert torch.equal(tensor, parameters[name])


def test_a_member_is_a_view():
    stacked = stack([{"w": torch.zeros(2)}, {"w": torch.zeros(2)}])
    member(stacked, 1)["w"].fill_(1.0)
    assert stacked["w"].tolist() == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "needed at least one member, found 0"),
        (
            [{"w": torch.zeros(2)}, {"v": torch.zeros(2)}],
            r"needed the names \['w'\], found \['v'\]; stack networks of one arch",
        ),
    ],
)
def test_stacks_of_nothing_or_of_different_networks_are_refused(members, message):
    with pytest.raises(ValueError, match=message):
        stack(members)
