"""Write what README.md shows of the results: its figure and its table of claims.

``python book/readme.py`` draws the figure from ``results/`` and renews the table
between its marks; ``tests/book/test_readme.py`` holds both current.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from isometry.lab.store import load_results
from isometry_book import style
from isometry_book.c6_benchmark.comparisons import stored_grid
from isometry_book.c6_benchmark.figures import methods_over_tasks
from isometry_book.claims.claim import get
from isometry_book.claims.verdicts import judge_all

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FIGURE = ROOT / "book" / "_static" / "permuted_mnist.svg"
RESULTS = ROOT / "results"
START, END = "<!-- claims: made by book/readme.py -->", "<!-- end of claims -->"
CHAPTERS = {
    1: "01_plasticity",
    2: "02_neural_tangent_kernel",
    3: "03_deep_linear_isometry",
    4: "04_maxmin_networks",
    5: "05_adamo",
    6: "06_supervised_benchmark",
    7: "07_reinforcement_learning",
}
SHOWN = ("fresh", "adam", "adamo(isometry_strength=0.3)")


def claims_table(results: Path = RESULTS) -> str:
    """Return the table chapter, claim, verdict as Markdown.

    Args:
        results: The results store.
    """
    lines = ["| chapter | claim | verdict |", "|---|---|---|"]
    for key, verdict in judge_all(results).items():
        claim = get(key)
        link = f"[{claim.chapter}](chapters/{CHAPTERS[claim.chapter]}.md)"
        lines.append(f"| {link} | {claim.title} | {verdict.verdict} |")
    return "\n".join(lines)


def with_table(text: str, table: str) -> str:
    """Return the README's text with the table between its marks.

    Args:
        text: The README.
        table: What :func:`claims_table` returned.
    """
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{table}\n{END}{after}"


def draw(path: Path = FIGURE, results: Path = RESULTS) -> None:
    """Draw Permuted MNIST over tasks from the committed results.

    Args:
        path: The SVG to write.
        results: The results store.
    """
    style.use()
    frame = load_results(results / "permuted_mnist")
    table = stored_grid(results, "permuted_mnist")
    chosen = {
        settings: label.replace("(isometry_strength=", ", ").rstrip(")")
        for settings, label in zip(table["settings"], table["method"], strict=True)
        if label in SHOWN
    }
    frame = frame[frame["settings"].isin(chosen)]
    frame = frame.assign(label=frame["settings"].map(chosen))
    frame = frame.sort_values("method", kind="stable")
    with mpl.rc_context({"figure.figsize": (7.2, 3.4)}):
        fig, ax = plt.subplots()
        methods_over_tasks(ax, frame, "online_accuracy", "online accuracy", window=3)
        ax.set_title("Permuted MNIST: learning the next task, again and again")
        fig.savefig(path, metadata={"Date": None})
        plt.close(fig)


def main() -> None:
    """Renew the README's figure and table."""
    draw()
    README.write_text(with_table(README.read_text(), claims_table()))


if __name__ == "__main__":
    main()
