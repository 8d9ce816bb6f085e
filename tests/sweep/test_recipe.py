"""The commands of a cluster: they start one, and nobody else can use it."""

import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from isometry.lab.store import load_results
from isometry.sweep.recipe import OPTIONS, VARIABLES, recipe
from isometry.sweep.sweep import sweep

CONTENT = {
    "profile": "smoke",
    "report_seeds": "0:2",
    "settings": {"data": "digits", "tasks": 2, "images_per_task": 40, "width": 8},
    "benchmarks": {"permuted_mnist": {"batch_size": 20}},
    "methods": {"adam": {}},
}


def commands(text):
    """Return the commands in a recipe, each as a list of words."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [shlex.split(line) for line in lines]


def test_without_more_only_this_machine_is_listened_to():
    scheduler, worker, sweep_ = commands(recipe())
    assert scheduler[2:4] == ["--host", "127.0.0.1"]
    assert worker[2] == sweep_[sweep_.index("--dask") + 1] == "tcp://127.0.0.1:8786"
    assert "--no-dashboard" in scheduler, "it listens on all networks"


def test_what_scheduler_and_workers_are_told_they_take():
    cli = pytest.importorskip("distributed.cli")
    assert cli
    from distributed.cli.dask_scheduler import main as scheduler
    from distributed.cli.dask_worker import main as worker

    text = recipe("10.0.0.1", tls=Path("keys"), workers=4, gpu=True)
    known = {"scheduler": scheduler, "worker": worker}
    for words in commands(text):
        if words[0] == "dask":
            options = {o for p in known[words[1]].params for o in p.opts}
            options |= {o for p in known[words[1]].params for o in p.secondary_opts}
            asked = {word.split("=")[0] for word in words if word.startswith("--")}
            assert asked <= options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"host": "0.0.0.0"},
            "needed the address of one network for --host, found 0.0",
        ),
        ({"host": "::"}, "needed the address of one network for --host, found ::, all"),
        ({"host": ""}, "found none, all of them; name one"),
        ({"host": "10.0.0.1"}, "needed --tls FOLDER for 10.0.0.1, which other machin"),
        (
            {"host": "node7"},
            "needed --tls FOLDER for node7, which other machines reach",
        ),
        ({"port": 0}, "needed --port from 1 to 65535, found 0; change --port"),
        ({"port": 65536}, "needed --port from 1 to 65535, found 65536"),
        ({"workers": 0}, "needed --workers >= 1, found 0; change --workers"),
    ],
)
def test_an_open_cluster_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        recipe(**arguments)


@pytest.mark.slow
def test_a_sweep_runs_over_certificates_and_strangers_are_turned_away(
    tmp_path, monkeypatch
):
    distributed = pytest.importorskip("distributed")
    import dask

    keys = tmp_path / "keys"
    mkdir, openssl, *_ = commands(recipe("localhost", tls=keys))
    for command in (mkdir, openssl):
        subprocess.run(command, check=True, capture_output=True)
    own = distributed.Security(
        tls_ca_file=str(keys / "cert.pem"),
        require_encryption=True,
        **{
            f"tls_{who}_{kind}": str(keys / f"{kind}.pem")
            for who in ("scheduler", "worker", "client")
            for kind in ("cert", "key")
        },
    )
    settings = {
        f"distributed.comm.tls.{name.lower().replace('__', '.').replace('_', '-')}": (
            str(keys / file)
        )
        for name, file in VARIABLES.items()
    }
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        protocol="tls://",
        security=own,
        dashboard_address=None,
        silence_logs=50,
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://")
        with pytest.raises(ValueError, match="needed a certificate for tls://"):
            done = sweep(CONTENT, out=tmp_path / "out", dask=address, device="cpu")
        plain = address.replace("tls://", "tcp://")
        monkeypatch.setattr("isometry.sweep.cluster.CONNECT_SECONDS", 2)
        with pytest.raises(ValueError, match="needed a Dask scheduler at tcp://"):
            sweep(CONTENT, out=tmp_path / "out", dask=plain, device="cpu")
        with dask.config.set(settings):
            done = sweep(CONTENT, out=tmp_path / "out", dask=address, device="cpu")
    here = sweep(CONTENT, out=tmp_path / "here", workers=0, device="cpu")
    assert done.failures == here.failures == ()
    pd.testing.assert_frame_equal(
        load_results(tmp_path / "out"),
        load_results(tmp_path / "here"),
        check_exact=True,
    )
    assert set(OPTIONS.values()) == set(VARIABLES.values())
