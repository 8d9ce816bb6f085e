"""Many games behind gymnasium's vector interface."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from isometry.core.messages import refusal
from isometry.rl.games.draws import sources
from isometry.rl.games.kernels import compiled, keep_ends
from isometry.rl.games.registry import GAMES

_LOOPS = ("_reset_all", "_step_all", "_observe_all")


class GameVectorEnv(VectorEnv):
    """Games of one kind, played side by side, each with draws of its own.

    A game that ends is started anew in the same step: the observation returned is the
    new game's first, the old one's last stands in ``infos["final_obs"]`` where
    ``infos["_final_obs"]`` says so, with ``infos["episodic_return"]`` and
    ``infos["episode_length"]``. ``terminated`` is the game's own end, ``truncated`` the
    limit of steps; never both. Arrays returned are never written to again.
    ``copy.deepcopy`` and ``pickle`` make twins that go on alike, draws included.

    Observations are arrays of bool. MinAtar's are ``(10, 10, channels)``: row, column,
    channel. Octax's are ``(4, 32, 64)``: the frames after 11, 22, 33 and 44
    instructions of this step, oldest first, row, column. The published agents of Octax
    feed that array as it is to a convolution that takes channels last, so that the 64
    columns act as channels.

    Args:
        name: A registered game, e.g. ``"minatar/breakout"`` or ``"octax/brix"``.
        num_envs: How many, at least 1.
        seed: Of the first ``reset()`` without one.
        render_mode: None or ``"rgb_array"``.
        **settings: Those of the game, see ``isometry.rl.games.registry.GAMES``:

            * ``actions``: ``"minimal"``: those that do something; ``"full"``: the same
              for all games of a suite, six in MinAtar, sixteen keys and none in Octax.
            * ``max_steps``: Steps after which an episode is truncated; None: never. If
              nothing is said, none in MinAtar and 4,500 in Octax.
            * ``sticky``, MinAtar: Probability that the last executed action is
              repeated, in [0, 1].
            * ``ramping``, MinAtar: Whether games that can become harder do.
            * ``timer_wrap``, Octax: Whether timers go on from 0 to 255, which octax's
              do although no machine's did; else they rest at 0. Games whose timers are
              zeroed after each step do not change.

    Raises:
        ImportError: If a game of Octax is asked for and its ROM is not installed.
        KeyError: If the game is unknown, with the nearest known name.
        TypeError: If a count, ``sticky`` or the seed is no number of its kind.
        ValueError: If a setting is unknown or out of range, or a ROM is not octax's.

    Source: Young & Tian, arXiv 1903.03176; Radji et al., arXiv 2510.01764; the
    interface is gymnasium's.
    """

    def __init__(
        self,
        name: str,
        num_envs: int,
        *,
        seed: int,
        render_mode: Literal["rgb_array"] | None = None,
        **settings: Any,
    ) -> None:
        game = GAMES.get(name)
        _check_settings(name, settings, game.settings)
        chosen = {**game.settings, **settings}
        _check_whole("seed", seed)
        _check(num_envs, render_mode, **chosen)
        self.metadata = {
            "autoreset_mode": AutoresetMode.SAME_STEP,
            "render_modes": ["rgb_array"],
            "render_fps": game.steps_a_second,
        }
        self.game = game
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.settings: Mapping[str, Any] = chosen
        full = chosen["actions"] == "full"
        codes = game.full_actions if full else game.minimal_actions
        self._codes = np.array(codes, dtype=np.int64)
        self.single_observation_space = spaces.Box(0, 1, game.shape, np.bool_)
        self.single_action_space = spaces.Discrete(len(codes))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._reset_all, self._step_all, self._observe_all = compiled(name)
        self._rules = (
            float(chosen.get("sticky", 0.0)),
            bool(chosen[game.rule]),
            chosen["max_steps"] or 0,
        )
        self._seed = seed
        self._start = game.start()
        self._states = np.tile(self._start, (num_envs, 1))
        self._sources: NDArray[np.uint64] | None = None
        self._executed = np.zeros(num_envs, dtype=np.int64)
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._returns = np.zeros(num_envs, dtype=np.float64)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but compiled code, which a copy finds again by its game's name."""
        kept = {key: self.__dict__[key] for key in self.__dict__.keys() - set(_LOOPS)}
        return {**kept, "game": self.game.name}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in this process or another that knows the game."""
        loops = zip(_LOOPS, compiled(state["game"]), strict=True)
        self.__dict__.update(state, game=GAMES.get(state["game"]), **dict(loops))

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
            Boards, bool ``(num_envs, *shape)``, and an empty dictionary.

        Raises:
            TypeError: If the seed is no integer.
            ValueError: If there are options.
        """
        if options:
            raise ValueError(refusal("no options", options, "leave them out"))
        if seed is not None:
            _check_whole("seed", seed)
        if seed is not None or self._sources is None:
            chosen = self._seed if seed is None else seed
            self._sources = sources(chosen, self.num_envs, self.game.name)
            self._executed[:] = 0
        boards, all_games = self._empty(), np.ones(self.num_envs, dtype=np.bool_)
        self._reset_all(self._states, self._sources, self._start, all_games, boards)
        self._elapsed[:] = self._returns[:] = 0
        return boards, {}

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
            Boards bool ``(num_envs, *shape)``, rewards float32, terminated and
            truncated bool, each ``(num_envs,)``, and what ended.

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
        rewards = np.empty(self.num_envs, dtype=np.float32)
        terminated = np.empty(self.num_envs, dtype=np.bool_)
        truncated = np.empty(self.num_envs, dtype=np.bool_)
        ended = self._step_all(
            self._states,
            self._sources,
            self._executed,
            self._elapsed,
            np.zeros(self.num_envs, dtype=np.bool_),
            codes,
            *self._rules,
            boards,
            rewards,
            terminated,
            truncated,
        )
        self._returns += rewards
        infos: dict[str, Any] = {}
        if ended:
            done = terminated | truncated
            last, returns, lengths = kept = (
                np.zeros_like(boards),
                np.zeros_like(self._returns),
                np.zeros_like(self._elapsed),
            )
            rows = (self.num_envs, -1)
            keep_ends(
                done,
                boards.reshape(rows),
                last.reshape(rows),
                self._returns,
                self._elapsed,
                returns,
                lengths,
            )
            keys = ("final_obs", "episodic_return", "episode_length")
            for key, value in zip(keys, kept, strict=True):
                infos[key], infos[f"_{key}"] = value, done.copy()
            self._reset_all(self._states, self._sources, self._start, done, boards)
        return boards, rewards, terminated, truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return one picture a game, uint8 ``(h, w, 3)``; None without a mode.

        Raises:
            RuntimeError: Before the first reset.
        """
        if self.render_mode is None:
            return None
        if self._sources is None:
            raise RuntimeError(refusal("a reset before", "none", "call reset()"))
        boards = self._empty()
        self._observe_all(self._states, boards)
        return tuple(self.game.picture(boards))

    def _empty(self) -> NDArray[np.bool_]:
        return np.empty((self.num_envs, *self.game.shape), dtype=np.bool_)

    def _checked(self, actions: NDArray[np.integer]) -> NDArray[np.integer]:
        try:
            array = np.asarray(actions)
        except (RuntimeError, TypeError, ValueError) as error:
            found = f"what numpy refuses ({error})"
            line = refusal("integer actions", found, "convert them")
            raise TypeError(line) from error
        if array.dtype.kind not in "iu":
            found = str(array.dtype)
            raise TypeError(refusal("integer actions", found, "convert them"))
        if array.shape != (self.num_envs,):
            needed = f"one action a game, shape ({self.num_envs},)"
            raise ValueError(refusal(needed, str(array.shape), "reshape"))
        last = len(self._codes) - 1
        # A negative number is a large one without its sign.
        if array.view(f"u{array.itemsize}").max() > last:
            found = f"{array.min()} to {array.max()}"
            raise ValueError(refusal(f"actions 0 to {last}", found, "clip or mask"))
        return array


def _check_settings(
    name: str, given: Mapping[str, Any], known: Mapping[str, Any]
) -> None:
    """Refuse settings that the game does not have."""
    for key in given:
        if key not in known:
            needed = f"one of the settings of {name} ({', '.join(known)})"
            raise ValueError(refusal(needed, key, "leave it out"))


def _check(
    num_envs: int,
    render_mode: str | None,
    *,
    actions: str,
    max_steps: int | None,
    sticky: float = 0.0,
    **rule: bool,
) -> None:
    """Refuse settings that are of another type or out of range."""
    _check_whole("num_envs", num_envs)
    if num_envs < 1:
        raise ValueError(refusal("num_envs >= 1", num_envs, "play at least one"))
    if not isinstance(sticky, Real):
        raise TypeError(refusal("a number for sticky", sticky, "pass a probability"))
    if not 0 <= sticky <= 1:
        raise ValueError(refusal("0 <= sticky <= 1", sticky, "pass a probability"))
    if not isinstance(actions, str) or actions not in ("minimal", "full"):
        raise ValueError(refusal("actions minimal or full", actions, "choose one"))
    if max_steps is not None:
        _check_whole("max_steps", max_steps)
        if not 1 <= max_steps < 2**63:  # compiled code counts them in 64 bits
            needed = "max_steps >= 1 and below 2**63"
            raise ValueError(refusal(needed, max_steps, "or pass None"))
    for key, value in rule.items():
        if not isinstance(value, Integral | np.bool_) or value not in (True, False):
            raise ValueError(refusal(f"{key} True or False", value, "choose one"))
    if render_mode not in (None, "rgb_array"):
        needed = "render_mode None or 'rgb_array'"
        raise ValueError(refusal(needed, render_mode, "choose one"))


def _check_whole(name: str, value: object) -> None:
    """Refuse what is no integer."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        needed = f"a whole number for {name}"
        raise TypeError(refusal(needed, value, "convert it first"))
