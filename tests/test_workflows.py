"""What may run with which rights, and that it is what it was when it was chosen."""

import re
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / ".github/workflows"
WORKFLOWS = {file.name: yaml.safe_load(file.read_text()) for file in FOLDER.glob("*")}
JOBS = [
    pytest.param(workflow, job, id=f"{name}-{key}")
    for name, workflow in WORKFLOWS.items()
    for key, job in workflow["jobs"].items()
]


def steps(job, action):
    """Return the steps of a job that use an action."""
    return [step for step in job["steps"] if step.get("uses", "").startswith(action)]


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_actions_are_named_by_their_commit(workflow, job):
    for step in steps(job, ""):
        if "uses" in step:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_who_may_write_installs_and_executes_nothing(workflow, job):
    assert workflow["permissions"] == {"contents": "read"}
    if "write" in job.get("permissions", {}).values():
        commands = " ".join(step.get("run", "") for step in job["steps"])
        assert not re.search(r"make |pip |python|\.ci/run", commands)
        assert not steps(job, "actions/setup-python")
    else:
        for step in steps(job, "actions/checkout"):
            assert step["with"]["persist-credentials"] is False


def test_the_graphics_card_never_runs_the_code_of_a_fork():
    job = WORKFLOWS["gpu.yml"]["jobs"]["paper"]
    same = "github.event.pull_request.head.repo.full_name == github.repository"
    asked, labelled = job["if"].split(" || ")
    assert asked == "github.event_name == 'workflow_dispatch'"
    assert labelled == f"(github.event.label.name == 'gpu' && {same})"
    assert job["environment"] == "gpu"


def test_a_release_is_built_in_one_job_and_published_in_another_that_a_person_allows():
    build, publish = (
        WORKFLOWS["release.yml"]["jobs"][name] for name in ("build", "pypi")
    )
    assert "permissions" not in build
    assert publish["permissions"] == {"id-token": "write"}
    assert (publish["needs"], publish["environment"]) == ("build", "pypi")
    assert not any("run" in step for step in publish["steps"])
