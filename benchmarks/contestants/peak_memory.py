"""The most memory that a step holds at once, from torch's own trace of allocations."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from torch.profiler import ProfilerActivity, profile


def peak_bytes(step: Callable[[], None]) -> int:
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
