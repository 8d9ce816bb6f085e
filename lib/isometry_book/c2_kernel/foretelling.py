"""What foretells how much a worn network still learns: the study and its criterion.

Networks learn a stream of random labels. Before some tasks each is looked at: both
kernels at the task's images, the rank of its features, the size of its gradient and its
optimization readiness. Beside them stands what the network then learns of that task.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from isometry.core.profile import ByProfile
from isometry.core.seeding import generator
from isometry.diagnostics import optimization_readiness
from isometry.lab.plans import Plan, plan
from isometry.lab.store import TIDY, load_results
from isometry.plasticity import feature_effective_rank
from isometry.stream.run import Run
from isometry.supervised.data.sets import load
from isometry.supervised.networks.mlp import MLP, as_module
from isometry.supervised.streams import Pixels, Task, scaled
from isometry_book.interventions.correlations import correlations
from isometry_book.interventions.kernels import adam_scales, kernel_statistics
from isometry_book.interventions.runs import (
    Row,
    next_task,
    optimizer_of,
    perceptron_of,
    rows_of,
    rows_of_metrics,
    worn,
)
from isometry_book.interventions.study import CASES
from isometry_book.study import Study

STREAM = "random_label_mnist"
WORN = f"worn_{STREAM}"
# Of three rates, 0.01, 0.03 and 0.1, the one that learned most of the first task on two
# seeds that are not shown.
DESCENT = {"optimizer": "sgd", "lr": 0.1}
# Beside the three methods of the interventions: another network, and gradient descent,
# whose kernel is the plain one.
BY_ADAM = (*CASES, "adam_narrow")
BY_DESCENT = "sgd"


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A quantity that is taken before a task.

    Attributes:
        label: As a figure names it.
        sign: Of the rank correlation with what is learned, if it foretells that.
        adam: Whether it asks for Adam's second moment.
    """

    label: str
    sign: int
    adam: bool = False


PREDICTORS: Mapping[str, Predictor] = {
    "ntk_effective_rank": Predictor(label="kernel, effective rank", sign=1),
    "ntk_robust_condition_number": Predictor(label="kernel, condition", sign=-1),
    "ntk_log_trace": Predictor(label="kernel, trace", sign=1),
    "adam_ntk_effective_rank": Predictor(
        label="Adam's kernel, effective rank", sign=1, adam=True
    ),
    "adam_ntk_robust_condition_number": Predictor(
        label="Adam's kernel, condition", sign=-1, adam=True
    ),
    "adam_ntk_log_trace": Predictor(label="Adam's kernel, trace", sign=1, adam=True),
    "feature_effective_rank": Predictor(label="features, effective rank", sign=1),
    "gradient_norm": Predictor(label="gradient norm", sign=1),
    "readiness": Predictor(label="readiness", sign=1),
    "adam_readiness": Predictor(label="readiness by Adam", sign=1, adam=True),
}
WHERE = ("over_time", "across_seeds", "across_methods")
LEAST = 0.3  # of a rank correlation, as in the criterion of the claim
# Written before any of the study's numbers was seen.
CRITERION = (
    "A quantity foretells what is learned if its rank correlation with the plasticity "
    "of the task that follows has the expected sign, is above 0.3 in size, and has its "
    "95 % interval over seeds off 0: within a method, both over time and at a fixed "
    "age across seeds, each as the mean over methods; across methods and networks, at "
    "a fixed age and seed. One foretells better than another where the interval of "
    "the difference in size is off 0."
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the study is.

    Attributes:
        profile: Of the stream, whose settings it takes.
        seeds: Networks of each kind.
        looks: Ages at which they are looked at, in tasks, >= 1: at age 0 Adam has no
            second moment.
        stream: What differs from the stream's settings.
    """

    profile: str
    seeds: int
    looks: tuple[int, ...]
    stream: Mapping[str, Any]


def planned_case(case: str, sizes: Sizes, data: str) -> Plan:
    """Return what is trained.

    Args:
        case: One of ``BY_ADAM`` or ``BY_DESCENT``.
        sizes: How large.
        data: Name of a data set.
    """
    stream = {"data": data, **sizes.stream, "tasks": max(sizes.looks) + 1}
    usual = plan(STREAM, "adam", stream, sizes.profile).settings
    others: dict[str, dict[str, Any]] = {
        "adam_narrow": {"width": usual.width // 2},
        BY_DESCENT: DESCENT,
    }
    method, changes = CASES.get(case) or ("adam", others[case])
    return plan(STREAM, method, {**stream, **changes}, sizes.profile)


def _readiness(
    network: MLP, run: Run, task: Task, scales: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """Return readiness and the gradient's norm at the next task, ``(members,)`` each.

    All of the task's images count, as none was trained on with these labels. The
    minibatches are the same for every case, and for both metrics.
    """
    rows = []
    for index, seed in enumerate(run.seeds):
        module = as_module(network, run.parameters, index).double()
        data = task.inputs[index].double(), task.labels[index]
        names = list(dict(module.named_parameters()))

        def found(own, data=data, module=module, seed=seed):
            draw = generator(seed, "foretelling", "minibatches", run.task)
            return optimization_readiness(module, *data, generator=draw, scales=own)

        usual = found(None)
        row = {
            "gradient_norm": usual.gradient_norm,
            "readiness": usual.readiness,
            "relative_decrease": usual.relative_decrease,
            "batch_agreement": usual.batch_agreement,
        }
        if scales is not None:
            own = dict(zip(names, (s[index] for s in scales.values()), strict=True))
            row["adam_readiness"] = found(own).readiness
        rows.append(row)
    return {
        name: torch.tensor([row[name] for row in rows], dtype=torch.float64)
        for name in rows[0]
    }


def looked_at(planned: Plan, pixels: Pixels, run: Run) -> dict[str, Tensor]:
    """Return all that is taken of worn networks before their next task.

    Args:
        planned: Method and settings.
        pixels: The data.
        run: Between two tasks.

    Returns:
        Those of :data:`PREDICTORS` that the optimiser allows, and readiness's factors,
        each ``(members,)``.
    """
    network, task = perceptron_of(planned, pixels), next_task(planned, pixels, run)
    scales = adam_scales(run.parameters, optimizer_of(planned, network, run))
    with torch.no_grad():
        hidden = network.hidden_activations(run.parameters, task.inputs)[-1]
    found = {"feature_effective_rank": feature_effective_rank(hidden.double())}
    found |= kernel_statistics(network, run.parameters, task.inputs, scales)
    return found | _readiness(network, run, task, scales)


def _case_rows(case: str, sizes: Sizes, data: str, pixels: Pixels) -> list[Row]:
    """Train one kind of networks and return all their rows."""
    planned, seeds = planned_case(case, sizes, data), list(range(sizes.seeds))
    rows: list[Row] = []

    def look(run: Run) -> None:
        metrics = looked_at(planned, pixels, run)
        rows.extend(rows_of_metrics(WORN, case, run, metrics))

    done = worn(planned, pixels, seeds, sizes.looks, look)
    return rows + rows_of(WORN, case, done)


def _numbers(sizes: Sizes, data: str) -> pd.DataFrame:
    """Return all tidy numbers: what was found before a task, and what was learned."""
    settings = planned_case("adam", sizes, data).settings
    pixels = scaled(load(data), settings.input_scaling)
    cases = (*BY_ADAM, BY_DESCENT)
    rows = [row for case in cases for row in _case_rows(case, sizes, data, pixels)]
    return pd.DataFrame(rows, columns=TIDY)


def worn_networks(store: str | Path) -> pd.DataFrame:
    """Return the study's numbers: stored ones, or a small live run.

    Args:
        store: The results store.

    Returns:
        Columns ``benchmark, method, seed, task, metric, value``, at least.
    """
    folder = Path(store) / WORN
    if folder.is_dir() and any(folder.glob("*.parquet")):
        return load_results(folder)
    return FORETELLING.at("smoke", "digits")


def foretold(
    frame: pd.DataFrame,
    target: str = "plasticity",
    other: str | None = None,
    names: Sequence[str] = tuple(PREDICTORS),
) -> pd.DataFrame:
    """Return how predictors go with what is learned next.

    Args:
        frame: Tidy, of the benchmark ``WORN``.
        target: What is learned: a measure of the task.
        other: A predictor: then all are differences in size to it.
        names: Of the predictors.

    Returns:
        One row a predictor, optimiser (``adam``: all of ``BY_ADAM``; ``sgd``) and place
        (one of ``WHERE``; of sgd the first two): ``estimate, low, high`` and, without
        other, ``holds``: whether :data:`CRITERION` does there.
    """
    ages = sorted(frame.loc[frame["metric"] == "readiness", "task"].unique())
    rows = []
    for optimiser, cases in (("adam", list(BY_ADAM)), ("sgd", [BY_DESCENT])):
        for name in names:
            predictor = PREDICTORS[name]
            asks = predictor.adam or (other is not None and PREDICTORS[other].adam)
            if (asks and optimiser == "sgd") or name == other:
                continue
            found = correlations(
                frame, name, cases, ages, target, other=other, each=False
            )
            for place in WHERE[: 3 if optimiser == "adam" else 2]:
                one = found[place]
                signed = predictor.sign * one.estimate
                off = one.low > 0 or one.high < 0
                holds = other is None and signed > LEAST and off
                rows.append(
                    (name, optimiser, place, one.estimate, one.low, one.high, holds)
                )
    columns = ["predictor", "optimiser", "place", "estimate", "low", "high", "holds"]
    return pd.DataFrame(rows, columns=columns)


def where_it_holds(told: pd.DataFrame) -> pd.DataFrame:
    """Return for each predictor where the criterion holds.

    Args:
        told: From :func:`foretold`.

    Returns:
        Rows are predictors by their labels; ``within`` (both over time and across
        seeds, networks trained by Adam), ``across`` (methods and networks) and
        ``within, by descent``: yes, no, or a dash where Adam's second moment is asked
        for and there is none.
    """
    holds = told.set_index(["predictor", "optimiser", "place"])["holds"].to_dict()
    columns = {
        "within": ("adam", WHERE[:2]),
        "across": ("adam", WHERE[2:]),
        "within, by descent": ("sgd", WHERE[:2]),
    }

    def said(name: str, optimiser: str, places: tuple[str, ...]) -> str:
        found = [holds.get((name, optimiser, place)) for place in places]
        return "-" if None in found else "yes" if all(found) else "no"

    rows = {
        predictor.label: {key: said(name, *where) for key, where in columns.items()}
        for name, predictor in PREDICTORS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


# Adam's networks have lost nearly all after ten tasks, as chapter 1's runs show.
LAPTOP = Sizes(
    profile="laptop",
    seeds=8,
    looks=(1, 2, 3, 4, 6, 8, 10),
    stream={},
)
SMOKE = Sizes(
    profile="smoke",
    seeds=2,
    looks=(1, 2),
    stream={"images_per_task": 48, "epochs": 4, "width": 12, "batch_size": 12},
)
FORETELLING = Study(
    name="foretelling",
    sizes=ByProfile(smoke=SMOKE, laptop=LAPTOP, paper=LAPTOP),
    run=_numbers,
)
STUDIES = (FORETELLING,)
