"""L2-ER: decay, and steps that raise the effective rank of the features."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.settings import require, setting
from isometry.methods.method import Method, register
from isometry.methods.pulls.penalties import L2Settings, l2_gradient_, l2_penalty
from isometry.methods.structure import State, acted_on, function_of
from isometry.methods.training import Training

EPS = 1e-8


@dataclass(frozen=True, kw_only=True)
class _EffectiveRankSettings(L2Settings):
    """Settings of L2-ER.

    Source: Prakash et al. 2026.
    """

    er_lr: float = setting(1e-3, "Learning rate of the rank's own steps, >= 0.")
    er_every: int = setting(
        100, "Minibatches that the features of such a step are taken on, >= 1."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.er_lr >= 0, "er_lr", "er_lr >= 0", self.er_lr)
        require(self.er_every >= 1, "er_every", "er_every >= 1", self.er_every)


def differentiable_rank(features: Tensor) -> Tensor:
    """Return the effective rank of each member's features, ``(members,)``.

    ``exp H(p)`` with ``p = sigma / sum sigma``, and 1e-8 in the logarithm and the sum.
    A member whose features are not finite counts as zeros.

    Args:
        features: ``(members, samples, units)``.

    Source: Roy & Vetterli 2007; Prakash et al. 2026.
    """
    finite = features.isfinite().all(2).all(1).view(-1, 1, 1)
    sigma = torch.linalg.svdvals(torch.where(finite, features, 0.0))
    share = sigma / (sigma.sum(1, keepdim=True) + EPS)
    return (-share * (share + EPS).log()).sum(1).exp()


def _no_images(training: Training) -> State:
    """Return that no minibatch has been seen.

    Source: Prakash et al. 2026.
    """
    acted_on(training.structure.named("hidden"), "l2_er")
    some = next(iter(training.parameters.values()))
    return {"images": some.new_zeros(len(training.seeds), 0)}


def _rank_step(training: Training) -> None:
    """Keep the minibatch; after every k-th, climb the mean effective rank once.

    ``theta <- theta + er_lr grad mean_l erank(Phi_l)``, over all hidden layers, on all
    images of the last k minibatches: a step of its own, which no optimiser sees.

    Source: Prakash et al., ICML 2026, arXiv 2509.22335.
    """
    settings, state = training.settings, training.state
    function = function_of(training.structure, "l2_er")
    kept = state["images"]
    inputs: Tensor = training.inputs  # type: ignore[assignment]
    state["images"] = torch.cat([kept, inputs], 1) if kept.numel() else inputs.clone()
    if (training.step + 1) % settings.er_every:
        return
    own = training.parameters
    leaves = {name: p.detach().requires_grad_() for name, p in own.items()}
    with torch.enable_grad():
        _, layers = function(leaves, state["images"])
        ranks = torch.stack([differentiable_rank(phi) for phi in layers]).mean(0)
        found = torch.autograd.grad(
            ranks.sum(), list(leaves.values()), allow_unused=True
        )
    for parameter, gradient in zip(own.values(), found, strict=True):
        if gradient is not None:
            parameter.add_(gradient, alpha=settings.er_lr)
    state["images"] = inputs.flatten(1)[:, :0]


L2_ER = register(
    Method(
        name="l2_er",
        summary="L2 regularisation, and steps that raise the features' effective rank",
        source="Prakash et al., ICML 2026, arXiv 2509.22335",
        settings=_EffectiveRankSettings(),
        search={
            "er_lr": (1e-2, 1e-3, 1e-4),
            "l2_strength": (1e-3, 1e-4, 1e-5),
        },
        start=_no_images,
        penalty=l2_penalty,
        penalty_gradient_=l2_gradient_,
        after_step=_rank_step,
        reads=True,
        not_for_games="boards are too many for its features",
    )
)
