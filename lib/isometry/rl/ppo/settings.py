"""The settings of PPO: every detail that public implementations differ in."""

from dataclasses import dataclass
from typing import Literal

from isometry.core.settings import require, setting

Activation = Literal["relu", "leaky_relu", "tanh", "gelu", "maxmin", "identity"]
POSITIVE = ("num_envs", "rollout_length", "epochs", "minibatches", "width", "depth")


@dataclass(frozen=True, kw_only=True)
class PPOSettings:
    """What an agent does, apart from the method that keeps it plastic.

    Adam's own numbers (``eps``, ``beta1``, ``beta2``) are settings of the method. The
    defaults are those of the paper's MinAtar agents, see
    :data:`isometry.rl.protocols.PAPER_MINATAR`.

    Source: Schulman et al. 2017, arXiv 1707.06347; the details are named and compared
        by Huang et al., "The 37 implementation details of PPO" (2022); defaults:
        :data:`isometry.rl.protocols.AUTHORS_CODE`.
    """

    num_envs: int = setting(2048, "Games of an agent, played side by side, >= 1.")
    rollout_length: int = setting(128, "Steps of each game between updates, >= 1.")
    epochs: int = setting(4, "Passes over a rollout, >= 1.")
    minibatches: int = setting(128, "Minibatches of a pass, >= 1.")
    lr: float = setting(2.5e-4, "Learning rate, > 0.")
    lr_schedule: Literal["constant", "linear"] = setting(
        "constant", "linear: down to zero over a visit, anew at each."
    )
    discount: float = setting(0.99, "gamma, in [0, 1].")
    gae_lambda: float = setting(0.95, "lambda of the advantage estimate, in [0, 1].")
    ratio_clip: float = setting(0.2, "Clip of the probability ratio around 1, > 0.")
    value_clip: float | None = setting(
        0.2, "Clip of the change of a value, in units of return, > 0; none: no clip."
    )
    value_coefficient: float = setting(0.5, "Weight of the critic's loss, > 0.")
    entropy_coefficient: float = setting(0.01, "Weight of the policy's entropy, >= 0.")
    normalise_advantages: bool = setting(
        True, "Whether advantages get mean 0, variance 1 in each minibatch."
    )
    truncation_bootstrap: bool = setting(
        False, "Whether an episode cut at the limit of steps ends with its value."
    )
    gradient_clip: Literal["norm", "element", "none"] = setting(
        "norm",
        "norm: of actor and critic, each by itself, or of both where they share "
        "layers; element: every entry; none.",
    )
    gradient_bound: float = setting(0.5, "What a gradient is clipped at, > 0.")
    network: Literal["mlp", "cnn"] = setting(
        "mlp", "mlp: actor and critic apart; cnn: convolutions that both share."
    )
    cnn_layout: Literal["columns", "frames"] = setting(
        "columns",
        "What the convolutions take for channels: columns of the screen, as in the "
        "public code, or frames.",
    )
    width: int = setting(64, "Units of a hidden layer, >= 1.")
    depth: int = setting(4, "Hidden layers of actor and of critic, >= 1.")
    activation: Activation = setting("relu", "Nonlinearity of the hidden layers.")
    negative_slope: float = setting(0.01, "Slope of leaky_relu below 0.")
    init: Literal["orthogonal", "default"] = setting(
        "orthogonal", "Initialisation; default: torch's own."
    )
    init_gain: float = setting(2**0.5, "Gain of orthogonal hidden weights, > 0.")
    policy_gain: float = setting(0.01, "Gain of the policy's head, > 0.")
    value_gain: float = setting(1.0, "Gain of the value's head, > 0.")
    hidden_bias: bool = setting(True, "Whether hidden layers have biases.")

    def __post_init__(self) -> None:
        for key in POSITIVE:
            require(getattr(self, key) >= 1, key, f"{key} >= 1", getattr(self, key))
        for key in ("discount", "gae_lambda"):
            value = getattr(self, key)
            require(0 <= value <= 1, key, f"0 <= {key} <= 1", value)
        for key in (
            "lr",
            "ratio_clip",
            "value_coefficient",
            "gradient_bound",
            "init_gain",
            "policy_gain",
            "value_gain",
        ):
            require(getattr(self, key) > 0, key, f"{key} > 0", getattr(self, key))
        clip, entropy = self.value_clip, self.entropy_coefficient
        require(clip is None or clip > 0, "value_clip", "value_clip > 0 or none", clip)
        needed = "entropy_coefficient >= 0"
        require(entropy >= 0, "entropy_coefficient", needed, entropy)
        steps = self.num_envs * self.rollout_length
        needed = f"minibatches that divide num_envs * rollout_length ({steps})"
        require(steps % self.minibatches == 0, "minibatches", needed, self.minibatches)

    @property
    def update_steps(self) -> int:
        """Environment steps between two updates."""
        return self.num_envs * self.rollout_length

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of an update."""
        return self.epochs * self.minibatches
