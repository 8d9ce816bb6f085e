"""What foretells the next task: the study, its criterion, and the constructed pairs."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from isometry.core.matrices import effective_rank
from isometry.diagnostics import optimization_readiness
from isometry.lab.store import TIDY
from isometry.ntk import empirical_ntk, ntk_matrix
from isometry.ntk.dynamics import removed_by_descent
from isometry_book.c2_kernel import counterexamples, foretelling, pairs

SEEDS, AGES = 5, (1, 2, 4, 8)


def stream(laws, seeds=SEEDS):
    """Return a stream in which each predictor is what ``laws`` makes of plasticity."""
    draw = np.random.default_rng(0)
    rows = []
    for place, case in enumerate((*foretelling.BY_ADAM, foretelling.BY_DESCENT)):
        for seed in range(seeds):
            for age in AGES:
                learned = draw.uniform()
                rows.append((case, seed, age, "plasticity", learned))
                for name in foretelling.PREDICTORS:
                    law = laws.get(name, lambda *_: draw.uniform())
                    rows.append((case, seed, age, name, law(learned, age, place)))
    frame = pd.DataFrame(rows, columns=["method", "seed", "task", "metric", "value"])
    return frame.assign(benchmark=foretelling.WORN)


@pytest.fixture(scope="module")
def told():
    laws = {
        "ntk_robust_condition_number": lambda learned, age, place: 1 / learned,
        "readiness": lambda learned, age, place: -learned,
        "ntk_log_trace": lambda learned, age, place: learned,
    }
    frame = stream(laws)
    keys = ["predictor", "optimiser", "place"]
    return foretelling.foretold(frame).set_index(keys).sort_index()


def test_what_orders_as_learning_does_holds_everywhere_and_the_wrong_sign_nowhere(told):
    assert told.loc["ntk_robust_condition_number", "holds"].all()
    assert told.loc["ntk_log_trace", "holds"].all()
    wrong = told.loc["readiness"]
    np.testing.assert_allclose(wrong["estimate"], -1)
    assert not wrong["holds"].any()


def test_noise_foretells_nothing(told):
    noise = told.loc["feature_effective_rank"].loc["adam"]
    assert (noise["estimate"].abs() < 0.3).all()
    assert not noise["holds"].any()


def test_gradient_descent_has_no_kernel_of_adam_and_one_method(told):
    descent = told.xs("sgd", level="optimiser")
    names = set(descent.index.get_level_values("predictor"))
    assert names == {n for n, p in foretelling.PREDICTORS.items() if not p.adam}
    assert set(descent.index.get_level_values("place")) == set(foretelling.WHERE[:2])


def test_a_difference_in_size_forgets_signs_and_is_never_judged():
    laws = {
        "ntk_robust_condition_number": lambda learned, age, place: 1 / learned,
        "readiness": lambda learned, age, place: learned,
    }
    frame = stream(laws, seeds=3)
    found = foretelling.foretold(frame, other="readiness")
    assert "readiness" not in set(found["predictor"])
    kappa = found[found["predictor"] == "ntk_robust_condition_number"]
    np.testing.assert_allclose(kappa["estimate"], 0, atol=1e-12)
    assert not found["holds"].any()


@pytest.fixture(scope="module")
def small():
    return foretelling.FORETELLING.at("smoke", "digits")


def test_the_study_has_every_predictor_of_every_network_before_its_task(small):
    assert list(small.columns) == TIDY
    assert set(small["benchmark"]) == {foretelling.WORN}
    looks = foretelling.SMOKE.looks
    for name, predictor in foretelling.PREDICTORS.items():
        chosen = small[small["metric"] == name]
        cases = foretelling.BY_ADAM
        cases = cases if predictor.adam else (*cases, foretelling.BY_DESCENT)
        assert set(chosen["method"]) == set(cases), name
        assert len(chosen) == len(cases) * len(looks) * foretelling.SMOKE.seeds
    learned = small[small["metric"] == "plasticity"]
    assert set(learned["task"]) == {0, *looks}


def test_cases_differ_as_they_are_called():
    plans = {
        case: foretelling.planned_case(case, foretelling.SMOKE, "digits")
        for case in (*foretelling.BY_ADAM, foretelling.BY_DESCENT)
    }
    usual = plans["adam"].settings
    assert plans["adam_narrow"].settings.width == usual.width // 2
    assert plans["sgd"].settings.optimizer == "sgd"
    assert len({p.hash() for p in plans.values()}) == len(plans)


# --- constructed pairs ----------------------------------------------------------------


@pytest.fixture(scope="module")
def measured():
    return counterexamples.counterexamples(1)


def test_every_pair_is_the_example_that_it_is_called(measured):
    assert counterexamples.examples(measured) == dict.fromkeys(pairs.PAIRS, True)


def test_a_pair_of_equals_is_no_example(measured):
    first = measured[measured["network"] == "first"]
    equals = pd.concat([first, first.assign(network="second")])
    found = counterexamples.examples(equals)
    assert found == dict.fromkeys(pairs.PAIRS, False)


@pytest.mark.parametrize("name", ["saturation", "rotated"])
def test_two_pairs_have_one_kernel(name):
    first, second = pairs.PAIRS[name](0)
    kernels = [empirical_ntk(one.model, one.inputs) for one in (first, second)]
    assert_close(*kernels)


def test_descent_on_a_linear_pair_removes_what_its_spectrum_says(measured):
    values = pairs._lost(pairs.KEPT)
    rates = [share / values[0].item() for share in counterexamples.SHARES]
    best = max(
        removed_by_descent(values.square(), rate, counterexamples.STEPS).mean()
        for rate in rates
    )
    found = measured.query("pair == 'eigenvalues' and network == 'second'")
    assert found["descent_best"].item() == pytest.approx(best.item())


@pytest.mark.parametrize("rotated", [False, True])
def test_readiness_of_a_linear_pair_is_the_mean_of_its_eigenvalues(rotated):
    one = pairs._linear(pairs._lost(pairs.KEPT), 0, rotated)
    kernel = ntk_matrix(empirical_ntk(one.model, one.inputs))
    count = len(one.inputs)
    found = optimization_readiness(
        one.model,
        one.inputs,
        one.targets,
        loss=one.loss,
        batch_size=count,
        generator=torch.Generator(),
    )
    # L is a mean over the inputs, and every direction has the same share.
    expected = 2 * kernel.trace().item() / count**2
    assert found.readiness == pytest.approx(expected)


def test_geometric_spectrum_has_the_rank_it_is_asked_for():
    for rank in (1.5, 4.0, 12.0):
        values = pairs.geometric(rank)
        assert effective_rank(values.square()).item() == pytest.approx(rank)
        assert values[0] == 1
        assert bool((values[1:] < values[:-1]).all())


def test_adam_starts_with_its_first_gradient():
    one = pairs.PAIRS["axes"](0)[1]
    scales = counterexamples.adam_start(one)["weight"]
    gradient = one.inputs.mT @ (0 - one.targets) / len(one.inputs)
    assert_close(scales, 1 / (gradient.mT.abs() + 1e-8))
    optimizer = torch.optim.Adam(one.model.parameters(), lr=0.1)
    one.loss(one.model(one.inputs), one.targets).backward()
    optimizer.step()
    assert_close(one.model.weight.detach(), -0.1 * scales * gradient.mT)


def test_table_of_pairs_has_both_networks_in_each_cell(measured):
    table = counterexamples.pairs_table(measured)
    assert list(table.index) == list(pairs.PAIRS)
    assert table.map(lambda cell: cell.count(" / ") == 1).all(axis=None)
