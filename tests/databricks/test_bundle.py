"""The bundle's jobs are what the deployer moves: held against its settings, the SDK's own models, and the stand-in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk.service.jobs import JobSettings
from ruamel.yaml import YAML

import deployers
from deployers.databricks import jobs
from scoring import __main__ as scoring
from tests.databricks.control_plane import TOKEN, Workspace, serving
from tests.databricks.target_world import MODEL
from tests.databricks.test_jobs import EXAMPLE, JOB, World
from watcher.values import Kind, Target

ROOT = Path(__file__).parents[2]
KINDS = {"batch": "databricks-job", "stream": "databricks-stream"}
OWNER = "prod-eu"
TRIED_BY = 7


def bundle() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(ROOT / "bundle" / "databricks.yml")
    return found


def deployed(job: str) -> dict[str, Any]:
    """A job as a deployment sends it, with the variables filled in."""
    told = bundle()
    values = {"owner": OWNER, "model": MODEL}
    filled = _filled(told["resources"]["jobs"][job], {name: values.get(name, name) for name in told["variables"]})
    assert isinstance(filled, dict)
    return filled


def _filled(value: Any, values: dict[str, str]) -> Any:
    if isinstance(value, str):
        return re.sub(r"\$\{var\.(\w+)\}", lambda found: values[found[1]], value)
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    return {key: _filled(each, values) for key, each in value.items()} if isinstance(value, dict) else value


def settings(job: str) -> JobSettings:
    return JobSettings.from_dict({key: value for key, value in deployed(job).items() if key != "permissions"})


@pytest.mark.parametrize("job", KINDS)
def test_every_word_of_a_job_is_one_of_the_jobs_api(job: str) -> None:
    asked = {key: value for key, value in deployed(job).items() if key != "permissions"}
    asked["job_clusters"][0]["new_cluster"]["num_workers"] = 2
    assert JobSettings.from_dict(asked).as_dict() == asked


@pytest.mark.parametrize("job", KINDS)
def test_a_task_is_a_command_line_that_the_jobs_take(job: str) -> None:
    told = deployed(job)
    known = {one["name"]: one["default"] for one in told["parameters"]} | {"model_uri": f"models:/{MODEL}/7"}
    (task,) = told["tasks"]
    words = task["python_wheel_task"]["parameters"]
    used = set(re.findall(r"\{\{job\.parameters\.(\w+)\}\}", " ".join(words)))
    assert used == known.keys(), (
        "what is no parameter cannot be filled in, and a parameter that nobody reads does nothing"
    )
    line = [re.sub(r"\{\{job\.parameters\.(\w+)\}\}", lambda found: known[found[1]], word) for word in words]
    given = vars(scoring._parser().parse_args(line))  # noqa: SLF001 - the command line itself
    assert (given["job"], given["engine"], given["pointer"]) == (job, "spark", f"models:/{MODEL}/7")
    assert "checkpoint" in given or job == "batch", "a table of a catalog has no folder for it"


def test_the_stream_runs_by_itself_and_once_and_the_batch_job_when_it_is_told() -> None:
    assert deployed("stream")["continuous"] == {"pause_status": "UNPAUSED"}
    assert deployed("stream")["max_concurrent_runs"] == 1
    assert "continuous" not in deployed("batch")


@pytest.mark.parametrize("job", KINDS)
def test_the_watcher_may_manage_the_jobs_and_they_say_whose_they_are(job: str) -> None:
    assert deployed(job)["permissions"] == [{"service_principal_name": "watcher", "level": "CAN_MANAGE"}]
    assert deployed(job)["tags"] == {jobs.OWNER: OWNER, jobs.MODEL: MODEL}


def test_the_wheel_has_the_jobs_and_the_entry_point_that_a_task_names() -> None:
    wheel = tomllib.loads((ROOT / "bundle" / "pyproject.toml").read_text())
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert wheel["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"../scoring": "scoring"}
    assert "dependencies" not in wheel["project"], "a cluster has MLflow and Spark of its own"
    for job in KINDS:
        (task,) = deployed(job)["tasks"]
        assert task["python_wheel_task"]["package_name"] == wheel["project"]["name"].replace("-", "_")
        entry = task["python_wheel_task"]["entry_point"]
        assert wheel["project"]["scripts"][entry] == whole["project"]["scripts"][entry] == "scoring.__main__:run"
        assert task["libraries"] == [{"whl": "./dist/*.whl"}]
    with pytest.raises(SystemExit) as ended:
        scoring.run(["batch", "--pointer", "", "--input", "x", "--output", "y"])
    assert ended.value.code == scoring.WRONG, "Databricks looks at what is raised, not at what is given back"


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, str]]:
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    with serving(Workspace()) as workspace:
        made = World(workspace, KINDS[request.param])
        made.jobs.runs.clear()
        made.jobs.settings[TRIED_BY] = settings("batch")
        told = {"host": workspace.url, "job_id": JOB, "parameter": "model_uri"}
        told["trial"] = {"job_id": TRIED_BY, "dry_run": "true"}
        kind, place = KINDS[request.param], deployers.place(KINDS[request.param], told)
        made.target = Target("live", kind, Kind.STREAM if made.stream else Kind.BATCH, MODEL, OWNER, place, told)
        _deploy(made, request.param)
        yield made, request.param


def _deploy(world: World, job: str) -> None:
    """As `databricks bundle deploy` does it: everything that the bundle says replaces what was there."""
    world.jobs.settings[JOB] = settings(job)
    if world.stream and not world.jobs.active(JOB):
        world.jobs.make_run(JOB)


def test_a_deployed_job_is_launched_on_tried_and_moved(world: tuple[World, str]) -> None:
    made, _ = world
    assert made.observe().adopted
    name = made.launched(2)
    (tried,) = [run for run in made.jobs.runs.values() if run.job_id == TRIED_BY]
    given = {one.name: one.value or one.default for one in tried.job_parameters or []}
    assert (given["model_uri"], given["dry_run"]) == (f"models:/{MODEL}/2", "true")
    assert made.deployer.probe(made.release(2), EXAMPLE).ok
    assert dict(made.shift({name: 100}).weights) == {name: 100}
    assert made.parameters["model_uri"] == f"models:/{MODEL}/2"


def test_a_second_deployment_takes_the_pointer_away_and_the_watcher_puts_it_back(world: tuple[World, str]) -> None:
    made, job = world
    name = made.launched(2)
    made.shift({name: 100})
    _deploy(made, job)
    seen = made.observe()
    assert (made.parameters["model_uri"], seen.adopted, seen.problem) == ("", True, None)
    assert dict(seen.weights) == ({"foreign-v2": 100} if made.stream else {})
    made.launched(2)
    assert dict(made.shift({name: 100}).weights) == {name: 100}
    assert made.parameters["model_uri"] == f"models:/{MODEL}/2"
