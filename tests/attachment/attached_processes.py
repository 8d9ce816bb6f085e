"""One of two processes that train a network together, each on half of a minibatch."""

import json
import sys

import torch
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import isometry

CASES = {
    "redo": {"redo_every": 2, "redo_threshold": 0.9},
    "snr": {"snr_least": 12, "snr_most": 24},
    "cbp": {"replacement_rate": 0.1, "maturity": 1},
    "regrama": {"grama_every": 2, "grama_threshold": 0.9},
    "l2_er": {"er_every": 2},
    "adamo+l2_init": {"isometry_strength": 1.0},
    "shrink_perturb": {"perturb_every": 2},
    "dash": {},
}
STEPS = 5


def trained(method, inputs, labels, parallel):
    """Return the parameters after some steps and a new task."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
    )
    whole = DistributedDataParallel(model) if parallel else model
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    plastic = isometry.attach(whole, sgd, method, **CASES[method])
    for step in range(STEPS):
        sgd.zero_grad()
        loss = functional.cross_entropy(whole(inputs), labels)
        (loss + plastic.penalty(loss)).backward()
        sgd.step()
        plastic.step()
        if step == 2:
            plastic.new_task([(inputs, labels)])
    report = plastic.report()
    plastic.detach()
    replaced = sum(row.replaced for row in report.layers)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), replaced


def main(rank, place):
    """Print the largest difference to one process, and between the two."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(place, 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(12, 6, generator=draw)
    labels = torch.randint(3, (12,), generator=draw)
    own = slice(6 * rank, 6 * rank + 6)
    found = {}
    for method in CASES:
        here, replaced = trained(method, inputs[own], labels[own], True)
        both = [torch.empty_like(here) for _ in range(2)]
        torch.distributed.all_gather(both, here)
        alone, _ = trained(method, inputs, labels, False)
        found[method] = {
            "to one process": float((here - alone).abs().max()),
            "between the two": float((both[0] - both[1]).abs().max()),
            "replaced": replaced,
        }
    try:
        sizes = inputs[: 4 + rank], labels[: 4 + rank]
        trained("redo", *sizes, True)
        said = ""
    except ValueError as error:
        said = str(error)
    torch.distributed.destroy_process_group()
    if rank == 0:
        print(json.dumps({**found, "sizes": said}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
