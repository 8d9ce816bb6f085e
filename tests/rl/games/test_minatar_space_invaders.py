"""Space Invaders by scenarios: what each rule does, step by step."""

import numpy as np
import pytest

from isometry.rl.games import minatar_space_invaders as invaders
from isometry.rl.games.draws import tape

NONE, LEFT, RIGHT, FIRE = 0, 1, 3, 5
CANNON, ALIEN, HEADS_LEFT, HEADS_RIGHT, OWN, ENEMY = range(6)


def fresh():
    state = np.zeros(invaders.STATE_SIZE, dtype=np.int32)
    invaders.reset(state, tape())
    return state


def placed(aliens=None, own=(), enemy=(), **entries):
    state = fresh()
    if aliens is not None:
        state[invaders.ALIENS : invaders.ALIENS + 10] = 0
    for first, at in (
        (invaders.ALIENS, aliens or ()),
        (invaders.OWN, own),
        (invaders.ENEMY, enemy),
    ):
        for row, column in at:
            state[first + row] |= 1 << column
    for name, value in entries.items():
        state[getattr(invaders, name.upper())] = value
    return state


def play(state, action, ramping=True):
    return invaders.step(state, tape(), action, ramping)


def cells(state, channel):
    board = np.zeros((10, 10, 6), dtype=np.bool_)
    invaders.observe(state, board)
    return [tuple(cell) for cell in np.argwhere(board[..., channel]).tolist()]


def columns(state):
    return sorted({column for _, column in cells(state, ALIEN)})


def test_an_idle_player_is_shot_on_step_17():
    state, ends = fresh(), []
    for step in range(1, 18):
        reward, over = play(state, NONE)
        assert reward == 0
        ends.append(over)
        if step == 11:
            assert cells(state, ENEMY) == [(3, 5)]
        if step == 12:
            assert columns(state) == list(range(2, 8))
        if step == 13:
            assert columns(state) == list(range(1, 7))
            assert state[invaders.FLEET_COUNTDOWN] == 11
    assert cells(state, ENEMY) == [(9, 5)]
    assert ends == [False] * 16 + [True]


def test_the_gun_fires_every_fifth_step():
    state, rewards = fresh(), []
    for step in range(1, 13):
        rewards.append(play(state, FIRE)[0])
        if step <= 5:
            assert cells(state, OWN) == [(9 - step, 5)]
        if step == 6:
            assert cells(state, OWN) == [(8, 5)]
        if step == 11:
            assert cells(state, ENEMY) == [(2, 5)]
            assert cells(state, OWN) == [(3, 5), (8, 5)]
    assert rewards == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]


def test_the_fleet_descends_at_the_edge_and_turns():
    state = placed([(5, 0), (4, 3)], fleet_countdown=0, gun_countdown=7)
    play(state, NONE)
    assert cells(state, ALIEN) == [(5, 3), (6, 0)]
    assert cells(state, HEADS_RIGHT) == cells(state, ALIEN)
    assert cells(state, HEADS_LEFT) == []
    assert state[invaders.FLEET_COUNTDOWN] == 1
    play(state, NONE)
    play(state, NONE)
    assert cells(state, ALIEN) == [(5, 4), (6, 1)]


def test_the_fleet_turns_at_the_right_edge_too():
    state = placed([(5, 9), (4, 3)], heading=1, fleet_countdown=0, gun_countdown=7)
    play(state, NONE)
    assert cells(state, HEADS_LEFT) == cells(state, ALIEN) == [(5, 3), (6, 9)]
    assert cells(state, HEADS_RIGHT) == []


def test_an_alien_and_a_bullet_that_exchange_rows_miss_each_other():
    state = placed([(4, 0), (1, 5)], own=[(5, 0)], fleet_countdown=0, gun_countdown=5)
    assert play(state, NONE) == (0, False)
    assert (cells(state, ALIEN), cells(state, OWN)) == ([(2, 5), (5, 0)], [(4, 0)])


def test_every_alien_that_is_hit_counts():
    state = placed(
        [(4, 2), (4, 6), (1, 1)],
        own=[(5, 2), (5, 6), (8, 8)],
        fleet_countdown=5,
        gun_countdown=5,
    )
    assert play(state, NONE) == (2, False)
    assert (cells(state, ALIEN), cells(state, OWN)) == ([(1, 1)], [(7, 8)])


def test_a_new_wave_leaves_bullets_cannon_and_heading_as_they_are():
    state = placed(
        [(4, 4)], own=[(5, 4), (7, 7)], enemy=[(5, 9)], heading=1, cannon=3,
        fleet_countdown=5, gun_countdown=5,
    )  # fmt: skip
    assert play(state, NONE) == (1, False)
    assert len(cells(state, HEADS_RIGHT)) == 24
    assert (cells(state, OWN), cells(state, ENEMY)) == ([(6, 7)], [(6, 9)])
    assert cells(state, CANNON) == [(9, 3)]


@pytest.mark.parametrize(
    ("bullet", "reward", "left", "shown"),
    [((5, 4), 0, [(2, 6), (4, 3)], [(4, 4)]), ((5, 3), 1, [(2, 6)], [])],
)
def test_a_bullet_hits_where_the_fleet_is_after_its_move(bullet, reward, left, shown):
    state = placed([(4, 4), (2, 7)], own=[bullet], fleet_countdown=0, gun_countdown=5)
    assert play(state, NONE) == (reward, False)
    assert cells(state, ALIEN) == left
    assert cells(state, OWN) == shown


@pytest.mark.parametrize(("ramping", "interval"), [(True, 11), (False, 12)])
def test_the_last_hit_brings_a_new_wave(ramping, interval):
    state = placed([(4, 4)], own=[(5, 4)], fleet_countdown=5, gun_countdown=5)
    assert play(state, NONE, ramping) == (1, False)
    wave = [(row, column) for row in range(4) for column in range(2, 8)]
    assert cells(state, HEADS_LEFT) == wave
    assert state[invaders.INTERVAL] == interval
    assert state[invaders.FLEET_COUNTDOWN] == state[invaders.GUN_COUNTDOWN] == 4


def test_waves_become_faster_up_to_the_seventh():
    state = fresh()
    intervals = []
    for _ in range(9):
        state[invaders.ALIENS : invaders.ALIENS + 10] = 0
        state[invaders.ALIENS + 4] = state[invaders.OWN + 5] = 1
        state[invaders.FLEET_COUNTDOWN] = state[invaders.GUN_COUNTDOWN] = 5
        play(state, NONE)
        intervals.append(int(state[invaders.INTERVAL]))
    assert intervals == [11, 10, 9, 8, 7, 6, 6, 6, 6]


def test_the_nearest_column_shoots_and_the_lower_one_on_a_tie():
    state = placed([(2, 4), (3, 6)], gun_countdown=0, fleet_countdown=5)
    play(state, NONE)
    assert cells(state, ENEMY) == [(2, 4)]
    state = placed([(2, 6), (4, 6), (3, 0)], gun_countdown=0, fleet_countdown=5)
    play(state, NONE)
    assert cells(state, ENEMY) == [(4, 6)]


@pytest.mark.parametrize(
    ("bullet", "action", "end"),
    [
        ((8, 5), NONE, True),
        ((8, 5), LEFT, False),
        ((8, 5), RIGHT, False),
        ((8, 6), RIGHT, True),
        ((9, 5), NONE, False),
    ],
)
def test_an_enemy_bullet_that_reaches_the_cannon_ends_the_game(bullet, action, end):
    assert play(placed(enemy=[bullet]), action) == (0, end)


def test_a_fleet_that_lands_ends_the_game():
    state = placed(
        [(9, 9), (2, 4)], heading=1, fleet_countdown=0, gun_countdown=5, cannon=2
    )
    assert play(state, NONE) == (0, True)
    assert cells(state, ALIEN) == [(0, 9), (3, 4)]


@pytest.mark.parametrize("cannon", [3, 4])
def test_an_alien_that_meets_the_cannon_ends_the_game(cannon):
    # At (9, 4) before the fleet's move, at (9, 3) after it.
    state = placed([(9, 4)], fleet_countdown=0, gun_countdown=5, cannon=cannon)
    assert play(state, NONE) == (0, True)


def test_bullets_pass_each_other_and_leave_the_board():
    state = placed(own=[(0, 1), (6, 2)], enemy=[(9, 9), (5, 2)], cannon=0)
    play(state, NONE)
    assert cells(state, OWN) == [(5, 2)]
    assert cells(state, ENEMY) == [(6, 2)]


@pytest.mark.parametrize(("action", "end"), [(LEFT, 0), (RIGHT, 9), (2, 5), (4, 5)])
def test_the_cannon_stays_on_the_board(action, end):
    state = placed([(0, 0)], fleet_countdown=50, gun_countdown=50)
    for _ in range(10):
        play(state, action)
    assert cells(state, CANNON) == [(9, end)]
