"""The code on the book's pages runs as it stands there."""

import re
from importlib.util import find_spec

import pytest
import torch
from press import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.S | re.M)


def code_of(page):
    return "\n".join(BLOCK.findall((ROOT / "book" / page).read_text()))


@pytest.fixture
def registries():
    """The registries of methods and benchmarks, as they were, after the test."""
    from isometry.methods import METHODS
    from isometry.supervised import BENCHMARKS

    both = METHODS, BENCHMARKS
    before = [set(registry.names()) for registry in both]
    yield both
    for registry, names in zip(both, before, strict=True):
        for name in set(registry.names()) - names:
            registry.remove(name)


def test_the_code_that_shows_adamo_runs(capsys):
    names = {"__name__": "x"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(code_of("use-adamo.md"), "use-adamo.md", "exec"), names)
    out = capsys.readouterr().out
    assert "distance to isometry" in out
    for shown in ("SmallResNet", "blocks.1.second.weight", "Neural tangent kernel"):
        assert shown in out
    assert names["found"].model == "SmallTransformer"


def test_the_first_example_of_adamo_is_fifteen_lines():
    first = BLOCK.search((ROOT / "book" / "use-adamo.md").read_text()).group(1)
    assert len([line for line in first.splitlines() if line.strip()]) <= 15


def test_the_code_that_attaches_methods_runs(capsys):
    names = {"__name__": "x"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(code_of("use-methods.md"), "use-methods.md", "exec"), names)
    assert "0.weight" in capsys.readouterr().out


def test_the_page_on_attach_says_what_every_method_does():
    from isometry.methods import names

    page = (ROOT / "book" / "use-methods.md").read_text()
    table = page[page.index("## What each method") : page.index("## Which layers")]
    assert [name for name in names() if f"`{name}`" not in table] == []


def test_the_example_method_can_be_added_and_run(tmp_path, registries, capsys):
    names = {"__name__": "x", "store": tmp_path}
    exec(compile(code_of("add-a-method.md"), "add-a-method.md", "exec"), names)
    assert "mean_square" in registries[0].names()
    frame = names["frame"]
    assert set(frame["seed"]) == {0, 1}
    assert frame["value"].notna().all()


def test_adam_loses_test_accuracy_on_the_example_benchmark(tmp_path, registries):
    names = {"__name__": "x", "store": tmp_path}
    exec(compile(code_of("add-a-benchmark.md"), "add-a-benchmark.md", "exec"), names)
    assert "noisy_permuted_mnist" in registries[1].names()
    assert len(names["lost"]) == 4


def test_the_code_that_shows_the_games_runs(tmp_path):
    names = {"__name__": "x", "store": tmp_path}
    exec(compile(code_of("use-games.md"), "use-games.md", "exec"), names)
    assert set(names["returns"]["game"]) == {"breakout"}
    # The agent of the page's own loop has learnt from games that ended.
    assert len(names["learnt_from"]) > 100
    assert (names["body"][1].weight != names["before"]).any()
    assert 0 < max(names["learnt_from"]) < 30


def test_the_imports_of_the_api_page_work():
    exec(compile(code_of("api.md"), "api.md", "exec"), {})


def test_the_scripts_that_start_clusters_are_python_whose_arguments_exist():
    blocks = BLOCK.findall((ROOT / "book" / "use-cluster.md").read_text())
    slurm, kubernetes = (compile(b, "use-cluster.md", "exec") for b in blocks)
    assert {"start", "SLURMCluster", "Security"} <= set(slurm.co_names)
    assert {"specification", "KubeCluster"} <= set(kubernetes.co_names)
    if find_spec("dask_kubernetes"):
        names = {"__name__": "x"}
        exec(kubernetes, names)
        worker = names["specification"]()["spec"]["worker"]
        assert worker["spec"]["containers"][0]["args"][2:4] == ["--nthreads", "1"]
    if find_spec("dask_jobqueue"):
        from dask_jobqueue import SLURMCluster

        names = {"__name__": "x"}
        exec(slurm, names)
        assert names["SLURMCluster"] is SLURMCluster


def test_the_page_on_clusters_says_how_long_a_sweep_waits():
    from isometry.sweep import cluster

    page = (ROOT / "book" / "use-cluster.md").read_text()
    assert f"answers within {cluster.CONNECT_SECONDS:g} s" in page
    assert cluster.WORKER_SECONDS == 120
    assert "within two minutes" in page
    assert f"at least every {cluster.WORKERLESS_SECONDS / 60:g} minutes" in page
    assert f"At most {cluster.WINDOW:,} jobs" in page
