"""The games as stable-baselines3 takes many environments."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from time import perf_counter
from typing import Any

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.rl.environments import GameVectorEnv

with extra("rl"):
    import numpy as np
    from gymnasium.vector import AutoresetMode
    from numpy.typing import NDArray

_VecEnv: Any = object  # without stable-baselines3 this module is read, not used
with suppress(ModuleNotFoundError):
    _VecEnv = import_module("stable_baselines3.common.vec_env").VecEnv


class GameVecEnv(_VecEnv):
    """Games of ``make_vec`` for ``PPO("MlpPolicy", GameVecEnv(games))`` and the like.

    What ended says so as stable-baselines3 expects: ``terminal_observation``,
    ``TimeLimit.truncated`` and, as its ``Monitor`` writes it, ``episode``.

    Args:
        games: In the mode ``"same_step"``, not reset from elsewhere.

    Raises:
        ImportError: If stable-baselines3 is not there.
        ValueError: If the games have another mode.
    """

    def __init__(self, games: GameVectorEnv) -> None:
        if _VecEnv is object:
            do = "pip install stable-baselines3"
            raise ImportError(refusal("stable-baselines3", "none", do))
        mode = games.metadata["autoreset_mode"]
        if mode is not AutoresetMode.SAME_STEP:
            found, do = mode.name.lower(), "leave autoreset_mode out"
            raise ValueError(refusal("games in the mode same_step", found, do))
        self.games = games
        self.metadata = games.metadata
        self._actions: NDArray[np.integer] = np.zeros(games.num_envs, dtype=np.int64)
        self._started = perf_counter()
        super().__init__(
            games.num_envs, games.single_observation_space, games.single_action_space
        )

    def reset(self) -> NDArray:
        """Start every game, from the seed that ``seed()`` was given, if one was."""
        seeds = self._seeds
        boards, _ = self.games.reset(seed=None if set(seeds) == {None} else seeds)
        self._reset_seeds()
        self._reset_options()
        return boards

    def step_async(self, actions: NDArray[np.integer]) -> None:
        """Take in the actions ``(num_envs,)`` of the next step."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[NDArray, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Play the step; return observations, rewards, ends and a dictionary each."""
        boards, rewards, terminated, truncated, ends = self.games.step(self._actions)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [
            {"TimeLimit.truncated": bool(cut)} for cut in truncated
        ]
        passed = round(perf_counter() - self._started, 6)
        for i in np.flatnonzero(done):
            total, length = ends["episodic_return"][i], ends["episode_length"][i]
            infos[i]["terminal_observation"] = ends["final_obs"][i]
            infos[i]["episode"] = {"r": float(total), "l": int(length), "t": passed}
        return boards, rewards, done, infos

    def close(self) -> None:
        """Close the games."""
        self.games.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute or setting of the chosen games, one each."""
        return self._chosen(self.games.get_attr(attr_name), indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: games of one kind are set when they are made.

        Raises:
            AttributeError: Always.
        """
        raise AttributeError(refusal("games as made", attr_name, "pass it to make_vec"))

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Return what a method returns for the chosen games, one each."""
        return self._chosen(self.games.call(method_name, *args, **kwargs), indices)

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Return that no game is wrapped, though its episodes are written down."""
        return self._chosen([False] * self.num_envs, indices)

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return a picture of each game, None without a mode."""
        return self.games.render() or [None] * self.num_envs

    def _chosen(self, values: Sequence[Any], indices: Iterable[int] | int | None):
        return [values[i] for i in self._get_indices(indices)]
