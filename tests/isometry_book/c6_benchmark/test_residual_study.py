"""The stream of a transformer: how far its Jacobians are from isometries."""

import pytest
import torch
from torch.testing import assert_close

from isometry.lab.run import plan
from isometry.supervised.networks.kinds import network_of
from isometry.supervised.networks.mlp import as_module
from isometry.supervised.streams import Pixels
from isometry_book.c6_benchmark import study


@pytest.fixture
def pixels():
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 64, generator=draw)
    labels = torch.randint(10, (40,), generator=draw)
    shape = (1, 8, 8)
    return Pixels(
        train_inputs=inputs,
        train_labels=labels,
        test_inputs=inputs[:10],
        test_labels=labels[:10],
        num_classes=10,
        image_shape=shape,
    )


def transformer(pixels, branch):
    """Return a small transformer whose blocks' branches are scaled, in float64."""
    changes = {"data": "digits", "network": "transformer", "depth": 2, "width": 32}
    planned = plan(study.BENCHMARK, "adam", changes, "smoke")
    arguments = (planned.method, planned.method_settings, planned.settings, pixels)
    network = network_of(*arguments)
    parameters = network.stacked([0], 0)
    for name in parameters:
        if name.endswith("output.weight") or name.startswith("perceptron"):
            parameters[name] = parameters[name] * branch
    return as_module(network, parameters, 0).double()


def test_blocks_that_add_nothing_are_isometries(pixels):
    model = transformer(pixels, branch=0.0)
    found = study._stream_spreads(model, pixels.train_inputs[:2].double())
    assert_close(found["block_spread"], 0.0)
    assert_close(found["trunk_spread"], 0.0)
    assert_close(found["trunk_largest"], 1.0)
    assert_close(found["trunk_median"], 1.0)


def test_the_trunk_is_the_product_of_its_blocks(pixels):
    model = transformer(pixels, branch=1.0)
    inputs = pixels.train_inputs[:1].double()
    stream, product = model[0](inputs).detach(), torch.eye(16 * 8).double()
    for block in (part for part in model if isinstance(part, study.Block)):
        slope = torch.func.jacrev(lambda x, block=block: block(x[None])[0])(stream[0])
        product = slope.reshape(16 * 8, -1).detach() @ product
        stream = block(stream).detach()
    values = torch.linalg.svdvals(product)
    found = study._stream_spreads(model, inputs)
    assert_close(found["trunk_spread"], study._spread_around_one(values).item())
    assert_close(found["trunk_largest"], values.max().item())
