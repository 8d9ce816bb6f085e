"""AdamO: Adam on the task, and beside it a step that pulls every weight to isometry."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from isometry.adamo.checks import (
    as_python,
    check_ranges,
    check_stable,
    check_weights,
    read_group,
)
from isometry.adamo.flow import strength_for_relaxation
from isometry.adamo.groups import param_groups
from isometry.adamo.loading import fitted
from isometry.adamo.naming import check_excluded, describe, name_group, tell_parameters
from isometry.adamo.pull import (
    ISOMETRY_KEYS,
    TABLE,
    differentiable_move_,
    in_graph,
    isometry_defaults,
    move_,
    pieces_of,
    pulled,
    rate_due,
    skipped,
    warn_of_rate,
)
from isometry.core.hooks import loss_of, unhooked
from isometry.weights import Table
from isometry.weights.head import HEAD

# By the rule of chapter 5: whoever says nothing gets this relaxation time, but never
# more than this strength, for at small learning rates there are no results.
DEFAULT_STEPS = 12_500
STRONGEST_DEFAULT = 0.1


_ADAMW_STEP = unhooked(torch.optim.AdamW.step)


def _default_strength(lr: float | Tensor, isometry_lr: float | Tensor | None) -> float:
    """Return the strength of an optimiser that is made without one."""
    rate = float(lr if isometry_lr is None else isometry_lr)
    if rate == 0:  # a warm-up has yet to begin
        return STRONGEST_DEFAULT
    return min(STRONGEST_DEFAULT, strength_for_relaxation(DEFAULT_STEPS, rate))


class AdamO(torch.optim.AdamW):
    """Adam with a decoupled pull of every singular value of every weight to one.

    With g the gradient of the task loss alone, m and v Adam's moments of g, and r the
    gradient of the Gram-deviation penalty (:func:`isometry_gradient`), one step is

        theta <- theta - lr m_hat / (sqrt(v_hat) + eps) - isometry_lr strength r(theta)

    with r at the weights before the step. The moments never see r. Vectors (biases,
    gains) are left to Adam; a convolution kernel is the matrix (out, in * k * k). A
    parameter without a gradient is left alone altogether, as Adam leaves it alone.

    How strong is strong? A deviation shrinks by 1/e in
    ``relaxation_steps(isometry_strength, isometry_lr)`` steps: 12,500 if nothing is
    said, 1.25 million with the paper's numbers, strength 1e-3 at lr 1e-4. Say the time
    you want, ``relaxation_steps=1000`` where data change again and again. A rate above
    1/4 is refused; where weights are so large that a lower one would overshoot, the
    step of that matrix is shortened (:func:`isometry_step_`).

    Steps of relative size below half a unit in the last place are lost to rounding, in
    float32 those with ``4 rate |sigma^2 - 1| < 3e-8``. ``isometry_every=k`` takes one
    step k times as long, which is cheaper and loses less.

    Args:
        params: A model, which is :func:`param_groups` of it; parameters, with names or
            without; or groups. Bare parameters are taken by their shape. A parameter
            whose attribute ``isometry`` is False is spared, see :func:`mark`. Every
            keyword below but ``exclude`` may be set per group, and also
            ``isometry_dims``, the number of leading member dimensions of a stacked
            network (0).
        lr: Learning rate, >= 0; may be a tensor of one element.
        betas: Decays of the two moments, each in [0, 1).
        eps: Added to the denominator, >= 0.
        weight_decay: Decoupled decay as in AdamW, >= 0; the paper uses none.
        amsgrad: As in AdamW.
        isometry_strength: lambda of Eq. 16 and 20, >= 0; the paper's is 1e-3. At 0
            every step is bit for bit that of ``torch.optim.AdamW`` of the same decay.
            None: as ``relaxation_steps`` says.
        relaxation_steps: The strength, said by the time of the pull at the learning
            rate given here: ``strength_for_relaxation(relaxation_steps, lr)``. None:
            12,500, at rates below 1e-4 the strength 0.1.
        isometry_lr: eta_iso, >= 0; None follows ``lr`` and its schedule. A group whose
            ``lr`` is zero rests: it is not pulled either.
        isometry_every: k >= 1: take the isometry step every k-th step, k times as long;
            ``"auto"`` chooses k by :func:`amortised_every` and follows schedules. While
            singular values are large it divides that step into up to k pieces, and
            waits for an accelerator to know how many. Under ``torch.compile`` and in a
            CUDA graph the work is done in every step, because a graph has no branches:
            a whole k is applied in every k-th, and ``"auto"`` is a step every time.
        exclude: Parts of dotted names to spare, as in :func:`param_groups`; needs a
            model or named parameters. None is the head of a model, else nothing.
        maximize: Maximise the task objective; the isometry step is not reversed.
        foreach: As in AdamW.
        fused: As in AdamW.
        capturable: As in AdamW; needed in CUDA graphs.
        differentiable: As in AdamW; gradients go through the pull as well.

    Raises:
        ValueError: For a value out of range, a rate that cannot be stable, weights that
            are not finite, a group that asks for the isometry step without a matrix, or
            a name to exclude that matches nothing.

    Warns:
        UserWarning: Once, if a schedule lifts the rate past the limit of stability.

    Source: arXiv 2606.09762, Eq. 19 and 20. Another method of the same name, arXiv
        2602.05136, separates radial from tangential updates and is not this one.

    Example:
        >>> layer = torch.nn.Linear(3, 3)
        >>> optimizer = AdamO(layer.parameters(), lr=1e-3, isometry_strength=1.0)
        >>> layer(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    _exclude: tuple[str, ...] = ()

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        isometry_strength: float | None = None,
        relaxation_steps: float | None = None,
        isometry_lr: float | Tensor | None = None,
        isometry_every: int | str = 1,
        exclude: Sequence[str] | None = None,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        task: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        task = {key: as_python(value) for key, value in task.items()}
        own = isometry_defaults(0.0, isometry_lr, isometry_every)
        if isometry_strength is not None:
            own["isometry_strength"] = isometry_strength
        if relaxation_steps is not None:
            own["relaxation_steps"] = relaxation_steps
            if isometry_strength is None:
                del own["isometry_strength"]
        read_group(own, task)
        check_ranges(task | own)
        if isometry_strength is None and relaxation_steps is None:
            own["isometry_strength"] = _default_strength(task["lr"], own["isometry_lr"])
        if isinstance(params, nn.Module):
            params = param_groups(params, (HEAD,) if exclude is None else exclude)
        elif exclude is not None:
            self._exclude = (exclude,) if isinstance(exclude, str) else tuple(exclude)
        # AdamW adds the groups itself, before its constructor returns.
        self._own_defaults = own
        super().__init__(
            params,
            **task,
            amsgrad=amsgrad,
            maximize=maximize,
            foreach=foreach,
            fused=fused,
            capturable=capturable,
            differentiable=differentiable,
        )
        del self._own_defaults
        self.defaults.update(own)
        check_excluded(self.param_groups, self._exclude)

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles hold."""
        return {**super().__getstate__(), "_exclude": self._exclude}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; see the class for its keys.

        Args:
            param_group: ``params`` and any keyword of the constructor but ``exclude``.

        Raises:
            ValueError: As in the constructor.
        """
        own = self.__dict__.get("_own_defaults", self.defaults)
        read_group(param_group, {**self.defaults, **own})
        asked = param_group.get("isometry_strength", 0.0)
        name_group(self.param_groups, param_group)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            for key in ISOMETRY_KEYS:
                group.setdefault(key, own[key])
            check_ranges(group)
            tell_parameters(group, self._exclude)
            if group["isometry_strength"] > 0:
                check_stable(group)
                check_weights(group, asked=asked > 0)
        except ValueError:
            self.param_groups.pop()
            raise

    def describe(self) -> Table:
        """Return a table of all parameters: name, shape, kind, pulled or why not.

        Example:
            >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
            >>> print(AdamO(model, exclude=("1",)).describe())
            0.weight  3x2  matrix  pulled
            0.bias    3    vector  spared: a vector
            1.weight  1x3  matrix  spared: excluded
            1.bias    1    vector  spared: a vector
        """
        return describe(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state of AdamO, AdamW or Adam; the latter two keep our isometry keys.

        A checkpoint of one group, such as AdamW's, is dealt out to the groups of
        :func:`param_groups`; with names on both sides, any groups are.

        Args:
            state_dict: From ``state_dict()`` of one of the three.

        Raises:
            ValueError: If the groups do not match.
        """
        kept = [
            {key: group[key] for key in (*ISOMETRY_KEYS, TABLE)}
            for group in self.param_groups
        ]
        super().load_state_dict(fitted(state_dict, self.param_groups))
        for group, values in zip(self.param_groups, kept, strict=True):
            for key, value in values.items():
                group.setdefault(key, value)
            group[TABLE] = values[TABLE]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: Computes the loss and its gradients anew, and returns the loss.

        Returns:
            The closure's loss, or None.
        """
        loss = loss_of(closure)
        # Adam's part does not depend on the weights once the gradients are there, so
        # taking the isometry step first puts r at the weights before both, as in
        # Eq. 20, without a copy.
        skip = skipped(self)
        for group in self.param_groups:
            if group["isometry_strength"] > 0 and skip is not True:
                self._isometry_step(group, skip if isinstance(skip, Tensor) else None)
        _ADAMW_STEP(self)
        return loss

    def _isometry_step(self, group: dict[str, Any], found_inf: Tensor | None) -> None:
        """Move the matrices of one group that have a gradient.

        ``found_inf`` is set by GradScaler for fused kernels, which then skip the step
        on the device.
        """
        graph = in_graph(group)
        if any(p.grad is not None and p.grad.is_sparse for p in group["params"]):
            return  # Adam refuses the group: nothing in it may have moved
        rate, every = rate_due(group, in_graph=graph)
        if isinstance(rate, float) and rate == 0:
            return
        if not graph:
            warn_of_rate(self, rate)
        if group["weight_decay"] != 0:
            # AdamW will multiply the weights by this; the isometry step must come out
            # as Eq. 20 has it.
            rate = rate / (1 - group["lr"] * group["weight_decay"])
        dims, pieces = group["isometry_dims"], pieces_of(group, every)
        weights = pulled(group)
        if group["differentiable"]:
            with torch.enable_grad():
                differentiable_move_(weights, rate, member_dims=dims)
            return
        if found_inf is None and not (graph and every > 1):
            move_(weights, rate, member_dims=dims, pieces=pieces)
            return
        for weight, entry in weights:
            taken = torch.ones((), device=weight.device)
            if graph and every > 1:
                step = self.state[weight].get("step")
                if step is None:  # the first step is never a k-th one
                    continue
                taken = ((step + 1) % every == 0).to(weight.device, torch.float32)
            if found_inf is not None:
                taken = taken * (1 - found_inf.to(weight.device, non_blocking=True))
            one = [(weight, entry)]
            move_(one, rate, member_dims=dims, taken=taken, pieces=pieces)
