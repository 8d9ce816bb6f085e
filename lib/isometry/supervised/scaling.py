"""Inputs scaled by what a stream has shown so far, feature by feature."""

from collections.abc import Iterator

import torch
from torch import Tensor

EPS = 1e-8  # added to the variance
Seen = dict[str, Tensor]  # count (members, 1); mean, squares (members, features)


def nothing_seen(members: int, features: int, device: torch.device) -> Seen:
    """Return the statistics of inputs before the first one, float64.

    Args:
        members: How many streams there are.
        features: Length of an input.
        device: Where they lie.
    """
    shape, kind = (members, features), {"dtype": torch.float64, "device": device}
    return {
        "count": torch.zeros(members, 1, **kind),  # type: ignore[call-overload]
        "mean": torch.zeros(shape, **kind),  # type: ignore[call-overload]
        "squares": torch.zeros(shape, **kind),  # type: ignore[call-overload]
    }


def observe_(seen: Seen, inputs: Tensor) -> None:
    """Let the statistics see a minibatch of each member.

    With n inputs of mean m and sum of squared deviations S so far, and b new ones of m'
    and S': ``d = m' - m``, ``m <- m + d b / (n + b)``, ``S <- S + S' + d^2 n b / (n +
    b)``. For b = 1 this is Welford's update.

    Args:
        seen: Is changed.
        inputs: ``(members, batch, features)``.

    Source: Welford 1962; for minibatches Chan, Golub & LeVeque 1983.
    """
    own = inputs.double()
    mean, size = own.mean(1), own.shape[1]
    gap = mean - seen["mean"]
    share = size / (seen["count"] + size)
    seen["squares"].add_(gap.square() * (seen["count"] * share))
    if size > 1:
        seen["squares"].add_((own - mean.unsqueeze(1)).square().sum(1))
    seen["mean"].add_(gap * share)
    seen["count"].add_(size)


def scaled_by(seen: Seen, inputs: Tensor) -> Tensor:
    """Return ``(x - mean) / sqrt(variance + 1e-8)`` of each feature.

    The variance is that of the inputs seen, ``S / n``. Before the first input, and
    without statistics, inputs are as they are. Nothing is clipped: a feature that was
    always the same and changes for the first time after n inputs is about ``sqrt(n)``.

    Args:
        seen: See :func:`observe_`; empty: inputs are not scaled.
        inputs: ``(members, batch, features)``.

    Returns:
        The same shape and type.
    """
    if not seen:
        return inputs
    count = seen["count"]
    variance = torch.where(count > 0, seen["squares"] / count.clamp(min=1), 1.0)
    spread = (variance + EPS).sqrt().unsqueeze(1)
    return ((inputs.double() - seen["mean"].unsqueeze(1)) / spread).to(inputs.dtype)


def scaled_stream(
    seen: Seen, stream: Iterator[tuple[Tensor, Tensor]]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield minibatches scaled, each of which the statistics see before.

    Args:
        seen: Is changed; empty: the stream is as it is.
        stream: Inputs ``(members, batch, features)`` and labels.

    Source: the order, update before use, as in normalisation of observations.
    """
    for inputs, labels in stream:
        if seen:
            observe_(seen, inputs)
        yield scaled_by(seen, inputs), labels
