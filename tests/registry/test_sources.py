"""Where a version's artifacts lie is told without the registry's database, and how far their upload is."""

from __future__ import annotations

import os

import pytest

from tests.registry.mlflow_world import MlflowWorld
from watcher.registry.client import Client
from watcher.registry.errors import place
from watcher.registry.mlflow import build
from watcher.settings import RegistrySettings
from watcher.values import Status, Version


def version(world: MlflowWorld, number: int, name: str = "m") -> Version:
    found = world.registry.version(name, number)
    assert isinstance(found, Version)
    return found


def test_a_logged_model_is_resolved_to_its_files(world: MlflowWorld) -> None:
    number = world.create_version("m")
    _, model_id = world.runs["m", number]
    found = version(world, number)
    assert found.identity.source == f"models:/{model_id}"
    assert found.artifact_uri == world.client.get_logged_model(model_id).artifact_location


def test_a_deleted_logged_model_is_still_where_the_registry_wrote_it_down(world: MlflowWorld) -> None:
    number = world.create_version("m")
    before = version(world, number).artifact_uri
    world.client.delete_logged_model(world.runs["m", number][1])
    fresh = MlflowWorld(world.uri, world.folder)
    assert version(fresh, number).artifact_uri == before


def test_a_copied_version_is_resolved_to_the_files_of_its_original(world: MlflowWorld) -> None:
    number = world.create_version("m")
    original = version(world, number)
    copied = world.client.copy_model_version(f"models:/m/{number}", "copy")
    assert version(world, int(copied.version), "copy").artifact_uri == original.artifact_uri


def test_a_run_path_is_resolved_to_the_artifacts_of_the_run(world: MlflowWorld) -> None:
    run = world.client.create_run(world.experiment)
    world.create_model("m")
    number = int(world.client.create_model_version("m", f"runs:/{run.info.run_id}/model").version)
    assert version(world, number).artifact_uri == f"{run.info.artifact_uri}/model"


@pytest.mark.parametrize(
    "source", ["s3://bucket/a/b", "/srv/models/a", "file:///srv/models/a", "dbfs:/x", "runs:/no/x"]
)
def test_every_other_source_is_kept_as_it_is(world: MlflowWorld, source: str) -> None:
    world.create_model("m")
    number = int(world.client.create_model_version("m", source).version)
    assert version(world, number).artifact_uri == source


def test_an_upload_that_ends_makes_the_version_ready_and_one_that_fails_makes_it_failed(world: MlflowWorld) -> None:
    first, second = world.create_version("m", pending=True), world.create_version("m", pending=True)
    assert {version(world, n).status for n in (first, second)} == {Status.PENDING}
    world.client.finalize_logged_model(world.runs["m", first][1], "READY")
    world.client.finalize_logged_model(world.runs["m", second][1], "FAILED")
    assert version(world, first).status is Status.READY
    assert version(world, second).status is Status.FAILED


def test_a_long_tag_is_cut(world: MlflowWorld) -> None:
    number = world.create_version("m", files=False)
    world.set_tag("m", number, "note", "x" * 90_000)
    assert len(version(world, number).tags["note"]) == 5_000


def test_a_version_says_which_registry_it_is_of_without_what_may_be_secret_in_its_address(world: MlflowWorld) -> None:
    number = world.create_version("m")
    found = build(RegistrySettings(f"{world.uri}?timeout=5", f"{world.uri}?timeout=5"), os.environ).version("m", number)
    assert isinstance(found, Version)
    assert found.registry == place(world.uri)
    assert "timeout" not in found.registry
    assert Client("https://ann:s3cret@registry.test/mlflow?sig=x", "", {}).where == "https://registry.test/mlflow"
