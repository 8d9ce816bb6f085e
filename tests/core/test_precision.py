"""What CUDA may do with matrix products is said for a while, and then as before."""

import pytest
import torch

from isometry.core.precision import exact_matmul, half_products

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def allowed():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_allowed_on_cuda_as_asked_and_restored_after_an_error(tf32):
    before, seen = allowed(), []

    @exact_matmul(CUDA, tf32=tf32)
    def fails():
        seen.append(allowed())
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert seen == [(tf32, tf32)]
    assert allowed() == before


def test_nothing_happens_on_a_cpu():
    before = allowed()
    with exact_matmul(CPU, tf32=not before[0]):
        assert allowed() == before


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("float32", torch.float32),
        ("tf32", torch.float32),
        ("bfloat16", torch.bfloat16),
    ],
)
def test_products_are_rounded_only_where_bfloat16_is_asked_for(precision, dtype):
    weight = torch.eye(3)
    with half_products(CPU, precision):
        assert (weight @ weight).dtype == dtype
    assert (weight @ weight).dtype == torch.float32
