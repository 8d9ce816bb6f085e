"""Sweeps on a Dask cluster: the same work, the same numbers, no GPU shared."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pandas as pd
import pytest

from isometry.core.machine import code_digest
from isometry.core.messages import Notice
from isometry.lab.store import load_results
from isometry.sweep.cluster import cluster
from isometry.sweep.sweep import crew_of, sweep

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
        crew_of(workers, dask, device)


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


# --- what a cluster does wrong --------------------------------------------------------


@contextmanager
def silent_port():
    """Yield the address of a port that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def refusal_of(address, out, content=CONTENT):
    """Return the one line with which a sweep on a cluster ends."""
    with pytest.raises(ValueError, match=r"^needed ") as refused:
        sweep(content, out=out, dask=address, device="cpu")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_port_that_says_nothing_is_refused_in_time(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("isometry.sweep.cluster.CONNECT_SECONDS", 0.2)
    with silent_port() as address:
        began = time.monotonic()
        said = refusal_of(address, tmp_path)
    assert said.startswith(f"needed a Dask scheduler at {address}, found a port that")
    assert time.monotonic() - began < 10


def test_tls_without_a_certificate_is_refused(tmp_path):
    pytest.importorskip("distributed")
    said = refusal_of("tls://127.0.0.1:9", tmp_path)
    assert said.startswith("needed a certificate for tls://127.0.0.1:9, found none in")


@pytest.mark.slow
@pytest.mark.filterwarnings("default::isometry.core.messages.Notice")
def test_a_scheduler_without_workers_is_waited_for_and_then_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("isometry.sweep.cluster.WORKER_SECONDS", 1)
    with running() as address:
        line = f"waiting up to 1 s for a worker at {address}"
        with pytest.warns(Notice, match=line):
            said = refusal_of(address, tmp_path)
    assert said.startswith(f"needed a worker at {address} within 1 s, found none; sta")


@pytest.mark.slow
def test_workers_of_other_code_are_refused_by_name(address, tmp_path, monkeypatch):
    monkeypatch.setattr("isometry.sweep.cluster.code_digest", lambda: "0" * 16)
    said = refusal_of(address, tmp_path)
    digest = code_digest()
    worker = rf"worker tcp://\S+ as here, found code {digest} instead of {'0' * 16}; "
    assert re.search(worker, said)
    assert not list(tmp_path.glob("**/*.parquet"))


@pytest.mark.slow
def test_a_worker_of_other_code_that_joins_later_stores_nothing(
    address, tmp_path, monkeypatch
):
    monkeypatch.setattr("isometry.sweep.cluster._check_workers", lambda *busy: None)
    monkeypatch.setattr("isometry.sweep.cluster.code_digest", lambda: "0" * 16)
    assert "the same code and packages on worker tcp://" in refusal_of(
        address, tmp_path
    )
    assert not list(tmp_path.glob("**/*.parquet"))


@contextmanager
def started(*command):
    """Yield a process that is killed in the end."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-m", *command], **quiet) as process:
        try:
            yield process
        finally:
            process.kill()


def until(met):
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.filterwarnings("default::isometry.core.messages.Notice")
def test_a_scheduler_that_dies_ends_a_sweep_that_goes_on_later(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("isometry.sweep.cluster.CONNECT_SECONDS", 2)
    monkeypatch.setattr("isometry.sweep.queue.LOOK_SECONDS", 0.5)
    settings = {**CONTENT["settings"], "tasks": 60, "lr": 1e-2}
    long = {**CONTENT, "settings": settings, "methods": {"adam": {}}}
    del long["tune_seeds"]
    file, out = tmp_path / "scheduler.json", tmp_path / "out"
    options = ["--host=127.0.0.1", "--port=0", "--no-dashboard"]
    options.append(f"--scheduler-file={file}")
    with started("distributed.cli.dask_scheduler", *options) as scheduler:
        until(lambda: file.exists() and file.read_text().endswith("}"))
        address = json.loads(file.read_text())["address"]
        options = ["--nthreads=1", "--no-dashboard", f"--local-directory={tmp_path}"]
        with started("distributed.cli.dask_worker", address, *options):

            def kill_when_working():
                until(lambda: list(out.glob("**/checkpoint.pt")))
                scheduler.kill()

            threading.Thread(target=kill_when_working, daemon=True).start()
            assert refusal_of(address, out, content=long) == (
                f"needed the Dask scheduler at {address} as long as the sweep lasts, "
                "found it gone; start it again, then the same command goes on"
            )
    for store in (out, tmp_path / "here"):
        assert sweep(long, out=store, workers=0, device="cpu").failures == ()
    pd.testing.assert_frame_equal(
        load_results(out), load_results(tmp_path / "here"), check_exact=True
    )
