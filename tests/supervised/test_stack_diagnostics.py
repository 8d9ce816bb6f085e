"""What a stack looks like inside, held against single networks."""

import torch
from isometry.experiments import run
from isometry.methods import Architecture
from isometry.supervised.diagnostics import stack_diagnostics
from isometry.supervised.networks import MLP, as_module

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
