"""What the whole table would cost, and how times grow: tables from reports."""

import json
from pathlib import Path

from docutils import nodes
from page_tables import TableDirective

WORKERS = (1, 8, 64)


class ClusterPlan(TableDirective):
    """``{cluster-plan}``: runs, core-hours, and hours on some numbers of workers."""

    def run(self) -> list[nodes.Node]:
        """Return the table, computed from sweep files and reports of benchmarks."""
        import isometry_book
        from isometry_book.c6_benchmark.full_table import full_table, total

        costs = full_table(Path(isometry_book.__file__).resolve().parents[2])
        rows = [
            [
                f"`{cost.benchmark}`" if cost in costs else "**all**",
                str(len(cost.tuning)),
                str(len(cost.reported)),
                f"{cost.core_hours:.0f}",
                *[f"{cost.hours(workers):.1f}" for workers in WORKERS],
            ]
            for cost in [*costs, total(costs)]
        ]
        heads = [f"Hours, {n} worker{'s' if n > 1 else ''}" for n in WORKERS]
        head = ["Benchmark", "Tuning runs", "Reported runs", "Core-hours", *heads]
        widths = [28, 12, 12, 12, 12, 12, 12]
        return [self.table(head, rows, widths, "cluster-plan")]


class GpuPlan(TableDirective):
    """``{gpu-plan}``: hours of one H200 by what bounds them, and of eight."""

    def run(self) -> list[nodes.Node]:
        """Return the table, computed from sweep files and counted calls."""
        import isometry_book
        from isometry_book.c6_benchmark.gpu_plan import hours, stacks

        runs = stacks(Path(isometry_book.__file__).resolve().parents[2])
        names = list(dict.fromkeys(one.benchmark for one in runs))
        rows = []
        for name in [*names, None]:
            own = [one for one in runs if name in (one.benchmark, None)]
            bounds = [
                sum(getattr(one, bound) for one in own) / 3600
                for bound in ("launches", "products", "memory")
            ]
            ends = [hours(own, 1), hours(own, 1, share=8), hours(own, 8, share=8)]
            title = "**all**" if name is None else f"`{name}`"
            values = [*bounds, *ends]
            rows.append([title, str(len(own)), *[f"{value:.2f}" for value in values]])
        head = ["Benchmark", "Runs", "Launches", "Products", "Memory"]
        head += ["One GPU", "One GPU, 8 at a time", "8 GPUs, 8 at a time"]
        return [self.table(head, rows, [24, 8, 11, 11, 11, 11, 12, 12], "gpu-plan")]


class Scaling(TableDirective):
    """``{scaling}``: how times grow, from the report of the benchmark."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        import isometry_book

        root = Path(isometry_book.__file__).resolve().parents[2]
        path = root / "benchmarks" / "reports" / "scaling.json"
        self.env.note_dependency(str(path))
        rows = []
        for title, axis in json.loads(path.read_text())["axes"].items():
            low, high = axis["exponent_interval"]
            spans = [
                f"{values[0]:.2f} to {values[-1]:,.0f} ms"
                for values in (axis["milliseconds"], axis["products_alone"])
            ]
            rows.append(
                [
                    title,
                    f"{axis['sizes'][0]} to {axis['sizes'][-1]:,}",
                    *spans,
                    f"{axis['exponent']:.2f} [{low:.2f}, {high:.2f}]",
                    f"{axis['limit']:g}",
                ]
            )
        head = ["What", "Sizes", "Time", "Products alone", "Exponent", "Limit"]
        return [self.table(head, rows, [30, 12, 18, 18, 14, 8], "scaling")]


class Inventory(TableDirective):
    """``{inventory}``: streams, methods, seeds, sizes and hours of the store."""

    def run(self) -> list[nodes.Node]:
        """Return the table, and a line on the studies of the chapters."""
        import isometry_book
        from isometry_book.evidence.inventory import inventory, study_hours

        self.env.note_reread()  # with each build: the store grows
        store = Path(isometry_book.__file__).resolve().parents[2] / "results"
        found = inventory(store)
        rows = [
            [
                f"`{row.stream}`",
                row.network,
                f"{row.tasks} × {row.steps:,}" if row.steps else str(row.tasks),
                *[str(row[key]) for key in ("methods", "seeds")],
                f"{row.runs} + {row.tuning}",
                f"{row.hours:.1f}",
                row.device.replace("(R)", "").replace(" Processor", ""),
            ]
            for _, row in found.iterrows()
        ]
        whole = [str(found["runs"].sum()), str(found["tuning"].sum())]
        last = ["**all**", "", "", "", "", " + ".join(whole)]
        rows.append([*last, f"{found['hours'].sum():.1f}", ""])
        studies = ["studies of the chapters", *[""] * 5]
        rows.append([*studies, f"{study_hours(store):.1f}", ""])
        head = ["Stream", "Network", "Tasks × steps, or visits", "Methods", "Seeds"]
        head += ["Runs: reported + tuning", "Core-hours", "Processor"]
        return [self.table(head, rows, [22, 18, 8, 8, 7, 12, 8, 22], "inventory")]


class Again(TableDirective):
    """``{again}``: stored results beside what their commands give once more."""

    def run(self) -> list[nodes.Node]:
        """Return the table, from the report of the benchmark."""
        import isometry_book

        root = Path(isometry_book.__file__).resolve().parents[2]
        path = root / "benchmarks" / "reports" / "again.json"
        self.env.note_dependency(str(path))
        rows = []
        for row in json.loads(path.read_text())["results"]:
            mean, low, high = row["difference"]
            rows.append(
                [
                    f"`{row['command']}`",
                    "the same" if row["own_processor"] else "another",
                    f"{row['same_bits']:,} of {row['numbers']:,}",
                    f"{row['stored']:.3f}",
                    f"{row['again']:.3f}",
                    f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]",
                    "yes" if row["agrees"] else "no",
                ]
            )
        head = ["Command", "Processor", "Same bits", "Stored", "Again", "Difference"]
        widths = [40, 10, 12, 8, 8, 18, 8]
        return [self.table([*head, "Agrees"], rows, widths, "again")]
