"""What AdamO costs: whole training steps and memory, as ratios to fused Adam.

``python benchmarks/adamo_step.py`` first checks that AdamO and the same step written
out reach the same weights. It then trains each network on one thread, the contestants
in turn, several rounds; it prints the median ratio of the processor time and the range
over the rounds. Processor time is that of the thread, so other work on the machine
disturbs it little. Beside the ratios stands a floor: fused Adam's step and the bare
products of Eq. 16, the symmetric one counted half, at the speed that this machine
multiplies such matrices. Last it compares learning curves of the amortised settings
with those of the literal one. The first network's step is compiled as well, in a fresh
cache, and compared with itself in eager mode. All goes to
``benchmarks/reports/adamo_step.json``.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from contestants.online_curves import learning_curves
from contestants.peak_memory import peak_bytes
from contestants.processes import cpu_model
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from isometry.adamo import AdamO, isometry_gradient, isometry_penalty
from isometry.core.seeding import generator

REPORT = Path(__file__).parent / "reports" / "adamo_step.json"
NETWORKS = {  # name -> (sizes, batch)
    "784-512x4-10, batch 128": ((784, 512, 512, 512, 512, 10), 128),
    "784-100-100-10, batch 16": ((784, 100, 100, 10), 16),
    "PPO 400-64x4-6, batch 2048": ((400, 64, 64, 64, 64, 6), 2048),
    "PPO 400-64x4-6, batch 1024": ((400, 64, 64, 64, 64, 6), 1024),
}
LR = 1e-4
STRENGTH = 1.25  # relaxation time 1,000 steps
LITERAL = "AdamO"
BASELINE = "Adam, fused"
WRITTEN_OUT = "W -= rate * gradient, then Adam"
COUPLED = "Adam, penalty in the loss"
MUON = "torch.optim.Muon, Adam for biases"
# Relative distance of the weights after so many steps, in single precision. Later on a
# unit that switches on one side alone drives them apart: 3e-9 become 1e-5 at once.
CHECKED_STEPS, TOLERANCE = 2, 1e-7

Step = Callable[[], None]


def network(sizes: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (fan_in, out) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(fan_in, out), nn.ReLU()]
        draw = generator(0, "weight", index)
        nn.init.orthogonal_(layers[-2].weight, generator=draw)
        nn.init.zeros_(layers[-2].bias)
    return nn.Sequential(*layers[:-1])


def optimizers_of(name: str, parameters: list[nn.Parameter]) -> list:
    """Return what takes the step: one optimiser, or Muon and Adam for what it leaves.

    ``isometry_every`` of an AdamO is the end of its name.
    """
    options = {"lr": LR, "fused": True}
    if name == "AdamO, strength 0":
        return [AdamO(parameters, **options, isometry_strength=0.0)]
    if name.startswith(LITERAL):
        every = {"every 10": 10, "auto": "auto"}.get(name.partition(", ")[2], 1)
        options |= {"isometry_strength": STRENGTH, "isometry_every": every}
        return [AdamO(parameters, **options)]
    if name == MUON:
        matrices = [p for p in parameters if p.ndim == 2]
        vectors = [p for p in parameters if p.ndim == 1]
        muon = torch.optim.Muon(matrices, lr=LR)
        return [muon, torch.optim.Adam(vectors, **options)]
    return [torch.optim.Adam(parameters, **options)]


def contestant(
    name: str, sizes: tuple[int, ...], batch: int
) -> tuple[Step, nn.Module, list]:
    """Return a whole training step, the network that it trains and its optimisers.

    A step sets gradients to none, goes forward and backward, and moves the weights.
    """
    model = network(sizes)
    inputs = torch.randn(batch, sizes[0], generator=generator(0, "inputs"))
    labels = torch.randint(sizes[-1], (batch,), generator=generator(0, "labels"))
    weights = [p for p in model.parameters() if p.ndim == 2]
    optimizers = optimizers_of(name, list(model.parameters()))

    def step() -> None:
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = cross_entropy(model(inputs), labels)
        if name == COUPLED:
            loss = loss + STRENGTH * sum(isometry_penalty(w) for w in weights)
        loss.backward()
        if name == WRITTEN_OUT:
            with torch.no_grad():
                for weight in weights:
                    weight -= LR * STRENGTH * isometry_gradient(weight)
        for optimizer in optimizers:
            optimizer.step()

    return step, model, optimizers


CONTESTANTS = (
    BASELINE,
    "AdamO, strength 0",
    LITERAL,
    "AdamO, every 10",
    "AdamO, auto",
    WRITTEN_OUT,
    COUPLED,
    *([MUON] if hasattr(torch.optim, "Muon") else []),
)


def same_weights(sizes: tuple[int, ...], batch: int) -> float:
    """Return how far AdamO's weights are from the written-out step's; refuse if far."""
    ends = []
    for name in (LITERAL, WRITTEN_OUT):
        step, model, _ = contestant(name, sizes, batch)
        for _ in range(CHECKED_STEPS):
            step()
        ends.append(nn.utils.parameters_to_vector(model.parameters()).detach())
    apart = float((ends[0] - ends[1]).norm() / ends[1].norm())
    if apart > TOLERANCE:
        raise SystemExit(f"AdamO's weights are off by a relative {apart:.1e}")
    return apart


def bare_products(sizes: tuple[int, ...]) -> tuple[Step, Step]:
    """Return the Gram matrices of all weights, and their products with the weights."""
    weights = [p.detach() for p in network(sizes).parameters() if p.ndim == 2]
    wide = [w if w.shape[0] <= w.shape[1] else w.mT for w in weights]
    grams = [w @ w.mT for w in wide]
    moved = [torch.empty_like(w) for w in wide]

    def symmetric() -> None:
        for weight, gram in zip(wide, grams, strict=True):
            torch.mm(weight, weight.mT, out=gram)

    def general() -> None:
        for weight, gram, out in zip(wide, grams, moved, strict=True):
            torch.mm(gram, weight, out=out)

    return symmetric, general


def seconds(step: Step, count: int) -> float:
    start = time.thread_time()
    for _ in range(count):
        step()
    return (time.thread_time() - start) / count


def timed(sizes: tuple[int, ...], batch: int, rounds: int) -> dict[str, dict]:
    steps = {name: contestant(name, sizes, batch)[0] for name in CONTESTANTS}
    symmetric, general = bare_products(sizes)
    steps |= {"gram matrices alone": symmetric, "products alone": general}
    for step in steps.values():
        seconds(step, 3)
    # whole periods of the amortised forms, and at least a fifth of a second
    count = max(60, int(0.2 / seconds(steps[BASELINE], 5) / 60) * 60)
    rows: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            rows[name].append(seconds(step, count))
    base = rows[BASELINE]
    halves = zip(
        base, rows.pop("gram matrices alone"), rows.pop("products alone"), strict=True
    )
    rows["floor"] = [adam + gram / 2 + product for adam, gram, product in halves]
    result = {}
    for name, values in rows.items():
        ratios = [v / b for v, b in zip(values, base, strict=True)]
        result[name] = {
            "milliseconds": 1e3 * statistics.median(values),
            "ratio": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
        }
    return result


def compiled(sizes: tuple[int, ...], batch: int, rounds: int) -> dict[str, dict]:
    """Return a step with loss and ``optimizer.step`` compiled, over it in eager mode.

    Backward is compiled with the loss. Graph breaks are those of the optimiser's step,
    the loss has none. The compilation is timed by the processor, g++ included.
    """
    from torch._dynamo.utils import counters

    result = {}
    for name in (BASELINE, LITERAL):
        eager, model, (optimizer,) = contestant(name, sizes, batch)
        inputs = torch.randn(batch, sizes[0], generator=generator(0, "inputs"))
        labels = torch.randint(sizes[-1], (batch,), generator=generator(0, "labels"))
        torch._dynamo.reset()
        counters.clear()
        loss = torch.compile(partial(loss_of, model, inputs, labels), fullgraph=True)
        move = torch.compile(optimizer.step)

        def step(loss=loss, move=move, optimizer=optimizer) -> None:
            optimizer.zero_grad()
            loss().backward()
            move()

        begun = processor_seconds()
        seconds(step, 3)
        took = processor_seconds() - begun
        pairs = [(seconds(step, 20), seconds(eager, 20)) for _ in range(rounds)]
        ratios = [graph / plain for graph, plain in pairs]
        result[name] = {
            "graph_breaks": sum(counters["graph_break"].values()),
            "graphs": counters["stats"]["unique_graphs"],
            "compilation_seconds": took,
            "milliseconds": 1e3 * statistics.median(graph for graph, _ in pairs),
            "over_eager": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
        }
    return result


def compiled_rows(rounds: int) -> dict[str, Any]:
    """Return and print what :func:`compiled` finds of the first network."""
    title, (sizes, batch) = next(iter(NETWORKS.items()))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        rows = compiled(sizes, batch, rounds)
    for name, row in rows.items():
        print(
            f"{name}, compiled: {row['over_eager']:.2f}x of eager, "
            f"{row['graph_breaks']} graph breaks, {row['compilation_seconds']:.0f} s"
        )
    return {"network": title, "processor": cpu_model(), "rounds": rounds, "rows": rows}


def loss_of(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(model(inputs), labels)


def processor_seconds() -> float:
    """Return the processor time of this process and of those that it waited for."""
    return sum(os.times()[:4])


def memory(sizes: tuple[int, ...], batch: int) -> dict[str, float]:
    """Return the peak of a training step: parameters and moments, and all it needs."""
    parameters = sum(p.numel() * p.element_size() for p in network(sizes).parameters())
    peaks, kept = {}, {}
    for name in (BASELINE, LITERAL):
        step, _, optimizers = contestant(name, sizes, batch)
        seconds(step, 2)
        peaks[name] = 3 * parameters + peak_bytes(step)
        states = [state for o in optimizers for state in o.state.values()]
        tensors = [t for state in states for t in state.values()]
        kept[name] = sum(t.numel() * t.element_size() for t in tensors)
    return {
        "adam_state_bytes": kept[BASELINE],
        "adamo_state_bytes": kept[LITERAL],
        "state_ratio": kept[LITERAL] / kept[BASELINE],
        "adam_bytes": peaks[BASELINE],
        "adamo_bytes": peaks[LITERAL],
        "ratio": peaks[LITERAL] / peaks[BASELINE],
    }


def show_curves(curves: dict, seeds: int) -> None:
    print(f"\nonline accuracy on {curves['stream']}, {seeds} seeds")
    for name, row in curves["settings"].items():
        text = f"  {name:18s} {row['mean']:.4f} (seeds {row['deviation']:.4f})"
        if "difference" in row:
            low, high = row["interval"]
            text += f"  minus literal {row['difference']:+.4f}"
            text += f" [{low:+.4f}, {high:+.4f}]"
        print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seeds", type=int, default=10, help="of learning curves; 0: they stay"
    )
    parser.add_argument("--compiled", action="store_true", help="that alone")
    parser.add_argument("--output", type=Path, default=REPORT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.compiled:
        report = json.loads(args.output.read_text())
        report["compiled"] = compiled_rows(args.rounds)
        args.output.write_text(json.dumps(report, indent=1) + "\n")
        return
    report = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": cpu_model(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
        "rounds": args.rounds,
        "lr": LR,
        "isometry_strength": STRENGTH,
    }
    tables = {}
    for title, (sizes, batch) in NETWORKS.items():
        apart = same_weights(sizes, batch)
        rows, peak = timed(sizes, batch, args.rounds), memory(sizes, batch)
        tables[title] = {"weights_apart": apart, "time": rows, "memory": peak}
        print(
            f"\n{title}    AdamO / Adam: state {peak['state_ratio']:.3f}, "
            f"peak of a step {peak['ratio']:.3f}"
        )
        for name, row in rows.items():
            print(
                f"  {name:42s} {row['milliseconds']:8.3f} ms  {row['ratio']:5.2f}x"
                f"  ({row['lowest']:.2f}-{row['highest']:.2f})"
            )
    report["networks"] = tables
    report["compiled"] = compiled_rows(args.rounds)
    if args.seeds:
        report["learning_curves"] = learning_curves(args.seeds)
        show_curves(report["learning_curves"], args.seeds)
    elif args.output.exists():
        known = json.loads(args.output.read_text())
        report["learning_curves"] = known["learning_curves"]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
