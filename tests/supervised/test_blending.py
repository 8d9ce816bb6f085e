"""Streams in which a task blends into the next, against counts and loops."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from isometry.core.stacking import member
from isometry.lab.run import plan
from isometry.supervised import BENCHMARKS, SupervisedSettings
from isometry.supervised.blending import _new_share, rows_before
from isometry.supervised.streams import Pixels, Task, gradually_permuted, permuted
from isometry.supervised.trainer import train
from isometry.supervised.training import _epoch_order, batches, stacked_tasks

SETTINGS = SupervisedSettings(
    data="digits", images_per_task=22, batch_size=4, epochs=5, blend=0.5
)
SEEDS = [4, 9, 2]
SMALL = {
    "data": "digits",
    "tasks": 3,
    "images_per_task": 42,
    "epochs": 2,
    "batch_size": 16,
    "width": 8,
    "depth": 2,
}


def planned(benchmark="gradual_permuted_mnist", **changes):
    return plan(benchmark, "adam", {**SMALL, **changes}, "smoke")


def trained(plan_, pixels, seeds, **keywords):
    parts = (plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings)
    return train(*parts, pixels, list(seeds), **keywords)


def signed_task(images):
    """Return a stacked task whose image i is (i + 1,) now and (-i - 1,) before."""
    rows = torch.arange(1, images + 1).repeat(len(SEEDS), 1)
    inputs = rows[..., None].double()
    return Task(inputs=inputs, labels=rows, previous_inputs=-inputs)


# --- how much -------------------------------------------------------------------------


@pytest.mark.parametrize("blend", [0.05, 0.3, 0.5, 1.0])
def test_the_new_tasks_share_is_the_line_through_the_middle_of_each_step(blend):
    settings = dataclasses.replace(SETTINGS, blend=blend)
    step = 0
    for epoch in range(5):
        share = _new_share(settings, epoch)
        assert share.shape == (22,)
        for start in range(0, 22, 4):
            expected = min(1.0, (step + 0.5) / (blend * 30))
            of_step = share[start : start + 4]
            assert_close(of_step, torch.full_like(of_step, expected))
            step += 1
    assert step == settings.steps_per_task


@pytest.mark.parametrize("blend", [0.2, 0.5, 1.0])
def test_the_old_share_of_a_whole_task_is_half_the_blend(blend):
    settings = dataclasses.replace(
        SETTINGS, images_per_task=20, blend=blend
    )  # 25 steps of equal size
    shares = torch.cat([_new_share(settings, epoch) for epoch in range(5)])
    steps = 25 * blend
    whole = int(steps)
    # The line's mean, and what the step in which it ends lacks.
    expected = sum(1 - (i + 0.5) / steps for i in range(whole + 1) if i + 0.5 < steps)
    assert_close((1 - shares).mean().item(), expected / 25)
    assert (1 - shares).mean().item() == pytest.approx(blend / 2, abs=0.25 / 25)


@pytest.mark.parametrize("reshuffle", [True, False])
def test_each_step_has_as_many_old_samples_as_its_share_says(reshuffle):
    settings = SupervisedSettings(
        images_per_task=1500, batch_size=500, epochs=4, blend=0.6, reshuffle=reshuffle
    )
    seen = list(batches(signed_task(1500), settings, SEEDS, 3))
    assert len(seen) == 12
    for step, (inputs, labels) in enumerate(seen):
        share = max(0.0, 1 - (step + 0.5) / 7.2)
        error = 4 * (share * (1 - share) / 500) ** 0.5  # binomial, four of them
        old = (inputs[..., 0] < 0).double().mean(1)
        assert ((old - share).abs() <= error).all()
        assert torch.equal(inputs[..., 0].abs().long(), labels), "an image's own label"
    places = {tuple((inputs[0, :, 0] < 0).tolist()) for inputs, _ in seen[:6]}
    assert len(places) == 6


@pytest.mark.parametrize("reshuffle", [True, False])
def test_every_epoch_sees_every_image_once_in_its_order(reshuffle):
    settings = dataclasses.replace(SETTINGS, reshuffle=reshuffle)
    seen = list(batches(signed_task(22), settings, SEEDS, 1))
    for epoch in range(5):
        part = seen[6 * epoch : 6 * epoch + 6]
        images = torch.cat([inputs[..., 0] for inputs, _ in part], 1).abs().long() - 1
        assert torch.equal(images, _epoch_order(settings, SEEDS, 1, epoch))


def test_after_the_blend_all_samples_are_the_new_tasks():
    seen = list(batches(signed_task(22), SETTINGS, SEEDS, 1))
    assert all((inputs > 0).all() for inputs, _ in seen[15:])
    assert any((inputs < 0).any() for inputs, _ in seen[6:15])
    assert rows_before(SETTINGS, SEEDS, 1, 3) is None
    assert rows_before(SETTINGS, SEEDS, 1, 2) is not None


def test_draws_are_each_members_own_and_new_for_every_task_and_epoch():
    together = rows_before(SETTINGS, SEEDS, 1, 0)
    torch.rand(7)
    for i, seed in enumerate(SEEDS):
        assert torch.equal(rows_before(SETTINGS, [seed], 1, 0)[0], together[i])
    others = [rows_before(SETTINGS, SEEDS, 2, 0), rows_before(SETTINGS, SEEDS, 1, 1)]
    assert not any(torch.equal(together, other) for other in others)
    # With the numbers of the epoch before, a later epoch's old places were among its.
    assert (others[1] & ~together).any()
    assert len({tuple(row.tolist()) for row in together}) == 3


# --- under which permutation ----------------------------------------------------------


def test_the_old_images_are_the_tasks_own_under_the_permutation_before():
    train = 100 * torch.arange(60.0)[:, None] + torch.arange(9.0)  # tells all apart
    pixels = Pixels(
        train_inputs=train,
        train_labels=torch.arange(60) % 5,
        test_inputs=train[:7],
        test_labels=torch.arange(7) % 5,
        num_classes=5,
    )
    settings = dataclasses.replace(SETTINGS, images_per_task=40)
    now = gradually_permuted(pixels, settings, 7, 3)
    own, other = (permuted(pixels, settings, 7, task) for task in (3, 2))
    for name in ("inputs", "labels", "test_inputs", "test_labels"):
        assert torch.equal(getattr(now, name), getattr(own, name))
    order = other.test_inputs[0].long()  # image 0 shows where each pixel went
    images = now.inputs.min(1).values.div(100).round().long()
    assert torch.equal(now.previous_inputs, train[images][:, order])
    assert not torch.equal(now.previous_inputs, now.inputs)


@pytest.mark.parametrize("blend", [0.0, 0.5])
def test_the_first_task_has_none_before_it(digits, blend):
    settings = dataclasses.replace(SETTINGS, blend=blend)
    first, second = (gradually_permuted(digits, settings, 0, t) for t in (0, 1))
    assert first.previous_inputs is None
    assert (second.previous_inputs is None) is (blend == 0)
    stacked = stacked_tasks([second, second], torch.device("cpu"))
    assert (stacked.previous_inputs is None) is (blend == 0)


# --- in training ----------------------------------------------------------------------


@pytest.mark.parametrize("reshuffle", [True, False])
def test_without_a_blend_it_is_permuted_mnist_bit_for_bit(digits, reshuffle):
    gradual = trained(planned(blend=0, reshuffle=reshuffle), digits, [0, 5])
    abrupt = trained(planned("permuted_mnist", reshuffle=reshuffle), digits, [0, 5])
    assert gradual.records == abrupt.records
    for key, tensor in abrupt.parameters.items():
        assert torch.equal(gradual.parameters[key], tensor)


def test_a_blend_shorter_than_half_a_step_changes_nothing(digits):
    abrupt = trained(planned("permuted_mnist"), digits, [0])
    assert trained(planned(blend=1e-3), digits, [0]).records == abrupt.records


def test_a_blend_acts_from_the_second_task_on_and_in_training_alone(digits):
    # Enough steps that no accuracy agrees by chance.
    size = {"images_per_task": 300, "lr": 0.01}
    runs = [trained(planned(blend=b, **size), digits, [0]) for b in (0.0, 1.0)]
    abrupt, gradual = (
        {(r["task"], r["metric"]): r["value"] for r in run.records} for run in runs
    )
    assert abrupt.keys() == gradual.keys()
    for (task, metric), value in abrupt.items():
        same = task == 0 or (task, metric) == (1, "initial_loss")
        assert (gradual[task, metric] == value) is same, (task, metric)


@pytest.mark.usefixtures("double")
def test_a_blended_member_of_a_stack_is_the_same_seed_trained_alone(digits):
    pixels = dataclasses.replace(
        digits,
        train_inputs=digits.train_inputs.double(),
        test_inputs=digits.test_inputs.double(),
    )
    stacked = trained(planned(), pixels, [3, 1, 4])
    for i, seed in enumerate(stacked.seeds):
        alone = trained(planned(), pixels, [seed])
        assert_close(member(alone.parameters, 0), member(stacked.parameters, i))


class Stopped(Exception):  # noqa: N818 - it is no error
    """Stands for a kill between two tasks."""


@pytest.mark.parametrize("after", [1, 2])
def test_a_blended_run_that_was_stopped_goes_on_bit_for_bit(digits, tmp_path, after):
    def stop(done, total):
        if done == after:
            raise Stopped

    whole, file = trained(planned(), digits, [0, 1]), tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        trained(planned(), digits, [0, 1], checkpoint=file, progress=stop)
    resumed = trained(planned(), digits, [0, 1], checkpoint=file)
    assert resumed.records == whole.records
    for key, tensor in whole.parameters.items():
        assert torch.equal(resumed.parameters[key], tensor)


# --- where it means nothing -----------------------------------------------------------


@pytest.mark.parametrize("name", [b.name for b in BENCHMARKS if not b.blends])
def test_a_stream_that_changes_at_once_refuses_a_blend(digits, name):
    message = f"needed blend=0 for {name}, whose tasks change at once, found 0.5; "
    with pytest.raises(ValueError, match=message):
        planned(name, blend=0.5)
    plan_ = planned(name)
    settings = dataclasses.replace(plan_.settings, blend=0.5)
    with pytest.raises(ValueError, match=message):
        trained(dataclasses.replace(plan_, settings=settings), digits, [0])
