"""What AdamO costs: whole training steps and peak memory, as ratios to fused Adam.

``python benchmarks/adamo_step.py`` trains each network on one thread, the contestants
in turn, several rounds; it prints the median ratio of the processor time and the range
over the rounds, and writes ``benchmarks/reports/adamo_step.json``. Processor time is
that of the thread, so other work on the machine disturbs it little.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from isometry.adamo import AdamO, isometry_gradient, isometry_penalty
from isometry.core.seeding import generator
from torch import nn
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

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

Step = Callable[[], None]


def network(sizes: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (fan_in, out) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(fan_in, out), nn.ReLU()]
        draw = generator(0, "weight", index)
        nn.init.orthogonal_(layers[-2].weight, generator=draw)
    return nn.Sequential(*layers[:-1])


def contestant(name: str, sizes: tuple[int, ...], batch: int) -> Step:
    """Return a whole training step: gradients to none, forward, backward, step."""
    model = network(sizes)
    inputs = torch.randn(batch, sizes[0], generator=generator(0, "inputs"))
    labels = torch.randint(sizes[-1], (batch,), generator=generator(0, "labels"))
    parameters = list(model.parameters())
    weights = [p for p in parameters if p.ndim == 2]
    options = {"lr": LR, "fused": True, "isometry_strength": STRENGTH}
    optimizers = {
        "AdamO, strength 0": lambda: AdamO(
            parameters, **(options | {"isometry_strength": 0})
        ),
        LITERAL: lambda: AdamO(parameters, **options),
        "AdamO, every 10": lambda: AdamO(parameters, **options, isometry_every=10),
        "AdamO, auto": lambda: AdamO(parameters, **options, isometry_every="auto"),
    }
    make = optimizers.get(name, lambda: torch.optim.Adam(parameters, lr=LR, fused=True))
    optimizer = make()
    coupled = name == "Adam, penalty in the loss"
    plain = name == "Adam, then W -= rate * gradient"

    def step() -> None:
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs), labels)
        if coupled:
            loss = loss + STRENGTH * sum(isometry_penalty(w) for w in weights)
        loss.backward()
        optimizer.step()
        if plain:
            with torch.no_grad():
                for weight in weights:
                    weight -= LR * STRENGTH * isometry_gradient(weight)

    return step


CONTESTANTS = (
    BASELINE,
    "AdamO, strength 0",
    LITERAL,
    "AdamO, every 10",
    "AdamO, auto",
    "Adam, then W -= rate * gradient",
    "Adam, penalty in the loss",
)


def seconds(step: Step, count: int) -> float:
    start = time.thread_time()
    for _ in range(count):
        step()
    return (time.thread_time() - start) / count


def timed(sizes: tuple[int, ...], batch: int, rounds: int) -> dict[str, dict]:
    steps = {name: contestant(name, sizes, batch) for name in CONTESTANTS}
    for step in steps.values():
        seconds(step, 3)
    # whole periods of the amortised forms, and at least a fifth of a second
    count = max(60, int(0.2 / seconds(steps[BASELINE], 5) / 60) * 60)
    rows: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            rows[name].append(seconds(step, count))
    base = rows[BASELINE]
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


def peak_bytes(step: Step) -> int:
    """Return the most that two steps hold at once of what they allocate themselves."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
        step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiled.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    held: dict[int, int] = {}
    peak = 0
    changes = [e for e in events if e.get("name") == "[memory]"]
    for event in sorted(changes, key=lambda e: e["ts"]):
        change, address = event["args"]["Bytes"], event["args"]["Addr"]
        if change > 0:
            held[address] = change
            peak = max(peak, sum(held.values()))
        else:
            held.pop(address, None)  # older ones are not counted either way
    return peak


def memory(sizes: tuple[int, ...], batch: int) -> dict[str, float]:
    """Return the peak of a training step: parameters and moments, and all it needs."""
    parameters = sum(p.numel() * p.element_size() for p in network(sizes).parameters())
    peaks = {}
    for name in (BASELINE, LITERAL):
        step = contestant(name, sizes, batch)
        seconds(step, 2)
        peaks[name] = 3 * parameters + peak_bytes(step)
    return {
        "adam_bytes": peaks[BASELINE],
        "adamo_bytes": peaks[LITERAL],
        "ratio": peaks[LITERAL] / peaks[BASELINE],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=REPORT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, object] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
        "rounds": args.rounds,
        "lr": LR,
        "isometry_strength": STRENGTH,
    }
    tables = {}
    for title, (sizes, batch) in NETWORKS.items():
        rows, peak = timed(sizes, batch, args.rounds), memory(sizes, batch)
        tables[title] = {"time": rows, "peak_memory": peak}
        print(f"\n{title}    peak memory AdamO / Adam: {peak['ratio']:.3f}")
        for name, row in rows.items():
            print(
                f"  {name:34s} {row['milliseconds']:8.3f} ms  {row['ratio']:5.2f}x"
                f"  ({row['lowest']:.2f}-{row['highest']:.2f})"
            )
    report["networks"] = tables
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
