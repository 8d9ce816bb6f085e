"""How many directions of the loss are curved: ``hessian_spectrum`` and its rank.

The Hessian is never formed, unless it is small: it acts on vectors by a second
backward pass. Lanczos' recurrence from a random start then gives nodes and weights of
a quadrature: nodes near the ends are eigenvalues, and the weights say how many
eigenvalues lie near each node.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from isometry.core.lanczos import Product, lanczos, mass_beyond
from isometry.core.messages import refusal
from isometry.core.untouched import untouched
from isometry.diagnostics.call import Call, itself
from isometry.diagnostics.checks import (
    check_caps,
    check_model,
    checked_inputs,
    checked_outputs,
)
from isometry.ntk.arguments import Inputs, Pick
from isometry.ntk.checks import trainable_parameters

PROBES, STEPS = 8, 64
MAX_EXACT = 512  # parameters up to which the Hessian is formed
# torch's node behind a function that is marked as differentiable once. It raises only
# if it is run, and it is not: no way through it leads to a parameter.
ONLY_ONCE = "torch::autograd::Error"
LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class HessianRank:
    """How many eigenvalues of a Hessian are larger than eps in absolute value.

    Attributes:
        rank: The estimate, between 0 and the number of parameters.
        error: Its standard error over the probes.
        blur: How far it may be off because so many steps cannot tell eigenvalues on
            both sides of eps apart, a bound; more steps lower it, where the eigenvalues
            near eps are not too dense.
        at_least: A lower bound, but for rounding: so many nodes of one probe are
            larger, and by Cauchy's interlacing as many eigenvalues are.

    The error and the blur are 0 where the Hessian was formed.

    Source: ours.
    """

    rank: float
    error: float
    blur: float
    at_least: int


@dataclass(frozen=True, kw_only=True, eq=False)
class HessianSpectrum:
    """What :func:`hessian_spectrum` found.

    Attributes:
        parameters: Trainable numbers, the size of the Hessian.
        loss: At the parameters, in the loss's unit.
        exact: Whether the Hessian was formed and the nodes are its eigenvalues.
        nodes: ``(probes, steps)``, ascending, in the loss's unit per squared unit of
            parameter, on the CPU; zeros of weight zero after a probe that ended early.
        weights: ``(probes, steps)``, each row sums to 1.
        left: For each probe what is left for one step more; 0 where its nodes are all
            eigenvalues that it meets.

    Source: Golub & Welsch 1969; Ubaru, Chen & Saad 2017; on networks Ghorbani,
        Krishnan & Xiao 2019.
    """

    parameters: int
    loss: float
    exact: bool
    nodes: Tensor
    weights: Tensor
    left: tuple[float, ...]

    @property
    def largest(self) -> float:
        """The largest node, at most the largest eigenvalue."""
        return float(self.nodes[self.weights > 0].max())

    @property
    def smallest(self) -> float:
        """The smallest node, at least the smallest eigenvalue."""
        return float(self.nodes[self.weights > 0].min())

    def rank(self, eps: float, *, relative: bool = False) -> HessianRank:
        """Return how many eigenvalues lie outside ``[-eps, eps]``.

        Args:
            eps: The threshold, > 0: in the unit of the nodes, or, if ``relative``, as a
                share of the largest absolute node. Below the rounding of a product with
                the Hessian it counts noise.
            relative: Whether eps is a share, < 1 then.

        Raises:
            ValueError: If eps is out of range.

        Source: Lewandowski et al. 2024, who count directions of curvature, by their
            abstract; both thresholds and the bound are ours.
        """
        if not eps > 0 or (relative and eps >= 1):
            needed = "0 < eps < 1, a share" if relative else "eps > 0"
            raise ValueError(refusal(needed, eps, "pass e.g. 1e-3"))
        if relative:
            eps *= max(abs(self.largest), abs(self.smallest))
        at_least = int((self.nodes.abs() > eps).sum(1).max())
        if self.exact:
            return HessianRank(rank=at_least, error=0.0, blur=0.0, at_least=at_least)
        counts, blurs = [], []
        for nodes, weights, left in zip(
            self.nodes, self.weights, self.left, strict=True
        ):
            met = weights > 0
            mass, blur = mass_beyond(nodes[met], weights[met], eps)
            counts.append(self.parameters * min(mass, 1.0))
            blurs.append(self.parameters * blur if left else 0.0)
        return HessianRank(
            rank=max(statistics.mean(counts), float(at_least)),
            error=statistics.stdev(counts) / len(counts) ** 0.5,
            blur=statistics.mean(blurs),
            at_least=at_least,
        )

    def density(self, points: Tensor, width: float) -> Tensor:
        """Return the density of eigenvalues, each blurred to a normal distribution.

        Args:
            points: ``(k,)``, in the unit of the nodes.
            width: Standard deviation of the blur, > 0, in the same unit.

        Returns:
            ``(k,)``, in one over that unit; its integral over the line is 1.

        Raises:
            ValueError: If the width is out of range.

        Source: Ghorbani, Krishnan & Xiao 2019.
        """
        if not width > 0:
            raise ValueError(refusal("width > 0", width, "pass e.g. 0.01"))
        shares = (self.weights / len(self.weights)).flatten()
        normal = torch.distributions.Normal(self.nodes.flatten(), width)
        return normal.log_prob(points.double().unsqueeze(-1)).exp() @ shares


def hessian_spectrum(
    model: nn.Module,
    inputs: Inputs,  # (n, ...)
    targets: Tensor,  # (n, ...)
    *,
    generator: torch.Generator,
    loss: LossFunction = functional.cross_entropy,
    probes: int = PROBES,
    steps: int = STEPS,
    max_exact: int = MAX_EXACT,
    outputs: Pick | None = None,
) -> HessianSpectrum:
    """Look at the eigenvalues of the Hessian of a loss by the trainable parameters.

    Stochastic Lanczos quadrature: from each of some random directions so many steps.
    With at most ``max_exact`` parameters the Hessian is formed instead. The model is
    looked at in evaluation mode and left as it was.

    What it costs: ``probes * steps`` products with the Hessian (with ``max_exact``
    parameters, as many as there are), each as long as about two steps of Adam on all
    inputs; in memory the graphs of a forward and a backward pass of all inputs, and
    ``steps`` vectors of all parameters. Making the vectors orthogonal takes about
    ``4 steps^2`` operations a parameter and probe.

    The rectifier has no curvature of its own: with it the Hessian is that of the
    network whose gates stand still.

    Args:
        model: Any module that can be differentiated twice; its frozen parameters take
            no part.
        inputs: As for ``isometry.diagnose``.
        targets: Theirs, ``(n, ...)``, as the loss takes them.
        generator: Draws the random directions, on the CPU.
        loss: Maps outputs ``(n, ...)`` and targets to a scalar.
        probes: Random directions, >= 2.
        steps: Of Lanczos, from each direction, >= 1; never more than parameters.
        max_exact: Parameters up to which the Hessian is formed, >= 1.
        outputs: Makes one tensor ``(n, ...)`` of what the model returns.

    Raises:
        TypeError: If model, inputs or outputs are of the wrong type.
        ValueError: If these cannot be looked at (``isometry.diagnose``), targets
            are not one for each input, a number is out of range, no parameter is
            trainable, or the loss is no finite scalar that can be differentiated twice.

    Source: Ubaru, Chen & Saad 2017; on networks Ghorbani, Krishnan & Xiao 2019.

    Example:
        >>> model, mse = nn.Linear(2, 1, bias=False), functional.mse_loss
        >>> found = hessian_spectrum(
        ...     model, torch.diag(torch.tensor([2.0, 0.0])), torch.zeros(2, 1),
        ...     loss=mse, generator=torch.Generator(),
        ... )
        >>> found.nodes.tolist(), found.rank(1e-3).rank
        ([[0.0, 4.0]], 1)
    """
    check_caps(probes=probes, steps=steps, max_exact=max_exact)
    if probes < 2:
        raise ValueError(refusal("probes >= 2, for an error", probes, "pass e.g. 8"))
    model = check_model(model)
    arguments = checked_inputs(inputs, model)
    if len(targets) != len(arguments.main):
        needed = f"{len(arguments.main)} targets, one for each input"
        raise ValueError(refusal(needed, len(targets), "pass those of the inputs"))
    call = Call(model=model, arguments=arguments, pick=outputs or itself)
    with untouched(model), sdpa_kernel(SDPBackend.MATH):
        own = list(trainable_parameters(model).values())
        with torch.no_grad():
            checked_outputs(call, arguments.main)
        level = _level(loss, call(arguments.main), targets)
        product = _product(level, own)
        count = sum(p.numel() for p in own)
        kind = max((p.dtype for p in own), key=lambda dtype: dtype.itemsize)
        device = own[0].device
        try:
            if count <= max_exact:
                units = torch.eye(count, dtype=kind, device=device)
                rows = [product(unit) for unit in units]
                found = [_eigenvalues(torch.stack(rows).double().cpu())]
            else:
                drawn = torch.randn(
                    probes, count, generator=generator, dtype=torch.float64
                )
                found = [lanczos(product, v.to(device, kind), steps) for v in drawn]
        except NotImplementedError as error:
            raise _not_twice(str(error).splitlines()[0]) from error
    return HessianSpectrum(
        parameters=count,
        loss=float(level.detach()),
        exact=count <= max_exact,
        nodes=nn.utils.rnn.pad_sequence([nodes for nodes, *_ in found], True),
        weights=nn.utils.rnn.pad_sequence([one for _, one, _ in found], True),
        left=tuple(left for *_, left in found),
    )


def _level(loss: LossFunction, said: Tensor, targets: Tensor) -> Tensor:
    """Return the loss, or refuse one that is no finite scalar of the parameters."""
    try:
        level = loss(said, targets)
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        kinds = f"{tuple(targets.shape)}, {targets.dtype}, and the loss said: {reason}"
        do = f"pass those for outputs of shape {tuple(said.shape)}"
        raise ValueError(refusal("targets that the loss accepts", kinds, do)) from error
    if level.ndim > 0:
        found = f"shape {tuple(level.shape)}"
        raise ValueError(refusal("a loss that is a scalar", found, "take its mean"))
    if not bool(level.isfinite()):
        do = "look at the weights' scale and the targets"
        raise ValueError(refusal("a finite loss", f"{float(level.detach()):.3g}", do))
    if not level.requires_grad:
        needed, found = "a loss that hangs on the parameters", "one without a gradient"
        raise ValueError(refusal(needed, found, "look for no_grad and detach"))
    return level


def _not_twice(found: str) -> ValueError:
    """Return what is raised where a part of the model has no second derivative."""
    needed, do = "a model that can be differentiated twice", "replace that part"
    return ValueError(refusal(needed, found, do))


def _check_twice(gradients: Sequence[Tensor]) -> None:
    """Refuse gradients whose own graph ends where it must not."""
    seen: set[Any] = set()
    waiting = [gradient.grad_fn for gradient in gradients]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == ONLY_ONCE:
            raise _not_twice("a function marked with once_differentiable")
        waiting += [following for following, _ in node.next_functions]


def _product(level: Tensor, parameters: Sequence[Tensor]) -> Product:
    """Return the product of the Hessian with a vector of all parameters.

    Source: Pearlmutter 1994, by a second backward pass.
    """
    gradients = torch.autograd.grad(
        level, parameters, create_graph=True, materialize_grads=True
    )
    _check_twice(gradients)
    sizes = [p.numel() for p in parameters]
    curved = [i for i, g in enumerate(gradients) if g.requires_grad]

    def product(vector: Tensor) -> Tensor:
        if not curved:
            return torch.zeros_like(vector)
        parts = vector.split(sizes)
        found = torch.autograd.grad(
            [gradients[i] for i in curved],
            parameters,
            [parts[i].view_as(gradients[i]).to(gradients[i]) for i in curved],
            retain_graph=True,
            materialize_grads=True,
        )
        return torch.cat([part.reshape(-1).to(vector) for part in found])

    return product


def _eigenvalues(hessian: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return a Hessian's eigenvalues, ascending, each with the same weight."""
    values = torch.linalg.eigvalsh((hessian + hessian.T) / 2)
    return values, torch.full_like(values, 1 / len(values)), 0.0
