# Copyright (c) The Plasticity by Isometry contributors. Licensed under the MIT license.
# Source: "Plasticity by Isometry", examples/adamo_single_file.py. Copy it as it is.
r"""AdamO in one file that needs torch alone.

It takes the steps of ``isometry.AdamO`` on groups of matrices, kernels and vectors, and
exchanges checkpoints with it and with ``torch.optim.AdamW``. It leaves out what the
library knows of models (``isometry.adamo.param_groups``), stacks of networks, fused
kernels, and ``isometry_every="auto"``.

As a pull request elsewhere:

* zij: a file below ``contrib/first_order`` with the ``Optimizer`` of ``core.optimizer``
  as base class and this one's address in its header; exported; ``_register(AdamO)``.
* pytorch_optimizer: ``BaseOptimizer`` as base class, its ``NegativeLRError``, and
  ``**kwargs``; a place in ``OPTIMIZER_LIST`` and the README; one recipe in its tests.
"""

from typing import Any

import torch
from torch import Tensor

__all__ = ["AdamO"]


class AdamO(torch.optim.Optimizer):
    r"""Adam with a decoupled pull of every singular value of every weight to one.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2 \\
        \theta_t &= \theta_{t-1} - \eta \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}
            - \eta_{iso} \lambda \nabla \| \theta^T \theta - I \|_F^2
            - \eta w \theta_{t-1}

    with the smaller of the two Gram matrices, and everything at :math:`\theta_{t-1}`.
    The moments never see the pull. Vectors are left to Adam; a kernel is the matrix
    (out, in * k * k). Give heads, embeddings and all else that is no operator a group
    with ``isometry_strength`` 0. A deviation from isometry shrinks by 1/e in
    :math:`1 / (8 \eta_{iso} \lambda)` steps: choose the strength by this time. Where a
    weight is so large that the step would overshoot, it is shortened:
    :math:`4 \eta_{iso} \lambda` becomes :math:`1 / (2 \|\theta^T \theta - I\|_F)`.

    Args:
        params: Parameters or groups; every keyword may be set per group.
        lr: Learning rate.
        betas: Decays of the two moments.
        eps: Added to the denominator.
        weight_decay: Decoupled, as in AdamW.
        isometry_strength: :math:`\lambda`; 0 is AdamW. None: 12,500 steps, but <= 0.1.
        isometry_lr: :math:`\eta_{iso}`; None is ``lr``. A group of ``lr`` 0 rests.
        isometry_every: Pull every k-th step, k times as long.
        maximize: Maximise the objective; the pull is not reversed.
        foreach: Adam's arithmetic on lists of tensors; None does so on accelerators.

    Reference: Rosseau, Müller, Nowé, "Preserving Plasticity in Continual Learning via
    Dynamical Isometry", arXiv 2606.09762, Eq. 19, 20. Not the AdamO of 2602.05136.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        isometry_strength: float | None = None,
        isometry_lr: float | None = None,
        isometry_every: int = 1,
        maximize: bool = False,
        foreach: bool | None = None,
    ) -> None:
        rate = float(lr if isometry_lr is None else isometry_lr)
        if isometry_strength is None:
            isometry_strength = 1e-5 / max(rate, 1e-4)
        task = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        pull = {
            "isometry_strength": isometry_strength,
            "isometry_lr": isometry_lr,
            "isometry_every": isometry_every,
            "isometry_count": 0,
        }
        defaults = {**task, **pull, "maximize": maximize, "foreach": foreach}
        _check(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; its keys may be any keyword."""
        _check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state; what that of AdamW lacks, a group keeps."""
        kept = self.param_groups
        super().load_state_dict(state_dict)
        pairs = zip(kept, self.param_groups, strict=True)
        self.param_groups[:] = [{**own, **loaded} for own, loaded in pairs]

    def init_group(self, group: dict[str, Any], **_: Any) -> None:
        """Make the state of the parameters that have a gradient."""
        for p in group["params"]:
            if p.grad is not None and p.grad.is_sparse:
                raise RuntimeError("AdamO does not support sparse gradients")
            if p.grad is not None and not self.state[p]:
                self.state[p]["step"] = torch.tensor(0.0, dtype=torch.float32)
                for key in ("exp_avg", "exp_avg_sq"):
                    self.state[p][key] = torch.zeros_like(p)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step; a closure computes the loss and its gradients anew."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self.init_group(group)
            params = [p for p in group["params"] if p.grad is not None]
            self._pull(group, params)  # before Adam's, so that both are at the weights
            self._adam(group, params)
        return loss

    def _pull(self, group: dict[str, Any], params: list[Tensor]) -> None:
        """Take the isometry step of one group, if it is due."""
        lr, every, rate = group["lr"], group["isometry_every"], group["isometry_lr"]
        rests = group["isometry_strength"] == 0 or float(lr) == 0
        group["isometry_count"] += not rests
        if rests or group["isometry_count"] % every:
            return
        rate = float(lr if rate is None else rate) * group["isometry_strength"] * every
        rate /= 1 - float(lr) * group["weight_decay"]  # which Adam's part applies
        for p in params:
            if p.ndim >= 2 and p.numel() and not p.is_complex():
                _isometry_step_(p, rate)

    def _adam(self, group: dict[str, Any], params: list[Tensor]) -> None:
        """Take the step of AdamW of one group, in lists of tensors that are alike."""
        (beta1, beta2), lr = group["betas"], float(group["lr"])
        on_host = any(p.device.type == "cpu" for p in params)
        foreach = not on_host if group["foreach"] is None else group["foreach"]
        alike: dict[Any, list[Tensor]] = {}
        for p in params:
            self.state[p]["step"] += 1
            step = float(self.state[p]["step"])
            alike.setdefault((step, p.device, p.dtype, foreach or id(p)), []).append(p)
        for (t, *_), some in alike.items():
            weights, gradients = _real(some), _real([p.grad for p in some])
            first = _real([self.state[p]["exp_avg"] for p in some])
            second = _real([self.state[p]["exp_avg_sq"] for p in some])
            if group["maximize"]:
                gradients = list(torch._foreach_neg(gradients))
            if group["weight_decay"] != 0:
                torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
            torch._foreach_lerp_(first, gradients, 1 - beta1)
            torch._foreach_mul_(second, beta2)
            torch._foreach_addcmul_(second, gradients, gradients, value=1 - beta2)
            root = torch._foreach_sqrt(second)
            torch._foreach_div_(root, (1 - beta2**t) ** 0.5)
            torch._foreach_add_(root, group["eps"])
            torch._foreach_addcdiv_(weights, first, root, value=-lr / (1 - beta1**t))


def _real(tensors: list[Any]) -> list[Tensor]:
    """Return complex tensors as views of real ones."""
    return [torch.view_as_real(each) if each.is_complex() else each for each in tensors]


def _isometry_step_(weight: Tensor, rate: float) -> None:
    """Move a weight by ``-rate`` times the gradient of its Gram deviation, squared."""
    matrix = weight.flatten(1).to(torch.promote_types(weight.dtype, torch.float32))
    tall = matrix.shape[0] >= matrix.shape[1]
    with torch.autocast(weight.device.type, enabled=False):
        deviation = matrix.mT @ matrix if tall else matrix @ matrix.mT
        deviation.diagonal().sub_(1)
        norm = torch.linalg.vector_norm(deviation)
        # Decided on the device: an accelerator is not waited for.
        deviation *= torch.where(norm * (4 * rate) <= 2, 4 * rate, 0.5 / norm)
        change = matrix @ deviation if tall else deviation @ matrix
    weight.sub_(change.view(weight.shape))


def _check(group: dict[str, Any]) -> None:
    """Refuse a value out of its range."""
    every, rate = group["isometry_every"], group["isometry_lr"]
    names = ("lr", "eps", "weight_decay", "isometry_strength")
    values = {key: float(group[key]) for key in names}
    values["isometry_lr"] = values["lr"] if rate is None else float(rate)
    for key, value in values.items():
        if not 0.0 <= value < float("inf"):
            raise ValueError(f"Invalid {key}: {value}")
    if not all(0.0 <= beta < 1.0 for beta in group["betas"]):
        raise ValueError(f"Invalid betas: {group['betas']}")
    if not isinstance(every, int) or every < 1:
        raise ValueError(f"Invalid isometry_every: {every}")
    if values["isometry_lr"] * values["isometry_strength"] * every > 0.25:
        raise ValueError("isometry_lr * isometry_strength * isometry_every is over 1/4")
    if values["isometry_strength"] > 0 and values["lr"] * values["weight_decay"] >= 1:
        raise ValueError("lr * weight_decay is not below 1")
