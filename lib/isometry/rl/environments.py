"""Many games behind gymnasium's vector interface."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.core.seeding import derived_seed
from isometry.rl.environment_checks import (
    check,
    check_settings,
    check_whole,
    checked_actions,
    checked_dtype,
    checked_mask,
    checked_mode,
)
from isometry.rl.games.draws import sources
from isometry.rl.games.kernels import compiled, keep_ends
from isometry.rl.games.registry import GAMES

with extra("rl"):
    import numpy as np
    from gymnasium import spaces, utils
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
    from numpy.typing import DTypeLike, NDArray

_LOOPS = ("_reset_all", "_step_all", "_observe_all")


class GameVectorEnv(VectorEnv):
    """Games of one kind, played side by side, each with draws of its own.

    ``terminated`` is the game's own end, ``truncated`` the limit of steps; never both.
    ``infos["episodic_return"]`` and ``infos["episode_length"]`` say what ended, where
    ``infos["_episodic_return"]`` does. When a game that ended starts anew is
    gymnasium's ``autoreset_mode``: ``"same_step"``, at once, and its last observation
    stands in ``infos["final_obs"]``; ``"next_step"``, in the next step, which returns
    the new game's first observation, reward 0 and no end, whatever its action;
    ``"disabled"``, by ``reset(options={"reset_mask": ended})``. A game plays the same
    in all three. Arrays returned are never written to again.
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
        autoreset_mode: ``"same_step"``, ``"next_step"`` or ``"disabled"``, or one of
            gymnasium's ``AutoresetMode``. Its wrappers that change observations need
            one of the last two, ``NormalizeObservation`` the second.
        dtype: Of observations: any of numbers.
        channels_first: Whether MinAtar's observations are ``(channels, 10, 10)``, as
            torch's convolutions take them. Octax's frames stand first as it is.
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
        TypeError: If a count, ``sticky``, seed or ``dtype`` is none of its kind.
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
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        dtype: DTypeLike = np.bool_,
        channels_first: bool = False,
        **settings: Any,
    ) -> None:
        game = GAMES.get(name)
        check_settings(name, settings, game.settings)
        chosen = {**game.settings, **settings}
        check_whole("seed", seed)
        check(num_envs, render_mode, **chosen)
        self._mode = self.autoreset_mode = checked_mode(autoreset_mode)
        self._dtype = checked_dtype(dtype)
        self._moved = bool(channels_first) and game.channels_last
        self.metadata = {
            "autoreset_mode": self._mode,
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
        shape = self._shown(np.empty((0, *game.shape), dtype=np.bool_)).shape[1:]
        self.single_observation_space = spaces.Box(0, 1, shape, self._dtype.type)
        self.single_action_space = spaces.Discrete(len(codes))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._reset_all, self._step_all, self._observe_all = compiled(name)
        self._rules = (
            float(chosen.get("sticky", 0.0)),
            bool(chosen[game.rule]),
            chosen["max_steps"] or 0,
        )
        self._seed = self._np_random_seed = seed
        self._start = game.start()
        self._states = np.tile(self._start, (num_envs, 1))
        self._sources: NDArray[np.uint64] | None = None
        self._ended = np.zeros(num_envs, dtype=np.bool_)
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
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray, dict[str, Any]]:
        """Start every game, or some.

        Args:
            seed: Start all draws anew from here; None goes on drawing (the first time:
                from the constructor's seed). A list has one for each game, which then
                plays as the only one of that seed does; None in it goes on. As in the
                original, the action that a sticky step would repeat is forgotten only
                with a seed.
            options: ``{"reset_mask": bool (num_envs,)}`` starts those games alone; a
                seed is for them, too.

        Returns:
            Observations ``(num_envs, ...)``, as they are for games that are not
            started, and an empty dictionary.

        Raises:
            RuntimeError: If some are started before all are.
            TypeError: If a seed is no integer.
            ValueError: If there are other options, or not a seed for each game.
        """
        mask = checked_mask(options, self.num_envs)
        if mask is not None and self._sources is None:
            raise RuntimeError(refusal("a reset of all games first", "none", "reset()"))
        chosen = np.ones(self.num_envs, dtype=np.bool_) if mask is None else mask
        if seed is None and self._sources is None:
            seed = self._seed
        if seed is not None:
            self._reseed(seed, chosen)
        boards = self._empty()
        self._observe_all(self._states, boards)
        self._reset_all(self._states, self._sources, self._start, chosen, boards)
        self._elapsed[chosen] = self._returns[chosen] = 0
        self._ended[chosen] = False
        return self._shown(boards), {}

    def _reseed(
        self, seed: int | Sequence[int | None], chosen: NDArray[np.bool_]
    ) -> None:
        """Start the draws of the chosen games anew."""
        name, count = self.game.name, self.num_envs
        if isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str):
            if len(seed) != count:
                needed = f"a seed for each game, {count}"
                raise ValueError(refusal(needed, f"{len(seed)}", "or pass one integer"))
            for one in seed:
                if one is not None:
                    check_whole("seed", one)
            alone = [sources(0 if s is None else int(s), 1, name) for s in seed]
            new = np.concatenate(alone)
            chosen = chosen & np.array([one is not None for one in seed])
            first: int = derived_seed(0, name, *(-1 if s is None else s for s in seed))
        else:
            check_whole("seed", seed)
            new, first = sources(int(seed), count, name), int(seed)
        if self._sources is None:
            self._sources = sources(self._seed, count, name)
        self._sources[chosen] = new[chosen]
        self._executed[chosen] = 0
        # Nothing here draws from gymnasium's generator; wrappers may.
        self._np_random, _ = utils.seeding.np_random(abs(first))
        self._np_random_seed = first

    def step(
        self,
        actions: NDArray[np.integer],  # (num_envs,)
    ) -> tuple[
        NDArray,
        NDArray[np.float32],
        NDArray[np.bool_],
        NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Play one step of every game.

        Args:
            actions: Integers ``(num_envs,)``, 0 to the number of actions - 1.

        Returns:
            Observations ``(num_envs, ...)``, rewards float32, terminated and
            truncated bool, each ``(num_envs,)``, and what ended.

        Raises:
            RuntimeError: Before the first reset; if a game has ended that is not to
                start by itself.
            TypeError: If the actions are not integers.
            ValueError: If their shape or a value is wrong.
        """
        if self._sources is None:
            needed = "a reset before the first step"
            raise RuntimeError(refusal(needed, "none", "call reset()"))
        codes = self._codes[checked_actions(actions, self.num_envs, len(self._codes))]
        waiting, boards = self._ended, self._empty()
        at_once = self._mode is AutoresetMode.SAME_STEP
        if not at_once and waiting.any():
            self._start_ended(boards)
        rewards = np.empty(self.num_envs, dtype=np.float32)
        terminated = np.empty(self.num_envs, dtype=np.bool_)
        truncated = np.empty(self.num_envs, dtype=np.bool_)
        ended = self._step_all(
            self._states,
            self._sources,
            self._executed,
            self._elapsed,
            waiting,
            codes,
            *self._rules,
            boards,
            rewards,
            terminated,
            truncated,
        )
        self._returns += rewards
        infos: dict[str, Any] = {}
        if not at_once:
            self._ended = terminated | truncated
        if ended:
            infos = self._ends(terminated | truncated, boards)
        return self._shown(boards), rewards, terminated, truncated, infos

    def _start_ended(self, boards: NDArray[np.bool_]) -> None:
        """Start what ended in the last step, if that is left to this one."""
        if self._mode is AutoresetMode.DISABLED:
            found = f"games {np.flatnonzero(self._ended).tolist()} that have ended"
            do = "reset(options={'reset_mask': ended})"
            raise RuntimeError(refusal("games that go on", found, do))
        self._reset_all(self._states, self._sources, self._start, self._ended, boards)

    def _ends(
        self, done: NDArray[np.bool_], boards: NDArray[np.bool_]
    ) -> dict[str, Any]:
        """Return what has ended; start it anew, on its board, if that is to be now."""
        last, returns = np.zeros_like(boards), np.zeros_like(self._returns)
        lengths = np.zeros_like(self._elapsed)
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
        kept = {"episodic_return": returns, "episode_length": lengths}
        if self._mode is AutoresetMode.SAME_STEP:
            kept = {"final_obs": self._shown(last), **kept}
            self._reset_all(self._states, self._sources, self._start, done, boards)
        infos: dict[str, Any] = {}
        for key, value in kept.items():
            infos[key], infos[f"_{key}"] = value, done.copy()
        return infos

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return an attribute, or what a method returns, once for each game.

        Args:
            name: Of the environment or of a setting. Spaces are those of one game,
                ``"render"`` gives a picture of each.
            *args: For a method.
            **kwargs: For a method.

        Raises:
            AttributeError: If there is none of that name.
        """
        if name in self.settings:
            return (self.settings[name],) * self.num_envs
        single = name in ("observation_space", "action_space")
        found = getattr(self, f"single_{name}" if single else name)
        found = found(*args, **kwargs) if callable(found) and not single else found
        each = name == "render" and found is not None
        return found if each else (found,) * self.num_envs

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute or setting once for each game, see :meth:`call`."""
        return self.call(name)

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

    def _shown(self, boards: NDArray[np.bool_]) -> NDArray:
        """Return observations in the order and type that were asked for."""
        if self._moved:
            boards = np.ascontiguousarray(np.moveaxis(boards, -1, 1))
        return boards if self._dtype == np.bool_ else boards.astype(self._dtype)

    def _empty(self) -> NDArray[np.bool_]:
        return np.empty((self.num_envs, *self.game.shape), dtype=np.bool_)
