"""A grid of rooms with ways out that pay, as an exactly solvable decision process."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.rl.tabular.mdp import MarkovDecisionProcess, expected_visits

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left

# A little pay beside the start, much of it three doors away: an agent that improves
# finds the first before it learns to walk past it.
TWO_REWARDS = """
###########
#....#...B#
#....#....#
#.........#
#....#....#
##.#####.##
#....#....#
#.S..#....#
#.........#
#..a.#....#
###########
"""
TWO_REWARDS_PAY = {"a": 0.3, "B": 1.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class Gridworld:
    """A map and its decision process.

    Attributes:
        mdp: The process; a state is a free cell, the actions are up, right, down, left.
        cells: int64 ``(S, 2)``, row and column of each state.
        shape: Rows and columns of the map.
        exits: The letters of the ways out, in the order of ``exit_probability``.
        exit_cells: int64 ``(E, 2)``, row and column of each way out.
        exit_probability: ``(S, A, E)``, that this action leaves by this way.

    Source: ours; the rooms are a common test bed since Sutton, Precup & Singh,
        Artificial Intelligence 112 (1999).
    """

    mdp: MarkovDecisionProcess
    cells: Tensor
    shape: tuple[int, int]
    exits: tuple[str, ...]
    exit_cells: Tensor
    exit_probability: Tensor


def gridworld(
    layout: str = TWO_REWARDS,
    pay: dict[str, float] | None = None,
    *,
    discount: float = 0.95,
    slip: float = 0.1,
) -> Gridworld:
    """Return the decision process of a map.

    A move into a wall stays where it is; a move onto a letter ends the episode and
    pays.

    Args:
        layout: Lines of ``#`` (wall), ``.`` (free), one ``S`` (start, free) and
            letters that end an episode; walls all around.
        pay: Reward by letter; default that of ``TWO_REWARDS``.
        discount: gamma, in [0, 1).
        slip: Probability that the move goes in a random one of the four directions.

    Raises:
        ValueError: If the map is not closed or not rectangular, has not one start, or
            a letter has no pay, or the slip is no probability.

    Example:
        >>> lines = "#####", "#S.a#", "#####"
        >>> world = gridworld(chr(10).join(lines), {"a": 1.0}, slip=0.0)
        >>> world.cells.tolist(), world.mdp.reward[1].tolist()
        ([[1, 1], [1, 2]], [0.0, 1.0, 0.0, 0.0])
    """
    pay = TWO_REWARDS_PAY if pay is None else pay
    rows = layout.strip().splitlines()
    _check_map(rows, pay, slip)
    cells = [
        (i, j) for i, row in enumerate(rows) for j, c in enumerate(row) if c in ".S"
    ]
    number = {cell: state for state, cell in enumerate(cells)}
    exits = tuple(sorted(pay))
    transition = torch.zeros(len(cells), 4, len(cells), dtype=torch.float64)
    leaving = torch.zeros(len(cells), 4, len(exits), dtype=torch.float64)
    for state, (i, j) in enumerate(cells):
        for direction, (down, right) in enumerate(MOVES):
            chance = torch.full((4,), slip / 4, dtype=torch.float64)
            chance[direction] += 1 - slip
            target = (i + down, j + right)
            letter = rows[target[0]][target[1]]
            if letter in pay:
                leaving[state, :, exits.index(letter)] += chance
            else:
                transition[state, :, number.get(target, state)] += chance
    start = torch.zeros(len(cells), dtype=torch.float64)
    start[next(s for s, (i, j) in enumerate(cells) if rows[i][j] == "S")] = 1.0
    rewards = torch.tensor([pay[letter] for letter in exits], dtype=torch.float64)
    places = [
        next((i, row.index(letter)) for i, row in enumerate(rows) if letter in row)
        for letter in exits
    ]
    return Gridworld(
        mdp=MarkovDecisionProcess(
            transition=transition,
            reward=leaving @ rewards,
            start=start,
            discount=discount,
        ),
        cells=torch.tensor(cells),
        shape=(len(rows), len(rows[0])),
        exits=exits,
        exit_cells=torch.tensor(places),
        exit_probability=leaving,
    )


def _check_map(rows: list[str], pay: dict[str, float], slip: float) -> None:
    """Refuse what is no closed map with one start and paid ways out."""
    if not 0 <= slip <= 1:
        raise ValueError(refusal("0 <= slip <= 1", slip, "pass a probability"))
    if len({len(row) for row in rows}) != 1:
        widths = sorted({len(row) for row in rows})
        raise ValueError(refusal("lines of one width", widths, "pad with #"))
    border = rows[0] + rows[-1] + "".join(row[0] + row[-1] for row in rows)
    if set(border) != {"#"}:
        found = f"{sorted(set(border))} on the border"
        raise ValueError(refusal("walls all around", found, "close the map with #"))
    text = "".join(rows)
    if text.count("S") != 1:
        raise ValueError(refusal("one start S", text.count("S"), "mark one cell"))
    letters = sorted(set(text) - set("#.S"))
    if letters != sorted(pay):
        found = f"{letters} on the map, pay for {sorted(pay)}"
        raise ValueError(refusal("pay for each letter", found, "complete pay"))
    if any(text.count(letter) != 1 for letter in letters):
        raise ValueError(refusal("each letter once", text, "use another letter"))


def exit_share(world: Gridworld, policy: Tensor) -> Tensor:
    """Return by which way episodes end.

    Args:
        world: The grid.
        policy: ``(..., S, A)``; must end every episode with probability one.

    Returns:
        ``(..., E)``, in the order of ``world.exits``; sums to one.

    Source: Kemeny & Snell, Finite Markov Chains (1960), absorption probabilities.
    """
    visits = expected_visits(world.mdp, policy)
    leaving = torch.einsum("...sa,sae->...se", policy, world.exit_probability)
    return torch.einsum("...s,...se->...e", visits, leaving)


def on_map(world: Gridworld, quantity: Tensor) -> Tensor:
    """Return a quantity of the states as a picture; NaN where there is no state.

    Args:
        world: The grid.
        quantity: ``(..., S)``.

    Returns:
        ``(..., rows, columns)``.
    """
    picture = torch.full((*quantity.shape[:-1], *world.shape), torch.nan)
    picture = picture.to(quantity.dtype)
    picture[..., world.cells[:, 0], world.cells[:, 1]] = quantity
    return picture


def landmarks(world: Gridworld) -> dict[str, int]:
    """Return a few states by name: the start, and one beside each way out.

    Args:
        world: The grid.

    Example:
        >>> landmarks(gridworld())
        {'start': 43, 'beside B': 6, 'beside a': 52}
    """
    beside = world.exit_probability.amax(1).argmax(0)  # (E,)
    named = {f"beside {e}": int(s) for e, s in zip(world.exits, beside, strict=True)}
    return {"start": int(world.mdp.start.argmax()), **named}
