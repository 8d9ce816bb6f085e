"""Runs on targets that drift, through plan, store and report."""

import json

import pytest
import torch

from isometry.lab.metrics import load_metric
from isometry.lab.plans import plan
from isometry.lab.report import summary
from isometry.lab.run import run
from isometry.lab.store import load_records
from isometry.tracking.training import train

STREAMS = {"linear_tracking": "fade_idbd", "nonlinear_tracking": "fade_adam"}
streams = pytest.mark.parametrize(("benchmark", "learner"), STREAMS.items())


def trained(benchmark, learner, seeds, **keywords):
    own = plan(benchmark, learner, profile="smoke")
    return train(
        own.benchmark, own.method, own.method_settings, own.settings, seeds, **keywords
    )


@streams
def test_a_run_is_stored_once_and_reported(tmp_path, benchmark, learner):
    first = run(benchmark, learner, [0, 1], profile="smoke", out=tmp_path)
    again = run(benchmark, learner, [1, 2], profile="smoke", out=tmp_path)
    one = first[first["seed"] == 1].reset_index(drop=True)
    assert one.equals(again[again["seed"] == 1].reset_index(drop=True))
    (record,) = load_records(tmp_path)
    assert [entry["seeds"] for entry in record["runs"]] == [[0, 1], [2]]
    assert record["architecture"] == {}
    assert load_metric(tmp_path, None)[1] == "squared_error"
    (row,) = summary(tmp_path, "squared_error").to_dict("records")
    assert (row["seeds"], row["tasks"], row["diverged"]) == (3, 4, 0)
    assert 0 < row["last"] < row["first"]


@streams
def test_a_killed_run_goes_on_with_the_same_numbers(tmp_path, benchmark, learner):
    def kill(done, total):
        if done == 2:
            raise KeyboardInterrupt

    whole = trained(benchmark, learner, [3, 4])
    file = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(benchmark, learner, [3, 4], checkpoint=file, progress=kill)
    rest = []
    resumed = trained(
        benchmark,
        learner,
        [3, 4],
        checkpoint=file,
        progress=lambda done, total: rest.append(done),
    )
    assert rest == [3, 4]
    assert resumed.records == whole.records
    for name, value in whole.carried.items():
        assert torch.equal(resumed.carried[name], value)


@streams
def test_a_member_does_not_depend_on_the_others(benchmark, learner):
    alone = trained(benchmark, learner, [4]).records
    together = trained(benchmark, learner, [3, 4, 5]).records
    assert alone == [r for r in together if r["seed"] == 4]


def test_a_member_that_diverges_is_recorded_as_such(tmp_path):
    changes = {"lr": 0.5}  # twenty inputs: twice what is stable, and more
    frame = run("linear_tracking", "sgd", [0], changes, profile="smoke", out=tmp_path)
    infinite = frame[frame["value"] == float("inf")]
    (record,) = load_records(tmp_path)
    assert record["runs"][0]["status"]["0"].startswith("diverged at step")
    step = int(record["runs"][0]["status"]["0"].split()[-1])
    assert infinite["task"].min() == step // 500


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (("linear_tracking", "adamo"), ValueError, "needed a learner of linear_track"),
        (("linear_tracking", "l2+adam"), ValueError, "use one of sgd, sgd_decay, idbd"),
        (("linear_tracking", "adam"), ValueError, "adam, a learner of the other str"),
        (("nonlinear_tracking", "idbd"), ValueError, "use one of sgd, sgd_decay, fade"),
        (("linear_tracking", "fad"), KeyError, "did you mean 'fade'"),
        (("permuted_mnist", "idbd"), ValueError, "needed a method for permuted_mnist"),
        (("linear_tracing", "fade"), KeyError, "did you mean 'linear_tracking'"),
        (("linear_tracking", "sgd", {"idbd_rate": 1}), KeyError, "unknown setting"),
        (("linear_tracking", "sgd", {"lr": 0}), ValueError, "needed lr > 0"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, error, message):
    with pytest.raises(error, match=message) as found:
        plan(*call)
    assert "\n" not in str(found.value)


def test_settings_start_where_the_stream_says():
    assert plan("linear_tracking", "fade").method_settings.lr == 0.1
    own = plan("nonlinear_tracking", "fade", {"fade_rate": 1}).method_settings
    assert (own.lr, own.fade_rate, own.fade_start) == (0.01, 1.0, -9.2)


def test_a_gpu_is_refused():
    with pytest.raises(ValueError, match="needed a CPU for linear_tracking"):
        trained("linear_tracking", "sgd", [0], device="cuda")


def test_a_stored_record_says_what_was_run(tmp_path):
    changes = {"noise": 1, "decay": 0.02}
    run("linear_tracking", "sgd_decay", [0], changes, profile="smoke", out=tmp_path)
    (record,) = json.loads(json.dumps(load_records(tmp_path)))
    assert record["settings"]["noise"] == 1.0
    assert record["method_settings"] == {"lr": 0.05, "decay": 0.02}
