"""The loop on a workspace's registry: a first champion, a better version, a worse one, and a person's order.

And what that registry cannot do, and what is done instead.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployers.azureml.assets import conda_of
from tests.azureml.cloud import WORKSPACE_ID
from tests.azureml.registry_plane import AzurePlane
from tests.azureml.registry_world import AzureWorld, uri_of, workspace
from tests.registry.reigning import reigns
from watcher.cli.main import main
from watcher.errors import Terminal, Transient, UserError
from watcher.registry import azure_ml
from watcher.registry.client import Client
from watcher.registry.dialects import tracking_of
from watcher.registry.mlflow import MlflowRegistry, build
from watcher.retry import Retry
from watcher.settings import RegistrySettings
from watcher.values import Artifacts, Call, Version

pytestmark = pytest.mark.slow
HOST = "westeurope.api.azureml.ms"
URI = f"azureml://{HOST}/mlflow/v1.0{WORKSPACE_ID}"
EXAMPLE = b'{"inputs": [1]}'


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzurePlane]:
    with workspace(tmp_path_factory.mktemp("workspace")) as found:
        yield found


@pytest.fixture
def plane(shared: AzurePlane) -> AzurePlane:
    shared.aliases, shared.down, shared.hollow, shared.page = False, False, False, 10_000
    shared.asked.clear()
    return shared


def there(plane: AzurePlane, folder: Path, amount: int = 3) -> tuple[AzureWorld, str]:
    world = AzureWorld(plane, folder)
    name = world.name("churn")
    world.create_model(name)
    for _ in range(amount):
        world.create_version(name, files=False)
    return world, name


def test_the_better_version_is_crowned_the_worse_is_not_and_a_person_is_obeyed(
    plane: AzurePlane, tmp_path: Path
) -> None:
    world = AzureWorld(plane, tmp_path)
    reigns(world, lambda name, number: world.keep(name, number, "serving_input_example.json", EXAMPLE))


SETTINGS = """\
version: 1
owner: tests
registry: {{uri: "{uri}"}}
policies: {{auc: {{primary: {{metric: auc, min_gain: 0.002}}, signature: false}}}}
rollouts: {{quick: {{canary: [100], bake: 0s, probe: {{example: model}}}}}}
models:
  - name: {model}
    policy: auc
    rollout: quick
    mode: advise
    targets: [{{name: api, kind: local-endpoint, port: 5999, autostart: false}}]
"""


def test_the_same_commands_work_on_it(plane: AzurePlane, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = AzureWorld(plane, tmp_path)
    name = world.name("churn")
    first = world.create_version(name, {"auc": 0.8})
    world.create_version(name, {"auc": 0.9})
    path = tmp_path / "watch.yaml"
    path.write_text(SETTINGS.format(uri=world.uri, model=name))

    def watcher(*words: str) -> Any:
        capsys.readouterr()
        assert main(["--config", str(path), "--json", *words]) in (0, 1)
        return json.loads(capsys.readouterr().out)

    checks = {line["what"]: line for line in watcher("check")["checks"]}
    assert checks["registry"]["ok"], checks
    watcher("promote", name, str(first))
    assert world.client.get_registered_model(name).tags["watcher.champion"] == str(first)
    watcher("tick", name, "--until-rest")
    assert watcher("status", name)[0]["champion"] == first
    worse = world.create_version(name, {"auc": 0.5})
    watcher("tick", name, "--until-rest")
    found = world.registry.version(name, worse)
    assert isinstance(found, Version)
    assert found.call is Call.LOSES


def test_it_is_asked_for_nothing_that_it_does_not_serve(plane: AzurePlane, tmp_path: Path) -> None:
    world, name = there(plane, tmp_path)
    plane.asked.clear()
    world.registry.changed(0)
    world.registry.names()
    world.registry.marks([name])
    world.registry.versions(name, above=1)
    assert not [path for path, _ in plane.asked if "alias" in path or "logged-models" in path]
    filters = {body.get("filter", "") for path, body in plane.asked if path.endswith("/search")}
    assert filters == {"", f"name='{name}'"}


def test_listings_in_small_and_in_empty_pages_are_whole(plane: AzurePlane, tmp_path: Path) -> None:
    world, name = there(plane, tmp_path)
    plane.hollow, plane.page = True, 2
    assert [v.number for v in world.registry.versions(name, above=0)] == [3, 2, 1]
    assert world.registry.read(name).newest == 3
    assert name in world.registry.names()


def test_marks_stay_tags_in_a_workspace_that_has_learned_aliases(plane: AzurePlane, tmp_path: Path) -> None:
    world, name = there(plane, tmp_path)
    world.registry.set_champion(name, 2)
    plane.aliases = True
    world.client.set_registered_model_alias(name, "champion", "3")
    assert world.registry.read(name).champion == 2


def test_aliases_are_used_where_they_are_asked_for_and_there(plane: AzurePlane, tmp_path: Path) -> None:
    _, name = there(plane, tmp_path)
    plane.aliases = True
    registry = build(RegistrySettings(uri_of(plane), uri_of(plane), "alias"), {})
    registry.set_champion(name, 2)
    assert registry.read(name).champion == 2
    assert plane.store.get_registered_model(name).aliases == {"champion": 2}


def test_aliases_that_are_asked_for_and_not_there_stop_every_read(plane: AzurePlane, tmp_path: Path) -> None:
    _, name = there(plane, tmp_path)
    registry = build(RegistrySettings(uri_of(plane), uri_of(plane), "alias"), {})
    for read in (lambda: registry.read(name), lambda: registry.set_champion(name, 1)):
        with pytest.raises(Terminal, match="does not answer for aliases: write `auto` or `tag`"):
            read()


@pytest.mark.parametrize("form", ["run", "upload"])
def test_files_are_read_whichever_way_the_registry_names_their_place(
    plane: AzurePlane, tmp_path: Path, form: str
) -> None:
    world, name = there(plane, tmp_path, amount=0)
    number = world.create_version(name, {"auc": 0.9})
    run = world.runs[name, number][0]
    if form == "run":
        plane.located[name, number] = f"azureml://experiments/churn/runs/{run}/artifacts/model"
    else:
        plane.located[name, number] = f"azureml://artifacts/LocalUpload/{run}/model"
    found = world.registry.version(name, number)
    assert isinstance(found, Version)
    assert world.registry.of(found).artifacts is Artifacts.PRESENT


def test_a_place_in_another_workspace_or_on_a_strangers_server_is_never_asked(
    plane: AzurePlane, tmp_path: Path
) -> None:
    world, name = there(plane, tmp_path, amount=0)
    number = world.create_version(name, {"auc": 0.9})
    for place in (
        f"azureml://evil.test/mlflow/v2.0{WORKSPACE_ID}/experiments/e/runs/r/artifacts/model",
        plane.located[name, number].replace("ml-workspace", "other"),
        f"azureml:/{WORKSPACE_ID}/datastores/workspaceblobstore/paths/model",
    ):
        plane.located[name, number] = place
        fresh = build(RegistrySettings(world.uri, world.uri), {})
        found = fresh.version(name, number)
        assert isinstance(found, Version)
        plane.cloud.calls.clear()
        told = fresh.of(found)
        assert "in no workspace of the settings" in (told.problem or "")
        assert told.signature is None
        assert not [call for call in plane.cloud.calls if "artifacts" in call]


def test_the_stores_of_plugins_are_known_before_any_thread_asks(
    plane: AzurePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow makes that table at the first call, while other threads use what is there of it."""
    from mlflow.tracking._model_registry import utils

    monkeypatch.setattr(utils, "_model_registry_store_registry", None)
    Client(uri_of(plane), uri_of(plane), {}).ready()
    known: Any = utils._model_registry_store_registry  # noqa: SLF001 - what threads share
    assert "azureml" in known._registry  # noqa: SLF001 - as above


def test_storage_that_is_down_is_not_waited_for(plane: AzurePlane, tmp_path: Path) -> None:
    world, name = there(plane, tmp_path, amount=0)
    found = world.registry.version(name, world.create_version(name, {"auc": 0.9}))
    assert isinstance(found, Version)
    plane.down = True
    impatient = MlflowRegistry(Client(world.uri, world.uri, {}), Retry(attempts=1))
    begun = time.monotonic()
    with pytest.raises(Transient):
        impatient.of(found)
    assert time.monotonic() - begun < 5


def test_who_is_not_let_in_is_told_where_an_identity_comes_from(
    plane: AzurePlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = there(plane, tmp_path, amount=0)
    monkeypatch.setattr(plane.cloud, "base", f"{plane.cloud.base}/elsewhere")
    impatient = MlflowRegistry(Client(world.uri, world.uri, {}), Retry(attempts=1))
    with pytest.raises(Terminal, match="az login") as told:
        impatient.names()
    assert "token-for" not in str(told.value)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("azureml://", "names no Azure ML workspace"),
        (f"azureml://{HOST}", "names no Azure ML workspace"),
        (f"azureml://user@{HOST}/mlflow/v1.0{WORKSPACE_ID}", "names no Azure ML workspace"),
        (f"azureml://{HOST}/mlflow/v1.0/subscriptions/s/resourceGroups/g", "names no Azure ML workspace"),
        (f"azureml://{HOST}/mlflow/v1.0{WORKSPACE_ID}/../evil", "names no Azure ML workspace"),
        (f"azureml://{HOST}/mlflow/v2.0/registries/ours", "shared by an organisation"),
    ],
)
def test_a_uri_of_no_workspace_is_refused_before_anything_is_asked(uri: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        build(RegistrySettings(uri, uri), {})


def test_runs_are_in_the_workspace_unless_the_settings_say_otherwise() -> None:
    assert tracking_of(URI) == URI
    assert azure_ml.workspace_of(f"{URI}?").name == "ml-workspace"


def test_tracking_may_be_elsewhere(plane: AzurePlane, tmp_path: Path) -> None:
    world, name = there(plane, tmp_path, amount=0)
    number = world.create_version(name, {"auc": 0.9})
    apart = build(RegistrySettings(world.uri, plane.database), {})
    found = apart.version(name, number)
    assert isinstance(found, Version)
    told = apart.of(found)
    assert (told.artifacts, told.metrics["auc"].value) == (Artifacts.PRESENT, 0.9)


def test_a_deployer_fetches_the_environment_of_a_version_of_the_workspace(plane: AzurePlane, tmp_path: Path) -> None:
    world, name = there(plane, tmp_path, amount=0)
    number = world.create_version(name)
    world.keep(name, number, "conda.yaml", b"dependencies: [python=3.11.7]\n")
    found = world.registry.version(name, number)
    assert isinstance(found, Version)
    read = json.loads(conda_of(found.artifact_uri, world.uri, tmp_path, ["azureml-inference-server-http"]))
    assert read["dependencies"][0] == "python=3.11.7"
