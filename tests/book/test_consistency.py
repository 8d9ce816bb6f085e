"""One truth about dependencies and files: pyproject, lock, environment, prose agree."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from press import ROOT

# Programs are read from octax, which is installed without its needs; peers are the
# originals of our games, integrations other libraries, for optional tests in
# environments of their own.
NOT_LOCKED = {"octax", "peers", "integrations"}
LIBRARY = ("bench", "plot", "rl", "dask")  # extras of the library itself


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def lock():
    return [Requirement(block.split("\\")[0]) for block in locked_blocks()]


def locked_blocks():
    """Return the requirements of the lock as they stand, each with its hashes."""
    text = (ROOT / "requirements.lock").read_text()
    return [b for b in re.split(r"^(?=\S)", text, flags=re.M) if b and b[0] != "#"]


def locked_torch():
    """Return torch at the version in the lock's head; its builds differ in hashes."""
    text = (ROOT / "requirements.lock").read_text()
    return Requirement(*re.findall(r"^# (torch==\S+)$", text, re.M))


def required(project, *extras):
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    found = [Requirement(line) for line in lines]
    own = [r for r in found if r.name == project["name"]]  # one extra holds another
    others = [r for r in found if r not in own]
    return others + [r for o in own for r in required(project, *o.extras)]


def imported(package):
    """Return the distributions that the modules of a package import, anywhere."""
    names = set()
    for path in (ROOT / "lib" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    names -= {"isometry", "isometry_book", *sys.stdlib_module_names}
    return {{"sklearn": "scikit-learn"}.get(name, normal(name)) for name in names}


def test_the_lock_pins_every_dependency_at_a_version_that_pyproject_allows(
    project, lock
):
    everywhere = [locked_torch(), *(r for r in lock if r.marker is None)]
    pinned = {normal(r.name): str(r.specifier) for r in everywhere}
    extras = [e for e in project["optional-dependencies"] if e not in NOT_LOCKED]
    for requirement in required(project, *extras):
        name = normal(requirement.name)
        assert name in pinned, f"{name} is not in the lock; run: make lock"
        version = pinned[name].removeprefix("==")
        assert requirement.specifier.contains(version), f"{name} {version}"


def test_the_lock_pins_exactly_and_each_name_once(lock):
    assert all(re.fullmatch(r"==[^*+]+", str(r.specifier)) for r in lock)
    names = [(normal(r.name), str(r.marker)) for r in lock]
    assert len(set(names)) == len(names)


def test_all_that_the_lock_names_has_the_hashes_of_its_files_and_no_address():
    line = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    for block in locked_blocks():
        name, *hashes = block.splitlines()
        assert hashes, name
        assert all(line.fullmatch(found) for found in hashes), name
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_torch_and_its_cuda_build_are_not_in_the_lock(lock):
    names = {normal(r.name) for r in lock}
    assert not [n for n in names if re.match(r"torch$|nvidia|cuda|triton", n)]
    assert {"filelock", "fsspec", "jinja2", "networkx", "setuptools", "sympy"} <= names


@pytest.mark.skipif(not find_spec("jupyter_book"), reason="the lock has the extra book")
def test_what_is_installed_is_what_the_lock_says(lock):
    from importlib.metadata import PackageNotFoundError, version

    wrong = {}
    for requirement in [locked_torch(), *lock]:
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            found = version(requirement.name).split("+")[0]
        except PackageNotFoundError:
            found = "nothing"
        if found == "nothing" or not requirement.specifier.contains(found):
            wrong[requirement.name] = f"{requirement.specifier}, installed {found}"
    assert wrong == {}, "the environment is not the lock's; run: make setup"


def test_originals_of_games_are_tested_in_the_versions_that_are_measured(project):
    folder, pinned = ROOT / "benchmarks" / "contestants", set()
    for name in ("chip8", "minatar_games"):
        pinned |= set((folder / f"{name}.requirements.txt").read_text().splitlines())
    exact = [str(r) for r in required(project, "peers") if "==" in str(r.specifier)]
    assert {"jax", "minatar", "octax"} <= {line.split("==")[0] for line in exact}
    assert set(exact) <= pinned


def test_the_library_requires_what_it_imports_and_the_book_alone_has_an_extra(project):
    always = {normal(r.name) for r in required(project)}
    extras = {normal(r.name) for r in required(project, *LIBRARY)}
    assert always == {"torch"}
    # Its file of digits is read where it lies: importing it would take a second.
    assert imported("isometry") | {"scikit-learn"} == always | extras
    # By ipykernel, IPython and its way of showing figures; by matplotlib, its cycles.
    brought = {"ipython", "matplotlib-inline", "cycler"}
    book = {normal(r.name) for r in required(project, "book")}
    assert imported("isometry_book") <= book | brought
    assert {normal(r.name) for r in required(project, "bench", "plot", "rl")} <= book


def test_matplotlib_draws_two_pictures_of_the_library_and_is_imported_for_them():
    library = ROOT / "lib" / "isometry"
    assert {
        path.relative_to(library).as_posix()
        for path in library.rglob("*.py")
        if re.search(r"^\s*(from|import) matplotlib", path.read_text(), re.M)
    } == {"diagnostics/drawing.py", "lab/curves.py"}
    code = "import sys, isometry.experiments; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_wheel_takes_every_file_of_both_packages():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    lib = ROOT / "lib"
    assert tools["packages"]["find"] == {"where": ["lib"]}
    packages = {path.parent.name: path.parent for path in lib.glob("*/__init__.py")}
    assert set(packages) == {"isometry", "isometry_book"} == set(tools["package-data"])
    for name, folder in packages.items():
        taken = {p for glob in tools["package-data"][name] for p in folder.glob(glob)}
        assert folder / "py.typed" in taken
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path in taken or path.suffix == ".py", path
                assert (path.parent / "__init__.py").exists(), path


def test_the_version_and_its_day_are_the_same_everywhere(project):
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changes = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.+)$", changes, re.M)
    assert headings[0] == "Unreleased"
    assert headings[1] == f"{project['version']}, {cited['date-released']}"
    assert cited["version"] == project["version"]


def test_zenodo_is_told_what_the_citation_says():
    # Zenodo would take the work to be the paper, which the citation file prefers.
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    told = json.loads((ROOT / ".zenodo.json").read_text())
    assert told["description"] == cited["abstract"].strip()
    assert told["creators"] == cited["authors"]
    (paper,) = told["related_identifiers"]
    (known,) = cited["preferred-citation"]["identifiers"]
    assert paper["identifier"] == known["value"]
    for key in ("title", "license", "keywords"):
        assert told[key] == cited[key]
    assert told["upload_type"] == cited["type"]


def test_jupyter_book_stays_below_two(project):
    (book,) = [r for r in required(project, "book") if r.name == "jupyter-book"]
    assert not book.specifier.contains("2.0")


def test_binder_gets_a_python_and_then_the_lock(project):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, *others = environment["dependencies"]
    assert others == ["pip", "make"]
    version = python.removeprefix("python=")
    assert SpecifierSet(project["requires-python"]).contains(version)
    script = ROOT / "postBuild"
    assert script.stat().st_mode & 0o111
    assert script.read_text().endswith('make setup VENV="$NB_PYTHON_PREFIX"\n')


def test_the_workflows_test_every_python_that_pyproject_names(project):
    named = {
        line.rsplit("::", 1)[1].strip()
        for line in project["classifiers"]
        if re.search(r":: 3\.\d+$", line)
    }
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    matrix = yaml.safe_load(text)["jobs"]["test"]["strategy"]["matrix"]
    assert set(matrix["python"]) == named


def test_contributing_gives_a_reason_for_every_dependency(project):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    extras = project["optional-dependencies"]
    missing = [
        r.name for r in required(project, *extras) if f"| `{r.name}` |" not in text
    ]
    assert missing == []


def test_the_package_is_tested_by_the_command_of_ci_run():
    text = (ROOT / ".ci" / "run").read_text()
    assert re.search(r"^make test$", text, re.M)


def test_the_table_of_contents_names_files_that_exist():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [toc["root"]]
    files += [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    assert [name for name in files if not (ROOT / f"{name}.md").is_file()] == []
    pages = {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")}
    chapters = {f"chapters/{path.stem}" for path in (ROOT / "chapters").glob("*.md")}
    assert pages | chapters == set(files)


def test_vendored_files_carry_their_licences():
    static = ROOT / "book" / "_static"
    assert "Apache License" in (static / "mathjax" / "LICENSE").read_text()


def tracked():
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listing.stdout.split("\0") if name]


def test_no_notebook_and_nothing_built_is_committed():
    built = ("_build/", "_run/", "_stage/", "notebooks/")
    names = tracked()
    assert [n for n in names if n.endswith(".ipynb") or n.startswith(built)] == []


def test_no_committed_file_is_large():
    large = [
        name
        for name in tracked()
        if (ROOT / name).is_file() and (ROOT / name).stat().st_size > 2e6
    ]
    assert large == []
