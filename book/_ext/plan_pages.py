"""What the whole table would cost on a cluster: ``{cluster-plan}``."""

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
