"""The stacked trainer against plain loops, over tasks, kills and divergence."""

import math
import sys
from dataclasses import replace
from itertools import chain

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from isometry.core.denormals import denormals_flushed
from isometry.core.files import write_whole
from isometry.lab.run import plan
from isometry.methods import METHODS
from isometry.stream import checkpoint as stream_checkpoint
from isometry.stream.run import Run, note_divergence
from isometry.supervised.networks.mlp import as_module
from isometry.supervised.streams import Task
from isometry.supervised.trainer import _task_plasticity, network_of, train
from isometry.supervised.training import _epoch_order, batches, stacked_tasks

SMALL = {
    "data": "digits",
    "tasks": 3,
    "images_per_task": 42,
    "epochs": 2,
    "batch_size": 16,
    "width": 8,
    "depth": 2,
}


def planned(method="adam", benchmark="permuted_mnist", **changes):
    return plan(benchmark, method, {**SMALL, **changes}, "smoke")


def trained(plan_, pixels, seeds, **keywords):
    return train(
        plan_.benchmark,
        plan_.method,
        plan_.method_settings,
        plan_.settings,
        pixels,
        list(seeds),
        **keywords,
    )


def values(run, metric, seed=None):
    """Return a metric, task by task, of one seed or of the only one."""
    seed = run.seeds[0] if seed is None else seed
    return [
        r["value"] for r in run.records if (r["metric"], r["seed"]) == (metric, seed)
    ]


# --- the same as a plain loop ---------------------------------------------------------


def torch_optimizer(parameters, settings):
    """Return torch's own optimiser as the settings ask for it."""
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=settings.lr, momentum=settings.momentum, foreach=False
        )
    return torch.optim.Adam(parameters, lr=settings.lr, foreach=False)


def plain_loop(plan_, pixels, seed):
    """Train one network with torch's own parts; return it and its records."""
    settings, records = plan_.settings, []
    mlp = network_of(plan_.method, plan_.method_settings, settings, pixels)
    network = optimizer = None
    for task_index in range(settings.tasks):
        if network is None or plan_.method.restarts:
            network = as_module(mlp, mlp.stacked([seed], task_index), 0)
            optimizer = None
        if optimizer is None or settings.reset_optimizer:
            optimizer = torch_optimizer(network.parameters(), settings)
        task = plan_.benchmark.task(pixels, settings, seed, task_index)
        loss_function = nn.CrossEntropyLoss()
        with torch.no_grad():
            initial = loss_function(network(task.inputs), task.labels).item()
        online = []
        for epoch in range(settings.epochs):
            order = _epoch_order(settings, [seed], task_index, epoch)[0]
            for chosen in order.split(settings.batch_size):
                logits = network(task.inputs[chosen])
                hits = logits.argmax(-1) == task.labels[chosen]
                online.append(hits.double().mean().item())
                optimizer.zero_grad()
                loss_function(logits, task.labels[chosen]).backward()
                optimizer.step()
        with torch.no_grad():
            logits = network(task.inputs)
            final = loss_function(logits, task.labels).item()
            record = {
                "online_accuracy": sum(online) / len(online),
                "final_accuracy": (logits.argmax(-1) == task.labels).double().mean(),
                "initial_loss": initial,
                "final_loss": final,
                "plasticity": (initial - final) / initial,
            }
            if task.test_inputs is not None:
                tested = network(task.test_inputs).argmax(-1) == task.test_labels
                record["test_accuracy"] = tested.double().mean()
        records.append({key: float(value) for key, value in record.items()})
    return network, records


def in_double(pixels):
    return replace(
        pixels,
        train_inputs=pixels.train_inputs.double(),
        test_inputs=pixels.test_inputs.double(),
    )


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    "case",
    [
        {},
        {"method": "fresh"},
        {"reset_optimizer": True},
        {"reshuffle": False, "benchmark": "random_label_mnist"},
        {"benchmark": "label_shuffled_cifar100", "activation": "tanh"},
        {"activation": "leaky_relu", "negative_slope": 0.2, "init": "default"},
        {"depth": 1, "batch_size": 42, "epochs": 12, "lr": 0.01},
        {"optimizer": "sgd", "lr": 0.05},
        {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9},
        {"optimizer": "sgd", "momentum": 0.9, "reset_optimizer": True, "lr": 0.05},
        {"optimizer": "sgd", "momentum": 0.5, "activation": "gelu", "lr": 0.05},
        {"optimizer": "sgd", "lr": 0.01, "activation": "sine", "batch_size": 1},
        {"depth": 0, "width": 100, "optimizer": "sgd", "lr": 0.05},
    ],
    ids=str,
)
def test_the_trainer_is_a_plain_loop_over_tasks_with_torchs_optimiser(digits, case):
    plan_, pixels = planned(**case), in_double(digits)
    run = trained(plan_, pixels, [3, 5])
    for i, seed in enumerate(run.seeds):
        network, records = plain_loop(plan_, pixels, seed)
        own = [p[i].detach() for p in run.parameters.values()]
        assert_close(own, [p.detach() for p in network.parameters()])
        for metric in records[0]:
            expected = [record[metric] for record in records]
            # The trainer keeps each minibatch's accuracy in float32.
            error = 1e-7 if metric == "online_accuracy" else 1e-12
            found = values(run, metric, seed)
            assert found == pytest.approx(expected, rel=error, abs=error)


def test_random_labels_have_no_test_accuracy(digits):
    run = trained(planned(benchmark="random_label_mnist", tasks=1), digits, [0])
    assert {r["metric"] for r in run.records} == {
        "online_accuracy",
        "final_accuracy",
        "initial_loss",
        "final_loss",
        "plasticity",
    }


def test_there_is_one_record_a_seed_task_and_metric(digits):
    run = trained(planned(), digits, [4, 1])
    keys = [(r["seed"], r["task"], r["metric"]) for r in run.records]
    assert len(set(keys)) == len(keys) == 2 * 3 * 6
    assert run.seeds == [4, 1]
    assert run.steps == 3 * 2 * 3  # tasks, epochs, batches of 16 + 16 + 10
    assert run.task == 3


# --- from task to task ----------------------------------------------------------------


def test_a_fresh_network_meets_every_task_without_a_past(digits):
    plan_ = planned("fresh")

    def only_task_one(pixels, settings, seed, task):
        return plan_.benchmark.task(pixels, settings, seed, task + 1)

    later = replace(plan_, benchmark=replace(plan_.benchmark, task=only_task_one))
    whole, shifted = trained(plan_, digits, [0]), trained(later, digits, [0])
    first = [values(run, "initial_loss")[0] for run in (whole, shifted)]
    assert first[0] != first[1]
    # Nothing of task 0 is left in task 1: a stream with another task 0 ends the same.
    mixed = replace(
        plan_,
        benchmark=replace(
            plan_.benchmark,
            task=lambda pixels, settings, seed, task: plan_.benchmark.task(
                pixels, settings, seed, task or 77
            ),
        ),
    )
    other = trained(mixed, digits, [0])
    for metric in ("online_accuracy", "final_loss", "initial_loss"):
        assert values(other, metric)[0] != values(whole, metric)[0]
        assert values(other, metric)[1:] == values(whole, metric)[1:]
    continued = trained(planned("adam"), digits, [0])
    assert values(continued, "final_loss")[0] == values(whole, "final_loss")[0]
    assert values(continued, "final_loss")[1] != values(whole, "final_loss")[1]


def test_resetting_the_optimiser_changes_later_tasks_only(digits):
    kept = trained(planned(), digits, [0])
    reset = trained(planned(reset_optimizer=True), digits, [0])
    assert values(kept, "final_loss")[0] == values(reset, "final_loss")[0]
    assert values(kept, "final_loss")[1] != values(reset, "final_loss")[1]


@pytest.mark.parametrize("method", ["adam", "adamo", "l2_init"])
def test_half_precision_is_an_option_and_of_the_networks_products_only(digits, method):
    whole = trained(planned(method), digits, [0])
    half = trained(planned(method, precision="bfloat16"), digits, [0])
    assert {p.dtype for p in half.parameters.values()} == {torch.float32}
    losses = [values(run, "final_loss") for run in (whole, half)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert planned(method).hash() == planned(method, precision="float32").hash()
    assert planned(method).hash() != planned(method, precision="tf32").hash()


def test_tf32_is_cudas_alone_and_is_switched_back(digits):
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    runs = [trained(planned(precision=p), digits, [0]) for p in ("float32", "tf32")]
    assert runs[0].records == runs[1].records
    after = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    assert after == before


def test_the_observer_sees_the_stack_after_every_task(digits):
    seen = []
    run = trained(
        planned(),
        digits,
        [0, 1],
        observe=lambda done, p: seen.append((done, p["head.weight"].detach().clone())),
    )
    assert [done for done, _ in seen] == [1, 2, 3]
    assert torch.equal(seen[-1][1], run.parameters["head.weight"])
    assert not torch.equal(seen[0][1], seen[1][1])


@pytest.mark.parametrize("watches", [False, True])
def test_a_method_acts_after_each_step_with_a_count_over_all_tasks_and_kills(
    digits, tmp_path, watches
):
    plan_, seen, graphs = planned(), [], []

    def after_step(training):
        graphs.append(torch.is_grad_enabled())
        assert training.seeds == [4, 1]
        assert training.parameters.keys() == training.structure.roles.keys()
        assert training.task == training.step // 6
        seen.append((training.step, [tuple(a.shape) for a in training.activations]))

    acting = replace(plan_.method, after_step=after_step, watches=watches)
    plan_ = replace(plan_, method=acting)
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        trained(plan_, digits, [4, 1], checkpoint=checkpoint, progress=stopped_after(1))
    trained(plan_, digits, [4, 1], checkpoint=checkpoint)
    assert [step for step, _ in seen] == list(range(18))
    assert not any(graphs)
    for step, shapes in seen:
        size = 10 if step % 3 == 2 else 16  # the last batch of an epoch is smaller
        assert shapes == [(2, size, 8)] * 2 * watches


@pytest.mark.parametrize("reset", [False, True])
def test_a_method_acts_once_before_every_task_after_the_first_also_after_kills(
    digits, tmp_path, reset
):
    plan_, seen = planned(reset_optimizer=reset), []

    def before_task(training):
        assert not torch.is_grad_enabled()
        held = {id(p) for g in training.optimizer.param_groups for p in g["params"]}
        assert held == {id(p) for p in training.parameters.values()}
        assert bool(training.optimizer.state) is not reset
        task = [
            plan_.benchmark.task(digits, plan_.settings, seed, training.task)
            for seed in training.seeds
        ]
        stream = batches(
            stacked_tasks(task, torch.device("cpu")),
            plan_.settings,
            training.seeds,
            training.task,
        )
        inputs, labels = next(stream)
        assert torch.equal(training.inputs, inputs)
        assert torch.equal(training.targets, labels)
        seen.append((training.task, training.step))

    acting = replace(plan_, method=replace(plan_.method, before_task=before_task))
    trained(acting, digits, [4, 1])
    assert seen == [(1, 6), (2, 12)]
    seen.clear()
    checkpoint = tmp_path / "checkpoint.pt"
    for tasks in (1, 2):
        stop = stopped_after(tasks)
        with pytest.raises(Stopped):
            trained(acting, digits, [4, 1], checkpoint=checkpoint, progress=stop)
    trained(acting, digits, [4, 1], checkpoint=checkpoint)
    assert seen == [(1, 6), (2, 12)]
    seen.clear()
    trained(replace(acting, method=replace(acting.method, restarts=True)), digits, [4])
    assert seen == [], "a new network has no task before"


@pytest.mark.parametrize("network", ["mlp", "cnn", "transformer"])
def test_gradients_of_activations_are_those_of_the_loss(digits, network):
    """A unit's bias gathers the gradients of its activations where it is active."""
    plan_, seen = planned(network=network, tasks=1, width=16), []

    def after_step(training):
        assert len(training.gradients) == len(training.activations) == 2
        for layer, hidden, gradient in zip(
            training.structure.layers,
            training.activations,
            training.gradients,
            strict=True,
        ):
            assert gradient.shape == hidden.shape
            assert_close(
                training.gradient(layer.bias), (gradient * (hidden > 0)).sum(1)
            )
        seen.append(float(gradient.abs().max()))

    watching = {"after_step": after_step, "watches": True, "watches_gradients": True}
    method = replace(plan_.method, **watching)
    run = trained(replace(plan_, method=method), digits, [4, 1])
    assert len(seen) == run.steps
    assert min(seen) > 0
    plain = trained(plan_, digits, [4, 1])
    for name, tensor in run.parameters.items():
        assert_close(tensor, plain.parameters[name])


def test_progress_counts_tasks(digits):
    seen = []
    trained(planned(), digits, [0], progress=lambda *counts: seen.append(counts))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_training_leaves_data_and_global_generators_alone(digits):
    before, state = digits.train_inputs.clone(), torch.get_rng_state()
    trained(planned(), digits, [0])
    assert torch.equal(digits.train_inputs, before)
    assert torch.equal(torch.get_rng_state(), state)


def smallest():
    """Return half of the smallest normal number: 0.0 where denormals are flushed."""
    return sys.float_info.min / 2


def test_denormals_are_flushed_while_training_and_only_then(digits):
    seen = []

    def penalty(training):
        seen.append(smallest())
        return torch.zeros(1)

    plan_ = planned()
    watched = replace(plan_, method=replace(plan_.method, penalty=penalty))
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot flush denormals")
    assert smallest() > 0
    trained(watched, digits, [0])
    assert set(seen) == {0.0}
    assert smallest() > 0
    with denormals_flushed():
        trained(watched, digits, [0])
        assert smallest() == 0
    assert smallest() > 0


# --- checkpoints ----------------------------------------------------------------------


class Stopped(Exception):  # noqa: N818 - it is no error
    """Stands for a kill between two tasks."""


def stopped_after(task):
    def progress(done, total):
        if done == task:
            raise Stopped

    return progress


@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize("reset", [False, True])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(digits, tmp_path, after, reset):
    plan_ = planned(reset_optimizer=reset)
    whole = trained(plan_, digits, [0, 1])
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        trained(
            plan_,
            digits,
            [0, 1],
            checkpoint=checkpoint,
            progress=stopped_after(after),
        )
    done = []
    resumed = trained(
        plan_,
        digits,
        [0, 1],
        checkpoint=checkpoint,
        progress=lambda *counts: done.append(counts[0]),
    )
    assert done == list(range(after + 1, 4)), "tasks that are done are not done again"
    assert resumed.records == whole.records
    for name, tensor in whole.parameters.items():
        assert torch.equal(resumed.parameters[name], tensor)


def test_a_kill_while_writing_leaves_the_last_checkpoint(digits, tmp_path, monkeypatch):
    plan_, checkpoint = planned(), tmp_path / "checkpoint.pt"
    whole = trained(plan_, digits, [0])
    count = []

    def half(path, content):
        count.append(path)
        if len(count) == 2:
            path.with_suffix(".partial").write_bytes(content[: len(content) // 2])
            raise Stopped
        write_whole(path, content)

    monkeypatch.setattr(stream_checkpoint, "write_whole", half)
    with pytest.raises(Stopped):
        trained(plan_, digits, [0], checkpoint=checkpoint)
    monkeypatch.undo()
    assert trained(plan_, digits, [0], checkpoint=checkpoint).records == whole.records


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_checkpoint_that_cannot_be_read_is_refused_by_name(digits, tmp_path, content):
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"checkpoint of this run at .*checkpoint\.pt, found .*; go"
    ):
        trained(planned(), digits, [0], checkpoint=checkpoint)


# --- divergence -----------------------------------------------------------------------


def poisoned_after(task, member=0):
    """Make one member's network not finite after a task."""

    def observe(done, parameters):
        if done == task:
            with torch.no_grad():
                parameters["hidden.0.weight"][member, 0, 0] = math.nan

    return observe


@pytest.mark.parametrize("method", METHODS.names())
@pytest.mark.parametrize("reset", [False, True])
def test_a_diverged_member_is_recorded_and_leaves_the_others_alone(
    digits, method, reset
):
    plan_ = planned(method, reset_optimizer=reset)
    sound = trained(plan_, digits, [0, 1])
    run = trained(plan_, digits, [0, 1], observe=poisoned_after(1))
    for metric in ("online_accuracy", "final_loss", "plasticity", "test_accuracy"):
        assert values(run, metric, 1) == values(sound, metric, 1)
    for name, tensor in sound.parameters.items():
        assert torch.equal(run.parameters[name][1], tensor[1])
    if plan_.method.restarts:
        assert run.diverged_at == {}
        assert run.records == sound.records
    else:
        assert run.diverged_at == {0: 6}  # the first step of the second task
        assert values(run, "final_loss", 0)[1:] == [math.inf] * 2
        assert values(run, "plasticity", 0)[1:] == [0.0] * 2
        assert all(map(math.isfinite, values(run, "online_accuracy", 0)))


@pytest.mark.parametrize("method", METHODS.names())
def test_a_run_with_a_diverged_member_can_be_resumed(digits, tmp_path, method):
    plan_, checkpoint = planned(method), tmp_path / "checkpoint.pt"
    whole = trained(plan_, digits, [0, 1], observe=poisoned_after(1))
    with pytest.raises(Stopped):
        trained(
            plan_,
            digits,
            [0, 1],
            observe=poisoned_after(1),
            checkpoint=checkpoint,
            progress=stopped_after(2),
        )
    resumed = trained(plan_, digits, [0, 1], checkpoint=checkpoint)
    assert resumed.records == whole.records
    assert resumed.diverged_at == whole.diverged_at


def test_a_huge_learning_rate_diverges_and_the_run_ends_with_all_records(digits):
    run = trained(planned(lr=1e30), digits, [0, 1])
    assert run.diverged_at == {0: 1, 1: 1}
    assert len(run.records) == 2 * 3 * 6
    assert not any(math.isnan(record["value"]) for record in run.records)
    assert values(run, "plasticity") == [0.0] * 3


def test_divergence_in_the_very_last_step_is_noticed(digits):
    plan_ = planned(tasks=1, epochs=1, batch_size=42, lr=1e30)  # one step, then the end
    run = trained(plan_, digits, [0])
    assert math.isinf(values(run, "final_loss")[0])
    assert run.diverged_at == {0: 1}


def test_the_first_step_that_is_not_finite_is_noted_once():
    run = Run(seeds=[7, 8, 9], steps=10)
    losses = torch.ones(4, 3)
    losses[2, 0] = math.nan
    losses[1:, 2] = math.inf
    note_divergence(run, losses)
    assert run.diverged_at == {7: 12, 9: 11}
    run.steps = 20
    note_divergence(run, torch.full((2, 3), math.nan))
    assert run.diverged_at == {7: 12, 8: 20, 9: 11}


# --- nothing to remove ----------------------------------------------------------------


def test_a_task_without_loss_has_no_plasticity():
    start = torch.tensor([2.0, 0.0, math.inf]).double()
    found = _task_plasticity(start, torch.tensor([0.5, 0.0, math.inf]).double())
    assert found[[0, 2]].tolist() == [0.75, 0.0]
    assert found[1].isnan()


def test_a_stream_that_repeats_a_solved_task_runs_to_its_end(digits):
    def always_the_same(pixels, settings, seed, task):
        return Task(inputs=pixels.train_inputs[:2], labels=torch.tensor([0, 1]))

    solved = {"activation": "identity", "epochs": 50, "lr": 1.0, "tasks": 2}
    plan_ = planned(images_per_task=2, batch_size=2, **solved)
    plan_ = replace(plan_, benchmark=replace(plan_.benchmark, task=always_the_same))
    run = trained(plan_, digits, [0])
    assert values(run, "final_loss")[0] == 0.0
    assert len(values(run, "plasticity")) == 1
    assert len(values(run, "final_loss")) == 2


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_must_be_there_and_distinct(digits, seeds):
    with pytest.raises(ValueError, match="needed distinct seeds, at least one, found"):
        trained(planned(), digits, seeds)


def test_members_meet_their_own_streams(digits):
    run = trained(planned(), digits, [0, 1])
    both = chain(values(run, "initial_loss", 0), values(run, "initial_loss", 1))
    assert len(set(both)) == 6
