"""What contract tests share."""

import pytest
import torch

from isometry.core.seeding import generator

# Rows, inner and outer sizes of the products in the tests' small networks.
PRODUCTS = ((16, 64, 10), (7, 64, 10), (7, 10, 10), (9, 10, 10), (16, 10, 10))


@pytest.fixture(scope="session")
def batched_products_are_exact():
    """Skip where a member's product depends on the batch or on its place in memory."""
    for rows, inner, out in PRODUCTS:
        draw = generator(0, "product", rows, inner)
        x = torch.randn(4, rows, inner, generator=draw)
        w = torch.randn(4, inner, out, generator=draw)
        v = torch.randn(4, out, inner, generator=draw)
        for i in range(4):
            alone = [t[i : i + 1].clone() for t in (x, w, v)]
            same = torch.equal(torch.bmm(x, w)[i], torch.bmm(*alone[:2])[0])
            turned = torch.bmm(alone[0], alone[2].mT)[0]
            if not same or not torch.equal(torch.bmm(x, v.mT)[i], turned):
                pytest.skip("a batched product of this machine depends on the batch")
