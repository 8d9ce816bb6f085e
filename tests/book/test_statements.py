"""Captions and prose cannot outlive their numbers: a wrong statement ends the build."""

import re
from contextlib import nullcontext
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from isometry.lab.store import load_results
from isometry_book.chapter import begin
from isometry_book.interventions import figures
from isometry_book.interventions.report import loss_by_rate, returned_table

CHAPTER = Path(__file__).parents[2] / "chapters" / "06_supervised_benchmark.md"
SECTION = "### What brings it back?"
MNIST = "interventions_permuted_mnist"


def code_of(section):
    """Return the code of a section of the chapter, without the cells' options."""
    text = CHAPTER.read_text().split(section, 1)[1]
    text = re.split(r"^##+ ", text, maxsplit=1, flags=re.M)[0]
    cells = re.findall(r"```\{code-cell\} ipython3\n(.*?)```", text, re.S)
    return "\n".join(
        re.sub(r"\A---\n.*?^---$", "", c, flags=re.S | re.M) for c in cells
    )


def as_if(frame, renamed, metrics):
    """Return numbers in which some methods have those of others, in some metrics."""
    chosen = frame["metric"].isin(metrics)
    copies = [
        frame[chosen & (frame["method"] == source)].assign(method=name)
        for name, source in renamed.items()
    ]
    return pd.concat([frame[~(chosen & frame["method"].isin(renamed))], *copies])


RATES = ("0.0001", "0.0003", "0.001", "0.003", "0.01")


@pytest.mark.parametrize(
    ("renamed", "metrics", "said"),
    [
        ({}, (), None),
        (
            {"spectrum_optimizer": "fresh"},
            ("online_accuracy",),
            "fig-forks says what is not so: the accuracy comes back on one",
        ),
        (
            {"spectrum_optimizer": "nothing"},
            ("final_loss",),
            "fig-forks says what is not so: the loss at the end comes back on both",
        ),
        (
            {f"rate_{rate}": f"fresh_rate_{rate}" for rate in RATES},
            ("online_accuracy",),
            "fig-step-size says what is not so: worn networks stay behind on mnist",
        ),
    ],
)
def test_a_caption_that_its_numbers_contradict_ends_the_build(renamed, metrics, said):
    def altered(path):
        frame = load_results(path)
        return as_if(frame, renamed, metrics) if path.name == MNIST else frame

    names = {
        "chapter": begin("laptop"),
        "drawn": figures,
        "load_results": altered,
        "loss_by_rate": loss_by_rate,
        "plt": plt,
        "returned_table": returned_table,
    }
    with pytest.raises(AssertionError) if said else nullcontext() as raised:
        exec(code_of(SECTION), names)
    assert said is None or str(raised.value) == said
