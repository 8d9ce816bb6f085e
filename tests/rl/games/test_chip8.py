"""Every instruction of the machine, each with a program of a few instructions."""

import numpy as np
import pytest

from isometry.rl.games import chip8
from isometry.rl.games.chip8 import DELAY, FIRST, INDEX, LAST, PC, POINTER, SOUND, STACK
from isometry.rl.games.draws import tape

F = 0xF


def machine(opcode="", v=(), memory=(), **entries):
    """Return a machine whose program is the hexadecimal ``opcode``."""
    state = chip8.power_on(bytes.fromhex(opcode))
    for register, value in dict(v).items():
        chip8.registers(state)[register] = value
    for address, byte in dict(memory).items():
        chip8.memory(state)[address] = byte
    places = {"pc": PC, "i": INDEX, "pointer": POINTER, "delay": DELAY, "sound": SOUND}
    for name, value in entries.items():
        state[places[name]] = value
    return state


def ran(state, *keys, count=1, draws=()):
    chip8.run(state, sum(1 << key for key in keys), count, tape(*draws))
    return state


def v_of(state):
    return chip8.registers(state)


def lit(state):
    """Return the pixels that are on, as (row, column)."""
    rows = chip8.frame(state, chip8.FRAMES - 1)
    bits = np.unpackbits(rows.astype(">u8").view(np.uint8)).reshape(32, 64)
    return [tuple(place) for place in np.argwhere(bits).tolist()]


def test_a_machine_that_was_switched_on_holds_font_and_program():
    state = chip8.power_on(b"\x12\x34")
    memory = chip8.memory(state)
    assert memory[:0x50].sum() == memory[0xA0:0x200].sum() == memory[0x202:].sum() == 0
    assert memory[0x200:0x202].tolist() == [0x12, 0x34]
    assert (state[PC], state[INDEX], state[POINTER]) == (0x200, 0, 0)
    assert not v_of(state).any()
    assert lit(state) == []
    # Each digit drawn from the font, read off as pixels: 0 is a box, 1 has a foot.
    ran(machine("d005", i=0x50))
    assert lit(ran(machine("d005", i=0x50 + 5))) == [
        (0, 2), (1, 1), (1, 2), (2, 2), (3, 2), (4, 1), (4, 2), (4, 3)
    ]  # fmt: skip
    assert len(lit(ran(machine("d005", i=0x50)))) == 14
    assert memory[0x50 + 5 * 15 : 0xA0].tolist() == [0xF0, 0x80, 0xF0, 0x80, 0x80]


def test_a_program_fills_the_memory_and_no_more():
    full = chip8.power_on(bytes([7]) * 3584)
    assert chip8.memory(full)[LAST] == 7
    with pytest.raises(ValueError, match="at most 3584 bytes, found 3585"):
        chip8.power_on(bytes(3585))


SAME = {3: 200, 4: 100, F: 7}
REGISTER_CASES = [  # opcode, registers before, registers after; decimal
    ("6312", {}, {3: 0x12}),
    ("73ff", {3: 5, F: 9}, {3: 4, F: 9}),  # no carry
    ("7f02", {F: 255}, {F: 1}),
    ("8340", SAME, {3: 100, F: 0}),
    ("8341", SAME, {3: 236, F: 0}),
    ("8342", SAME, {3: 64, F: 0}),
    ("8343", SAME, {3: 172, F: 0}),
    ("8344", SAME, {3: 44, F: 1}),
    ("8344", {3: 100, 4: 155, F: 7}, {3: 255, F: 0}),
    ("8345", SAME, {3: 100, F: 1}),
    ("8346", SAME, {3: 100, F: 0}),  # V[4] is not looked at
    ("8346", {3: 201}, {3: 100, F: 1}),
    ("8347", SAME, {3: 156, F: 0}),
    ("834e", SAME, {3: 144, F: 1}),
    ("834e", {3: 100, F: 7}, {3: 200, F: 0}),
    *((f"834{n}", SAME, {3: 200, F: 0}) for n in "89abcdf"),
    ("8345", {3: 100, 4: 100}, {3: 0, F: 1}),
    ("8347", {3: 100, 4: 100}, {3: 0, F: 1}),
    ("8345", {3: 100, 4: 101}, {3: 255, F: 0}),
    ("8347", {3: 100, 4: 101}, {3: 1, F: 1}),
    ("8f44", {F: 200, 4: 100}, {F: 1}),  # the flag is written last
    ("8f45", {F: 200, 4: 100}, {F: 1}),
    ("8f06", {F: 201}, {F: 1}),
    ("8f0e", {F: 201}, {F: 1}),
    ("8ff0", {F: 200}, {F: 0}),
    ("84f5", {4: 3, F: 5}, {4: 254, F: 0}),  # the flag is read before it is written
    ("f307", {3: 9}, {3: 77}),  # the delay timer below
]


@pytest.mark.parametrize(("opcode", "before", "after"), REGISTER_CASES)
def test_arithmetic_writes_the_result_then_the_flag(opcode, before, after):
    state = ran(machine(opcode, v=before, delay=77, i=0x321))
    expected = np.zeros(16, dtype=np.uint8)
    for register, value in {**before, **after}.items():
        expected[register] = value
    np.testing.assert_array_equal(v_of(state), expected)
    assert (state[PC], state[INDEX]) == (0x202, 0x321)


JUMPS = [  # opcode, registers, keys that are down, where it goes on
    ("1abc", {}, (), 0xABC),
    ("2abc", {}, (), 0xABC),
    ("3312", {3: 0x12}, (), 0x204),
    ("3312", {3: 0x13}, (), 0x202),
    ("4312", {3: 0x12}, (), 0x202),
    ("4312", {3: 0x13}, (), 0x204),
    ("5340", {3: 1, 4: 1}, (), 0x204),
    ("5341", {3: 1, 4: 1}, (), 0x204),  # the last digit is ignored
    ("5340", {3: 1, 4: 2}, (), 0x202),
    ("9340", {3: 1, 4: 1}, (), 0x202),
    ("934f", {3: 1, 4: 1}, (), 0x202),
    ("934f", {3: 1, 4: 2}, (), 0x204),
    ("b3ff", {3: 32}, (), 0x11F),  # its X is part of the address, and NN all of it
    ("bfff", {F: 255}, (), 0x1FE),
    ("b0ff", {0: 0}, (), 0x0FF),
    *((f"e3{n}", {3: 21}, (5,), 0x204) for n in ("9e", "00", "55")),
    *((f"e3{n}", {3: 21}, (4, 6), 0x202) for n in ("9e", "00", "55")),
    ("e3a1", {3: 21}, (5,), 0x202),
    ("e3a1", {3: 21}, (), 0x204),
    ("e3a1", {3: 15}, (15,), 0x202),
    ("f30a", {}, (), 0x200),  # waits
    ("f30a", {}, (0,), 0x202),
    *((n, {}, (), 0x202) for n in ("0000", "0123", "00e1", "01e0", "01ee", "00ef")),
    *((n, {}, (), 0x202) for n in ("f300", "f31f", "f356", "f3ff")),
]


@pytest.mark.parametrize(("opcode", "v", "keys", "address"), JUMPS)
def test_jumps_and_skips_go_on_where_they_should(opcode, v, keys, address):
    before = machine(opcode, v=v)
    state = ran(before.copy(), *keys)
    assert state[PC] == address
    if opcode[0] != "2" and opcode != "f30a":  # nothing else changes
        state[PC] = FIRST
        np.testing.assert_array_equal(state, before)


@pytest.mark.parametrize(("keys", "first"), [((9, 4), 4), ((0,), 0), ((15,), 15)])
def test_waiting_for_a_key_takes_the_lowest_that_is_down_at_once(keys, first):
    state = ran(machine("f30a", v={3: 99}), *keys)
    assert v_of(state)[3] == first
    waiting = ran(machine("f30a", v={3: 99}), count=1000)
    assert (v_of(waiting)[3], waiting[PC]) == (99, 0x200)


def test_calls_come_back_and_clear_their_place():
    state = machine("2204 6107 00ee")
    ran(state)
    assert (state[PC], state[POINTER], state[STACK]) == (0x204, 1, 0x202)
    ran(state)
    assert (state[PC], state[POINTER], state[STACK]) == (0x202, 0, 0)
    assert v_of(ran(state))[1] == 7


@pytest.mark.parametrize(
    ("pointer", "entry", "stored"),
    [(0, 0, True), (15, 15, True), (16, 0, False), (-1, 15, True), (-16, 0, True),
     (-17, 0, False), (40, 0, False)],
)  # fmt: skip
def test_a_call_beyond_the_stack_jumps_all_the_same(pointer, entry, stored):
    state = ran(machine("2300", pointer=pointer))
    assert (state[PC], state[POINTER]) == (0x300, pointer + 1)
    stack = np.zeros(16, dtype=np.int64)
    stack[entry] = 0x202 * stored
    np.testing.assert_array_equal(state[STACK : STACK + 16], stack)


@pytest.mark.parametrize(
    ("pointer", "entry", "cleared"),
    [(1, 0, True), (16, 15, True), (17, 15, False), (30, 15, False), (0, 15, True),
     (-1, 14, True), (-15, 0, True), (-16, 0, False), (-40, 0, False)],
)  # fmt: skip
def test_a_return_beyond_the_stack_reads_its_nearest_entry(pointer, entry, cleared):
    state = machine("00ee", pointer=pointer)
    stack = state[STACK : STACK + 16]
    stack[:] = 0x400 + 2 * np.arange(16)
    ran(state)
    assert (state[PC], state[POINTER]) == (0x400 + 2 * entry, pointer - 1)
    assert (stack == 0).sum() == cleared
    assert stack[entry] == (0 if cleared else 0x400 + 2 * entry)


def test_random_bytes_are_masked_and_each_takes_one():
    state = ran(machine("c30f c4ff c500"), count=3, draws=(0xAB, 0xCD, 0xEF))
    assert v_of(state)[3:6].tolist() == [0x0B, 0xCD, 0]
    with pytest.raises(IndexError, match="no more draws"):
        ran(machine("c30f"))


def test_random_bytes_of_a_generator_are_uniform():
    from isometry.rl.games.draws import sources

    state, source = machine("c0ff 1200"), sources(0, 1, "bytes")[0]
    seen = np.empty(20_000, dtype=np.int64)
    for k in range(seen.size):
        chip8.run(state, 0, 2, source)
        seen[k] = v_of(state)[0]
    counts = np.bincount(seen, minlength=256)
    expected = seen.size / 256
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert 180 < statistic < 346  # chi-squared, 255 degrees, beyond p = 0.0001


INDEX_CASES = [  # opcode, registers, I before, I after, V[F] after
    ("a123", {}, 0, 0x123, 0),
    ("afff", {F: 3}, 0, 0xFFF, 3),
    ("f31e", {3: 1, F: 9}, 0xFFE, 0xFFF, 0),  # a sum that fits clears the flag
    ("f31e", {3: 2}, 0xFFE, 0x000, 1),
    ("ff1e", {F: 5}, 0x300, 0x305, 0),
    ("ff1e", {F: 255}, 0xF80, 0x07F, 1),
    *(("f329", {3: d}, 7, 0x50 + 5 * d, 0) for d in (0, 9, 15, 16, 35)),
    ("f329", {3: 36}, 7, 0x004, 0),  # modulo 256, not to a digit
    ("f329", {3: 255}, 7, 0x04B, 0),
]


@pytest.mark.parametrize(("opcode", "v", "before", "after", "flag"), INDEX_CASES)
def test_the_index_moves(opcode, v, before, after, flag):
    state = ran(machine(opcode, v=v, i=before))
    assert (state[INDEX], v_of(state)[F], state[PC]) == (after, flag, 0x202)


def test_timers_are_set_and_read_and_do_not_run_by_themselves():
    state = ran(machine("f315 f418 f507", v={3: 200, 4: 9}), count=3)
    assert (state[DELAY], state[SOUND], v_of(state)[5]) == (200, 9, 200)


@pytest.mark.parametrize("value", [0, 7, 42, 100, 234, 255])
def test_decimal_digits_are_stored_from_the_index_on(value):
    state = ran(machine("f333", v={3: value}, i=0x300))
    digits = chip8.memory(state)[0x300:0x303].tolist()
    assert digits == [int(d) for d in f"{value:03}"]
    assert state[INDEX] == 0x300


def test_registers_go_to_memory_and_back_and_the_index_stays():
    numbers = {k: k + 1 for k in range(16)}
    state = ran(machine("f355", v=numbers, i=0x300))
    assert chip8.memory(state)[0x300:0x305].tolist() == [1, 2, 3, 4, 0]
    assert state[INDEX] == 0x300
    stored = {0x300 + k: 9 - k for k in range(4)}
    state = ran(machine("f265", v=numbers, memory=stored, i=0x300))
    assert v_of(state)[:4].tolist() == [9, 8, 7, 4]
    assert state[INDEX] == 0x300


def test_writing_beyond_the_memory_is_dropped():
    before = machine("f333 ff55", v={k: k + 1 for k in range(16)})
    digits, registers = before.copy(), before.copy()
    v_of(digits)[3] = 234
    digits[INDEX] = 0xFFE
    ran(digits)
    assert chip8.memory(digits)[0xFFE:].tolist() == [2, 3]
    registers[[INDEX, PC]] = 0xFF8, 0x202
    ran(registers)
    assert chip8.memory(registers)[0xFF8:].tolist() == list(range(1, 9))
    for state in (digits, registers):
        np.testing.assert_array_equal(
            chip8.memory(state)[:0xFF8], chip8.memory(before)[:0xFF8]
        )


def test_reading_beyond_the_memory_reads_its_last_byte():
    last = {0xFF8 + k: 100 + k for k in range(8)}
    state = ran(machine("ff65", memory=last, i=0xFF8))
    assert v_of(state).tolist() == [100, 101, 102, 103, 104, 105, 106, *[107] * 9]
    state = ran(machine("d013", memory={0xFFF: 0x81, 0: 0xFF, 1: 0xFF}, i=0xFFF))
    assert lit(state) == [(row, column) for row in range(3) for column in (0, 7)]


def test_instructions_beyond_the_memory_are_its_last_byte_twice():
    state = ran(machine(memory={0xFFF: 0x61}, pc=0xFFF))
    assert (v_of(state)[1], state[PC]) == (0x61, 0x1001)
    state = ran(machine(memory={0xFFF: 0x22}, pc=0x1000))
    assert (state[STACK], state[PC]) == (0x002, 0x222)  # twelve bits are pushed
    state = ran(machine(memory={0xFFF: 0x61, 0: 0x05}, pc=0xFFFF))
    assert (v_of(state)[1], state[PC]) == (0x05, 0x0001)
    state = ran(machine(memory={0xFFF: 0x33, 0: 0x60, 1: 0x07}, v={3: 0x33}, pc=0xFFFC))
    assert state[PC] == 0x0000  # a skip wraps too
    assert v_of(ran(state))[0] == 7


DRAWN = [  # opcode, V[0], V[1], sprite, pixels (row, column), V[F] before
    ("d011", 60, 0, [0xFF], [(0, c) for c in range(60, 64)], 9),  # clipped right
    ("d014", 0, 30, [0x80] * 4, [(30, 0), (31, 0)], 9),  # clipped below
    ("d011", 67, 98, [0x80], [(2, 3)], 9),  # the place itself wraps
    ("d011", 255, 255, [0xC0], [(31, 63)], 9),
    ("d010", 0, 0, [0xFF], [], 9),  # no rows, and no sprites of 16 by 16
    ("d012", 8, 4, [0xA0, 0x01], [(4, 8), (4, 10), (5, 15)], 0),
    ("d011", 63, 0, [0x7F], [], 1),
]


@pytest.mark.parametrize(("opcode", "x", "y", "sprite", "pixels", "flag"), DRAWN)
def test_sprites_are_drawn_and_clipped(opcode, x, y, sprite, pixels, flag):
    stored = {0x300 + k: byte for k, byte in enumerate(sprite)}
    state = ran(machine(opcode, v={0: x, 1: y, F: flag}, memory=stored, i=0x300))
    assert lit(state) == pixels
    assert (v_of(state)[F], state[INDEX]) == (0, 0x300)


def test_a_sprite_of_fifteen_rows_is_drawn_whole():
    stored = {0x300 + k: k + 1 for k in range(15)}
    state = ran(machine("d01f", v={0: 20, 1: 3}, memory=stored, i=0x300))
    expected = [
        (3 + k, 20 + bit) for k in range(15) for bit in range(8) if k + 1 & 0x80 >> bit
    ]
    assert lit(state) == expected


def test_a_pixel_that_goes_off_sets_the_flag():
    state = machine("d011 d011", memory={0x300: 0xF0}, i=0x300)
    assert v_of(ran(state))[F] == 0
    assert v_of(ran(state))[F] == 1
    assert lit(state) == []
    clipped = machine("d011 d121", v={0: 62, 1: 1}, memory={0x300: 0xF0}, i=0x300)
    assert lit(ran(clipped)) == [(1, 62), (1, 63)]
    assert v_of(ran(clipped))[F] == 0  # drawn at (0, 1): nothing goes off


def test_the_place_of_a_sprite_is_read_before_the_flag_is_written():
    state = ran(machine("dff1", v={F: 4}, memory={0x300: 0x80}, i=0x300))
    assert (lit(state), v_of(state)[F]) == ([(4, 4)], 0)


def test_the_screen_is_cleared():
    state = ran(machine("d011 00e0", memory={0x300: 0xFF}, i=0x300), count=2)
    assert lit(state) == []


def test_programs_may_overwrite_themselves():
    # V[0] = 6E, V[1] = 2A; I = 208; store them there; 208: 0000 becomes V[E] = 2A.
    state = ran(machine("606e 612a a208 f155 0000"), count=5)
    assert v_of(state)[0xE] == 0x2A


def test_what_lies_behind_a_program_does_nothing():
    state = ran(machine("6001"), count=1000)
    assert (v_of(state)[0], state[PC]) == (1, 0x200 + 2000)
