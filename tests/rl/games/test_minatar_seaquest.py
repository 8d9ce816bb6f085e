"""Seaquest by scenarios: what each rule does, step by step."""

import numpy as np
import pytest

from isometry.rl.games import minatar_seaquest as seaquest
from isometry.rl.games.draws import tape

NONE, LEFT, UP, RIGHT, DOWN, FIRE = range(6)
FRONT, BACK, OWN, TRAIL, SHOTS, FISH, SUBS, OXYGEN, CREW, DIVERS = range(10)


def fresh(**entries):
    state = np.zeros(seaquest.STATE_SIZE, dtype=np.int32)
    seaquest.reset(state, tape())
    for name, value in entries.items():
        state[getattr(seaquest, name.upper())] = value
    return state


def quiet(**entries):
    """Below the surface, with nobody about to enter."""
    return fresh(**{"row": 4, "surfaced": 0, "spawn_countdown": 9999,
                    "diver_countdown": 9999} | entries)  # fmt: skip


def add(state, kind, row, column, direction, timer=5, gun=10):
    first = getattr(seaquest, kind)
    seaquest._append(state, first, row, column, direction, timer, gun)
    return state


def play(state, action, source=None, ramping=True):
    return seaquest.step(state, tape() if source is None else source, action, ramping)


def cells(state, channel):
    board = np.zeros((10, 10, 10), dtype=np.bool_)
    seaquest.observe(state, board)
    return [tuple(cell) for cell in np.argwhere(board[..., channel]).tolist()]


def entry(state, *names):
    found = tuple(int(state[getattr(seaquest, name.upper())]) for name in names)
    return found if len(names) > 1 else found[0]


def test_coming_up_without_a_diver_is_fatal():
    state = fresh()
    assert play(state, DOWN) == (0, False)
    assert entry(state, "oxygen") == 199
    assert (cells(state, FRONT), cells(state, BACK)) == ([(1, 5)], [(1, 6)])
    assert play(state, UP) == (0, True)
    assert entry(state, "oxygen") == 199


def test_a_full_crew_pays_the_oxygen_left_and_one_too_many_is_counted_off():
    state = quiet(row=1, aboard=6, oxygen=100)
    assert play(state, UP) == (5, False)
    names = ("oxygen", "aboard", "spawn_period", "pace", "level")
    assert entry(state, *names) == (200, -1, 19, 5, 1)
    assert play(state, DOWN) == (0, False)
    assert play(state, UP) == (0, False)
    assert entry(state, *names) == (200, -2, 18, 4, 2)
    play(state, DOWN)
    assert play(state, UP) == (0, False)
    assert entry(state, "aboard") == -3


def test_a_diver_buys_air_that_is_not_used_at_the_surface():
    state = quiet(row=1, aboard=2, oxygen=100)
    assert play(state, UP) == (0, False)
    assert play(state, NONE) == (0, False)
    assert entry(state, "aboard", "oxygen") == (1, 200)
    assert cells(state, CREW) == [(9, 8)]
    assert len(cells(state, OXYGEN)) == 10


def test_without_ramping_surfacing_changes_no_pace():
    state = quiet(row=1, aboard=2)
    play(state, UP, ramping=False)
    assert entry(state, "spawn_period", "pace", "level") == (20, 5, 0)


def test_a_bullet_flies_and_hits_a_fish():
    state = add(quiet(column=5, facing=1), "FISH", 4, 9, -1, timer=5)
    shown, rewards = [], []
    for _ in range(6):
        rewards.append(play(state, FIRE)[0])
        shown.append(cells(state, OWN))
    assert shown[:3] == [[(4, 6)], [(4, 7)], [(4, 8)]]
    assert rewards == [0, 0, 0, 1, 0, 0]
    assert shown[3:] == [[], [], [(4, 6)]]
    assert cells(state, FISH) == []


def test_oxygen_lasts_two_hundred_steps():
    state = quiet()
    ends = [play(state, NONE)[1] for _ in range(201)]
    assert ends == [False] * 200 + [True]
    assert cells(state, OXYGEN) == []


def test_a_submarine_that_runs_into_a_bullet_still_shoots():
    state = quiet(column=2)
    add(state, "OWN", 4, 4, 1)
    add(state, "SUBS", 4, 6, -1, timer=0, gun=0)
    assert play(state, NONE) == (1, False)
    assert (cells(state, SUBS), cells(state, OWN)) == ([], [])
    assert cells(state, SHOTS) == [(4, 4)]
    at = seaquest.SHOTS + 1
    assert state[at + seaquest.DIRECTION] == -1


def test_the_newer_diver_is_taken_when_one_place_is_left():
    state = quiet(column=5, aboard=5)
    add(state, "DIVERS", 4, 5, 1, timer=3)
    add(state, "DIVERS", 4, 4, 1, timer=0)
    play(state, NONE)
    assert entry(state, "aboard") == 6
    assert cells(state, DIVERS) == [(4, 5)]
    assert state[seaquest.DIVERS + 1 + seaquest.TIMER] == 2


def test_a_submarine_moves_every_sixth_and_shoots_every_eleventh_step():
    state = add(quiet(row=1, column=0, oxygen=9999), "SUBS", 6, 7, -1)
    columns, shots = [], {}
    for step in range(1, 34):
        play(state, NONE)
        columns.append(cells(state, SUBS)[0][1])
        if step in (11, 22, 33):
            shots[step] = (6, max(column for _, column in cells(state, SHOTS)))
    moved = [k + 1 for k in range(1, 33) if columns[k] != columns[k - 1]]
    assert moved == [6, 12, 18, 24, 30]
    assert shots == {11: (6, 5), 22: (6, 3), 33: (6, 1)}


@pytest.mark.parametrize("timer", [0, 3])
@pytest.mark.parametrize("kind", ["FISH", "SUBS"])
def test_contact_is_looked_at_before_an_enemy_moves(kind, timer):
    state = add(quiet(column=5), kind, 4, 6, -1, timer=timer)
    assert play(state, RIGHT) == (0, True)


@pytest.mark.parametrize(("column", "action"), [(6, NONE), (5, NONE), (7, RIGHT)])
def test_a_shot_that_meets_the_player_ends_the_game(column, action):
    state = add(quiet(column=5), "SHOTS", 4, column, -1)
    assert play(state, action) == (0, True)


def test_enemies_and_divers_enter_and_opposite_traffic_is_refused():
    state, seen = fresh(), {}
    source = tape(0.2, 0.9, 3, 0.7, 5, 0.9, 0.1, 3)
    for step in range(1, 43):
        assert play(state, NONE, source) == (0, False)
        seen[step] = cells(state, FISH) + cells(state, DIVERS)
        if step == 21:
            assert state[seaquest.FISH + 1 + seaquest.TIMER] == 4
        if step == 41:
            assert entry(state, "spawn_countdown") == 19
    assert seen[20] == []
    assert seen[21] == [(3, 0)]
    assert seen[26] == [(3, 1)]
    assert seen[31] == [(3, 1), (5, 9)]
    assert seen[32] == [(3, 2), (5, 9)]
    assert seen[36] == [(3, 2), (5, 8)]
    assert seen[42][-1] == (5, 7)
    assert cells(state, SUBS) == []
    assert source[0] == source.size
    assert (5, 8) in cells(state, TRAIL)


@pytest.mark.parametrize("kind", ["FISH", "SUBS"])
def test_a_submarine_enters_unless_something_in_its_row_swims_against_it(kind):
    for direction, enters in ((-1, True), (1, False)):
        state = add(quiet(spawn_countdown=0), kind, 3, 4, direction)
        before = len(cells(state, SUBS))
        play(state, NONE, tape(0.9, 0.1, 3))
        assert ((3, 9) in cells(state, SUBS)) is enters
        assert len(cells(state, SUBS)) == before + enters
    state = quiet(spawn_countdown=0)
    play(state, NONE, tape(0.9, 0.1, 3))
    at = seaquest.SUBS + 1
    assert state[[at + seaquest.TIMER, at + seaquest.GUN]].tolist() == [4, 9]
    assert entry(state, "fish", "spawn_countdown") == (0, 19)


def test_a_diver_enters_a_row_whatever_swims_there():
    state = add(quiet(diver_countdown=0), "FISH", 7, 4, 1)
    play(state, NONE, tape(0.9, 7))
    assert cells(state, DIVERS) == [(7, 9)]
    assert entry(state, "diver_countdown") == 29


@pytest.mark.parametrize(
    ("aboard", "timer", "taken"), [(5, 0, 1), (6, 0, 0), (6, 3, 0)]
)
def test_a_full_crew_takes_no_diver(aboard, timer, taken):
    state = add(quiet(column=5, aboard=aboard), "DIVERS", 4, 4 + (timer > 0), 1, timer)
    play(state, NONE)
    assert entry(state, "aboard") == aboard + taken
    assert len(cells(state, DIVERS)) == 1 - taken


@pytest.mark.parametrize("kind", ["DIVERS", "FISH", "SUBS", "SHOTS", "OWN"])
@pytest.mark.parametrize(("column", "direction"), [(0, -1), (9, 1)])
def test_what_swims_off_the_board_is_gone(kind, column, direction):
    state = add(quiet(), kind, 6, column, direction, timer=0, gun=5)
    assert play(state, NONE) == (0, False)
    assert entry(state, kind) == 0


@pytest.mark.parametrize("kind", ["FISH", "SUBS"])
def test_an_enemy_that_moves_to_the_player_ends_the_game(kind):
    for timer, over in ((0, True), (1, False)):
        state = add(quiet(column=5), kind, 4, 6, -1, timer=timer)
        assert play(state, NONE) == (0, over)


def test_a_fish_that_swims_into_a_bullet_is_hit():
    state = add(quiet(column=2), "OWN", 4, 4, 1)
    add(state, "FISH", 4, 6, -1, timer=0)
    assert play(state, NONE) == (1, False)
    assert cells(state, FISH) == cells(state, OWN) == []


def test_a_bullet_hits_a_fish_before_a_submarine_and_the_oldest_first():
    state = add(quiet(column=2), "OWN", 4, 4, 1)
    add(state, "SUBS", 4, 5, -1)
    add(state, "FISH", 4, 5, -1, timer=3)
    add(state, "FISH", 4, 5, 1, timer=4)
    assert play(state, NONE) == (1, False)
    assert len(cells(state, SUBS)) == entry(state, "fish") == 1
    at = seaquest.FISH + 1
    assert state[[at + seaquest.DIRECTION, at + seaquest.TIMER]].tolist() == [1, 3]


def test_moving_up_or_down_keeps_the_facing():
    state = quiet(column=5, facing=1)
    for action, row in ((UP, 3), (DOWN, 4)):
        play(state, action)
        assert (cells(state, FRONT), cells(state, BACK)) == ([(row, 5)], [(row, 4)])
    play(state, LEFT)
    assert cells(state, BACK) == [(4, 5)]


def test_surfacing_makes_the_game_harder_nineteen_times():
    state = quiet(row=1, aboard=-1)
    pairs = []
    for _ in range(21):
        play(state, UP)
        pairs.append(entry(state, "spawn_period", "pace"))
        play(state, DOWN)
    paces = [5, 4, 4, 3, 3, 2] + [2] * 15
    periods = [*range(19, 0, -1), 1, 1]
    assert pairs == list(zip(periods, paces, strict=True))
    assert entry(state, "level") == 19


@pytest.mark.parametrize(
    ("action", "front", "back"),
    [
        (LEFT, (4, 0), (4, 1)),
        (RIGHT, (4, 9), (4, 8)),
        (DOWN, (8, 5), (8, 6)),
    ],
)
def test_the_player_stays_in_the_water(action, front, back):
    state = quiet()
    for _ in range(10):
        play(state, action)
    assert (cells(state, FRONT), cells(state, BACK)) == ([front], [back])


def test_a_full_list_takes_no_more():
    state = quiet()
    for _ in range(100):
        add(state, "DIVERS", 7, 3, 1)
    assert entry(state, "divers") == 16
    assert entry(state, "subs") == 0
