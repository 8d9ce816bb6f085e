"""A gradient step recorded as a CUDA graph: one launch in place of some hundred.

It is used where ``ISOMETRY_CUDA_GRAPHS=1`` is set, on a GPU, for optimisers whose
steps can be recorded, with a constant learning rate. Its numbers are those of the step
itself, which a test holds where there is a GPU.
"""

import os
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from isometry.adamo import AdamO
from isometry.rl.ppo.update import Learner, Samples, Step, gradient_step

WARM_UP = 3  # steps before a recording, as torch's documentation asks for


def recordable(learner: Learner) -> bool:
    """Return whether a learner's steps can be recorded, and this is asked for.

    Args:
        learner: The stack in training.
    """
    some = next(iter(learner.parameters.values()))
    optimizer = learner.optimizer
    every = {group.get("isometry_every", 1) for group in optimizer.param_groups}
    return (
        os.environ.get("ISOMETRY_CUDA_GRAPHS") == "1"
        and some.device.type == "cuda"
        and learner.settings.lr_schedule == "constant"
        and type(optimizer) in (torch.optim.Adam, AdamO)
        and every == {1}
    )


def _tensors_of(state: Any) -> list[Tensor]:
    """Return the tensors in nested dictionaries, in their order.

    Example:
        >>> one, two = torch.ones(1), torch.ones(2)
        >>> [len(t) for t in _tensors_of({"a": one, "b": {"c": two, "d": 3}})]
        [1, 2]
    """
    if isinstance(state, Tensor):
        return [state]
    values = state.values() if isinstance(state, dict) else ()
    return [tensor for value in values for tensor in _tensors_of(value)]


def remembered(learner: Learner) -> list[Tensor]:
    """Return all that a step changes: parameters and the optimiser's state.

    Args:
        learner: The stack in training.
    """
    return _tensors_of(learner.parameters) + _tensors_of(dict(learner.optimizer.state))


def recorded_step(learner: Learner, carried: dict[str, Any]) -> Step:
    """Return a gradient step that is recorded at its first call and replayed.

    Args:
        learner: The stack in training, for which :func:`recordable` holds.
        carried: What the method carries along; a recording leaves it as it was.

    Source: ours; the steps of a recording are those of torch's documentation.
    """
    for group in learner.optimizer.param_groups:
        group["capturable"] = True
    held: dict[str, Any] = {}

    def record(samples: Samples, chosen: Tensor) -> None:
        held["samples"] = replace(samples, numbers=samples.numbers.clone())
        held["chosen"] = chosen.clone()
        started = bool(learner.optimizer.state)
        kept = [*remembered(learner), *_tensors_of(carried)]
        before = [tensor.detach().clone() for tensor in kept]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                gradient_step(learner, held["samples"], held["chosen"])
        torch.cuda.current_stream().wait_stream(stream)
        with torch.no_grad():
            for tensor, values in zip(kept, before, strict=True):
                tensor.copy_(values)
            if not started:  # a new optimiser's moments and counters are zero
                for tensor in _tensors_of(dict(learner.optimizer.state)):
                    tensor.zero_()
        learner.optimizer.zero_grad(set_to_none=True)
        held["graph"] = torch.cuda.CUDAGraph()
        with torch.cuda.graph(held["graph"]):
            held["found"] = gradient_step(learner, held["samples"], held["chosen"])

    def step(
        learner: Learner, samples: Samples, chosen: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        if "graph" not in held:
            record(samples, chosen)
        held["samples"].numbers.copy_(samples.numbers)
        held["chosen"].copy_(chosen)
        held["graph"].replay()
        return held["found"]

    return step
