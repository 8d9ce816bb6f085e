"""Sweeps on a Dask cluster: the same work, the same numbers, no GPU shared."""

import sys
from contextlib import contextmanager

import pandas as pd
import pytest

from isometry.lab.store import load_results
from isometry.sweep.cluster import cluster
from isometry.sweep.sweep import _crew_of, sweep

CONTENT = {
    "profile": "smoke",
    "tune_seeds": "5:7",
    "report_seeds": "0:2",
    "continued": False,
    "members": 1,
    "settings": {
        "data": "digits",
        "tasks": 2,
        "images_per_task": 40,
        "batch_size": 16,
        "width": 8,
    },
    "benchmarks": {"permuted_mnist": {}},
    "methods": {"adam": {"lr": [1e-7, 1e-2]}},
}


@contextmanager
def running(**resources):
    """Yield the address of a cluster with a worker of one thread for each name."""
    distributed = pytest.importorskip("distributed")
    workers = {
        name: {
            "cls": distributed.Nanny,
            "options": {"nthreads": 1, "resources": own},
        }
        for name, own in resources.items()
    }
    options = {"dashboard": False, "dashboard_address": ":0"}
    scheduler = {"cls": distributed.Scheduler, "options": options}
    with distributed.SpecCluster(workers, scheduler=scheduler, silence_logs=50) as own:
        yield own.scheduler_address


@pytest.fixture(scope="module")
def address():
    """Yield the address of a cluster of two workers, one of them with a GPU."""
    with running(plain={}, gpu={"GPU": 1}) as own:
        yield own


@pytest.mark.slow
def test_a_cluster_gives_the_numbers_of_this_process(address, tmp_path):
    arguments = {"dask": address, "device": "cpu"}
    outcome = sweep(CONTENT, out=tmp_path / "cluster", **arguments)
    assert outcome.failures == ()
    sweep(CONTENT, out=tmp_path / "here", workers=0, device="cpu")
    for store in ("", "tuning"):
        pd.testing.assert_frame_equal(
            load_results(tmp_path / "cluster" / store),
            load_results(tmp_path / "here" / store),
            check_exact=True,
        )
    assert sweep(CONTENT, out=tmp_path / "cluster", **arguments) == outcome


@pytest.mark.slow
def test_failures_on_a_cluster_are_counted(address, tmp_path):
    bad = {**CONTENT, "settings": {**CONTENT["settings"], "images_per_task": 9999}}
    outcome = sweep(bad, out=tmp_path, dask=address, device="cpu")
    assert len(outcome.failures) == 4
    assert all("images_per_task <= 1500" in f.reason for f in outcome.failures)


@pytest.mark.slow
def test_where_a_worker_has_a_gpu_jobs_ask_for_it(address):
    from distributed import Client, get_worker

    with cluster(address, "auto") as crew:
        assert crew.device == "cuda"
        assert crew.workers == 1, "the others cannot take a job"
    with cluster(address, "cpu") as crew:
        assert crew.workers == 2
    with Client(address, set_as_default=False) as client:
        executor = client.get_executor(pure=False, resources={"GPU": 1})
        tasks = [executor.submit(lambda: get_worker().name) for _ in range(4)]
        names = {task.result(timeout=60) for task in tasks}
    assert names == {"gpu"}


@pytest.mark.slow
def test_a_gpu_that_no_worker_has_is_refused(tmp_path):
    with (
        running(plain={}) as plain,
        pytest.raises(ValueError, match="needed workers with a GPU at ") as refused,
    ):
        sweep(CONTENT, out=tmp_path, dask=plain, device="cuda")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("workers", "dask", "device", "message"),
    [
        (2, "tcp://127.0.0.1:8786", "cpu", "needed --workers or --dask, found --work"),
        (-1, None, "cpu", "needed --workers >= 0, found -1; 0 works in this process"),
        (0, None, "tpu", "needed a device auto, cpu or cuda, found tpu"),
        (2, None, "cuda:99", "needed a CUDA device for cuda:99"),
    ],
)
def test_a_crew_that_cannot_be_is_refused(workers, dask, device, message):
    with pytest.raises(ValueError, match=message):
        _crew_of(workers, dask, device)


def test_without_distributed_a_cluster_is_refused_with_what_to_install(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"isometry\[dask\]"):
        sweep(CONTENT, out=tmp_path, dask="tcp://127.0.0.1:1")


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("isometry.sweep.cluster.CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:1", "nowhere"):
        with pytest.raises(ValueError, match=f"needed a Dask scheduler at {address}"):
            sweep(CONTENT, out=tmp_path, dask=address)
