"""Record kernels that neural-tangents computes, for tests/ntk/test_neural_tangents.py.

Run with the peer's environment, which ``python benchmarks/empirical_ntk.py`` makes:

    .peers/empirical_ntk/bin/python benchmarks/contestants/record_kernels.py

Weights and inputs are drawn here and stored beside the kernels, in double precision.
The networks are written in jax alone, so that nothing of ours enters.
"""

from pathlib import Path

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import neural_tangents as nt  # noqa: E402
from jax import numpy as jnp  # noqa: E402

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "ntk" / "golden"
INPUTS, FEATURES, CHANNELS, SIDE, OUTPUTS = 4, 5, 2, 5, 3


def dense(parameters, name, x):
    """A layer with weight (out, in), and a bias if there is one."""
    x = x @ parameters[f"{name}.weight"].T
    bias = parameters.get(f"{name}.bias")
    return x if bias is None else x + bias


def convolution(parameters, name, x, stride, padding):
    """A layer over (n, channels, height, width) with kernel (out, in, k, k)."""
    pads = [(padding, padding)] * 2
    kernel = parameters[f"{name}.weight"]
    x = jax.lax.conv_general_dilated(x, kernel, (stride, stride), pads)
    return x + parameters[f"{name}.bias"][None, :, None, None]


def tanh_mlp(p, x):
    """Wide, then narrow, without biases."""
    return dense(p, "2", jnp.tanh(dense(p, "1", jnp.tanh(dense(p, "0", x)))))


def relu_mlp(p, x):
    """Two hidden layers with biases."""
    hidden = jax.nn.relu(dense(p, "0", x))
    return dense(p, "2", jax.nn.relu(dense(p, "1", hidden)))


def gelu_mlp(p, x):
    """One hidden layer; the exact GELU."""
    return dense(p, "1", jax.nn.gelu(dense(p, "0", x), approximate=False))


def maxmin_mlp(p, x):
    """Pairs of neighbouring units are sorted."""
    hidden = dense(p, "0", x)
    return dense(
        p, "1", jnp.sort(hidden.reshape(len(x), -1, 2), -1).reshape(len(x), -1)
    )


def residual(p, x):
    """A skip connection around a normalised layer."""
    hidden = jax.nn.relu(dense(p, "first", x))
    mean = hidden.mean(-1, keepdims=True)
    variance = hidden.var(-1, keepdims=True)
    normal = (hidden - mean) / jnp.sqrt(variance + 1e-5)
    normal = normal * p["norm.weight"] + p["norm.bias"]
    return dense(p, "head", hidden + jnp.tanh(dense(p, "inner", normal)))


def convolutional(p, x):
    """Two convolutions, one with padding and one with stride, and a head."""
    x = jax.nn.relu(convolution(p, "0", x, 1, 1))
    x = jax.nn.relu(convolution(p, "1", x, 2, 0))
    return dense(p, "2", x.reshape(len(x), -1))


NETWORKS = {
    "tanh_mlp": (
        tanh_mlp,
        {"0.weight": (9, 5), "1.weight": (4, 9), "2.weight": (3, 4)},
    ),
    "relu_mlp": (
        relu_mlp,
        {
            "0.weight": (7, 5), "0.bias": (7,),
            "1.weight": (7, 7), "1.bias": (7,),
            "2.weight": (3, 7), "2.bias": (3,),
        },
    ),
    "gelu_mlp": (
        gelu_mlp,
        {"0.weight": (6, 5), "0.bias": (6,), "1.weight": (3, 6), "1.bias": (3,)},
    ),
    "maxmin_mlp": (
        maxmin_mlp,
        {"0.weight": (6, 5), "0.bias": (6,), "1.weight": (3, 6), "1.bias": (3,)},
    ),
    "residual": (
        residual,
        {
            "first.weight": (6, 5), "first.bias": (6,),
            "norm.weight": (6,), "norm.bias": (6,),
            "inner.weight": (6, 6), "inner.bias": (6,),
            "head.weight": (3, 6), "head.bias": (3,),
        },
    ),
    "convolutional": (
        convolutional,
        {
            "0.weight": (3, 2, 3, 3), "0.bias": (3,),
            "1.weight": (4, 3, 3, 3), "1.bias": (4,),
            "2.weight": (3, 16), "2.bias": (3,),
        },
    ),
}  # fmt: skip


def main() -> None:
    arrays = {}
    for index, (name, (network, shapes)) in enumerate(NETWORKS.items()):
        draw = np.random.default_rng(index)
        shape = (CHANNELS, SIDE, SIDE) if name == "convolutional" else (FEATURES,)
        x = draw.standard_normal((INPUTS, *shape))
        parameters = {
            key: draw.standard_normal(size) / np.sqrt(max(np.prod(size[1:]), 1))
            for key, size in shapes.items()
        }
        kernel = nt.empirical_ntk_fn(
            network,
            trace_axes=(),
            vmap_axes=0,
            implementation=nt.NtkImplementation.JACOBIAN_CONTRACTION,
        )
        found = kernel(jnp.asarray(x), None, jax.tree.map(jnp.asarray, parameters))
        arrays[f"{name}/inputs"], arrays[f"{name}/kernel"] = x, np.asarray(found)
        arrays |= {f"{name}/{key}": value for key, value in parameters.items()}
    path = GOLDEN / "neural_tangents.npz"
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {', '.join(NETWORKS)}")


if __name__ == "__main__":
    main()
