"""Streams in which one task blends into the next, sample by sample, step by step."""

from math import ceil

import torch
from torch import Tensor

from isometry.core.seeding import generator
from isometry.supervised.settings import SupervisedSettings


def _new_share(settings: SupervisedSettings, epoch: int) -> Tensor:
    """Return the share of samples that are the new task's, at each place of an epoch.

    It rises linearly in the task's steps, from 0 at its start to 1 after the fraction
    ``blend`` of them, and is the same for all samples of a minibatch: that of the
    middle of its step.
    """
    images, size = settings.images_per_task, settings.batch_size
    first = epoch * ceil(images / size)
    step = first + torch.arange(images, dtype=torch.float64).div(size).floor()
    done = (step + 0.5) / settings.steps_per_task
    return done.div(settings.blend).clamp(max=1)


def rows_before(
    settings: SupervisedSettings, seeds: list[int], task: int, epoch: int
) -> Tensor | None:
    """Return which samples of an epoch come as the task before had them.

    Each sample is drawn by itself; a member's draws depend on its seed, the task and
    the epoch alone.

    Args:
        settings: Steps and ``blend``, > 0.
        seeds: One a member.
        task: Which task.
        epoch: Which epoch of the task.

    Returns:
        ``(members, images_per_task)``, boolean, in the order of the epoch; None once
        the blend is over.

    Source: ours; task sampling of Liu & Mou 2026, arXiv 2602.09234.
    """
    share = _new_share(settings, epoch)
    if share[0] == 1:
        return None
    drawn = [
        torch.rand(
            len(share),
            generator=generator(seed, "blend", task, epoch),
            dtype=torch.float64,
        )
        for seed in seeds
    ]
    return torch.stack(drawn) >= share
