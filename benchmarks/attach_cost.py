"""What isometry.attach costs beyond a method's arithmetic, as ratios to loops by hand.

``python benchmarks/attach_cost.py`` trains two networks with each method twice: with
``isometry.attach``, and in a plain loop of torch that does the method's arithmetic by
hand, as somebody would write it who needs that one method on that one network. After
some steps both must hold the same parameters. Then both train in turn; processor time
is that of the thread. ``adam`` is a loop with nothing to do: what is left is the cost
of the calls themselves. All goes to ``benchmarks/reports/attach_cost.json``.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from contestants.processes import cpu_model
from torch import Tensor, nn
from torch.nn import functional

import isometry
from isometry.adamo import with_isometry

REPORT = Path(__file__).parent / "reports" / "attach_cost.json"
CLOSE = 1e-5  # of parameters after five steps of Adam at 1e-3
Loop = Callable[[int], None]
Hand = tuple[Callable[[], Tensor] | None, Callable[[], None] | None]


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, fan_in: int, out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(fan_in, out, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(out), nn.BatchNorm2d(out)])
        self.act, self.end = nn.ReLU(), nn.ReLU()
        self.skip = (
            nn.Identity()
            if fan_in == out
            else nn.Conv2d(fan_in, out, 1, stride, bias=False)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features."""
        hidden = self.act(self.norms[0](self.first(inputs)))
        return self.end(self.norms[1](self.second(hidden)) + self.skip(inputs))


def mlp() -> nn.Sequential:
    """Return a 784-100-100-10 network."""
    sizes = nn.Linear(784, 100), nn.Linear(100, 100), nn.Linear(100, 10)
    return nn.Sequential(sizes[0], nn.ReLU(), sizes[1], nn.ReLU(), sizes[2])


def resnet() -> nn.Sequential:
    """Return a network of ResNet-18's form, a quarter as wide."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1), nn.ReLU()]
    width = 16
    for out in (16, 32, 64, 128):
        layers += [Block(width, out, 1 if out == 16 else 2), Block(out, out, 1)]
        width = out
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "784-100-100-10, batch 16": (mlp, (16, 784), 60),
    "ResNet-18's form, width 16 to 128, 32x32, batch 8": (resnet, (8, 3, 32, 32), 2),
}
METHODS: dict[str, dict[str, Any]] = {
    "adam": {},
    "l2": {},
    "l2_init": {},
    "weight_clipping": {"clip": 3.0},
    "redo": {"redo_every": 10**6, "redo_window": 10**6},  # scores, and no check
    "adamo": {"isometry_strength": 1.0},
}


def by_hand(method: str, model: nn.Module, plastic: Any, adam: Any) -> Hand:
    """Return a method's penalty and what it does after a step, written by hand.

    What it treats is read from the report, so that both do the same work.
    """
    rows = {row.name: row.role for row in plastic.report().parameters}
    own = dict(model.named_parameters())
    decayed = ("hidden", "head", "embedding", "vector")
    if method == "l2":
        chosen = [own[name] for name, role in rows.items() if role in decayed]
        return (
            lambda: 5e-4 * torch.stack([p.square().sum() for p in chosen]).sum(),
            None,
        )
    if method == "l2_init":
        pulled = [own[name] for name, role in rows.items() if role != "spared"]
        start = [p.detach().clone() for p in pulled]
        pairs = list(zip(pulled, start, strict=True))
        return (
            lambda: (
                5e-3 * torch.stack([(p - q).square().sum() for p, q in pairs]).sum()
            ),
            None,
        )
    if method == "weight_clipping":
        modules = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        bounded = [(m.weight, 3.0 * m.weight[0].numel() ** -0.5) for m in modules]
        bounded += [(m.bias, b) for m, (_, b) in zip(modules, bounded, strict=True)]
        known = [(p, b) for p, b in bounded if p is not None]

        @torch.no_grad()
        def clip() -> None:
            for parameter, bound in known:
                parameter.clamp_(-bound, bound)

        return None, clip
    if method == "redo":
        return None, _redo(model, plastic)
    if method == "adamo":
        matrices = [own[name] for name, role in rows.items() if role not in decayed[:2]]
        for parameter in matrices:
            parameter.isometry = False  # type: ignore[attr-defined]
        with_isometry(adam, isometry_strength=1.0)
    return None, None


def _redo(model: nn.Module, plastic: Any) -> Callable[[], None]:
    """Return what sums ReDo's scores of the layers that attach treats."""
    seen: list[Tensor] = []
    dims = []
    for row in plastic.report().layers:
        if not row.note:
            path = row.layer.removesuffix(".weight")
            dims.append((row.units, nonlinearity(model, path)))
    for _, module in dims:
        module.register_forward_hook(lambda m, a, output: seen.append(output.detach()))
    sums = [torch.zeros(units) for units, _ in dims]

    @torch.no_grad()
    def score() -> None:
        for total, hidden in zip(sums, seen, strict=True):
            total += hidden.movedim(1, -1).flatten(0, -2).abs().mean(0)
        seen.clear()

    return score


def nonlinearity(model: nn.Module, path: str) -> nn.Module:
    """Return the module after a layer of these two networks."""
    parent, _, name = path.rpartition(".")
    holder = model.get_submodule(parent)
    return holder.act if isinstance(holder, Block) else holder[int(name) + 1]  # type: ignore[no-any-return,index]


def loops(network: str, method: str) -> tuple[Loop, Loop]:
    """Return both loops, which have been found to train alike."""
    made, shape, _ = NETWORKS[network]
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(shape, generator=draw)
    labels = torch.randint(10, shape[:1], generator=draw)

    def begun() -> tuple[nn.Module, torch.optim.Optimizer, Any]:
        torch.manual_seed(0)
        model = made()
        adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        keywords = METHODS[method]
        return (
            model,
            adam,
            isometry.attach(model, adam, method, inputs=inputs, **keywords),
        )

    model, adam, plastic = begun()

    def attached(count: int) -> None:
        for _ in range(count):
            adam.zero_grad()
            loss = functional.cross_entropy(model(inputs), labels)
            (loss + plastic.penalty(loss)).backward()
            adam.step()
            plastic.step()

    other, bare, guide = begun()
    guide.detach()
    penalty, after = by_hand(method, other, plastic, bare)

    def plain(count: int) -> None:
        for _ in range(count):
            bare.zero_grad()
            loss = functional.cross_entropy(other(inputs), labels)
            if penalty is not None:
                loss = loss + penalty()
            loss.backward()
            bare.step()
            if after is not None:
                after()

    attached(5)
    plain(5)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=CLOSE)
    return attached, plain


def timed(loop: Loop, count: int) -> float:
    """Return processor seconds of the thread."""
    start = time.thread_time()
    loop(count)
    return time.thread_time() - start


def main() -> None:
    """Measure all, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--output", type=Path, default=REPORT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {
        "processor": cpu_model(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "rounds": args.rounds,
        "networks": {},
    }
    for network, (_, _, count) in NETWORKS.items():
        rows: dict[str, Any] = {}
        for method in METHODS:
            attached, plain = loops(network, method)
            ratios, spent = [], []
            for round_ in range(args.rounds):
                # In turn, each first as often as the other.
                order = (attached, plain) if round_ % 2 else (plain, attached)
                times = {loop: timed(loop, count) for loop in order}
                ratios.append(times[attached] / times[plain])
                spent.append(times[plain] / count)
            quarters = statistics.quantiles(ratios, n=4)
            rows[method] = {
                "milliseconds_by_hand": 1e3 * statistics.median(spent),
                "median_ratio": statistics.median(ratios),
                "quartiles": [quarters[0], quarters[2]],
            }
            print(network, method, rows[method], flush=True)
        found["networks"][network] = rows
    args.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
