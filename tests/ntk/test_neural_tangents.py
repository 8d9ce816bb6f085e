"""Our kernels are those of neural-tangents, as recorded from it in double precision."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from isometry.maxmin import MaxMin
from isometry.ntk import empirical_ntk

GOLDEN = Path(__file__).with_name("golden") / "neural_tangents.npz"


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(5, 6), nn.LayerNorm(6)
        self.inner, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, inputs):
        hidden = torch.relu(self.first(inputs))
        return self.head(hidden + torch.tanh(self.inner(self.norm(hidden))))


def linear(fan_in, out, bias=True):
    return nn.Linear(fan_in, out, bias=bias)


NETWORKS = {
    "tanh_mlp": lambda: [
        linear(5, 9, False),
        nn.Tanh(),
        linear(9, 4, False),
        nn.Tanh(),
        linear(4, 3, False),
    ],
    "relu_mlp": lambda: [
        linear(5, 7),
        nn.ReLU(),
        linear(7, 7),
        nn.ReLU(),
        linear(7, 3),
    ],
    "gelu_mlp": lambda: [linear(5, 6), nn.GELU(), linear(6, 3)],
    "maxmin_mlp": lambda: [linear(5, 6), MaxMin(), linear(6, 3)],
    "residual": Residual,
    "convolutional": lambda: [
        nn.Conv2d(2, 3, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        linear(16, 3),
    ],
}


def recorded(name):
    """Return the network with the recorded parameters, the inputs and the kernel."""
    found = NETWORKS[name]()
    model = found if isinstance(found, nn.Module) else nn.Sequential(*found)
    prefix = f"{name}/"
    with np.load(GOLDEN) as golden:
        arrays = {
            key.removeprefix(prefix): torch.from_numpy(golden[key])
            for key in golden
            if key.startswith(prefix)
        }
    inputs, kernel = arrays.pop("inputs"), arrays.pop("kernel")
    model = model.double()
    weights = list(model.state_dict())
    # The recorder numbers layers, torch counts activations between them as well.
    model.load_state_dict(dict(zip(weights, arrays.values(), strict=True)))
    return model, inputs, kernel


@pytest.mark.parametrize("method", ["layerwise", "jacobian"])
@pytest.mark.parametrize("name", NETWORKS)
def test_kernel_equals_the_one_of_neural_tangents(name, method):
    model, inputs, kernel = recorded(name)
    found = empirical_ntk(model, inputs, method=method)
    torch.testing.assert_close(
        found, kernel, rtol=0, atol=1e-10 * kernel.abs().max().item()
    )
