"""The command line: what it prints, and one line for every refusal."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from isometry import __version__
from isometry.catalogue import CATALOGUE, LISTINGS, _edited, listing, written
from isometry.cli import LIGHT_HELP, added, main, refused
from isometry.commands import command_line
from isometry.core.seeding import parsed_seeds
from isometry.core.settings import parsed_changes
from isometry.lab.store import StoreError, load_records, load_results
from isometry.methods import METHODS
from isometry.rl.continual_benchmarks import CONTINUAL
from isometry.supervised import BENCHMARKS
from isometry.supervised.data import download
from isometry.supervised.data.sets import DataError
from isometry.tracking import LEARNERS, TRACKING
from isometry_book.claims.claim import CLAIMS

SMALL = (
    "--set=data=digits --set=tasks=2 --set=images_per_task=40 --set=epochs=1 "
    "--set=batch_size=16 --set=width=8 --set=depth=1"
)


@pytest.fixture
def isometry(capsys, monkeypatch, tmp_path):
    """Return a function that runs a command and returns (status, out, err)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISOMETRY_DATA", str(tmp_path / "data"))
    # What cyclopts and rich print must not depend on the terminal of the tests.
    monkeypatch.setenv("COLUMNS", "200")

    def offline(name, bad):
        raise ConnectionError("no connection")

    monkeypatch.setattr(download, "_download", offline)

    def command(*arguments):
        if len(arguments) == 1:
            arguments = tuple(arguments[0].split())
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return command


def assert_refused(result, *parts):
    status, out, err = result
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1, "one line"
    assert err.startswith("isometry: ")
    assert "Traceback" not in err
    for part in parts:
        assert part in err
    assert status == 2


# --- refusals -------------------------------------------------------------------------

RUN = f"run permuted_mnist --method adam {SMALL}"
LARGE = "run permuted_mnist --method adam --profile=smoke --set=data=digits"
REFUSALS = [
    # commands and options
    ("lst methods", 'Unknown command "lst". Did you mean "list"?'),
    ("list", "requires an argument"),
    ("list metods", 'Did you mean "methods"?'),
    ("list methods benchmarks", "Unused Tokens: ['benchmarks']"),
    ("report", "requires an argument"),
    ("data fecth", 'Did you mean "fetch"?'),
    ("run --method adam", "requires an argument"),
    ("run permuted_mnist", "--method requires an argument"),
    ("run permuted_mnist --metod adam", "Did you mean --method instead of --metod?"),
    (f"{RUN} --sedes 0:3", "Unknown option: --sedes. Did you mean --seeds?"),
    (f"{RUN} --seeds", "--seeds requires an argument"),
    (f"{RUN} extra", "Unused Tokens: ['extra']"),
    (f"{RUN} --profile=laptp", 'Did you mean "laptop"?'),
    ("report . --format=tabel", 'Did you mean "table"?'),
    # names
    (
        f"run permuted_mnst --method adam {SMALL}",
        "unknown benchmark 'permuted_mnst'; did you mean 'permuted_mnist'?",
    ),
    (
        f"run permuted_mnist --method adamoo {SMALL}",
        "unknown method 'adamoo'; did you mean 'adamo'? known: adalin, adam, ",
    ),
    ("data verify mnits", "unknown data set 'mnits'; did you mean 'mnist'?"),
    ("data fetch mnits", "unknown data set 'mnits'; did you mean 'mnist'?"),
    ("data path mnits", "unknown data set 'mnits'; did you mean 'mnist'?"),
    ("study deep_linaer --out s", "unknown study 'deep_linaer'; did you mean 'deep_li"),
    ("study maxmin --profile=fast --out s", "Choose from: "),
    # settings
    (
        f"{RUN} --set=widht=3",
        "unknown setting of permuted_mnist with adam 'widht'; did you mean 'width'?",
    ),
    (
        f"run permuted_mnist --method adamo {SMALL} --set=isometry_strengh=1",
        "did you mean 'isometry_strength'?",
    ),
    (f"{RUN} --set=isometry_strength=1", "unknown setting of permuted_mnist with adam"),
    (f"{RUN} --set=lr=0", "needed lr > 0, found 0.0; change lr"),
    (f"{RUN} --set=lr=-1", "needed lr > 0, found -1.0"),
    (f"{RUN} --set=lr=fast", "needed a number for lr, found 'fast'"),
    (f"{RUN} --set=lr=nan", "needed a finite number for lr, found 'nan'"),
    (f"{RUN} --set=lr=inf", "needed a finite number for lr"),
    (f"{RUN} --set=lr=", "needed a number for lr, found ''"),
    (f"{RUN} --set=seedless", "needed --set KEY=VALUE, each key once"),
    (f"{RUN} --set==3", "needed --set KEY=VALUE"),
    (f"{RUN} --set", "--set requires an argument"),
    (f"{RUN} --set=width=4", "needed --set KEY=VALUE, each key once, found 'width=4'"),
    (f"{RUN} --set=beta1=1", "needed 0 <= beta1 < 1, found 1.0"),
    (f"{RUN} --set=activation=rellu", "did you mean 'relu'?"),
    (f"{RUN} --set=reshuffle=2", "needed reshuffle=true or reshuffle=false, found 2"),
    (f"{RUN} --set=network=cnnn", "unknown value for network 'cnnn'"),
    (
        "run permuted_mnist --method adam --set data=cifar10",
        "needed data of mnist, digits for permuted_mnist, found cifar10",
    ),
    (
        "run permuted_mnist --method maxmin --set data=digits --set width=9",
        "needed an even width for maxmin, found 9; change width or activation",
    ),
    (
        "run permuted_mnist --method adam --set data=digits --set images_per_task=1501",
        "needed images_per_task <= 1500 for this data set, found 1501",
    ),
    (
        f"run permuted_mnist --method adamo {SMALL} --set isometry_strength=1e9",
        "needed isometry_lr * isometry_strength * isometry_every <= 0.25, found",
    ),
    # seeds
    (f"{RUN} --seeds 3:3", "different seeds, a:b or a,b,c, found '3:3'"),
    (f"{RUN} --seeds 5:2", "different seeds, a:b or a,b,c"),
    (f"{RUN} --seeds 1,1", "different seeds, a:b or a,b,c, found '1,1'"),
    (f"{RUN} --seeds a", "different seeds, a:b or a,b,c, found 'a'; pass e.g. 0:8"),
    (f"{RUN} --seeds 0:8:2", "different seeds, a:b or a,b,c"),
    (f"{RUN} --seeds 0:9999999999999999", "needed 1 to 10000 different seeds"),
    (f"{RUN} --seeds 1.5", "different seeds, a:b or a,b,c"),
    (f"{RUN} --seeds 99999999999999999999", "needed seeds of 64 bits, which results"),
    # sizes
    (f"{LARGE} --set=width=200000", "needed what fits into the memory, "),
    (f"{LARGE} --set=depth=1000000000", "GiB, at least, of 3 networks with their data"),
    (f"{LARGE} --set=width={10**20}", "needed a whole number of 64 bits for width"),
    (f"{LARGE} --set=init_gain={10**400}", "needed a finite number for init_gain"),
    # devices, data, stores
    (f"{RUN} --device=tpu", "needed a device auto, cpu or cuda, found tpu; choose one"),
    (f"{RUN} --device=cuda:99", "needed a CUDA device for cuda:99, found"),
    (f"{RUN} --out=occupied", "Not a directory: "),
    ("report nowhere", "needed results under nowhere, found no such folder; make some"),
    (
        "report empty",
        "needed results under empty, found none; make some with `isometry",
    ),
    ("report occupied", "needed a readable results file at occupied, found"),
    ("report empty --plot=a.svg", "needed results under empty, found none; make some"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSALS)
def test_every_refusal_is_one_line_that_says_what_to_do(
    isometry, tmp_path, arguments, message
):
    (tmp_path / "occupied").write_text("not a store")
    (tmp_path / "empty").mkdir()
    assert_refused(isometry(arguments), message)


def test_mnist_that_is_not_there_is_refused_with_how_to_get_it(isometry, tmp_path):
    result = isometry("run permuted_mnist --method adam --profile smoke --device cpu")
    assert_refused(result, "`isometry data fetch mnist`", str(tmp_path / "data"))


@pytest.mark.parametrize("command", ["data path mnist", "data verify", "data fetch"])
def test_a_data_folder_in_a_home_that_is_not_known_is_refused(
    isometry, monkeypatch, command
):
    monkeypatch.setenv("ISOMETRY_DATA", "~nobody-of-that-name/data")
    status, _, err = isometry(command)
    assert status == 2
    assert err.count("\n") == 1
    assert "whose home is not known; name another by ISOMETRY_DATA" in err


def test_a_metric_that_no_run_recorded_is_refused(isometry):
    isometry(f"{RUN} --seeds 0:1 --out store")
    result = isometry("report store --metric onlin_accuracy")
    assert_refused(result, "unknown metric 'onlin_accuracy'; did you mean 'online_accu")


def test_a_damaged_results_file_is_refused_by_name(isometry, tmp_path):
    isometry(f"{RUN} --seeds 0:1 --out store")
    (file,) = (tmp_path / "store").glob("**/*.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    assert_refused(isometry("report store"), file.name, "move it away")
    assert_refused(isometry(f"{RUN} --seeds 1:2 --out store"), file.name)


def test_a_report_names_a_damaged_file_in_a_line_and_goes_on(isometry, tmp_path):
    isometry(f"{RUN} --seeds 0:1 --out store")
    isometry(f"{RUN} --seeds 0:1 --out store --set lr=0.01")
    whole = isometry("report store")[1]
    file, _ = (tmp_path / "store").glob("**/*.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    status, out, err = isometry("report store")
    assert status == 0
    assert len(out.splitlines()) == len(whole.splitlines()) - 1
    assert err.startswith("isometry: left out: needed a readable results file at store")
    assert err.count("\n") == 1
    assert file.name in err


def test_a_full_disk_is_told_in_a_line_and_the_same_command_goes_on(
    isometry, tmp_path, monkeypatch
):
    command = f"{RUN} --seeds 0:2 --out store"
    whole = isometry(command.replace("store", "whole"))[1].replace("whole", "store")
    sync, calls = os.fsync, []
    for last in range(3):  # the checkpoint's writing, the results'

        def full(descriptor, last=last):
            calls.append(descriptor)
            if len(calls) > 2 * last:
                raise OSError(28, "No space left on device")
            sync(descriptor)

        calls.clear()
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            result = isometry(command)
        if last < 2:
            assert_refused(
                result, "No space left on device: ", "; make room, and the s"
            )
            assert not list(tmp_path.glob("store/**/*.partial"))
    assert isometry(command) == (0, whole, "")


def test_through_python_m_a_refusal_is_one_line_too(tmp_path):
    command = [
        sys.executable,
        "-m",
        "isometry",
        "run",
        "permuted_mnst",
        "--method=adam",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert_refused((done.returncode, done.stdout, done.stderr), "'permuted_mnist'?")


def test_the_console_script_is_the_same_command():
    script = os.path.join(os.path.dirname(sys.executable), "isometry")
    if not os.path.exists(script):
        pytest.skip("the package is not installed beside this python")
    done = subprocess.run([script, "lsit"], capture_output=True, text=True)
    assert_refused((done.returncode, done.stdout, done.stderr), '"list"?')


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("needed x\n  found y"), "needed x found y"),
        (ValueError(), "ValueError"),
        (KeyError("unknown 'a'"), "unknown 'a'"),
        (StoreError("needed a store"), "needed a store"),
        (DataError("needed data"), "needed data"),
        (PermissionError(13, "Permission denied", "/x"), "Permission denied: /x"),
        (
            OSError(28, "No space left on device", "/x"),
            "No space left on device: /x; make room, and the same command goes on",
        ),
        (OSError(5, "Input/output error"), "Input/output error"),
        (
            MemoryError("Unable to allocate 9 TiB"),
            "out of memory; lower the sizes, or run fewer seeds at a time",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
            "out of memory; lower the sizes, or run fewer seeds at a time",
        ),
        (
            FileExistsError(17, "File exists", "/a", None, "/b"),
            "File exists: /a and /b",
        ),
        (TypeError("ours"), None),  # an error of ours keeps its traceback
        (AttributeError("ours"), None),
        (RuntimeError("ours"), None),
    ],
)
def test_refusals_are_told_from_errors_of_ours(error, line):
    assert refused(error) == line


def test_an_error_of_ours_keeps_its_traceback(monkeypatch):
    def broken(what):
        raise AttributeError("ours")

    monkeypatch.setattr("isometry.cli.listing", broken)
    with pytest.raises(AttributeError, match="ours"):
        main(["list", "methods"])


def test_a_stopped_run_says_that_it_can_go_on(isometry, monkeypatch):
    def stop(what):
        raise KeyboardInterrupt

    monkeypatch.setattr("isometry.cli.listing", stop)
    assert isometry("list methods") == (
        130,
        "",
        "isometry: stopped; the same command goes on\n",
    )


# --- seeds and settings as typed ------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0:3", [0, 1, 2]),
        ("5:6", [5]),
        ("-2:1", [-2, -1, 0]),
        ("7", [7]),
        ("3,1,2", [3, 1, 2]),
        ("3, 1", [3, 1]),
    ],
)
def test_seeds_are_a_range_without_its_end_or_a_list(text, seeds):
    assert parsed_seeds(text) == seeds


def test_a_value_may_hold_an_equals_sign():
    assert parsed_changes(["a=b=c", "d="]) == {"a": "b=c", "d": ""}
    assert parsed_changes([]) == {}


# --- list -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "registry"),
    [
        ("methods", METHODS.names()),
        ("benchmarks", (*BENCHMARKS.names(), *CONTINUAL.names(), *TRACKING.names())),
        ("learners", LEARNERS.names()),
        ("claims", CLAIMS.names()),
    ],
)
def test_everything_that_is_registered_is_listed_on_a_line_of_its_own(
    isometry, what, registry
):
    status, out, err = isometry(f"list {what}")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(registry)
    starts = {line.index(line.split()[1]) for line in lines}
    assert len(starts) == 1, "one column"


def test_the_catalogue_holds_what_is_registered():
    assert CATALOGUE.read_text() == written(), "run: python -m isometry.catalogue"


LISTED = ("methods", "learners", "benchmarks", "games", "claims")


@pytest.mark.parametrize("what", LISTED)
def test_the_catalogue_is_listed_as_the_registries_are(isometry, what):
    done = subprocess.run(
        [sys.executable, "-m", "isometry", "list", what], capture_output=True, text=True
    )
    assert done.stdout.splitlines() == listing(what)
    assert isometry(f"list {what}")[1] == done.stdout


@pytest.mark.parametrize(("later", "edited"), [(30, False), (90, True)])
def test_a_file_that_is_newer_than_the_catalogue_has_been_edited(
    monkeypatch, tmp_path, later, edited
):
    for name in ("catalogue.json", "methods/a.py", "methods/pulls/b.py", "rl/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1000, 1000))
    monkeypatch.setattr("isometry.catalogue.CATALOGUE", tmp_path / "catalogue.json")
    os.utime(tmp_path / "methods" / "pulls" / "b.py", (1000 + later, 1000 + later))
    assert _edited("isometry.methods") is edited
    assert not _edited("isometry.rl.continual_benchmarks")


PLUGIN = """
from dataclasses import replace
from isometry import cli

def plugin(command, listings):
    from isometry.methods import METHODS
    METHODS.register("mine", replace(METHODS.get("adam"), name="mine", summary="new"))
    listings["shapes"] = lambda: [("round", "without corners")]

class Entry:
    load = staticmethod(lambda: plugin)

cli.entry_points = lambda group: [Entry]
cli.main()
"""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("list methods", "mine  "),
        ("list shapes", "round  without corners"),
        ("__complete run x --method m", "mine\t"),
    ],
)
def test_what_a_plug_in_adds_is_listed_too(arguments, line):
    command = [sys.executable, "-c", PLUGIN, *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert any(found.startswith(line.strip()) for found in done.stdout.splitlines())


# --- run and report -------------------------------------------------------------------


def test_a_run_prints_its_report_and_where_it_is_stored(isometry, tmp_path):
    status, out, err = isometry(f"{RUN} --seeds 0:2 --out store")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[1].split()[:4] == ["permuted_mnist", "adam", "2", "2"]
    path = lines[-1].removeprefix("stored in ")
    assert (tmp_path / path).is_file()
    assert set(load_results(tmp_path / "store")["seed"]) == {0, 1}


def test_settings_may_be_given_in_both_spellings_and_reach_run_and_method(
    isometry, tmp_path
):
    status, *_ = isometry(
        f"run permuted_mnist --method adamo {SMALL} --seeds 3,5 --out store "
        "--set isometry_strength=0.5 --set lr=0.01"
    )
    assert status == 0
    (record,) = load_records(tmp_path / "store")
    assert record["settings"]["lr"] == 0.01
    assert record["settings"]["width"] == 8
    assert record["method_settings"]["isometry_strength"] == 0.5
    assert record["runs"][0]["seeds"] == [3, 5]


def test_the_same_command_again_keeps_what_is_there(isometry, tmp_path):
    first = isometry(f"{RUN} --seeds 0:2 --out store")
    (file,) = (tmp_path / "store").glob("**/*.parquet")
    before = file.read_bytes()
    assert isometry(f"{RUN} --seeds 0:2 --out store") == first
    assert file.read_bytes() == before


def test_a_report_comes_in_four_formats(isometry):
    isometry(f"{RUN} --seeds 0:2 --out store")
    tables = {}
    for format in ("table", "csv", "json", "markdown"):
        status, out, err = isometry(f"report store --format {format}")
        assert (status, err) == (0, "")
        tables[format] = out
    assert isometry("report store")[1] == tables["table"]
    (row,) = json.loads(tables["json"])
    assert row["method"] == "adam"
    mean = dict(zip(*csv.reader(tables["csv"].splitlines()), strict=True))["mean"]
    assert float(mean) == pytest.approx(row["mean"], abs=1e-14)
    assert tables["markdown"].startswith("| benchmark |")
    other = isometry("report store --metric test_accuracy --format json")[1]
    assert json.loads(other)[0]["mean"] != row["mean"]


def test_a_report_draws_the_courses_or_says_why_not(isometry, tmp_path):
    isometry(f"{RUN} --seeds 0:2 --out store")
    table = isometry("report store")
    assert isometry("report store --plot curves.svg") == table
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")
    needed = "needed a file that ends with .png, .svg, .pdf, found curves.jpg; pass "
    assert_refused(isometry("report store --plot curves.jpg"), needed)
    refused = isometry("report store --plot nowhere/curves.svg")
    assert_refused(refused, "No such file or directory: nowhere/curves.svg")


# --- data -----------------------------------------------------------------------------


def test_verifying_the_embedded_digits_says_so(isometry):
    status, out, err = isometry("data verify digits")
    assert (status, err) == (0, "")
    assert out.startswith("digits: verified: ")
    assert out.count("\n") == 1


def test_verifying_names_every_file_and_fails_where_one_does_not_fit(
    isometry, tmp_path
):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"altered")
    status, out, err = isometry("data verify mnist")
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"mnist: altered: {folder}/train-images-idx3-ubyte.gz")
    assert all(line.startswith("mnist: missing: ") for line in lines[1:])
    status, out, _ = isometry("data verify")
    assert status == 1
    assert {line.split(":")[0] for line in out.splitlines()} == {
        "digits",
        "mnist",
        "cifar10",
        "cifar100",
    }


def test_paths_are_under_the_folder_that_the_environment_names(isometry, tmp_path):
    status, out, _ = isometry("data path mnist")
    assert (status, out) == (0, f"mnist: {tmp_path}/data/mnist\n")
    assert len(isometry("data path")[1].splitlines()) == 4


def test_fetching_without_a_network_is_refused_in_one_line(isometry):
    assert_refused(isometry("data fetch mnist"), "mnist")
    status, out, _ = isometry("data fetch digits")
    assert status == 0
    assert out.startswith("digits: ")


# --- help and completion --------------------------------------------------------------


def test_version_and_help_are_printed(isometry):
    assert isometry("--version")[:2] == (0, f"{__version__}\n")
    status, out, err = isometry("--help")
    assert (status, err) == (0, "")
    for command in ("list", "run", "report", "data"):
        assert command in out
    assert isometry()[0] == 0


def test_every_option_of_run_is_explained(isometry):
    out = isometry("run --help")[1]
    for option in ("method", "seeds", "set", "out", "device", "profile"):
        assert f"--{option}" in out
    assert "a:b (b excluded) or a,b,c." in out
    assert "KEY=VALUE" in out


def test_the_help_without_cyclopts_names_commands_that_there_are():
    known = set(command_line(added()))
    told = re.findall(r"[a-z]+", LIGHT_HELP.split("among them")[1].split(":")[0])
    assert {"run", "sweep", "report", "diagnose"} == set(told) - {"and"} <= known


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_taught_all_commands_and_options(isometry, tmp_path, shell):
    file = tmp_path / "script"
    status, _, err = isometry(f"--install-completion --shell {shell} --output {file}")
    assert (status, err) == (0, "")
    script = file.read_text()
    for word in ("collect", "study", "benchmarks", "seeds", "profile", "laptop"):
        assert word in script


@pytest.mark.parametrize(
    ("typed", "listed"),
    [
        (["run", ""], "benchmarks"),
        (["run", "permuted_mnist", "--method", ""], "methods"),
        (["run", "--method", ""], "methods"),
    ],
)
def test_names_are_completed_from_the_lists(isometry, typed, listed):
    status, out, err = isometry("__complete", *typed)
    assert (status, err) == (0, "")
    offered = [line.split("\t")[0] for line in out.split("\x1fbegin\n")[1].splitlines()]
    assert offered == [name for name, _ in LISTINGS[listed]()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_a_method_by_its_first_letters(tmp_path):
    script = command_line(added()).generate_completion(shell="bash")
    (tmp_path / "isometry.bash").write_text(script)
    here = tmp_path / "isometry"
    here.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m isometry "$@"\n')
    here.chmod(0o755)
    press_tab = """
    source ./isometry.bash
    COMP_WORDS=(./isometry run permuted_mnist --method adamo_m); COMP_CWORD=4
    COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
    name=$(complete -p isometry | sed "s/.*-F \\([^ ]*\\).*/\\1/")
    "$name" ./isometry adamo_m --method
    printf "%s\n" "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", press_tab], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("adamo_maxmin", "")
