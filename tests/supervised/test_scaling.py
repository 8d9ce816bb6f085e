"""Running scaling of inputs, against scikit-learn, loops and interrupted runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.lab.run import plan
from isometry.supervised.networks.mlp import as_module
from isometry.supervised.scaling import (
    EPS,
    nothing_seen,
    observe_,
    scaled_by,
    scaled_stream,
)
from isometry.supervised.trainer import network_of, train
from isometry.supervised.training import _epoch_order

SMALL = {
    "data": "digits",
    "tasks": 3,
    "images_per_task": 17,
    "epochs": 2,
    "batch_size": 1,
    "width": 6,
    "depth": 2,
    "optimizer": "sgd",
    "lr": 0.01,
    "input_scaling": "running",
}


def minibatches(sizes, members=2, features=5):
    """Return minibatches of these sizes; the last feature stays the same."""
    found = []
    for step, size in enumerate(sizes):
        draw = generator(4, "x", step, size)
        inputs = 3 * torch.randn(members, size, features, generator=draw).double() + 1
        inputs[..., -1] = 0.25
        found.append((inputs, torch.zeros(members, size, dtype=torch.int64)))
    return found


class Reference:
    """scikit-learn's scaler of one stream, with our constant under the root."""

    def __init__(self):
        self.scaler = StandardScaler()

    def observe(self, inputs):
        self.scaler.partial_fit(inputs)

    def scale(self, inputs):
        if not hasattr(self.scaler, "mean_"):
            return inputs / np.sqrt(1 + EPS)
        return (inputs - self.scaler.mean_) / np.sqrt(self.scaler.var_ + EPS)


@pytest.mark.parametrize("sizes", [[1] * 12, [4, 1, 3, 7], [9]], ids=str)
def test_every_minibatch_is_scaled_as_by_scikit_learn_with_itself_seen(sizes):
    stream = minibatches(sizes)
    seen = nothing_seen(2, 5, torch.device("cpu"))
    references = [Reference(), Reference()]
    found = list(scaled_stream(seen, iter(stream)))
    assert len(found) == len(sizes)
    for (inputs, labels), (scaled, same) in zip(stream, found, strict=True):
        assert same is labels
        for i, reference in enumerate(references):
            reference.observe(inputs[i].numpy())
            expected = torch.from_numpy(reference.scale(inputs[i].numpy()))
            # A constant's variance is a rounding there, of 1e-17 under the root.
            assert_close(scaled[i], expected, rtol=1e-7, atol=1e-7)
    every = torch.cat([inputs for inputs, _ in stream], 1)
    assert_close(seen["mean"], every.mean(1))
    assert_close(seen["squares"] / seen["count"], every.var(1, correction=0))


def test_statistics_are_exact_far_from_zero():
    far = 1e6 + torch.arange(4.0).double().view(1, 4, 1)  # a sum of squares loses this
    seen = nothing_seen(1, 1, torch.device("cpu"))
    for image in far.split(1, 1):
        observe_(seen, image)
    assert_close(seen["squares"].squeeze(), torch.tensor(5.0).double())


def test_one_after_the_other_or_together_the_statistics_end_alike():
    (inputs, _), ends = minibatches([13])[0], []
    for size in (1, 5, 13):
        seen = nothing_seen(2, 5, torch.device("cpu"))
        for part in inputs.split(size, 1):
            observe_(seen, part)
        ends.append(seen)
    for other in ends[1:]:
        assert_close(other, ends[0])


def test_without_statistics_inputs_are_as_they_are():
    ((inputs, labels),) = minibatches([3])
    ((same, _),) = scaled_stream({}, iter([(inputs, labels)]))
    assert same is inputs
    single = inputs.float()
    seen = nothing_seen(2, 5, torch.device("cpu"))
    assert_close(scaled_by(seen, single), single)
    observe_(seen, single)
    assert scaled_by(seen, single).dtype == torch.float32


def planned(method="adam", **changes):
    return plan("permuted_mnist", method, {**SMALL, **changes}, "smoke")


def trained(plan_, pixels, seeds, **keywords):
    parts = plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings
    return train(*parts, pixels, list(seeds), **keywords)


def in_double(pixels):
    return replace(
        pixels,
        train_inputs=pixels.train_inputs.double(),
        test_inputs=pixels.test_inputs.double(),
    )


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_trainer_is_a_plain_loop_on_scaled_inputs(digits, batch_size):
    plan_, pixels, seed = planned(batch_size=batch_size), in_double(digits), 3
    settings, reference = plan_.settings, Reference()
    mlp = network_of(plan_.method, plan_.method_settings, settings, pixels)
    network = as_module(mlp, mlp.stacked([seed], 0), 0)
    optimizer = torch.optim.SGD(network.parameters(), lr=settings.lr)

    def losses(inputs, labels):
        scaled = torch.from_numpy(reference.scale(inputs.numpy()))
        return nn.functional.cross_entropy(network(scaled), labels)

    expected = []
    for task_index in range(settings.tasks):
        task = plan_.benchmark.task(pixels, settings, seed, task_index)
        initial = losses(task.inputs, task.labels).item()
        for epoch in range(settings.epochs):
            order = _epoch_order(settings, [seed], task_index, epoch)[0]
            for chosen in order.split(batch_size):
                reference.observe(task.inputs[chosen].numpy())
                optimizer.zero_grad()
                losses(task.inputs[chosen], task.labels[chosen]).backward()
                optimizer.step()
        scaled = torch.from_numpy(reference.scale(task.test_inputs.numpy()))
        hits = network(scaled).argmax(1) == task.test_labels
        final = losses(task.inputs, task.labels).item()
        expected.append((initial, final, hits.double().mean().item()))
    run = trained(plan_, pixels, [seed, 7])
    own = [p[0].detach() for p in run.parameters.values()]
    theirs = [p.detach() for p in network.parameters()]
    # A constant feature's variance is a rounding in scikit-learn.
    assert_close(own, theirs, rtol=1e-7, atol=1e-7)
    for place, metric in enumerate(("initial_loss", "final_loss", "test_accuracy")):
        found = [
            r["value"] for r in run.records if (r["seed"], r["metric"]) == (3, metric)
        ]
        assert found == pytest.approx([row[place] for row in expected], rel=1e-6)


@pytest.mark.parametrize("method", ["adam", "fresh", "dash"])
def test_a_stopped_run_goes_on_bit_for_bit(digits, tmp_path, method):
    plan_, checkpoint = planned(method), tmp_path / "checkpoint.pt"

    def stop(done, total):
        raise KeyboardInterrupt

    whole = trained(plan_, digits, [0, 1])
    with pytest.raises(KeyboardInterrupt):
        trained(plan_, digits, [0, 1], checkpoint=checkpoint, progress=stop)
    resumed = trained(plan_, digits, [0, 1], checkpoint=checkpoint)
    assert resumed.records == whole.records
    # What a method looks at before a task is not shown to the statistics.
    assert (whole.seen["count"] == 3 * 2 * 17).all()
    for key, tensor in whole.seen.items():
        assert torch.equal(resumed.seen[key], tensor)


def test_a_member_s_inputs_do_not_depend_on_the_others(digits):
    plan_ = planned(batch_size=5)
    stacked, alone = trained(plan_, digits, [0, 1, 2]), trained(plan_, digits, [1])
    for key, tensor in alone.seen.items():
        assert torch.equal(stacked.seen[key][1], tensor[0])


def test_a_method_that_reads_before_a_task_reads_scaled_inputs(digits):
    seen = []
    method = plan("permuted_mnist", "adam", SMALL, "smoke").method

    def look(training):
        seen.append((training.inputs, next(training.batches())[0]))

    plan_ = planned()
    parts = plan_.benchmark, replace(method, before_task=look), plan_.method_settings
    train(*parts, plan_.settings, digits, [0])
    settings = replace(plan_.settings, tasks=1)
    first = train(*parts, settings, digits, [0])
    task = plan_.benchmark.task(digits, plan_.settings, 0, 1)
    order = _epoch_order(plan_.settings, [0], 1, 0)[0]
    expected = scaled_by(first.seen, task.inputs[order[:1]].unsqueeze(0))
    assert torch.equal(seen[0][0], expected)
    assert torch.equal(seen[0][1], expected)


def test_running_scaling_is_another_stream_than_unit_scaling(digits):
    ends = [
        trained(planned(input_scaling=kind), digits, [0]).records
        for kind in ("running", "unit")
    ]
    assert ends[0] != ends[1]
