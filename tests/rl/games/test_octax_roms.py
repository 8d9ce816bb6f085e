"""ROMs are read from the installed package octax, as data, after a look at them."""

import sys
from hashlib import sha256
from importlib.metadata import PackageNotFoundError

import pytest

from isometry.cli import listing, main
from isometry.rl import make_vec
from isometry.rl.games import octax_roms
from isometry.rl.games.octax_games import OCTAX_GAMES

PROGRAM = b"\x12\x00"
NAME = "Own [Ourselves, 2026].ch8"


@pytest.fixture
def no_octax(monkeypatch):
    def files(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(octax_roms, "files", files)
    monkeypatch.setattr(octax_roms, "find_spec", lambda name: None)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a folder that looks like one into which the wheel was installed."""
    (tmp_path / "octax").mkdir()
    (tmp_path / "octax" / "__init__.py").write_text("raise ImportError('imported')")
    (tmp_path / "roms").mkdir()
    (tmp_path / "roms" / NAME).write_bytes(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "octax", raising=False)
    monkeypatch.setitem(octax_roms.SHA256, NAME, sha256(PROGRAM).hexdigest())
    return tmp_path


def test_a_rom_is_found_beside_a_package_that_is_not_imported(installed, monkeypatch):
    monkeypatch.setattr(octax_roms, "files", lambda name: None)  # it lists no files
    assert octax_roms.rom(NAME) == PROGRAM


def test_a_rom_is_found_in_the_packages_list_of_files(installed, monkeypatch):
    monkeypatch.setattr(octax_roms, "find_spec", lambda name: None)
    information = installed / "octax-0.1.1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: octax\nVersion: 0.1.1\n")
    (information / "RECORD").write_text(f'octax/__init__.py,,\n"roms/{NAME}",,\n')
    assert octax_roms.rom(NAME) == PROGRAM


def test_a_missing_package_is_named_with_the_command_that_installs_it(no_octax):
    with pytest.raises(ImportError) as caught:
        make_vec("octax/brix", 1, seed=0)
    assert "\n" not in str(caught.value)
    assert "pip install --no-deps octax==0.1.1" in str(caught.value)


def test_another_program_under_the_same_name_is_refused(installed):
    (installed / "roms" / NAME).write_bytes(PROGRAM + b"\x00")
    with pytest.raises(ValueError, match="--force-reinstall"):
        octax_roms.rom(NAME)


BRIX = OCTAX_GAMES["brix"][0]
RUN = (
    "run continual_octax --method adam --seeds 0:1 --profile smoke --set games=brix "
    "--out results"
)


def refused_in_one_line(capsys, monkeypatch, folder, game="brix", start="needed the"):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        main(RUN.replace("brix", game).split())
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"isometry: {start}")
    assert not list(folder.glob("results/**/*.parquet"))
    return err


def test_a_run_without_the_package_says_in_one_line_what_to_install(
    no_octax, capsys, monkeypatch, tmp_path
):
    err = refused_in_one_line(capsys, monkeypatch, tmp_path)
    assert "needed the ROM 'Brix" in err
    assert "found none; pip install --no-deps octax==0.1.1" in err


@pytest.mark.parametrize("games", ["brics", "brix,brics"])
def test_an_unknown_game_is_named_before_a_missing_rom(
    games, no_octax, capsys, monkeypatch, tmp_path
):
    start = "unknown game of continual_octax 'brics'; did you mean 'brix'? known: "
    err = refused_in_one_line(capsys, monkeypatch, tmp_path, games, start)
    assert err.removeprefix(f"isometry: {start}").rstrip() == ", ".join(
        sorted(OCTAX_GAMES)
    )


def test_a_game_of_an_altered_program_is_not_played(installed, monkeypatch, capsys):
    monkeypatch.setattr(octax_roms, "files", lambda name: None)
    (installed / "roms" / BRIX).write_bytes(PROGRAM)
    with pytest.raises(ValueError, match="SHA-256") as caught:
        make_vec("octax/brix", 1, seed=0)
    assert "\n" not in str(caught.value)
    err = refused_in_one_line(capsys, monkeypatch, installed)
    assert str(installed / "roms" / BRIX) in err
    assert "--force-reinstall" in err


def test_every_game_has_a_program_with_a_checksum():
    assert {file for file, _ in OCTAX_GAMES.values()} == set(octax_roms.SHA256)
    assert {len(digest) for digest in octax_roms.SHA256.values()} == {64}


def test_games_are_listed_without_the_package(no_octax):
    names = [line.split()[0] for line in listing("games")]
    assert names[-len(OCTAX_GAMES) :] == [f"octax/{name}" for name in OCTAX_GAMES]


@pytest.mark.parametrize("name", ["octax/brick", "octax/space_flight", "octax/cavern4"])
def test_unknown_games_are_refused_with_the_nearest_known_one(name):
    with pytest.raises(KeyError, match="did you mean 'octax/"):
        make_vec(name, 1, seed=0)
