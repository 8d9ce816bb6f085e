"""One game behind gymnasium's interface of one environment."""

from typing import Any

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.rl.environments import GameVectorEnv

with extra("rl"):
    import gymnasium
    import numpy as np
    from gymnasium.vector import AutoresetMode
    from numpy.typing import NDArray


class GameEnv(gymnasium.Env):
    """One game, which plays as that of ``make_vec(name, 1, seed=...)`` does.

    Who trains plays many side by side, at a hundredth of the time a step.

    Args:
        name: A registered game, e.g. ``"minatar/breakout"``.
        render_mode: None or ``"rgb_array"``.
        **settings: Those of :class:`isometry.rl.environments.GameVectorEnv`.

    Raises:
        ImportError: If a game of Octax is asked for and its ROM is not installed.
        KeyError: If the game is unknown, with the nearest known name.
        TypeError: If a setting is of another type.
        ValueError: If a setting is unknown or out of range.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self, name: str, *, render_mode: str | None = None, **settings: Any
    ) -> None:
        self._games = GameVectorEnv(
            name,
            1,
            seed=0,
            render_mode=render_mode,  # type: ignore[arg-type]  # checked there
            autoreset_mode=AutoresetMode.DISABLED,
            **settings,
        )
        games = self._games
        self.metadata = {**self.metadata, "render_fps": games.metadata["render_fps"]}
        self.render_mode = render_mode
        self.observation_space = games.single_observation_space
        self.action_space = games.single_action_space
        self._state = "is not reset"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray, dict[str, Any]]:
        """Start the game.

        Args:
            seed: Of all draws from here; None goes on drawing, the first time from
                what the machine calls random.
            options: None.

        Returns:
            The observation and an empty dictionary.

        Raises:
            TypeError: If the seed is no integer.
            ValueError: If there are options.
        """
        super().reset(seed=seed)
        if options:
            raise ValueError(refusal("no options", options, "leave them out"))
        if seed is None and self._state == "is not reset":
            seed = int(self.np_random.integers(2**63))
        self._state = "goes on"
        boards, infos = self._games.reset(seed=seed)
        return boards[0], infos

    def step(
        self, action: int | np.integer
    ) -> tuple[NDArray, float, bool, bool, dict[str, Any]]:
        """Play one step.

        Args:
            action: 0 to the number of actions - 1.

        Returns:
            Observation, reward, terminated, truncated and, at an end,
            ``episodic_return`` and ``episode_length``.

        Raises:
            RuntimeError: Before the first reset and after an end.
            TypeError: If the action is no integer.
            ValueError: If it is none of the game's.
        """
        if self._state != "goes on":
            needed, do = "a game that goes on", "call reset()"
            raise RuntimeError(refusal(needed, f"one that {self._state}", do))
        boards, rewards, terminated, truncated, infos = self._games.step(
            np.asarray(action)[None]
        )
        ends = bool(terminated[0]), bool(truncated[0])
        if any(ends):
            self._state = "has ended"
        shown = {k: v[0].item() for k, v in infos.items() if not k.startswith("_")}
        return boards[0], float(rewards[0]), *ends, shown

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture, uint8 ``(h, w, 3)``; None without a mode.

        Raises:
            RuntimeError: Before the first reset.
        """
        pictures = self._games.render()
        return None if pictures is None else pictures[0]
