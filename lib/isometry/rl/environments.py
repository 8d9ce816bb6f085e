"""Many games behind gymnasium's vector interface."""

from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from isometry.core.messages import refusal
from isometry.rl.draws import sources
from isometry.rl.games import FULL_ACTIONS, GAMES, SIZE
from isometry.rl.kernels import compiled

PIXELS = 8  # of a cell in a picture, in each direction


class GameVectorEnv(VectorEnv):
    """Games of one kind, played side by side, each with draws of its own.

    A game that ends is started anew in the same step: the observation returned is the
    new game's first, the old one's last stands in ``infos["final_obs"]`` where
    ``infos["_final_obs"]`` says so, with ``infos["episodic_return"]`` and
    ``infos["episode_length"]``. ``terminated`` is the game's own end, ``truncated`` the
    limit of steps; never both. Arrays returned are never written to again.

    Args:
        name: A registered game, e.g. ``"minatar/breakout"``.
        num_envs: How many, at least 1.
        seed: Of the first ``reset()`` without one.
        sticky: Probability that the last executed action is repeated, in [0, 1].
        actions: ``"minimal"``: those that do something; ``"full"``: the same six for
            all games of a suite.
        ramping: Whether games that can become harder do.
        max_steps: Steps after which an episode is truncated; None: never.
        render_mode: None or ``"rgb_array"``.

    Raises:
        KeyError: If the game is unknown, with the nearest known name.
        ValueError: If a setting is out of range.

    Source: Young & Tian, arXiv 1903.03176; the interface is gymnasium's.
    """

    def __init__(
        self,
        name: str,
        num_envs: int,
        *,
        seed: int,
        sticky: float = 0.0,
        actions: Literal["minimal", "full"] = "minimal",
        ramping: bool = True,
        max_steps: int | None = None,
        render_mode: Literal["rgb_array"] | None = None,
    ) -> None:
        game = GAMES.get(name)
        _check(num_envs, sticky, actions, max_steps, render_mode)
        self.metadata = {
            "autoreset_mode": AutoresetMode.SAME_STEP,
            "render_modes": ["rgb_array"],
            "render_fps": 10,
        }
        self.game = game
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.sticky, self.ramping = float(sticky), bool(ramping)
        self.max_steps = max_steps or 0
        codes = FULL_ACTIONS if actions == "full" else game.minimal_actions
        self._codes = np.array(codes, dtype=np.int64)
        shape = (SIZE, SIZE, len(game.channels))
        self.single_observation_space = spaces.Box(0, 1, shape, np.bool_)
        self.single_action_space = spaces.Discrete(len(codes))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._reset_all, self._step_all, self._observe_all = compiled(name)
        self._seed = seed
        self._states = np.zeros((num_envs, game.state_size), dtype=np.int32)
        self._sources: NDArray[np.uint64] | None = None
        self._executed = np.zeros(num_envs, dtype=np.int64)
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._returns = np.zeros(num_envs, dtype=np.float64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.bool_], dict[str, Any]]:
        """Start every game.

        Args:
            seed: Start all draws anew from here; None goes on drawing (the first time:
                from the constructor's seed). As in the original, the action that a
                sticky step would repeat is forgotten only with a seed.
            options: None.

        Returns:
            Boards, bool ``(num_envs, 10, 10, channels)``, and an empty dictionary.

        Raises:
            ValueError: If there are options.
        """
        if options:
            raise ValueError(refusal("no options", options, "leave them out"))
        if seed is not None or self._sources is None:
            chosen = self._seed if seed is None else seed
            self._sources = sources(chosen, self.num_envs, self.game.name)
            self._executed[:] = 0
        self._reset_all(self._states, self._sources)
        self._elapsed[:] = 0
        self._returns[:] = 0
        return self._boards(), {}

    def step(
        self,
        actions: NDArray[np.integer],  # (num_envs,)
    ) -> tuple[
        NDArray[np.bool_],
        NDArray[np.float32],
        NDArray[np.bool_],
        NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Play one step of every game.

        Args:
            actions: Integers ``(num_envs,)``, 0 to the number of actions - 1.

        Returns:
            Boards bool ``(num_envs, 10, 10, channels)``, rewards float32, terminated
            and truncated bool, each ``(num_envs,)``, and what ended.

        Raises:
            RuntimeError: Before the first reset.
            TypeError: If the actions are not integers.
            ValueError: If their shape or a value is wrong.
        """
        if self._sources is None:
            needed = "a reset before the first step"
            raise RuntimeError(refusal(needed, "none", "call reset()"))
        codes = self._codes[self._checked(actions)]
        boards = self._empty()
        final_boards = self._empty()
        rewards = np.empty(self.num_envs, dtype=np.float32)
        terminated = np.empty(self.num_envs, dtype=np.bool_)
        truncated = np.empty(self.num_envs, dtype=np.bool_)
        lengths = self._elapsed + 1
        ended = self._step_all(
            self._states,
            self._sources,
            self._executed,
            self._elapsed,
            codes,
            self.sticky,
            self.ramping,
            self.max_steps,
            boards,
            final_boards,
            rewards,
            terminated,
            truncated,
        )
        self._returns += rewards
        infos: dict[str, Any] = {}
        if ended:
            done = terminated | truncated
            for key, value in (
                ("final_obs", final_boards),
                ("episodic_return", np.where(done, self._returns, 0.0)),
                ("episode_length", np.where(done, lengths, 0)),
            ):
                infos[key], infos[f"_{key}"] = value, done.copy()
            self._returns[done] = 0
        return boards, rewards, terminated, truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return one picture a game, uint8 ``(80, 80, 3)``; None without a mode.

        The first channel of a cell that is on decides its colour.

        Raises:
            RuntimeError: Before the first reset.
        """
        if self.render_mode is None:
            return None
        if self._sources is None:
            raise RuntimeError(refusal("a reset before", "none", "call reset()"))
        palette = mpl.colormaps["tab10"](np.arange(len(self.game.channels)))[:, :3]
        colours = np.vstack([palette, np.zeros(3)])
        boards = self._boards()
        nothing = np.ones((*boards.shape[:-1], 1), dtype=np.bool_)
        first = np.concatenate([boards, nothing], axis=-1).argmax(-1)
        pictures = (255 * colours[first]).astype(np.uint8)
        return tuple(pictures.repeat(PIXELS, axis=1).repeat(PIXELS, axis=2))

    def _empty(self) -> NDArray[np.bool_]:
        shape = (self.num_envs, SIZE, SIZE, len(self.game.channels))
        return np.zeros(shape, dtype=np.bool_)

    def _boards(self) -> NDArray[np.bool_]:
        boards = self._empty()
        self._observe_all(self._states, boards)
        return boards

    def _checked(self, actions: NDArray[np.integer]) -> NDArray[np.integer]:
        array = np.asarray(actions)
        if not np.issubdtype(array.dtype, np.integer):
            found = str(array.dtype)
            raise TypeError(refusal("integer actions", found, "convert them"))
        if array.shape != (self.num_envs,):
            needed = f"one action a game, shape ({self.num_envs},)"
            raise ValueError(refusal(needed, str(array.shape), "reshape"))
        last = len(self._codes) - 1
        if array.min() < 0 or array.max() > last:
            found = f"{array.min()} to {array.max()}"
            raise ValueError(refusal(f"actions 0 to {last}", found, "clip or mask"))
        return array


def _check(
    num_envs: int,
    sticky: float,
    actions: str,
    max_steps: int | None,
    render_mode: str | None,
) -> None:
    """Refuse settings that are out of range."""
    if num_envs < 1:
        raise ValueError(refusal("num_envs >= 1", num_envs, "play at least one"))
    if not 0 <= sticky <= 1:
        raise ValueError(refusal("0 <= sticky <= 1", sticky, "pass a probability"))
    if actions not in ("minimal", "full"):
        raise ValueError(refusal("actions minimal or full", actions, "choose one"))
    if max_steps is not None and max_steps < 1:
        raise ValueError(refusal("max_steps >= 1", max_steps, "or pass None"))
    if render_mode not in (None, "rgb_array"):
        needed = "render_mode None or 'rgb_array'"
        raise ValueError(refusal(needed, render_mode, "choose one"))
