"""How large chapter 4's experiments are."""

from dataclasses import dataclass

from isometry.core.profile import ByProfile


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiments are.

    Attributes:
        seeds: How many networks of each kind.
        depths: Hidden layers of the Jacobians.
        fit_seeds: How many networks of each kind in the regressions and critics.
        fit_steps: Training steps of the regressions and critics.
        fit_width: Units per hidden layer of the same.
        rates: Learning rates of the same; the best counts.
        deep: Hidden layers of the networks that learn images.
        deep_steps: Training steps on images.
        deep_rates: Learning rates on images; the best final loss counts.
    """

    seeds: int
    depths: tuple[int, ...]
    fit_seeds: int
    fit_steps: int
    fit_width: int
    rates: tuple[float, ...]
    deep: tuple[int, ...]
    deep_steps: int
    deep_rates: tuple[float, ...]


SIZES = ByProfile(
    smoke=Sizes(
        seeds=2,
        depths=(1, 10, 100),
        fit_seeds=2,
        fit_steps=150,
        fit_width=32,
        rates=(1e-2,),
        deep=(50,),
        deep_steps=20,
        deep_rates=(1e-3,),
    ),
    laptop=Sizes(
        seeds=3,
        depths=(1, 3, 10, 30, 100, 300, 1000),
        fit_seeds=5,
        fit_steps=1500,
        fit_width=64,
        rates=(1e-2,),
        deep=(50, 200),
        deep_steps=100,
        deep_rates=(1e-3,),
    ),
    paper=Sizes(
        seeds=8,
        depths=(1, 3, 10, 30, 100, 300, 1000),
        fit_seeds=8,
        fit_steps=3000,
        fit_width=128,
        rates=(3e-3, 1e-2),
        deep=(50, 200),
        deep_steps=1000,
        deep_rates=(1e-4, 3e-4, 1e-3, 3e-3),
    ),
)
