"""Record how the package octax plays, for tests/rl/test_octax_traces.py.

Used as a black box, in the peer's environment, which ``python benchmarks/chip8.py``
makes:

    .peers/chip8/bin/python benchmarks/contestants/record_octax.py brix pong

writes ``octax_<game>.npz`` for each game named: the random bytes that were served, in
order, the actions (the last one presses nothing), and after each reset and step a
checksum of the observation, with rewards and ends. Actions are drawn here and mostly
held for a while. No part of a program is stored.
"""

import sys
import warnings
import zlib
from pathlib import Path

import jax
import numpy as np
from jax import numpy as jnp

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "rl" / "golden"
STEPS, HELD, SEED = 1000, 0.7, 1
CHUNK = 256  # of random bytes looked at together


@jax.jit
def next_bytes(key):
    """Return the chain's next keys and bytes: octax splits its key for each byte."""

    def one(key, _):
        key, drawn = jax.random.split(key)
        return key, (key, jax.random.randint(drawn, (), 0, 256))

    return jax.lax.scan(one, key, length=CHUNK)


def served(first, last) -> list[int]:
    """Return the bytes that were drawn while octax's key went from first to last."""
    found: list[int] = []
    key, last = first, np.asarray(last)
    if (np.asarray(first) == last).all():
        return found
    while True:
        key, (keys, drawn) = next_bytes(key)
        (places,) = np.nonzero((np.asarray(keys) == last).all(1))
        found += np.asarray(drawn).tolist()
        if places.size:
            return found[: len(found) - CHUNK + int(places[0]) + 1]


def packed(board) -> np.ndarray:
    """Return an observation's bits, eight a byte, frame by row by column."""
    return np.packbits(np.asarray(board).swapaxes(-1, -2))


def play(environment, actions, keys):
    """Return what octax returns for these actions; an end starts anew with a key."""

    def one(state, inputs):
        action, key = inputs
        state, board, reward, terminated, truncated, _ = environment.step(state, action)
        anew, _, _ = environment.reset(key)
        ended = terminated | truncated
        kept = jax.tree.map(lambda a, b: jnp.where(ended, a, b), anew, state)
        return kept, (board, reward, ended, state.rng)

    state, board, _ = environment.reset(keys[0])
    return board, jax.lax.scan(one, state, (actions, keys[1:]))[1]


def played(game: str, steps: int, seed: int, held: float = HELD) -> dict:
    """Play; return random bytes, actions, rewards, ends, and packed observations.

    These are the first one, and one after each step and each reset.
    """
    from octax.environments import create_environment

    environment, _ = create_environment(game)
    generator = np.random.default_rng(seed)
    actions = generator.integers(environment.num_actions, size=steps)
    again = generator.random(steps) < held
    for step in range(1, steps):
        actions[step] = actions[step - 1] if again[step] else actions[step]
    keys = jax.random.split(jax.random.PRNGKey(seed), steps + 1)
    first, traced = jax.jit(lambda a, k: play(environment, a, k))(actions, keys)
    boards, rewards, ended, rngs = map(np.asarray, traced)
    seen, draws, key = [packed(first)], [], keys[0]
    for step in range(steps):
        seen.append(packed(boards[step]))
        if ended[step] or step == steps - 1:
            draws += served(key, rngs[step])
        if ended[step]:
            seen.append(packed(first))
            key = keys[step + 1]
    return {
        "draws": draws,
        "actions": actions,
        "boards": seen,
        "rewards": rewards,
        "ends": ended,
    }


def record(game: str) -> None:
    """Play and write what happened."""
    trace = played(game, STEPS, SEED)
    checksums = [zlib.crc32(board) & 0xFFFF for board in trace["boards"]]
    np.savez_compressed(
        GOLDEN / f"octax_{game}.npz",
        draws=np.array(trace["draws"], dtype=np.uint8),
        actions=trace["actions"].astype(np.uint8),
        boards=np.array(checksums, dtype=np.uint16),
        rewards=trace["rewards"].astype(np.int16),
        ends=trace["ends"],
    )
    counts = len(trace["draws"]), int(trace["rewards"].sum()), int(trace["ends"].sum())
    print(game, *counts, flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", FutureWarning)  # octax mixes kinds of integers
    for name in sys.argv[1:]:
        record(name)
