"""What two processes do in the tests of AdamO; run by ``test_distributed.py``.

``python distributed_steps.py RANK FILE`` joins a group of two by a file, and prints the
largest differences from one process as JSON.
"""

import copy
import json
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.nn.parallel import DistributedDataParallel

from isometry.adamo import AdamO, param_groups

OPTIONS = {"lr": 1e-2, "isometry_strength": 2.0}
STEPS = 7


class Network(nn.Module):
    """A matrix, three matrices in one, an odd number of rows, and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up = nn.Linear(6, 8)
        self.qkv = nn.Linear(8, 15)
        self.down = nn.Linear(15, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.up, self.qkv, self.down):
            x = layer(x).tanh()
        return self.head(x)


def inputs() -> torch.Tensor:
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(1))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, shared: bool) -> None:
    """Take some steps; each process has one half of the batch if it is shared."""
    batch = inputs().chunk(2)[dist.get_rank()] if shared else inputs()
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()


def whole(model: nn.Module) -> dict[str, torch.Tensor]:
    state = {}
    for name, value in model.state_dict().items():
        full = value.full_tensor() if hasattr(value, "full_tensor") else value
        state[name.removeprefix("module.")] = full.detach().clone()
    return state


def alone(**options) -> dict[str, torch.Tensor]:
    model = Network()
    train(model, AdamO(param_groups(model), **OPTIONS, **options), shared=False)
    return whole(model)


def apart(one: dict, other: dict) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def sharded() -> nn.Module:
    model = Network()
    for layer in (model.up, model.qkv, model.down):
        fully_shard(layer)
    return fully_shard(model)


def ddp() -> float:
    model = DistributedDataParallel(Network())
    train(model, AdamO(param_groups(model), **OPTIONS), shared=True)
    return apart(whole(model), alone())


def zero() -> float:
    model = DistributedDataParallel(Network())
    groups = param_groups(model)
    optimizer = ZeroRedundancyOptimizer(groups, optimizer_class=AdamO, **OPTIONS)
    train(model, optimizer, shared=True)
    return apart(whole(model), alone())


def fsdp2(**options) -> float:
    model = sharded()
    train(model, AdamO(param_groups(model), **OPTIONS, **options), shared=True)
    every = {k: v for k, v in options.items() if k.startswith("isometry")}
    return apart(whole(model), alone(**every))


def tensor_parallel() -> float:
    model = Network()
    mesh = init_device_mesh("cpu", (2,))
    plan = {"up": ColwiseParallel(), "qkv": RowwiseParallel()}
    parallelize_module(model, mesh, plan)
    train(model, AdamO(param_groups(model), **OPTIONS), shared=False)
    return apart(whole(model), alone())


def checkpoints(order: str, every: int) -> float:
    """Train, save, load into new ones in an order, train on as if nothing had been."""
    options = {**OPTIONS, "isometry_lr": 5e-3, "isometry_every": every}

    def made() -> tuple[nn.Module, AdamO]:
        model = sharded()
        return model, AdamO(param_groups(model), **options)

    model, optimizer = made()
    train(model, optimizer, shared=True)
    before = whole(model)
    # torch hands out the tensors themselves
    saved = copy.deepcopy(get_state_dict(model, optimizer))
    moved = apart(before, whole(model))
    new, other = made()
    fresh = whole(new)
    get_optimizer_state_dict(new, other)  # makes its state by a step at rate zero
    moved = max(moved, apart(fresh, whole(new)))
    new, other = made()
    if order == "model first":
        set_model_state_dict(new, saved[0])
        set_optimizer_state_dict(new, other, saved[1])
    elif order == "optimiser first":
        set_optimizer_state_dict(new, other, saved[1])
        set_model_state_dict(new, saved[0])
    else:
        set_state_dict(new, other, model_state_dict=saved[0], optim_state_dict=saved[1])
    moved = max(moved, apart(before, whole(new)))
    train(model, optimizer, shared=True)
    train(new, other, shared=True)
    return max(moved, apart(whole(model), whole(new)))


def saved_to_disk(folder: Path) -> float:
    import torch.distributed.checkpoint as dcp

    model = sharded()
    optimizer = AdamO(param_groups(model), **OPTIONS, isometry_lr=5e-3)
    train(model, optimizer, shared=True)
    states = dict(
        zip(("model", "optim"), get_state_dict(model, optimizer), strict=True)
    )
    dcp.save(states, checkpoint_id=folder)
    new = sharded()
    other = AdamO(param_groups(new), **OPTIONS, isometry_lr=5e-3)
    train(new, other, shared=True)
    read = {
        "model": get_model_state_dict(new),
        "optim": get_optimizer_state_dict(new, other),
    }
    dcp.load(read, checkpoint_id=folder)
    set_model_state_dict(new, read["model"])
    set_optimizer_state_dict(new, other, read["optim"])
    train(model, optimizer, shared=True)
    train(new, other, shared=True)
    return apart(whole(model), whole(new))


def fsdp1(original: bool) -> str:
    with warnings.catch_warnings():  # torch calls it deprecated
        warnings.simplefilter("ignore")
        model = FullyShardedDataParallel(
            Network(), use_orig_params=original, device_id=torch.device("cpu")
        )
    said = []
    for make in (lambda: AdamO(model), lambda: AdamO(model.parameters())):
        try:
            make()
            said.append("taken")
        except ValueError as error:
            said.append(str(error))
    return " | ".join(said)


def main(rank: int, place: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{place}", rank=rank, world_size=2)
    checks = {
        "DDP": ddp,
        "ZeRO": zero,
        "FSDP2": fsdp2,
        "FSDP2, a loop over weights": lambda: fsdp2(foreach=False),
        "FSDP2, fused": lambda: fsdp2(fused=True),
        "FSDP2, every third step": lambda: fsdp2(isometry_every=3),
        "tensor parallel": tensor_parallel,
        **{
            f"checkpoint, {order}": lambda order=order: max(
                checkpoints(order, every) for every in (1, 3)
            )
            for order in ("model first", "optimiser first", "at once")
        },
        "checkpoint on disk": lambda: saved_to_disk(Path(place).with_suffix(".dcp")),
        "FSDP1": lambda: fsdp1(original=False),
        "FSDP1, original parameters": lambda: fsdp1(original=True),
    }
    found = {}
    for name, check in checks.items():
        try:
            found[name] = check()
        except Exception as error:  # the test shows it
            found[name] = f"{type(error).__name__}: {error}"
        print(name, found[name], file=sys.stderr, flush=True)
    if rank == 0:
        print(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
