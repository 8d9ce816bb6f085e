"""What is shipped: metadata that holds anywhere, an archive that makes itself."""

import email
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import isometry

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = "https://github.com/owner/name"
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
BUILT = shutil.ignore_patterns(
    *(".venv", ".work", "_build", "_run", "_stage", "build", "dist"),
    *("*.egg-info", "__pycache__", ".*_cache", ".hypothesis"),
)


@pytest.fixture(scope="module")
def setup():
    """Return the functions of setup.py."""
    return runpy.run_path(str(ROOT / "setup.py"))


def copied(target):
    """Copy what git knows, or where there is no git what is not built; return names."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if listing.returncode:
        shutil.copytree(ROOT, target, ignore=BUILT)
        return set()
    names = {n for n in listing.stdout.split("\0") if n and (ROOT / n).is_file()}
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    return names


def built(kind, folder, output):
    """Return the file that setuptools builds of a folder: an sdist or a wheel."""
    build = f"build_meta.build_{kind}({str(output)!r})"
    code = f"from setuptools import build_meta; {build}"
    command = [sys.executable, "-W", "ignore", "-c", code]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (file,) = output.iterdir()
    return file


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Return tracked names, the archive's, and a wheel that the archive built."""
    folder = tmp_path_factory.mktemp("shipped")
    tracked = copied(folder / "tree")
    with tarfile.open(built("sdist", folder / "tree", folder / "sdist")) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (root,) = (folder / "unpacked").iterdir()
    names = {
        path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()
    }
    return tracked, names, built("wheel", root, folder / "wheel")


def metadata(wheel):
    """Return the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = [n for n in file.namelist() if n.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(file.read(name))


def test_the_archive_has_every_tracked_file(shipped):
    tracked, names, _ = shipped
    if not tracked:
        pytest.skip("not a git checkout")
    assert tracked - names == set()
    made = {"PKG-INFO", "setup.cfg"}
    assert {n for n in names - tracked if ".egg-info/" not in n} == made


def test_the_wheel_that_the_archive_builds_is_small_and_ours(shipped):
    *_, wheel = shipped
    assert wheel.stat().st_size < 1e6
    with zipfile.ZipFile(wheel) as file:
        tops = {name.split("/")[0] for name in file.namelist()}
    version = isometry.__version__
    info = f"plasticity_by_isometry-{version}.dist-info"
    assert tops == {"isometry", "isometry_book", info}


def test_the_package_needs_torch_alone(shipped):
    needs = metadata(shipped[2]).get_all("Requires-Dist")
    assert [line for line in needs if "extra ==" not in line] == ["torch>=2.6"]


def test_no_link_of_the_metadata_leads_from_file_to_file(shipped):
    held = metadata(shipped[2])
    assert held["Description-Content-Type"] == "text/markdown"
    links = LINK.findall(held.get_payload())
    assert links
    assert [target for _, target in links if not target.startswith("https://")] == []


def test_links_lead_to_the_repository_once_its_address_is_known(setup):
    text = (ROOT / "README.md").read_text()
    relative = [t for _, t in LINK.findall(text) if not t.startswith("https://")]
    assert relative
    absolute = LINK.findall(setup["without_relative_links"](text, ADDRESS))
    assert len(absolute) == len(LINK.findall(text))
    ours = [(p, t) for p, t in absolute if t.startswith(ADDRESS)]
    assert len(ours) == len(relative)
    for picture, target in ours:
        view, _, path = target.removeprefix(f"{ADDRESS}/").split("/", 2)
        assert view == ("raw" if picture else "blob")
        assert (ROOT / path.split("#")[0]).exists()


def test_words_stay_where_links_go(setup):
    text = "![a\npicture](x.svg) and [the `page`](book/x.md#y), [far](https://x.org)"
    plain = "*a\npicture* and the `page`, [far](https://x.org)"
    assert setup["without_relative_links"](text, "") == plain


def test_the_address_of_the_repository_stands_in_one_place(setup, monkeypatch):
    monkeypatch.delenv("BOOK_REPOSITORY", raising=False)
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    address = tools["isometry"]["repository"]
    assert setup["repository"]() == address
    assert set(setup["urls"](address)) == (
        {"Repository", "Issues", "Changelog"} if address else set()
    )
    citation = (ROOT / "CITATION.cff").read_text()
    cited = re.findall(r"^repository-code: (.+)$", citation, re.M)
    assert cited == [address] * bool(address)
    to_install = f"git+{address}" if address else "git+<this repository's address>"
    assert to_install in (ROOT / "README.md").read_text()


def test_an_address_in_the_environment_has_priority(setup, monkeypatch):
    monkeypatch.setenv("BOOK_REPOSITORY", f"{ADDRESS}/")
    assert setup["repository"]() == ADDRESS
    assert setup["urls"](ADDRESS)["Issues"] == f"{ADDRESS}/issues"
