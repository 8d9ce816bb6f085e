"""What a stack looks like inside, held against single networks."""

import math

import torch

from isometry.lab.run import run
from isometry.methods import Architecture
from isometry.supervised.diagnostics import stack_diagnostics
from isometry.supervised.networks.mlp import MLP, as_module

NETWORK = MLP(
    architecture=Architecture(
        network="mlp",
        width=6,
        depth=2,
        activation="relu",
        negative_slope=0.01,
        init="orthogonal",
        init_gain=1.0,
    ),
    in_features=4,
    num_classes=3,
)
INPUTS = torch.randn(2, 20, 4, generator=torch.Generator().manual_seed(0))


def test_dead_units_are_counted_in_the_member_that_has_them():
    parameters = NETWORK.stacked([0, 1])
    parameters["hidden.0.bias"][1, :3] = -100.0
    found = stack_diagnostics(NETWORK, parameters, INPUTS)
    for member in range(2):
        model = as_module(NETWORK, parameters, member)
        first = model[:2](INPUTS[member])
        second = model[:4](INPUTS[member])
        dead = [(h == 0).all(0).double().mean() for h in (first, second)]
        torch.testing.assert_close(
            found["dead_fraction"][member].double(), torch.stack(dead).mean()
        )
    assert found["dead_fraction"][1] >= 0.25
    assert (found["dormant_fraction"] >= found["dead_fraction"]).all()


def test_orthogonal_weights_have_no_gram_deviation_and_stretched_ones_have():
    parameters = NETWORK.stacked([0, 1])
    parameters["hidden.1.weight"][1] *= 2.0
    deviation = stack_diagnostics(NETWORK, parameters, INPUTS)["gram_deviation"]
    assert deviation[0] < 1e-5
    # ||4 I - I||_F = 3 sqrt 6, averaged over two hidden weights.
    torch.testing.assert_close(deviation[1], torch.tensor(1.5 * 6**0.5))


def test_kernel_and_jacobians_are_those_of_the_member_alone():
    parameters = NETWORK.stacked([0, 1])
    parameters["hidden.1.weight"][1] *= torch.linspace(0.1, 3, 6).unsqueeze(1)
    found = stack_diagnostics(NETWORK, parameters, INPUTS)
    for member in range(2):
        model = as_module(NETWORK, parameters, member).double()
        probes = INPUTS[member, :16].double()
        rows = []
        for output in range(16 * 3):
            model.zero_grad()
            model(probes).flatten()[output].backward()
            rows.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        kernel = torch.stack(rows) @ torch.stack(rows).mT
        torch.testing.assert_close(found["ntk_trace"][member], kernel.trace())
        eigenvalues = torch.linalg.eigvalsh(kernel)
        robust = eigenvalues[-1] / torch.quantile(eigenvalues, 0.05)
        torch.testing.assert_close(found["ntk_robust_condition_number"][member], robust)
        ratios = []
        for probe in probes:
            slope = torch.autograd.functional.jacobian(model, probe)
            values = torch.linalg.svdvals(slope)
            # All units may be closed at an input: no direction moves there.
            ratio = values[0] / torch.quantile(values, 0.05)
            ratios.append(ratio.nan_to_num(math.inf))
        torch.testing.assert_close(
            found["jacobian_condition_number"][member], torch.stack(ratios).median()
        )


def test_orthogonal_weights_have_condition_one_whatever_their_scale():
    parameters = NETWORK.stacked([0, 1])
    parameters["hidden.0.weight"][1] *= 7.0
    found = stack_diagnostics(NETWORK, parameters, INPUTS)["weight_condition_number"]
    torch.testing.assert_close(found, torch.ones(2))


def test_a_member_of_zeros_is_infinitely_badly_conditioned():
    parameters = {n: torch.zeros_like(p) for n, p in NETWORK.stacked([0]).items()}
    found = stack_diagnostics(NETWORK, parameters, INPUTS[:1])
    for name in ("weight_condition_number", "jacobian_condition_number"):
        assert found[name].isinf().all(), name


def test_a_diverged_member_has_no_diagnostics_and_leaves_the_other_alone():
    parameters = NETWORK.stacked([0, 1])
    whole = stack_diagnostics(NETWORK, parameters, INPUTS)
    parameters["hidden.0.weight"][1] = torch.nan
    found = stack_diagnostics(NETWORK, parameters, INPUTS)
    for name, values in found.items():
        assert values[1].isnan(), name
        torch.testing.assert_close(values[0], whole[name][0])


def test_every_second_task_is_diagnosed_and_the_training_is_the_same(tmp_path):
    size = {"data": "digits", "tasks": 4, "images_per_task": 50, "width": 8}
    plain = run("permuted_mnist", "adam", [0], size, profile="smoke", out=tmp_path)
    watched = run(
        "permuted_mnist",
        "adam",
        [0],
        {**size, "diagnose_every": 2},
        profile="smoke",
        out=tmp_path,
    )
    dead = watched[watched["metric"] == "dead_fraction"]
    assert sorted(dead["task"]) == [1, 3]
    keys = ["task", "metric", "value"]
    same = watched[watched["metric"].isin(plain["metric"].unique())]
    assert same[keys].to_numpy().tolist() == plain[keys].to_numpy().tolist()
