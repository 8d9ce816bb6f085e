"""Models in use: what AdamO pulls and spares of each, and what is known of them.

``python benchmarks/models_in_use.py`` makes the models of ``contestants`` whose package
is installed, examines each, and writes ``reports/models_in_use.json`` and the table of
``book/models.md``. Rows of packages that are not there stay as they were, and so do
those of models that no argument is a part of the name of.

What is asked of every model, or it has no row: the pull alone lowers the distance
to isometry of every matrix that it pulls, and changes no bit of anything else; AdamO
steps; ``diagnose`` looks at all of it; and the empirical kernel is that of
``torch.func.jacrev`` within ``TOLERANCE``.
"""

import argparse
import json
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import torch
from contestants.models_in_use import RECIPES, Case, Recipe
from contestants.processes import ROOT, cpu_model
from torch import Tensor
from torch.func import functional_call, jacrev

from isometry.adamo import AdamO
from isometry.core.matrices import as_matrix, smaller_gram
from isometry.diagnostics import diagnose
from isometry.ntk import empirical_ntk, ntk_matrix
from isometry.weights import find_head, weights_of

REPORT = ROOT / "benchmarks" / "reports" / "models_in_use.json"
PAGE = ROOT / "book" / "models.md"
BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"
PULLS = 20  # steps of the pull alone
RELAXATION = 200  # steps in which it divides a small deviation by e
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}  # of the largest entry
PACKAGES = ("torch", "torchvision", "timm", "transformers", "peft", "stable-baselines3")


def deviations(case: Case, pulled: set[str]) -> dict[str, list[float]]:
    """Return the Gram deviation of every matrix that is pulled, in float64."""
    found = {}
    for weight in weights_of(case.model):
        if weight.names[0] not in pulled:
            continue
        members = weight.operator.members
        found[weight.names[0]] = [
            float((gram - torch.eye(len(gram))).norm())
            for part in weight.operator.split(weight.place.weight.detach().double())
            for matrix in (part.flatten(0, members - 1) if members else [part])
            for gram in [smaller_gram(as_matrix(matrix))]
        ]
    return found


def state(case: Case) -> dict[str, Tensor]:
    """Return a copy of every parameter and buffer."""
    named = dict(case.model.named_parameters()) | dict(case.model.named_buffers())
    return {name: value.detach().clone() for name, value in named.items()}


def loss(case: Case) -> Tensor:
    """Return a loss that hangs on all outputs."""
    given = case.inputs
    said = case.model(**given) if isinstance(given, Mapping) else case.model(given)
    return case.pick(said).square().mean()


def pull(case: Case) -> dict[str, Any]:
    """Return what AdamO does with a model; refuse a pull that does anything else."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optimizer = AdamO(case.model, lr=1e-3, relaxation_steps=RELAXATION)
    rows = {row.name: row for row in optimizer.describe()}
    pulled = {name for name, row in rows.items() if row.pulled}
    before, spared = deviations(case, pulled), state(case)
    trained = [p for p in case.model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(PULLS):
        optimizer.step()
    for name, values in deviations(case, pulled).items():
        pairs = zip(values, before[name], strict=True)
        assert all(after < first for after, first in pairs), f"{name} is no nearer"
    for name, value in state(case).items():
        moved = not torch.equal(value, spared[name])
        assert moved == (name in pulled), f"{name} {'moved' if moved else 'is still'}"
    optimizer.zero_grad()
    loss(case).backward()
    optimizer.step()
    assert all(bool(p.isfinite().all()) for p in trained), "a step is not finite"
    entries = {name: spared[name].numel() for name in rows}
    operators = {w.names[0]: w.operator for w in weights_of(case.model)}
    kinds = Counter(
        "head" if row.why == "the head" else row.kind
        for row in rows.values()
        if not row.pulled
    )
    head = find_head(case.model, weights_of(case.model)).names
    return {
        "parameters": sum(p.numel() for p in case.model.parameters()),
        "trained": sum(entries.values()),
        "matrices": sum(map(len, before.values())),
        "pulled": sum(entries[name] for name in pulled),
        "spared": dict(sorted(kinds.items())),
        "why": {o.kind: o.why for o in operators.values() if o.why},
        "head": sorted({name.rpartition(".")[0] for name in head}),
        "warned": [str(w.message) for w in caught],
    }


def look(case: Case) -> dict[str, Any]:
    """Return how long a look at a model takes, and what it leaves out."""
    begun = time.process_time()
    found = diagnose(case.model, case.inputs, outputs=case.pick)
    seconds = time.process_time() - begun
    assert found.weights
    assert found.activations or found.features
    return {"seconds": seconds, "left_out": dict(found.left_out)}


def reference(case: Case) -> Tensor:
    """Return the kernel ``(n * m, n * m)`` from ``jacrev``, one input at a time."""
    weights = dict(case.model.named_parameters())
    trained = {n: p.detach() for n, p in weights.items() if p.requires_grad}

    def outputs(values: Mapping[str, Tensor], index: int) -> Tensor:
        if isinstance(case.inputs, Mapping):
            one = {
                key: value[index : index + 1] if isinstance(value, Tensor) else value
                for key, value in case.inputs.items()
            }
            return case.pick(functional_call(case.model, values, (), one))[0]
        one = (case.inputs[index : index + 1],)
        return case.pick(functional_call(case.model, values, one))[0]

    rows = []
    for index in range(2):
        parts = jacrev(outputs)(trained, index).values()
        rows.append(torch.cat([part.flatten(1) for part in parts], 1))
    jacobian = torch.cat(rows)
    return jacobian @ jacobian.mT


def compare(case: Case) -> dict[str, Any]:
    """Return how far the kernel is from its definition, and how it was found."""
    case.model.to(case.dtype)
    given = case.inputs
    if isinstance(given, Mapping):
        given = {key: _typed(value, case.dtype) for key, value in given.items()}
    case = replace(case, inputs=_typed(given, case.dtype))
    begun = time.process_time()
    kernel = ntk_matrix(empirical_ntk(case.model, case.inputs, outputs=case.pick))
    seconds = time.process_time() - begun
    why = ""
    try:
        empirical_ntk(case.model, case.inputs, outputs=case.pick, method="layerwise")
    except ValueError as refused:
        why = str(refused).partition("found ")[2].partition(";")[0]
    # Last: functional_call leaves a module that has two names with other weights.
    expected = reference(case).detach()
    error = float((kernel - expected).abs().max() / expected.abs().max())
    assert error < TOLERANCE[case.dtype], f"the kernel is off by {error:.1e}"
    return {"kernel_seconds": seconds, "error": error, "not_by_layers": why}


def _typed(value: Any, dtype: torch.dtype) -> Any:
    """Return a tensor of floating-point numbers in a type, others as they are."""
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(dtype) if floating else value


def examined(recipe: Recipe) -> dict[str, Any]:
    """Return what is found of a model.

    Raises:
        AssertionError: If a promise does not hold.
    """
    torch.manual_seed(0)
    case = recipe.make()
    return {**look(case), **pull(case), **compare(case)}


def cells(name: str, row: Mapping[str, Any]) -> list[str]:
    """Return the cells of a row of the table."""
    spared = ", ".join(f"{kind} {count}" for kind, count in row["spared"].items())
    head = ", ".join(f"`{part}`" for part in row["head"]) or "none"
    if row["warned"]:
        head += ", warned"
    share = row["pulled"] / row["trained"]
    kernel = "brute force" if row["not_by_layers"] else "layers"
    return [
        name,
        f"{row['parameters']:,}",
        f"{row['matrices']} ({share:.0%})",
        spared,
        head,
        f"{row['seconds']:.1f}",
        f"{kernel}, {row['error']:.0e}",
    ]


def table(report: Mapping[str, Any]) -> str:
    """Return the report as text for the page: the table and what its words mean."""
    head = ("model", "parameters", "matrices pulled (share of entries)", "spared")
    head += ("head", "`diagnose`, s", "kernel, error")
    rows = [cells(name, row) for name, row in report["models"].items()]
    lines = [" | ".join(row) for row in (head, ["---"] * len(head), *rows)]
    why = {k: w for row in report["models"].values() for k, w in row["why"].items()}
    kinds = {kind for row in report["models"].values() for kind in row["spared"]}
    reasons = [f"* {kind}: {why[kind]}" for kind in sorted(kinds & set(why))]
    made = ", ".join(f"{name} {found}" for name, found in report["versions"].items())
    what = f"Made on {report['date']} with {made}, on one core of {report['cpu']}."
    return "\n".join([*(f"| {line} |" for line in lines), "", *reasons, "", what])


def paged(page: str, text: str) -> str:
    """Return the page with the text between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="of names, to leave out all others")
    parts = parser.parse_args().parts or [""]
    torch.set_num_threads(1)
    known = json.loads(REPORT.read_text())["models"] if REPORT.exists() else {}
    for recipe in RECIPES:
        asked = any(part in recipe.name for part in parts)
        if asked and (not recipe.package or find_spec(recipe.package)):
            known[recipe.name] = examined(recipe)
            print(*cells(recipe.name, known[recipe.name]), sep=" | ", flush=True)
            write(known)
    print(f"\nwritten: {REPORT}, {PAGE}")


def write(known: Mapping[str, Any]) -> None:
    """Write what is known of the models, in the order of the recipes."""
    there = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            there[package] = version(package).partition("+")[0]
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu_model(),
        "versions": there,
        "models": {r.name: known[r.name] for r in RECIPES if r.name in known},
    }
    REPORT.write_text(json.dumps(report, indent=1) + "\n")
    PAGE.write_text(paged(PAGE.read_text(), table(report)))


if __name__ == "__main__":
    main()
