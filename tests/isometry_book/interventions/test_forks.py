"""Each intervention changes exactly what its name says."""

import pytest
import torch
from torch.testing import assert_close

from isometry.core.matrices import singular_values
from isometry.methods import Architecture
from isometry.stream.run import Run
from isometry.supervised.networks.mlp import MLP
from isometry_book.interventions import forks as study

DOUBLE = torch.float64
WIDTH, DEPTH, SEEDS = 10, 3, [0, 1]


def architecture(**changes):
    given = {
        "network": "mlp",
        "width": WIDTH,
        "depth": DEPTH,
        "activation": "relu",
        "negative_slope": 0.01,
        "init": "orthogonal",
        "init_gain": 1.0,
    }
    return Architecture(**{**given, **changes})


def worn_fork(**changes):
    """Return a fork in float64 whose second unit of every layer is dead."""
    network = MLP(architecture=architecture(**changes), in_features=12, num_classes=4)
    draw = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=DOUBLE)

    start = {name: p.double() for name, p in network.stacked(SEEDS, 0).items()}
    parameters = {}
    for name, p in start.items():
        moved = p + 0.3 * normal(*p.shape)
        if name.startswith("hidden") and name.endswith("bias"):
            moved[:, 1] = -1e3
        parameters[name] = moved.requires_grad_()
    inputs = normal(len(SEEDS), 40, 12)
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        network.forward(parameters, inputs).square().sum().backward()
        optimizer.step()
    return study.Fork(
        network=network,
        parameters=parameters,
        optimizer=optimizer,
        start=start,
        inputs=inputs,
    )


def weights(fork):
    return {n: p.detach().clone() for n, p in fork.parameters.items()}


def memory(fork):
    return {
        (name, key): value.clone()
        for name, p in fork.parameters.items()
        for key, value in fork.optimizer.state[p].items()
    }


def changed(before, after):
    assert before.keys() == after.keys()
    return {key for key in before if not torch.equal(before[key], after[key])}


HIDDEN = {f"hidden.{i}.weight" for i in range(DEPTH)}
HEAD = {"head.weight", "head.bias"}
BIASES = {f"hidden.{i}.bias" for i in range(DEPTH)}


@pytest.mark.parametrize(
    ("name", "touched", "resets"),
    [
        ("nothing", set(), False),
        ("spectrum", HIDDEN, False),
        ("scale", HIDDEN, False),
        ("gates", BIASES, False),
        ("optimizer", set(), True),
        ("spectrum_optimizer", HIDDEN, True),
        ("scale_optimizer", HIDDEN, True),
        ("gates_optimizer", BIASES, True),
        ("head", HEAD, False),
        ("head_optimizer", HEAD, True),
        ("hidden", HIDDEN | BIASES, False),
        ("hidden_optimizer", HIDDEN | BIASES, True),
    ],
)
def test_an_intervention_touches_what_its_name_says_and_nothing_else(
    name, touched, resets
):
    fork = worn_fork()
    before, remembered = weights(fork), memory(fork)
    held = {n: p.data_ptr() for n, p in fork.parameters.items()}
    for change in study.ALL[name]:
        change(fork)
    assert changed(before, weights(fork)) == touched
    forgotten = changed(remembered, memory(fork))
    assert forgotten == (set(remembered) if resets else set())
    assert {n: p.data_ptr() for n, p in fork.parameters.items()} == held


def test_every_intervention_is_tested_above():
    assert len(study.ALL) == 12


@pytest.mark.parametrize(
    ("name", "part"), [("head", HEAD), ("hidden", HIDDEN | BIASES)]
)
def test_layers_that_are_put_back_are_those_of_the_start(name, part):
    fork = worn_fork()
    for change in study.ALL[name]:
        change(fork)
    for one in part:
        assert torch.equal(fork.parameters[one], fork.start[one]), one


def test_after_the_spectrum_all_singular_values_are_one_and_the_vectors_are_kept():
    fork = worn_fork()
    before = weights(fork)
    study._restore_spectrum_(fork)
    for name in HIDDEN:
        old, new = before[name], fork.parameters[name].detach()
        assert_close(singular_values(new), torch.ones_like(singular_values(old)))
        left, values, right = torch.linalg.svd(old, full_matrices=False)
        # In the old vectors the new weight is the identity; in the old weight's polar
        # decomposition W = Q P, P = Q^T W is symmetric and positive.
        assert_close(
            left.mT @ new @ right.mT, torch.eye(WIDTH).double().expand(2, -1, -1)
        )
        stretch = new @ old.mT
        assert_close(stretch, stretch.mT)
        assert_close(torch.linalg.eigvalsh(stretch), values.flip(-1))


def test_after_the_scale_norms_are_those_of_the_start_and_ratios_are_unchanged():
    fork = worn_fork()
    before = weights(fork)
    study._restore_scale_(fork)
    for name in HIDDEN:
        old, new = before[name], fork.parameters[name].detach()
        norms = [w.flatten(1).norm(dim=1) for w in (fork.start[name], new)]
        assert_close(*norms)
        ratios = [singular_values(w) for w in (old, new)]
        assert_close(*[r / r[:, :1] for r in ratios])
        factor = new / old
        assert_close(factor, factor[:, :1, :1].expand_as(factor))


def test_reopened_units_are_active_on_half_of_the_inputs_and_others_keep_their_bias():
    fork = worn_fork()
    before = weights(fork)
    closed = study.dormant_units(fork.network, fork.parameters, fork.inputs)
    study._reopen_gates_(fork)
    hidden = fork.network.hidden_activations(fork.parameters, fork.inputs)
    for layer, chosen in enumerate(closed):
        assert chosen[:, 1].all()
        assert not chosen.all()
        active = (hidden[layer].detach() > 0).double().mean(1)
        assert_close(active[chosen], torch.full_like(active[chosen], 0.5))
        bias = f"hidden.{layer}.bias"
        kept = fork.parameters[bias].detach()[~chosen]
        assert torch.equal(kept, before[bias][~chosen])


def test_without_dormant_units_reopening_changes_nothing():
    worn = worn_fork()
    open_all = {n: 0.01 * p + (n in BIASES) for n, p in worn.start.items()}
    fork = study.Fork(**{**vars(worn), "parameters": open_all})
    before = weights(fork)
    assert not any(c.any() for c in study.dormant_units(*lookable(fork)))
    study._reopen_gates_(fork)
    assert changed(before, weights(fork)) == set()


def lookable(fork):
    return fork.network, fork.parameters, fork.inputs


@pytest.mark.parametrize(
    "changes", [{"activation": "tanh"}, {"normalisation": "layer"}]
)
def test_gates_of_other_units_than_relus_with_biases_are_refused(changes):
    fork = worn_fork()
    other = MLP(architecture=architecture(**changes), in_features=12, num_classes=4)
    wrong = study.Fork(**{**vars(fork), "network": other})
    with pytest.raises(ValueError, match="ReLU"):
        study._reopen_gates_(wrong)


def test_a_reset_optimiser_steps_as_a_new_one_does():
    fork = worn_fork()
    study._reset_optimizer_(fork)
    assert all(not v.any() for v in memory(fork).values())
    own = {n: p.detach().clone().requires_grad_() for n, p in fork.parameters.items()}
    new = torch.optim.Adam(own.values(), lr=1e-3)
    for parameters, optimizer in ((fork.parameters, fork.optimizer), (own, new)):
        optimizer.zero_grad()
        fork.network.forward(parameters, fork.inputs).square().sum().backward()
        optimizer.step()
    assert changed(weights(fork), {n: p.detach() for n, p in own.items()}) == set()


def test_a_copied_run_shares_no_memory():
    fork = worn_fork()
    state = fork.optimizer.state_dict()
    run = Run(seeds=SEEDS, task=3, parameters=fork.parameters, optimizer_state=state)
    before, remembered = weights(fork), memory(fork)
    copy = study.copied(run)
    with torch.no_grad():
        for parameter in copy.parameters.values():
            parameter.zero_()
        for entry in copy.optimizer_state["state"].values():
            for value in entry.values():
                value.zero_()
    assert changed(before, weights(fork)) == set()
    assert changed(remembered, memory(fork)) == set()
