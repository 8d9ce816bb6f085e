"""The games that octax 0.1.1 can create: program, keys, score, ends and start-up.

Source: a description of octax 0.1.1 (Radji et al., arXiv 2510.01764) in our own words.
"""

from dataclasses import dataclass

# How a score is read from a register r: its value; the negative of it and the next one,
# in eight bits; its tens minus its units; its value up to 128, else 0.
VALUE, NEGATIVE_SUM, TENS_MINUS_UNITS, UP_TO_128 = range(4)
# How a register is compared with a value.
EQUAL, DIFFERENT, AT_LEAST, TENS_EQUAL, UNITS_EQUAL = range(5)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What makes a game of a program.

    Attributes:
        keys: Keys of the actions, in their order; one more action presses none.
        score: VALUE, NEGATIVE_SUM, TENS_MINUS_UNITS or UP_TO_128 of a register.
        score_register: 0 to 15.
        ends: The game is over when one of these holds, at most two: a register, how
            it is compared, and with what value.
        startup: Instructions executed before the first step.
        held: Key that is down meanwhile; None: none.
        zeroed: Whether timers are set to 0 after each step; else they tick once.
    """

    keys: tuple[int, ...]
    score_register: int
    ends: tuple[tuple[int, int, int], ...]
    score: int = VALUE
    startup: int = 0
    held: int | None = None
    zeroed: bool = False


CAVERN = Rules(
    keys=(2, 4, 6, 8), score_register=0x0, ends=((0xE, EQUAL, 0),), startup=250
)
SPACE_FLIGHT = Rules(
    keys=(1, 4),
    score_register=0x0,
    ends=((0x9, EQUAL, 0), (0xC, AT_LEAST, 62)),
    startup=300,
)
TARGET_SHOOTER = Rules(
    keys=(5, 7, 8, 9, 6), score_register=0x2, ends=((0x3, EQUAL, 1),)
)

# name -> (file of the ROM, rules)
OCTAX_GAMES: dict[str, tuple[str, Rules]] = {
    "airplane": (
        "Airplane.ch8",
        Rules(
            keys=(8,),
            score=NEGATIVE_SUM,
            score_register=0xB,
            ends=((0xB, EQUAL, 0), (0xC, EQUAL, 6)),
            startup=600,
        ),
    ),
    "blinky": (
        "Blinky [Hans Christian Egeberg, 1991].ch8",
        Rules(
            keys=(3, 6, 7, 8),
            score_register=0x6,
            ends=((0x3, EQUAL, 255),),
            startup=13800,
        ),
    ),
    "brix": (
        "Brix [Andreas Gustafsson, 1990].ch8",
        Rules(
            keys=(4, 6),
            score_register=0x5,
            ends=((0xE, EQUAL, 4),),
            startup=500,
            zeroed=True,
        ),
    ),
    **{f"cavern{level}": (f"cavern{level}.ch8", CAVERN) for level in (1, 2, 3, 5, 6)},
    "deep": (
        "Deep8 (by John Earnest)(2014).ch8",
        Rules(
            keys=(7, 8, 9),
            score_register=0x9,
            ends=((0xB, DIFFERENT, 1),),
            startup=150,
            held=0,
        ),
    ),
    "filter": (
        "Filter.ch8",
        Rules(keys=(4, 6), score_register=0xE, ends=((0xD, EQUAL, 0),)),
    ),
    "flight_runner": (
        "flightrunner.ch8",
        Rules(
            keys=(5, 7, 8, 9),
            score_register=0x7,
            ends=((0x5, EQUAL, 255), (0x7, EQUAL, 255)),
            startup=500,
        ),
    ),
    "missile": (
        "Missile [David Winter].ch8",
        Rules(keys=(8,), score_register=0x7, ends=((0x6, EQUAL, 0),), startup=50),
    ),
    "pong": (
        "Pong (1 player).ch8",
        Rules(
            keys=(1, 4),
            score=TENS_MINUS_UNITS,
            score_register=0xE,
            ends=((0xE, TENS_EQUAL, 9), (0xE, UNITS_EQUAL, 9)),
            zeroed=True,
        ),
    ),
    "rocket": (
        "Rocket [Joseph Weisbecker, 1978].ch8",
        Rules(keys=(15,), score_register=0x1, ends=((0x2, EQUAL, 9),)),
    ),
    "shooting_stars": (
        "Shooting Stars [Philip Baltzer, 1978].ch8",
        Rules(
            keys=(2, 8, 4, 6), score=UP_TO_128, score_register=0x0, ends=(), zeroed=True
        ),
    ),
    **{
        f"space_flight{level}": (f"space_flight{level}.ch8", SPACE_FLIGHT)
        for level in range(1, 11)
    },
    "spacejam": (
        "spacejam.ch8",
        Rules(
            keys=(5, 8, 7, 9),
            score_register=0x9,
            ends=((0xA, EQUAL, 0),),
            startup=300,
            zeroed=True,
        ),
    ),
    "squash": (
        "Squash [David Winter].ch8",
        Rules(keys=(1, 4), score_register=0xB, ends=((0xB, EQUAL, 0),), startup=100),
    ),
    "submarine": (
        "Submarine [Carmelo Cortez, 1978].ch8",
        Rules(keys=(5,), score_register=0x7, ends=((0x8, EQUAL, 0),), startup=100),
    ),
    "tank": (
        "Tank.ch8",
        Rules(
            keys=(2, 4, 5, 6, 8),
            score_register=0xE,
            ends=((0x6, EQUAL, 0),),
            startup=100,
            zeroed=True,
        ),
    ),
    **{
        f"target_shooter{level}": (f"target_shooter{level}.ch8", TARGET_SHOOTER)
        for level in (1, 2, 3)
    },
    "tetris": (
        "Tetris [Fran Dachille, 1991].ch8",
        Rules(
            keys=(4, 5, 6, 7), score_register=0xA, ends=((0x1, EQUAL, 2),), startup=300
        ),
    ),
    "ufo": (
        "UFO [Lutz V, 1992].ch8",
        Rules(keys=(4, 5, 6), score_register=0x7, ends=((0x8, EQUAL, 0),), startup=50),
    ),
    "vertical_brix": (
        "Vertical Brix [Paul Robson, 1996].ch8",
        Rules(
            keys=(1, 4),
            score_register=0x8,
            ends=((0x7, EQUAL, 0),),
            startup=1000,
            held=7,
            zeroed=True,
        ),
    ),
    "wipe_off": (
        "Wipe Off [Joseph Weisbecker].ch8",
        Rules(keys=(4, 6), score_register=0x6, ends=((0x7, EQUAL, 0),), startup=500),
    ),
    "worm": (
        "Worm V4 [RB-Revival Studios, 2007].ch8",
        Rules(
            keys=(2, 8, 4, 6),
            score_register=0x5,
            ends=((0x7, EQUAL, 255),),
            startup=1600,
        ),
    ),
}
