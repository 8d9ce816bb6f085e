"""Each layer's term of the kernel, from what it saw and how the outputs hang on it.

For a linear layer the term is the Hadamard product of Eq. 7-8: the Gram matrix of the
inputs times the Gram matrix of the sensitivities. A convolution, or a linear layer on a
sequence, is the same layer at S positions with shared weights, so the sum runs over all
pairs of positions; where there are many, the layer's own gradient is the shorter way,
and is formed for some units at a time. The gains of a norm layer are a diagonal layer,
and so is a bare parameter.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from isometry.ntk.bare import Shared, gradients
from isometry.ntk.calls import OWN, is_conv1d
from isometry.ntk.capture import Trace


@dataclass(frozen=True)
class Factors:
    """What one layer's term is a product of, for c inputs.

    Attributes:
        sensitivity: B as ``(m, c, S, q)``, or the layer's gradient as ``(m, c, 1, k)``
            where ``features`` is None.
        features: U as ``(c, S, p)``, the layer's input at each position, or None. Whole
            numbers ``(c, S, 1)`` stand for rows of the identity.
        weight: Whether the weight is trained.
        bias: Whether the bias is trained, which adds one to the forward Gram.
        by_gradients: Whether the weight's gradient is the shorter way than all pairs of
            positions; see :meth:`gradients`.

    Source: arXiv 2606.09762, Eq. 7-8; positions and gradients are ours.
    """

    sensitivity: Tensor
    features: Tensor | None
    weight: bool = True
    bias: bool = False
    by_gradients: bool = False

    @property
    def positions(self) -> int:
        """S, at how many positions the layer is used for one input."""
        return self.sensitivity.shape[2]

    def inputs(self, start: int, count: int) -> "Factors":
        """Return the factors of ``count`` inputs from ``start`` on."""
        part = slice(start, start + count)
        features = None if self.features is None else self.features[part]
        return replace(self, sensitivity=self.sensitivity[:, part], features=features)

    @property
    def nbytes(self) -> int:
        """How many bytes the factors hold."""
        features = 0 if self.features is None else self.features.nbytes
        return self.sensitivity.nbytes + features

    def gradients(self, units: int) -> Iterator[Tensor]:
        """Give the layer's gradient as ``(m * c, k)``, some units' entries at a time.

        Args:
            units: How many units' rows of the weight a part is formed for.
        """
        if not self.by_gradients:
            yield self.sensitivity.flatten(0, 2)
            return
        for part in self.sensitivity.split(units, dim=-1):
            rows = torch.einsum("mcsq,csp->mcqp", part, self.features)
            yield rows.flatten(2).flatten(0, 1)
        if self.bias:
            yield self.sensitivity.sum(2).flatten(0, 1)


def _trained(module: nn.Module) -> tuple[bool, bool]:
    """Return whether the weight and the bias are there and require a gradient."""
    weight, bias = (getattr(module, name, None) for name in ("weight", "bias"))
    return (
        weight is not None and bool(weight.requires_grad),
        bias is not None and bool(bias.requires_grad),
    )


def _affine(features: Tensor, sensitivity: Tensor, module: nn.Module) -> Factors:
    """Return the shorter form of an affine layer's factors.

    Args:
        features: U, ``(c, S, p)``.
        sensitivity: B, ``(m, c, S, q)``.
        module: The layer, or what holds its part of weight and bias.
    """
    weight, bias = _trained(module)
    (_, positions, p), (m, _, _, q) = features.shape, sensitivity.shape
    # Multiplications for one pair of outputs of one pair of inputs. A sum over pairs
    # of positions runs at memory speed, hence the factor 8.
    by_pairs = positions**2 * (q + p / m**2 + 8)
    by_gradients = positions > 1 and by_pairs >= p * q
    if by_gradients and not weight:
        return Factors(sensitivity.sum(2, keepdim=True), None)
    return Factors(sensitivity, features, weight, bias, by_gradients)


def _linear(trace: Trace) -> list[Factors]:
    """A linear layer at each position between the batch and the features."""
    features = (
        trace.input.flatten(1, -2) if trace.input.ndim > 2 else trace.input[:, None]
    )
    sensitivity = (
        trace.sensitivity.flatten(2, -2)
        if trace.input.ndim > 2
        else (trace.sensitivity[:, :, None])
    )
    return [_affine(features, sensitivity, trace.module)]


def _convolution(trace: Trace) -> list[Factors]:
    """A convolution: a linear layer on patches, one for each group of channels."""
    module = trace.module
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    around = list(module._reversed_padding_repeated_twice)
    padded = functional.pad(trace.input, around, mode=mode)
    size, dilation, stride = module.kernel_size, module.dilation, module.stride
    if isinstance(module, nn.Conv1d):  # images of one row
        padded = padded.unsqueeze(2)
        size, dilation, stride = (1, *size), (1, *dilation), (1, *stride)
    patches = functional.unfold(padded, size, dilation=dilation, stride=stride)
    sensitivity = trace.sensitivity.flatten(start_dim=3)
    return [
        _affine(u.mT, b.mT, module)
        for u, b in zip(
            patches.chunk(module.groups, dim=1),
            sensitivity.chunk(module.groups, dim=2),
            strict=True,
        )
    ]


def _gains(trace: Trace, normalised: Tensor, own: tuple[int, ...]) -> list[Factors]:
    """A diagonal layer: gains times ``normalised`` plus shifts.

    Args:
        trace: The norm layer's trace.
        normalised: ``(c, ...)``, the input without gains and shifts.
        own: The dimensions of ``normalised`` that index gains; all others are summed.
    """
    weight, bias = _trained(trace.module)
    parts = [trace.sensitivity * normalised] * weight + [trace.sensitivity] * bias
    summed = tuple(d + 1 for d in range(1, normalised.ndim) if d not in own)
    parts = [(g.sum(summed) if summed else g).flatten(start_dim=2) for g in parts]
    return [Factors(torch.cat(parts, dim=-1).unsqueeze(2), None)]


def _layer_norm(trace: Trace) -> list[Factors]:
    module, h = trace.module, trace.input
    assert isinstance(module, nn.LayerNorm)
    shape = list(module.normalized_shape)
    own = tuple(range(h.ndim - len(shape), h.ndim))
    return _gains(trace, functional.layer_norm(h, shape, eps=module.eps), own)


def _rms_norm(trace: Trace) -> list[Factors]:
    module, h = trace.module, trace.input
    assert isinstance(module, nn.RMSNorm)
    shape = list(module.normalized_shape)
    own = tuple(range(h.ndim - len(shape), h.ndim))
    return _gains(trace, functional.rms_norm(h, shape, eps=module.eps), own)


def _group_norm(trace: Trace) -> list[Factors]:
    module, h = trace.module, trace.input
    assert isinstance(module, nn.GroupNorm)
    normalised = functional.group_norm(h, module.num_groups, eps=module.eps)
    return _gains(trace, normalised, (1,))


def _batch_norm(trace: Trace) -> list[Factors]:
    module, h = trace.module, trace.input
    assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    mean, variance = module.running_mean, module.running_var
    normalised = functional.batch_norm(h, mean, variance, eps=module.eps)
    return _gains(trace, normalised, (1,))


def _embedding(trace: Trace) -> list[Factors]:
    """A table: a linear layer on rows of the identity, that of padding left out."""
    module, ids = trace.module, trace.input
    assert isinstance(module, nn.Embedding)
    sensitivity = trace.sensitivity
    if module.padding_idx is not None:
        sensitivity = sensitivity * (ids != module.padding_idx).unsqueeze(-1)
    numbers = ids.reshape(len(ids), -1, 1)
    return [
        Factors(
            sensitivity.reshape(-1, *numbers.shape[:2], module.embedding_dim), numbers
        )
    ]


def _shared(trace: Trace) -> list[Factors]:
    assert isinstance(trace.module, Shared)
    found = gradients(trace.module, trace.input, trace.sensitivity)
    return [Factors(found.unsqueeze(2), None)]


_TERMS: dict[type[nn.Module], Callable[[Trace], list[Factors]]] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _rms_norm,
    nn.GroupNorm: _group_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.Embedding: _embedding,
    Shared: _shared,
}


def has_closed_form(module: nn.Module) -> bool:
    """Say whether a layer's term is known; of a subclass the run tells."""
    if isinstance(module, nn.Embedding):
        return module.max_norm is None and not module.scale_grad_by_freq
    return isinstance(module, OWN) or is_conv1d(module)


def factors(trace: Trace) -> list[Factors]:
    """Return the factors of a layer's term; more than one for groups of channels.

    Args:
        trace: The layer's trace over c inputs.

    Source: arXiv 2606.09762, Eq. 7-8, extended as the module says.
    """
    if is_conv1d(trace.module):
        return _linear(trace)
    return _TERMS[type(trace.module)](trace)


def forward_gram(first: Factors, second: Factors) -> Tensor | None:
    """Return ``U U^T``, with one added for a bias, ``(c * S, c2 * S)``.

    Args:
        first: The factors of c inputs.
        second: The factors of c2 inputs.

    Returns:
        The forward Gram matrix, or None for factors that are gradients.

    Source: arXiv 2606.09762, Eq. 7-8; the one is the bias's part.
    """
    if first.features is None or second.features is None:
        return None
    left, right = first.features.flatten(0, 1), second.features.flatten(0, 1)
    if not left.is_floating_point():
        return (left == right.mT).to(first.sensitivity.dtype)
    if not first.weight:
        return left.new_ones(len(left), len(right))
    gram = left @ right.mT
    return gram.add_(1) if first.bias else gram


def add_term(
    block: Tensor,  # (m, c, m, c2), changed in place
    backward: Tensor,  # (m * c * S, m * c2 * S)
    forward: Tensor | None,  # (c * S, c2 * S)
) -> None:
    """Add a layer's term between c and c2 inputs to ``block``.

    Args:
        block: Where to add.
        backward: ``B B^T``, or the product of gradients; may be changed.
        forward: ``U U^T + 1``, or None for gradients.

    Source: arXiv 2606.09762, Eq. 7-8: (U U^T + 1) Hadamard (B B^T).
    """
    m, c, _, c2 = block.shape
    if forward is None:
        block += backward.view(m, c, m, c2)
    elif len(forward) == c:
        block.addcmul_(backward.view(m, c, m, c2), forward.view(1, c, 1, c2))
    else:
        s = len(forward) // c
        pairs = backward.view(m, c, s, m, c2, s)
        pairs *= forward.view(1, c, s, 1, c2, s)
        block += pairs.sum((2, 5))
