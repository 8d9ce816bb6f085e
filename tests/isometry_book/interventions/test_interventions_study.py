"""Forks go on exactly as the run they come from; the study's numbers fit together."""

import copy

import pandas as pd
import pytest
import torch
from torch.func import functional_call, jacrev, vmap
from torch.testing import assert_close

from isometry.core.stacking import member
from isometry.lab.store import TIDY
from isometry.ntk import conditioning, empirical_ntk, ntk_matrix
from isometry.supervised.networks.mlp import as_module
from isometry.supervised.trainer import train
from isometry_book.interventions import deaths, kernels, runs, study
from isometry_book.interventions.correlations import correlations
from isometry_book.interventions.report import loss_by_rate, returned_table
from isometry_book.studies import run_study

SEEDS = [900, 901]
SMOKE = deaths.DEATHS.sizes.smoke


@pytest.fixture(scope="module", params=list(study.CASES))
def trained(request, digits):
    """A method's plan, its runs at every age, and the finished run."""
    planned = study._fork_plan(request.param, study.SMOKE, "digits")
    seen = {}
    done = runs.worn(
        planned, digits, SEEDS, (0, 1, 2), lambda r: seen.update({r.task: r})
    )
    return planned, seen, done


@pytest.fixture(scope="module")
def numbers():
    return study.FORKS.at("smoke", "digits")


def test_a_fork_without_intervention_is_the_run_going_on_bit_for_bit(trained, digits):
    planned, seen, done = trained
    start = seen[0].parameters
    for age in (0, 1, 2):
        task = runs.next_task(planned, digits, seen[age])
        fork = runs.after_next(planned, digits, seen[age], start, task)
        expected = [r for r in done.records if r["task"] == age]
        assert fork.records == expected
        assert fork.task == age + 1
    for name, values in done.parameters.items():
        assert torch.equal(fork.parameters[name], values), name


def test_a_fork_leaves_the_worn_run_as_it_was(trained, digits):
    planned, seen, _ = trained
    run = seen[2]
    before = copy.deepcopy((dict(run.parameters), run.optimizer_state))
    task = runs.next_task(planned, digits, run)
    arguments = (planned, digits, run, seen[0].parameters, task)
    runs.after_next(*arguments, "spectrum_optimizer", 1e-2)
    for name, values in run.parameters.items():
        assert torch.equal(values, before[0][name])
    now, then = run.optimizer_state["state"], before[1]["state"]
    for index, entry in now.items():
        assert all(torch.equal(v, then[index][key]) for key, v in entry.items())


def test_handing_over_does_not_change_the_training(trained, digits):
    planned, _, done = trained
    methods = planned.method, planned.method_settings
    plain = train(planned.benchmark, *methods, planned.settings, digits, SEEDS)
    assert plain.records == done.records


def test_new_networks_at_age_0_are_those_that_training_starts_from(trained, digits):
    planned, seen, _ = trained
    new = runs.fresh_run(planned, digits, SEEDS, 0)
    for name, values in seen[0].parameters.items():
        assert torch.equal(values, new.parameters[name])


def test_a_learning_rate_of_a_fork_is_that_of_all_its_steps(digits):
    planned = study._fork_plan("adam", study.SMOKE, "digits")
    new = runs.fresh_run(planned, digits, SEEDS, 0)
    task = runs.next_task(planned, digits, new)
    arguments = (planned, digits, new, new.parameters, task)
    fork = runs.after_next(*arguments, "nothing", 0.01)
    other = study.plan("permuted_mnist", "adam", {**vars(planned.settings), "lr": 0.01})
    settings = study.plan(
        "permuted_mnist", "adam", {**vars(other.settings), "tasks": 1}
    ).settings
    methods = other.method, other.method_settings
    done = train(other.benchmark, *methods, settings, digits, SEEDS)
    assert fork.records == done.records


def test_a_stream_that_ends_before_the_largest_age_is_refused(digits):
    planned = study._fork_plan("adam", study.SMOKE, "digits")
    with pytest.raises(ValueError, match="largest age, 3"):
        runs.worn(planned, digits, SEEDS, (0, 3), lambda run: None)


def test_kernels_of_a_worn_network_are_brute_force_in_float64(trained, digits):
    planned, seen, _ = trained
    run = seen[2]
    network = runs.perceptron_of(planned, digits)
    inputs = runs.next_task(planned, digits, run).inputs[:, :6]
    optimizer = runs.optimizer_of(planned, network, run)
    scales = kernels.adam_scales(run.parameters, optimizer)
    found = kernels.kernel_statistics(network, run.parameters, inputs, scales)
    state = optimizer.state[run.parameters["hidden.0.weight"]]
    v_hat = state["exp_avg_sq"].double() / (1 - 0.999 ** state["step"].double())
    assert_close(scales["hidden.0.weight"], 1 / (v_hat.sqrt() + 1e-8))
    for index in range(2):
        module = as_module(network, run.parameters, index).double()
        names = dict(zip(dict(module.named_parameters()), scales, strict=True))
        values = {n: p.detach() for n, p in module.named_parameters()}

        def outputs(values, one, module=module):
            return functional_call(module, values, (one[None],))[0]

        slopes = vmap(jacrev(outputs), in_dims=(None, 0))
        rows = slopes(values, inputs[index].double())
        flat = torch.cat([rows[n].flatten(2) for n in values], 2).flatten(0, 1)
        diagonal = torch.cat([scales[names[n]][index].flatten() for n in values])
        for name, matrix in (
            ("ntk", flat @ flat.mT),
            ("adam_ntk", flat * diagonal @ flat.mT),
        ):
            expected = conditioning(matrix)
            assert_close(found[f"{name}_log_trace"][index].exp(), matrix.trace())
            rank = found[f"{name}_effective_rank"][index].item()
            assert rank == pytest.approx(expected.effective_rank, rel=1e-6)


def test_before_the_first_step_adam_has_no_kernel_of_its_own(trained, digits):
    planned, seen, _ = trained
    network, run = runs.perceptron_of(planned, digits), seen[0]
    optimizer = runs.optimizer_of(planned, network, run)
    assert kernels.adam_scales(run.parameters, optimizer) is None
    found = study._looked_at(planned, digits, run)
    assert not any(name.startswith("adam_ntk") for name in found)
    probes = runs.next_task(planned, digits, run).inputs[0, : kernels.PROBES].double()
    module = as_module(network, run.parameters, 0).double()
    trace = ntk_matrix(empirical_ntk(module, probes)).trace()
    assert_close(found["ntk_log_trace"][0].exp(), trace)


def test_doing_nothing_gives_the_numbers_of_the_run_itself(numbers):
    forks = numbers[numbers["method"] == "nothing"]
    itself = numbers[numbers["method"] == "adam"]
    keys = ["seed", "task", "metric"]
    both = forks.merge(itself, on=keys, validate="one_to_one")
    assert len(both) == len(forks) == 2 * 3 * len(runs.MEASURES)
    assert (both["value_x"] == both["value_y"]).all()


def test_at_age_0_worn_networks_are_fresh_and_the_usual_rate_is_in_the_grid(numbers):
    forks = numbers[numbers["benchmark"].str.startswith("interventions")]
    values = forks.pivot(index=["seed", "task", "metric"], columns="method")["value"]
    values = values.dropna(subset="nothing")
    first = values.xs(0, level="task")
    assert (first["nothing"] == first["fresh"]).all()
    assert (values["nothing"] == values["rate_0.001"]).all()
    assert (values["fresh"] == values["fresh_rate_0.001"]).all()
    assert (values["nothing"] != values["rate_0.01"]).any()
    later = values.drop(index=0, level="task")
    assert (later["nothing"] != later["fresh"]).any()


def test_the_report_reads_what_the_study_writes(numbers):
    forks = numbers[numbers["benchmark"] == "interventions_permuted_mnist"]
    table = returned_table(forks)
    assert len(table) == 3 * (len(study.INTERVENTIONS) - 1)
    assert table.loc[table["age"] == 0, "share"].isna().all(), "nothing was lost"
    assert set(loss_by_rate(forks, 2)) == {"usual", "tuned", "by_tuning"}
    worn = numbers[numbers["benchmark"] == "worn_permuted_mnist"]
    found = correlations(
        worn, "adam_ntk_log_trace", list(study.CASES), [1, 2], "online_accuracy"
    )
    assert len(found) == 9


def test_the_study_is_stored_one_file_a_benchmark_and_method(tmp_path, numbers):
    files = run_study("interventions", "smoke", "digits", tmp_path)
    assert len(files) == numbers.groupby(["benchmark", "method"]).ngroups
    assert {f.parent.name for f in files} == set(numbers["benchmark"])


@pytest.mark.parametrize("one", study.STUDIES, ids=lambda one: one.name)
def test_data_that_are_not_known_are_refused(one):
    with pytest.raises(KeyError, match="cifar10"):
        one.at("smoke", "cifar11")


# --- Units that died by themselves ----------------------------------------------------


@pytest.fixture(scope="module")
def handed(digits):
    planned = deaths._death_plan("adam", SMOKE, "digits")
    seen = []
    done = runs.worn(
        planned,
        digits,
        SEEDS,
        (SMOKE.before,),
        seen.append,
    )
    return seen[0], done


def test_adam_handed_over_to_adam_goes_on_as_before(handed, digits):
    run, done = handed
    planned = deaths._death_plan("adam", SMOKE, "digits")
    arguments = ("adam", planned, digits, run, (1, 2))
    frame = pd.DataFrame(deaths._contender_rows(*arguments), columns=TIDY)
    found = frame[(frame["metric"] == "online_accuracy") & (frame["task"] == 1)]
    last = [
        r["value"]
        for r in done.records
        if r["task"] == run.task and r["metric"] == "online_accuracy"
    ]
    assert found["value"].tolist() == last


def test_a_contender_gets_weights_moments_and_step_count_by_name(handed, digits):
    run, _ = handed
    for name in deaths.CONTENDERS:
        planned = deaths._death_plan(name, SMOKE, "digits")
        taken, optimizer = deaths._handed_over(planned, digits, run)
        for index, (key, parameter) in enumerate(taken.parameters.items()):
            assert torch.equal(parameter, run.parameters[key])
            for part, value in run.optimizer_state["state"][index].items():
                assert torch.equal(optimizer.state[parameter][part], value)
                assert optimizer.state[parameter][part].data_ptr() != value.data_ptr()


def test_l2_init_pulls_to_where_adams_training_began(handed, digits):
    run, _ = handed
    planned = deaths._death_plan("l2_init", SMOKE, "digits")
    taken, _ = deaths._handed_over(planned, digits, run)
    start = runs.perceptron_of(planned, digits).stacked(SEEDS, 0)
    for name, values in start.items():
        assert torch.equal(taken.carried[name], values)


def test_dead_units_are_counted_by_hand(handed, digits):
    run, _ = handed
    planned = deaths._death_plan("adam", SMOKE, "digits")
    network = runs.perceptron_of(planned, digits)
    inputs = runs.next_task(planned, digits, run).inputs
    for index in range(len(SEEDS)):
        own, hidden, silent = member(run.parameters, index), inputs[index], []
        for layer in range(2):
            weight, bias = own[f"hidden.{layer}.weight"], own[f"hidden.{layer}.bias"]
            hidden = torch.relu(hidden @ weight.mT + bias).detach()
            silent += (hidden <= 0).all(0).tolist()
        assert deaths._dead(network, run.parameters, inputs)[index].tolist() == silent


def test_a_unit_lives_again_if_it_fires_on_the_inputs_on_which_it_was_dead(
    handed, digits
):
    run, _ = handed
    planned = deaths._death_plan("adam", SMOKE, "digits")
    network = runs.perceptron_of(planned, digits)
    start = runs.fresh_run(planned, digits, SEEDS, 0).parameters
    first = runs.next_task(planned, digits, run)
    once = runs.after_next(planned, digits, run, start, first)
    second = runs.next_task(planned, digits, once)
    twice = runs.after_next(planned, digits, once, start, second)
    before, after, last = (
        deaths._dead(network, parameters, inputs)
        for parameters, inputs in (
            (run.parameters, first.inputs),
            (twice.parameters, first.inputs),
            (twice.parameters, second.inputs),
        )
    )
    assert not torch.equal(after, last)
    planned = deaths._death_plan("adam", SMOKE, "digits")
    arguments = ("adam", planned, digits, run, (1, 2))
    frame = pd.DataFrame(deaths._contender_rows(*arguments), columns=TIDY)
    table = frame.pivot(index="seed", columns=["task", "metric"], values="value")
    expected = {
        (0, "dead_fraction"): before.double().mean(1),
        (2, "alive"): deaths._share_of(~after, before),
        (2, "alive_on_last"): deaths._share_of(~last, before),
        (2, "died"): deaths._share_of(after, ~before),
    }
    assert any(v.isfinite().any() for v in expected.values())
    for column, values in expected.items():
        assert_close(torch.tensor(table[column].to_numpy()), values, equal_nan=True)


def test_a_share_of_no_units_is_not_a_number():
    what = torch.tensor([[True, False, True], [True, True, True]])
    units = torch.tensor([[True, True, False], [False, False, False]])
    found = deaths._share_of(what, units)
    assert found[0] == 0.5
    assert found[1].isnan()


@pytest.mark.parametrize("one", deaths.STUDIES, ids=lambda one: one.name)
def test_the_study_of_deaths_counts_after_each_number_of_tasks(one):
    frame = one.at("smoke", "digits")
    assert set(frame["method"]) == set(deaths.CONTENDERS)
    first = frame[frame["metric"] == "dead_fraction"]
    assert first.groupby("seed")["value"].nunique().eq(1).all(), "the same for all"
    for metric in ("died", "online_accuracy"):
        assert set(frame.loc[frame["metric"] == metric, "task"]) == {1, 2}
    assert frame["value"].between(0, 1).all()
