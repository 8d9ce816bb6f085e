"""The ROMs of octax's games, read from the installed package as data.

They are other people's programs, most without a licence, so this project neither holds
nor hands on any. octax itself is not imported: it would need JAX.

Source: ours.
"""

from hashlib import sha256
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path

from isometry.core.messages import refusal

INSTALL = "pip install --no-deps octax==0.1.1 (nothing of it is imported)"

SHA256 = {
    "Airplane.ch8": (
        "685eb8058d7d1a0f72ec73b78bab2254e80ca61973ee2912ab89d26b7a3f4ed1"
    ),
    "Blinky [Hans Christian Egeberg, 1991].ch8": (
        "22ca535175f53fd0c8c0295b77198d7830a9c44b81497f14ee1fbc6c1322adc0"
    ),
    "Brix [Andreas Gustafsson, 1990].ch8": (
        "c435e310ed832846a10f6d19e103910400a97dce27745370cb18207f24baee39"
    ),
    "cavern1.ch8": ("78358a8abcde1df1dbaf2bc97c1a1ddd3f28ee50ad2473b98672f9ec867212dd"),
    "cavern2.ch8": ("2e3b26af7f485f7e9a34e782caf2f634694186a1d9ad6825fcf85ef6eb6e9257"),
    "cavern3.ch8": ("e76db3e74cb92e8aeb5f9ac3271c445caa69f3f9fbafb5c0852f94395fbbb086"),
    "cavern5.ch8": ("5e528f25b1bd36de160951983547c44de74f0b0029e1a699b8a6eb31543d4ac5"),
    "cavern6.ch8": ("65a5209a7b94b24d5f225d77fda9867f5f9791057555bff4a5662f4334e56bbe"),
    "Deep8 (by John Earnest)(2014).ch8": (
        "961f1e335e8acda5a2a5b6e8a1b4d3507892db23799ca594cdaea38878c86f53"
    ),
    "Filter.ch8": ("0abfe7a948e55207172e1d8f79603b0a8c575b6330a83a9bbea27c0e84605bce"),
    "flightrunner.ch8": (
        "076f5ee86577fe5df3dba94f06234cf1371d4d3df9179ce4e1610150a2d38806"
    ),
    "Missile [David Winter].ch8": (
        "70fde31eb67c3b405b7484be49c4685a4de2de4a85194784dcb39c3aed4013fb"
    ),
    "Pong (1 player).ch8": (
        "29950384966d7ecac743fd189ff5123d1617ce379f11b734bbac22667c4aca23"
    ),
    "Rocket [Joseph Weisbecker, 1978].ch8": (
        "a51b07f407c1a72ccecf248b4ff934664e22b29cb0191905640ee0ef74b3d3d3"
    ),
    "Shooting Stars [Philip Baltzer, 1978].ch8": (
        "00fcbc02091135d7e61f1fee73ac206c6e320c1e6b2b2888cc5d5b8832f78ee9"
    ),
    "space_flight1.ch8": (
        "4115023d6cacb17a568887fd09e90928bd8d97d64d6ef60d27276e9e3fcb815f"
    ),
    "space_flight2.ch8": (
        "457e8a463c80e5e2222386fc7d5f41a344c663619d84283afe000e2b08b96e76"
    ),
    "space_flight3.ch8": (
        "b7daca308658183005f6acf3ed6dcf01f72243c14138b387fc77d5325661d19f"
    ),
    "space_flight4.ch8": (
        "5600f1e021b39f01fda83478eb21e512ecebbd0f23d9811eefe9f97b2bfbbacd"
    ),
    "space_flight5.ch8": (
        "a83132c7563f15ea357fafb3a351e7079a9e95b85672a7ef03818a58d1b63596"
    ),
    "space_flight6.ch8": (
        "8301ae3289c3c4156a1e3b39e1e0394ac00b427921c059792a994e6f1c296515"
    ),
    "space_flight7.ch8": (
        "13fdeaa4153ba896d782e982d164e4419ac0fa5c8920fec3dd16ff7bf6f4b37a"
    ),
    "space_flight8.ch8": (
        "45f03edf1f19abdf33802f81bd6dc313d3881fc45e10aa74323c35f54f5084ee"
    ),
    "space_flight9.ch8": (
        "23268dd8395c0c8cabd69093c383a38c8ded894f1cfc7f90f9a0d080db8fdd6c"
    ),
    "space_flight10.ch8": (
        "a2ceea837d4ffb98596866bb0b9fd24c683a99c36b8c56e688c187d16dc01c0b"
    ),
    "spacejam.ch8": (
        "7c48ce25a3edb5d88a2b0f4c9961d01e588f9e76f56d54f2e6528c802b73af45"
    ),
    "Squash [David Winter].ch8": (
        "959ceeb890f7493b5ac49881fe1ee2c2144dedd9f16dc716b19a937b58011804"
    ),
    "Submarine [Carmelo Cortez, 1978].ch8": (
        "4d17116f85b2d1fe63ea634f29a92dfe5638da82a28b6e48b5d62c9b59e01c4b"
    ),
    "Tank.ch8": ("48206f279f572b908e2599d81d1aaaffdd61b2d576f805a79cb447bf476c539d"),
    "target_shooter1.ch8": (
        "2a86c849a7167aa465cbb584882a46464ed11b4263c663f3b274c236b050d9f6"
    ),
    "target_shooter2.ch8": (
        "aa8c89110f240b81a900d01245fd521f82cf89fb2207609577edc13567222960"
    ),
    "target_shooter3.ch8": (
        "49bca5358103d83780a0ca445c07bf45efd4fe53aaed4214406f21cd5d5d99a8"
    ),
    "Tetris [Fran Dachille, 1991].ch8": (
        "667cb026dee03f59f3a2fd81a2ffeab47da87731883f9601d37ba019976f94dd"
    ),
    "UFO [Lutz V, 1992].ch8": (
        "281d3bcc61227e15a5d3294b0e10facc156ec1bd819a3018d92e3ccf3a07acf1"
    ),
    "Vertical Brix [Paul Robson, 1996].ch8": (
        "c4f452abdd1a6a31a5ee3726fad52eea085f27c29ea28307d38a4ebf08d60278"
    ),
    "Wipe Off [Joseph Weisbecker].ch8": (
        "4304cafe94cc85802ec52b330f7ab3dcd7aee3a91b2c653aa441aad3cc741420"
    ),
    "Worm V4 [RB-Revival Studios, 2007].ch8": (
        "121219266c249de2b357084aa3882d67aef2493bc94ec3024bed9757ed5d36c7"
    ),
}


def rom(name: str) -> bytes:
    """Return a program, after a look at its checksum.

    Args:
        name: Of a file in octax's folder of ROMs.

    Raises:
        ImportError: If the package octax is not installed, or without this file.
        ValueError: If the file is not the one of octax 0.1.1.
    """
    path = _rom_path(name)
    if path is None:
        raise ImportError(refusal(f"the ROM {name!r} of octax 0.1.1", "none", INSTALL))
    program = path.read_bytes()
    digest = sha256(program).hexdigest()
    if digest != SHA256[name]:
        needed = f"the ROM {name!r} of octax 0.1.1 (SHA-256 {SHA256[name][:8]}...)"
        do = "pip install --force-reinstall --no-deps octax==0.1.1"
        raise ValueError(refusal(needed, f"{digest[:8]}... in {path}", do))
    return program


def _rom_path(name: str) -> Path | None:
    """Return where a ROM lies: as octax's list of files says, or beside its folder."""
    try:
        listed = files("octax") or []
    except PackageNotFoundError:
        listed = []
    candidates = [Path(entry.locate()) for entry in listed if entry.name == name]
    spec = find_spec("octax")  # of a top-level name: it is looked for, not executed
    for place in (spec and spec.submodule_search_locations) or []:
        candidates.append(Path(place).parent / "roms" / name)
    return next((path for path in candidates if path.is_file()), None)
