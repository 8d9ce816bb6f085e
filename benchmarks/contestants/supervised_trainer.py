"""One way to train several seeds of an MLP, in a process of its own.

Called by ``supervised_trainer.py`` and ``online_sgd.py``, in this project's environment
for the PyTorch contestants and in the peer's for JAX. Prints one JSON line: seconds of
the core for all steps, and the loss of every seed at the last step.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

OURS = "isometry, one stack"
LOOP = "PyTorch, one seed after the other"
FUSED_LOOP = "PyTorch, one seed after the other, fused Adam"
JAX = "JAX, vmap over seeds, scan over steps"
SGEMM = "sgemm of torch, 1024 x 1024"
AXPY = "y += a x of torch, as long as the weights"
Train = Callable[[int], np.ndarray]  # steps -> loss of each seed at the last step

# A problem: weight{l} (seeds, out, in), bias{l} (seeds, out), inputs (seeds, n, in),
# labels (seeds, n), batch, lr, sgd: whether the optimiser is plain SGD, else Adam.
# Minibatches go through the inputs in order.


def isometry(problem) -> Train:
    """The book's trainer: the same functions that ``isometry run`` calls."""
    import torch

    from isometry.core.denormals import denormals_flushed
    from isometry.methods import Architecture, Training, get
    from isometry.methods.optimisers.gradient_descent import sgd
    from isometry.supervised.networks.mlp import MLP
    from isometry.supervised.training import train_task

    torch.set_num_threads(1)
    depth = sum(name.startswith("weight") for name in problem) - 1
    width = problem["weight0"].shape[1]
    architecture = Architecture(
        network="mlp",
        width=width,
        depth=depth,
        activation="relu",
        negative_slope=0.01,
        init="orthogonal",
        init_gain=1.0,
    )
    network = MLP(
        architecture=architecture,
        in_features=problem["inputs"].shape[-1],
        num_classes=problem[f"weight{depth}"].shape[1],
    )
    names = [f"hidden.{layer}" for layer in range(depth)] + ["head"]
    parameters = {}
    for layer, name in enumerate(names):
        for kind in ("weight", "bias"):
            values = torch.from_numpy(problem[f"{kind}{layer}"].copy())
            parameters[f"{name}.{kind}"] = values.requires_grad_()
    method, optimizer_of = get("adam"), sgd if problem["sgd"] else get("adam").optimizer
    training = Training(
        structure=network.structure(),
        parameters=parameters,
        seeds=list(range(len(problem["inputs"]))),
        settings=method.settings,
        lr=float(problem["lr"]),
    )
    optimizer = optimizer_of(training)
    inputs, labels = (torch.from_numpy(problem[k]) for k in ("inputs", "labels"))
    batch = int(problem["batch"])
    starts = range(0, inputs.shape[1], batch)

    def stream(steps: int):
        for first in range(0, steps, len(starts)):
            images = batch * min(len(starts), steps - first)
            yield inputs[:, :images], labels[:, :images]

    def train(steps: int) -> np.ndarray:
        own = network, parameters, optimizer, None, stream(steps), steps
        with denormals_flushed():
            losses, _ = train_task(*own, batch_size=batch)
        return losses[-1].numpy()

    return train


def pytorch_loop(problem, fused: bool) -> Train:
    """What one writes first: modules, and a loop for each seed."""
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    depth = sum(name.startswith("weight") for name in problem) - 1
    inputs, labels = (torch.from_numpy(problem[k]) for k in ("inputs", "labels"))
    batch = int(problem["batch"])
    starts = range(0, inputs.shape[1], batch)
    members = []
    for seed in range(len(inputs)):
        layers: list[nn.Module] = []
        for layer in range(depth + 1):
            weight = torch.from_numpy(problem[f"weight{layer}"][seed].copy())
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            linear.weight = nn.Parameter(weight)
            bias = torch.from_numpy(problem[f"bias{layer}"][seed].copy())
            linear.bias = nn.Parameter(bias)
            layers += [linear, nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        kind = torch.optim.SGD if problem["sgd"] else torch.optim.Adam
        optimizer = kind(model.parameters(), lr=float(problem["lr"]), fused=fused)
        members.append((model, optimizer))

    def train(steps: int) -> np.ndarray:
        last = np.zeros(len(members), dtype=np.float32)
        for seed, (model, optimizer) in enumerate(members):
            accuracies = []
            for step in range(steps):
                start = starts[step % len(starts)]
                x = inputs[seed, start : start + batch]
                y = labels[seed, start : start + batch]
                logits = model(x)
                loss = cross_entropy(logits, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                accuracies.append((logits.argmax(-1) == y).float().mean())
            last[seed] = loss.item()
        return last

    return train


def jax_scan(problem) -> Train:
    """Seeds by ``vmap``, steps by ``lax.scan``, the whole compiled; steps by optax."""
    import jax
    import optax
    from jax import numpy as jnp

    depth = sum(name.startswith("weight") for name in problem) - 1
    parameters = [
        (jnp.asarray(problem[f"weight{layer}"]), jnp.asarray(problem[f"bias{layer}"]))
        for layer in range(depth + 1)
    ]
    inputs, labels = jnp.asarray(problem["inputs"]), jnp.asarray(problem["labels"])
    batch = int(problem["batch"])
    count = inputs.shape[1] // batch
    kind = optax.sgd if problem["sgd"] else optax.adam
    optimizer = kind(float(problem["lr"]))

    def loss_of(values, x, y):
        for layer, (weight, bias) in enumerate(values):
            x = x @ weight.T + bias
            if layer < depth:
                x = jax.nn.relu(x)
        losses = optax.softmax_cross_entropy_with_integer_labels(x, y)
        return losses.mean(), (x.argmax(-1) == y).mean()

    def one_seed(values, state, x, y, steps):
        def step(carry, index):
            values, state = carry
            start = (index % count) * batch
            part = jax.lax.dynamic_slice_in_dim(x, start, batch)
            target = jax.lax.dynamic_slice_in_dim(y, start, batch)
            (loss, accuracy), gradient = jax.value_and_grad(loss_of, has_aux=True)(
                values, part, target
            )
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(values, updates), state), (loss, accuracy)

        return jax.lax.scan(step, (values, state), jnp.arange(steps))

    compiled = jax.jit(jax.vmap(one_seed, in_axes=(0, 0, 0, 0, None)), static_argnums=4)
    state = jax.vmap(optimizer.init)(parameters)
    carry = (parameters, state)

    def train(steps: int) -> np.ndarray:
        nonlocal carry
        carry, (losses, _) = compiled(*carry, inputs, labels, steps)
        return np.asarray(losses.block_until_ready())[:, -1]

    return train


def sgemm(problem) -> Train:
    """The machine's rate of products of large matrices; a step is one product."""
    import torch

    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(1024, 1024, generator=draw) for _ in range(2))
    out = torch.empty_like(left)

    def train(steps: int) -> np.ndarray:
        for _ in range(steps):
            torch.mm(left, right, out=out)
        return np.zeros(1)

    return train


def axpy(problem) -> Train:
    """A step that changes as many numbers as the weights are, and computes nothing."""
    import torch

    torch.set_num_threads(1)
    count = sum(v[0].size for k, v in problem.items() if k.startswith("weight"))
    one, other = torch.zeros(count), torch.ones(count)

    def train(steps: int) -> np.ndarray:
        for _ in range(steps):
            one.add_(other, alpha=1e-3)
        return np.zeros(1)

    return train


CONTESTANTS: dict[str, Callable[..., Train]] = {
    OURS: isometry,
    LOOP: lambda problem: pytorch_loop(problem, fused=False),
    FUSED_LOOP: lambda problem: pytorch_loop(problem, fused=True),
    JAX: jax_scan,
    SGEMM: sgemm,
    AXPY: axpy,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("problem", type=Path, help="weights and data, .npz")
    parser.add_argument("--steps", type=int, default=100)
    help = "train so many first, print losses, and again for each line that comes"
    parser.add_argument("--checked", type=int, default=0, help=help)
    args = parser.parse_args()
    with np.load(args.problem) as file:
        problem = dict(file)
    train = CONTESTANTS[args.name](problem)
    if args.checked:
        print(json.dumps({"losses": train(args.checked).tolist()}), flush=True)
        train(args.steps)
        for _ in sys.stdin:
            start = time.process_time()
            train(args.steps)
            seconds = time.process_time() - start
            print(json.dumps({"seconds": seconds}), flush=True)
        return
    first = train(args.steps)  # compiles, and touches all memory once
    start = time.process_time()
    train(args.steps)
    seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "losses": first.tolist()}))


if __name__ == "__main__":
    main()
