"""AdamO: Adam on the task, and beside it a step that pulls every weight to isometry."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from isometry.adamo.checks import check_ranges, check_stable, check_weights
from isometry.adamo.pull import (
    ISOMETRY_KEYS,
    in_graph,
    isometry_defaults,
    pieces_of,
    pulled,
    rate_due,
)
from isometry.adamo.step import isometry_step_, isometry_steps_


def _unhooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return an optimiser's own step, without torch's wrapper that runs the hooks.

    torch wraps the ``step`` of every optimiser class that has an instance. Calling the
    wrapped one from a subclass would run the pre- and post-hooks twice.
    """
    return step.__wrapped__ if getattr(step, "hooked", False) else step  # type: ignore[attr-defined]


_ADAMW_STEP = _unhooked(torch.optim.AdamW.step)


class AdamO(torch.optim.AdamW):
    """Adam with a decoupled pull of every singular value of every weight to one.

    With g the gradient of the task loss alone, m and v Adam's moments of g, and r the
    gradient of the Gram-deviation penalty (:func:`isometry_gradient`), one step is

        theta <- theta - lr m_hat / (sqrt(v_hat) + eps) - isometry_lr strength r(theta)

    with r at the weights before the step. The moments never see r. Vectors (biases,
    gains) are left to Adam; a convolution kernel is the matrix (out, in * k * k). A
    parameter without a gradient is left alone altogether, as Adam leaves it alone.

    How strong is strong? A deviation shrinks by 1/e in
    ``relaxation_steps(isometry_strength, isometry_lr)`` steps; the paper's numbers,
    strength 1e-3 at lr 1e-4, make that 1.25 million. Choose the strength by the time
    you want: ``strength_for_relaxation(steps, lr)``. A rate above 1/4 is refused; where
    weights are so large that a lower one would overshoot, the step of that matrix is
    shortened (:func:`isometry_step_`).

    Steps of relative size below half a unit in the last place are lost to rounding, in
    float32 those with ``4 rate |sigma^2 - 1| < 3e-8``. ``isometry_every=k`` takes one
    step k times as long, which is cheaper and loses less.

    Args:
        params: Parameters or groups, e.g. from :func:`param_groups`. Every keyword
            below may be set per group, and also ``isometry_dims``, the number of
            leading member dimensions of a stacked network (0).
        lr: Learning rate, >= 0; may be a tensor of one element.
        betas: Decays of the two moments, each in [0, 1).
        eps: Added to the denominator, >= 0.
        weight_decay: Decoupled decay as in AdamW, >= 0; the paper uses none.
        isometry_strength: lambda of Eq. 16 and 20, >= 0. At 0 every step is bit for bit
            that of ``torch.optim.AdamW``.
        isometry_lr: eta_iso, >= 0; None follows ``lr`` and its schedule.
        isometry_every: k >= 1: take the isometry step every k-th step, k times as long;
            ``"auto"`` chooses k by :func:`amortised_every` and follows schedules. While
            singular values are large it divides that step into up to k pieces, and
            waits for an accelerator to know how many. Under ``torch.compile`` and in a
            CUDA graph the work is done in every step, because a graph has no branches:
            a whole k is applied in every k-th, and ``"auto"`` is a step every time.
        maximize: Maximise the task objective; the isometry step is not reversed.
        foreach: As in AdamW.
        fused: As in AdamW.
        capturable: As in AdamW; needed in CUDA graphs.

    Raises:
        ValueError: For a value out of range, a rate that cannot be stable, weights that
            are not finite, or a group that asks for the isometry step without a matrix.

    Source: arXiv 2606.09762, Eq. 19 and 20. Another method of the same name, arXiv
        2602.05136, separates radial from tangential updates and is not this one.

    Example:
        >>> layer = torch.nn.Linear(3, 3)
        >>> optimizer = AdamO(layer.parameters(), lr=1e-3, isometry_strength=1.0)
        >>> layer(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        isometry_strength: float = 1e-3,
        isometry_lr: float | Tensor | None = None,
        isometry_every: int | str = 1,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
    ) -> None:
        own = isometry_defaults(isometry_strength, isometry_lr, isometry_every)
        check_ranges(
            {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay} | own
        )
        # AdamW adds the groups itself, before its constructor returns.
        self._own_defaults = own
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            maximize=maximize,
            foreach=foreach,
            fused=fused,
            capturable=capturable,
        )
        del self._own_defaults
        self.defaults.update(own)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; see the class for its keys.

        Args:
            param_group: ``params`` and any keyword of the constructor.

        Raises:
            ValueError: As in the constructor.
        """
        asked = param_group.get("isometry_strength", 0.0)
        own = self.__dict__.get("_own_defaults", self.defaults)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            for key in ISOMETRY_KEYS:
                group.setdefault(key, own[key])
            check_ranges(group)
            if group["isometry_strength"] > 0:
                check_stable(group)
                check_weights(group, asked=asked > 0)
        except ValueError:
            self.param_groups.pop()
            raise

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state of AdamO, AdamW or Adam; the latter two keep our isometry keys.

        Args:
            state_dict: From ``state_dict()`` of one of the three.

        Raises:
            ValueError: If the groups do not match.
        """
        kept = [
            {key: group[key] for key in ISOMETRY_KEYS} for group in self.param_groups
        ]
        super().load_state_dict(state_dict)
        for group, values in zip(self.param_groups, kept, strict=True):
            for key, value in values.items():
                group.setdefault(key, value)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: Computes the loss and its gradients anew, and returns the loss.

        Returns:
            The closure's loss, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # Adam's part does not depend on the weights once the gradients are there, so
        # taking the isometry step first puts r at the weights before both, as in
        # Eq. 20, without a copy.
        for group in self.param_groups:
            if group["isometry_strength"] > 0:
                self._isometry_step(group)
        _ADAMW_STEP(self)
        return loss

    def _isometry_step(self, group: dict[str, Any]) -> None:
        """Move the matrices of one group that have a gradient."""
        graph = in_graph(group)
        rate, every = rate_due(group, in_graph=graph)
        if isinstance(rate, float) and rate == 0:
            return
        if group["weight_decay"] != 0:
            # AdamW will multiply the weights by this; the isometry step must come out
            # as Eq. 20 has it.
            rate = rate / (1 - group["lr"] * group["weight_decay"])
        # Set by GradScaler for fused kernels, which then skip the step on the device.
        found_inf = getattr(self, "found_inf", None)
        dims, pieces = group["isometry_dims"], pieces_of(group, every)
        if found_inf is None and not (graph and every > 1):
            isometry_steps_(pulled(group), rate, member_dims=dims, pieces=pieces)
            return
        for weight in pulled(group):
            taken = torch.ones((), device=weight.device)
            if graph and every > 1:
                step = self.state[weight].get("step")
                if step is None:  # the first step is never a k-th one
                    continue
                taken = ((step + 1) % every == 0).to(weight.device, torch.float32)
            if found_inf is not None:
                taken = taken * (1 - found_inf.to(weight.device, non_blocking=True))
            isometry_step_(weight, rate, member_dims=dims, taken=taken, pieces=pieces)
