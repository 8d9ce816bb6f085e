"""One way to an empirical NTK, in a process of its own: its time and its peak memory.

Called by ``empirical_ntk.py`` in this project's environment for the first three
contestants and in the peer's for the others. It prints its peak memory, and for each
line that it is sent the seconds of a kernel.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

OURS = ("layerwise", "jacobian")
PEERS = {
    "neural-tangents, Jacobian contraction": 1,
    "neural-tangents, NTK-vector products": 2,
    "neural-tangents, structured derivatives": 3,
    "neural-tangents, structured derivatives, repaired": 3,
}
Clock = Callable[[], float]
Kernel = Callable[[int], np.ndarray]  # number of inputs -> (n, n, m, m)


def torch_model(layers: list[tuple[np.ndarray, np.ndarray]]):
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    for weight, bias in layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight = nn.Parameter(torch.from_numpy(weight))
        linear.bias = nn.Parameter(torch.from_numpy(bias))
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def isometry(method: str, layers, inputs) -> Kernel:
    import torch

    from isometry import ntk

    model, data = torch_model(layers), torch.from_numpy(inputs)
    return lambda n: ntk.empirical_ntk(model, data[:n], method=method).numpy()


def torch_func(layers, inputs) -> Kernel:
    """All Jacobians at once, then one contraction a parameter: torch.func's own way."""
    import torch
    from torch.func import functional_call, jacrev, vmap

    model, data = torch_model(layers), torch.from_numpy(inputs)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def single(values, one):
        return functional_call(model, values, (one.unsqueeze(0),)).squeeze(0)

    def kernel(n: int) -> np.ndarray:
        jacobians = vmap(jacrev(single), (None, 0))(parameters, data[:n])
        flat = [j.flatten(2) for j in jacobians.values()]
        terms = [torch.einsum("Naf,Mbf->NMab", j, j) for j in flat]
        return torch.stack(terms).sum(0).numpy()

    return kernel


def repair_structured_derivatives() -> None:
    """Put back two names that JAX has moved since the peer's last release."""
    import jax
    from jax._src import source_info_util
    from jax.interpreters import ad

    ad.source_info_util, ad.config = source_info_util, jax.config


def neural_tangents(name: str, layers, inputs) -> Kernel:
    import jax

    if name.endswith("repaired"):
        repair_structured_derivatives()

    jax.config.update("jax_enable_x64", inputs.dtype == np.float64)
    import neural_tangents as nt
    from jax import numpy as jnp

    def network(parameters, x):
        for index, (weight, bias) in enumerate(parameters):
            x = x @ weight.T + bias
            if index < len(parameters) - 1:
                x = jax.nn.relu(x)
        return x

    parameters = [(jnp.asarray(w), jnp.asarray(b)) for w, b in layers]
    data = jnp.asarray(inputs)
    of = nt.empirical_ntk_fn(
        network, trace_axes=(), vmap_axes=0, implementation=PEERS[name]
    )
    compiled = jax.jit(lambda x: of(x, None, parameters))
    return lambda n: np.asarray(compiled(data[:n]).block_until_ready())


def best_seconds(kernel: Kernel, count: int, at_least: float, clock: Clock) -> float:
    """The fastest of repeated calls that fill ``at_least`` seconds."""
    best, spent = float("inf"), 0.0
    while spent == 0.0 or spent < at_least:
        start = clock()
        kernel(count)
        took = clock() - start
        best, spent = min(best, took), spent + took
    return best


def clock_of(threads: int) -> Clock:
    """Processor time for one thread, so that other work on the machine does not count.

    The time that passes for several, whose processor time says nothing.
    """
    return time.process_time if threads == 1 else time.perf_counter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("problem", type=Path, help="weights and inputs, .npz")
    parser.add_argument("--kernel", type=Path, help="where to write the kernel, .npy")
    parser.add_argument("--seconds", type=float, default=2.0)
    args = parser.parse_args()
    problem = np.load(args.problem)
    count = sum(name.startswith("weight") for name in problem)
    layers = [(problem[f"weight{i}"], problem[f"bias{i}"]) for i in range(count)]
    inputs = problem["inputs"]
    if args.name in OURS:
        kernel = isometry(args.name, layers, inputs)
    elif args.name in PEERS:
        kernel = neural_tangents(args.name, layers, inputs)
    else:
        kernel = torch_func(layers, inputs)
    kernel(2)  # imports, thread pools and first allocations are not the kernel's
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = kernel(len(inputs))  # compiles where there is a compiler
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if args.kernel:
        np.save(args.kernel, result)
    print(json.dumps({"peak_mib": peak / 1024}), flush=True)
    clock = clock_of(int(os.environ.get("OMP_NUM_THREADS", "1")))
    for _ in sys.stdin:
        seconds = best_seconds(kernel, len(inputs), args.seconds, clock)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
