"""Where numbers come from: commit, versions, device."""

import json
import platform
import subprocess

import pytest
import torch

from isometry.core import machine
from isometry.lab.provenance import commit, device_name, provenance, versions


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.test"]
    command = ["git", *identity, *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout with one committed file."""
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "one")
    return tmp_path


def test_the_commit_is_that_of_the_checkout_and_says_whether_it_was_changed(checkout):
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True
    ).stdout.strip()
    clean = commit(checkout)
    assert head.startswith(clean)
    assert len(clean) >= 7
    (checkout / "file").write_text("b")
    assert commit(checkout) == f"{clean}+changes"


def test_changes_beside_the_package_are_no_changes_of_what_runs(checkout):
    package = checkout / "lib"
    package.mkdir()
    (package / "module.py").write_text("")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "two")
    clean = commit(package)
    (checkout / "file").write_text("b")
    assert commit(package) == clean
    (package / "new.py").write_text("")
    assert commit(package) == f"{clean}+changes"


def test_a_tag_does_not_hide_the_commit(checkout):
    before = commit(checkout)
    git(checkout, "tag", "-a", "v1", "-m", "one")
    assert commit(checkout) == before


def test_a_package_inside_somebody_elses_checkout_has_no_commit(checkout):
    installed = checkout / ".venv" / "isometry"
    installed.mkdir(parents=True)
    (installed / "module.py").write_text("")
    assert commit(installed) == "unknown"


def test_without_a_checkout_or_git_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path) == "unknown"
    assert commit(tmp_path / "nowhere") == "unknown"
    monkeypatch.setenv("PATH", "")
    assert commit(tmp_path) == "unknown"


def test_versions_are_those_that_run():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__
    assert set(found) == {"python", *machine.PACKAGES}


def test_a_package_that_is_not_installed_is_unknown(monkeypatch):
    monkeypatch.setattr(machine, "PACKAGES", ("no-such-package",))
    assert versions()["no-such-package"] == "unknown"


def test_a_cpu_is_named_with_its_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert device_name("cpu").endswith(", 1 thread")
        torch.set_num_threads(2)
        assert device_name(torch.device("cpu")).endswith(", 2 threads")
    finally:
        torch.set_num_threads(before)
    assert len(device_name("cpu")) > len(", 1 thread")


def test_provenance_is_ready_for_json():
    found = provenance()
    assert set(found) == {"commit", "versions", "device"}
    assert json.loads(json.dumps(found)) == found
