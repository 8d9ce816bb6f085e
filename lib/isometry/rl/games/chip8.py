"""A CHIP-8 machine: one machine is one row of integers, its screen one word a row.

The instructions are those of the package octax 0.1.1, whose mixture of quirks no single
machine of the past had: 8XY0 to 8XY3 clear V[F], shifts ignore Y, FX55 and FX65 leave I
alone, BXNN jumps to NN + V[X], FX0A does not wait for the key's release, sprites are
clipped at the edges. Addresses beyond the memory are read as its last byte and written
to nowhere. Timers do not run here: whoever runs the machine decides when they tick.

Source: a description of octax's behaviour in our own words; ``tests/rl`` compares the
two, step by step. octax: Radji et al., arXiv 2510.01764.
"""

from isometry.core.code_cache import kept_on_disk
from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.rl.games.draws import integer

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray

ROWS, COLUMNS, FRAMES = 32, 64, 4
MEMORY_BYTES = 4096
FIRST = 0x200  # where programs start
LAST = MEMORY_BYTES - 1
FONT_AT = 0x50
FONT = bytes.fromhex(
    "f0909090f0 2060202070 f010f080f0 f010f010f0 9090f01010 f080f010f0 f080f090f0"
    "f010204040 f090f090f0 f090f010f0 f090f09090 e090e090e0 f0808080f0 e0909090e0"
    "f080f080f0 f080f08080"
)
Integer = int | np.int64  # compiled code does not tell them apart
# Called as functions, with arrays, they would take several times as long.
INLINE = njit(inline="always")

NO_KEY = 16  # the code of the action that presses nothing

# What the 64-bit entries of the row mean. The last of the frames is the screen; the
# others show it earlier in the same step. A stack's pointer may leave the stack.
MEMORY = 0
SCREENS = MEMORY + MEMORY_BYTES // 8
SCREEN = SCREENS + ROWS * (FRAMES - 1)
REGISTERS = SCREEN + ROWS
STACK = REGISTERS + 2
PC, INDEX, POINTER, DELAY, SOUND = range(STACK + 16, STACK + 21)
MACHINE_SIZE = SOUND + 1


def power_on(program: bytes, extra: int = 0) -> NDArray[np.int64]:
    """Return a machine that has just been switched on.

    Args:
        program: At most 3,584 bytes; stands from address 200 (hexadecimal) on.
        extra: Entries, zero, after the machine's own.

    Returns:
        int64 ``(MACHINE_SIZE + extra,)``.

    Raises:
        ValueError: If the program does not fit.

    Example:
        >>> state = power_on(bytes([0x60, 0x07]))
        >>> hex(state[PC]), registers(state)[0].item()
        ('0x200', 0)
    """
    most = MEMORY_BYTES - FIRST
    if len(program) > most:
        needed = f"a program of at most {most} bytes"
        raise ValueError(refusal(needed, f"{len(program)}", "shorten it"))
    state = np.zeros(MACHINE_SIZE + extra, dtype=np.int64)
    for at, content in ((FONT_AT, FONT), (FIRST, program)):
        memory(state)[at : at + len(content)] = np.frombuffer(content, dtype=np.uint8)
    state[PC] = FIRST
    return state


@kept_on_disk
@njit
def memory(state: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the 4,096 bytes of memory, as a view."""
    return state[MEMORY:SCREENS].view(np.uint8)


@njit
def registers(state: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the sixteen registers V[0] to V[F], as a view."""
    return state[REGISTERS:STACK].view(np.uint8)


@njit
def frame(state: NDArray[np.int64], number: int) -> NDArray[np.uint64]:
    """Return frame 0 (oldest) to 3 (the screen): a word a row, as a view.

    The top bit of a word is the leftmost pixel.
    """
    first = SCREENS + ROWS * number
    return state[first : first + ROWS].view(np.uint64)


@INLINE
def _call(state: NDArray[np.int64], address: Integer) -> None:
    """Push an address. Where the pointer has left the stack, nothing may be stored."""
    pointer = state[POINTER]
    if -16 <= pointer < 16:
        state[STACK + pointer % 16] = address
    state[POINTER] = pointer + 1


@INLINE
def _come_back(state: NDArray[np.int64]) -> Integer:
    """Pop an address and clear its place, which is only read beyond either end."""
    pointer = state[POINTER] - 1
    state[POINTER] = pointer
    if pointer >= 16:
        return state[STACK + 15]
    if pointer < -16:
        return state[STACK]
    address = state[STACK + pointer % 16]
    state[STACK + pointer % 16] = 0
    return address


@INLINE
def _arithmetic(
    v: NDArray[np.uint8], x: Integer, y: Integer, operation: Integer
) -> None:
    """Do 8XYN: V[X] from V[X] and V[Y], then the flag V[F]."""
    a, b = np.int64(v[x]), np.int64(v[y])
    result, flag = a, np.int64(0)
    if operation == 0x0:
        result = b
    elif operation == 0x1:
        result = a | b
    elif operation == 0x2:
        result = a & b
    elif operation == 0x3:
        result = a ^ b
    elif operation == 0x4:
        result, flag = a + b, (a + b) >> 8
    elif operation == 0x5:
        result, flag = a - b, np.int64(a >= b)
    elif operation == 0x6:
        result, flag = a >> 1, a & 1
    elif operation == 0x7:
        result, flag = b - a, np.int64(b >= a)
    elif operation == 0xE:
        result, flag = a << 1, a >> 7
    v[x] = result & 0xFF
    v[0xF] = flag


@INLINE
def _draw(
    stored: NDArray[np.uint8],
    screen: NDArray[np.uint64],
    v: NDArray[np.uint8],
    index: Integer,
    x: Integer,
    low: Integer,
) -> None:
    """Do DXYN: draw a sprite by exclusive-or; V[F] says whether a pixel went off."""
    column = np.uint64(v[x] & 63)
    row = np.int64(v[low >> 4] & 31)
    hit = np.uint64(0)
    for k in range(min(low & 0xF, ROWS - row)):
        byte = np.uint64(stored[min(index + k, LAST)])
        sprite = byte << np.uint64(56) >> column
        hit |= screen[row + k] & sprite
        screen[row + k] ^= sprite
    v[0xF] = hit != 0


@INLINE
def _other(
    state: NDArray[np.int64],
    v: NDArray[np.uint8],
    x: Integer,
    low: Integer,
    keys: Integer,
) -> bool:
    """Do FXNN; return whether it has to be repeated because it waits for a key."""
    value = np.int64(v[x])
    if low == 0x07:
        v[x] = state[DELAY]
    elif low == 0x0A:
        if keys == 0:
            return True
        key = 0
        while not keys >> key & 1:
            key += 1
        v[x] = key
    elif low == 0x15:
        state[DELAY] = value
    elif low == 0x18:
        state[SOUND] = value
    elif low == 0x1E:
        total = state[INDEX] + value
        state[INDEX] = total & LAST
        v[0xF] = total > LAST
    elif low == 0x29:
        state[INDEX] = (FONT_AT + 5 * value) & 0xFF
    return False


@INLINE
def _transfer(
    stored: NDArray[np.uint8],
    v: NDArray[np.uint8],
    index: Integer,
    x: Integer,
    low: Integer,
) -> None:
    """Do FX33, FX55 and FX65, between registers and the memory from I on."""
    if low == 0x33:
        value = np.int64(v[x])
        for k, digit in enumerate((value // 100, value // 10 % 10, value % 10)):
            if index + k <= LAST:
                stored[index + k] = digit
    elif low == 0x55:
        for k in range(min(x + 1, MEMORY_BYTES - index)):
            stored[index + k] = v[k]
    elif low == 0x65:
        for k in range(x + 1):
            v[k] = stored[min(index + k, LAST)]


@kept_on_disk
@njit
def run(
    state: NDArray[np.int64], keys: Integer, count: Integer, source: NDArray
) -> None:
    """Execute instructions.

    Args:
        state: int64 ``(MACHINE_SIZE,)`` or longer, changed.
        keys: The keys that are down, one bit each.
        count: How many instructions.
        source: Where random bytes come from, one for each CXNN.
    """
    stored, v, screen = memory(state), registers(state), frame(state, FRAMES - 1)
    pc = state[PC]
    for _ in range(count):
        pc &= 0xFFFF
        high = np.int64(stored[min(pc, LAST)])
        low = np.int64(stored[min((pc + 1) & 0xFFFF, LAST)])
        pc += 2
        family, x, address = high >> 4, high & 0xF, (high & 0xF) << 8 | low
        if family == 0x0:
            if address == 0x0E0:
                screen[:] = 0
            elif address == 0x0EE:
                pc = _come_back(state)
        elif family == 0x1:
            pc = address
        elif family == 0x2:
            _call(state, pc & LAST)
            pc = address
        elif family == 0x3:
            pc += 2 * (v[x] == low)
        elif family == 0x4:
            pc += 2 * (v[x] != low)
        elif family == 0x5:
            pc += 2 * (v[x] == v[low >> 4])
        elif family == 0x6:
            v[x] = low
        elif family == 0x7:
            v[x] = (v[x] + low) & 0xFF
        elif family == 0x8:
            _arithmetic(v, x, low >> 4, low & 0xF)
        elif family == 0x9:
            pc += 2 * (v[x] != v[low >> 4])
        elif family == 0xA:
            state[INDEX] = address
        elif family == 0xB:
            pc = (low + v[x]) & LAST
        elif family == 0xC:
            v[x] = integer(source, 0, 255) & low
        elif family == 0xD:
            _draw(stored, screen, v, state[INDEX], x, low)
        elif family == 0xE:
            down = keys >> (v[x] & 0xF) & 1
            pc += 2 * (down != (low == 0xA1))
        elif low in (0x33, 0x55, 0x65):
            _transfer(stored, v, state[INDEX], x, low)
        elif _other(state, v, x, low, keys):
            pc -= 2
    state[PC] = pc & 0xFFFF
