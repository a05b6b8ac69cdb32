"""What a deployment is made of: the model registered once, its environment, the scoring script."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployers.azureml import assets
from tests.azureml import house
from tests.azureml.cloud import WORKSPACE_ID
from tests.azureml.house import Bench
from watcher.errors import Terminal, Transient, UserError

pytestmark = pytest.mark.slow
NAME = "prod-risk-churn"


@pytest.fixture(autouse=True)
def nothing_registered(bench: Bench) -> None:
    bench.cloud.assets.clear()
    bench.cloud.blobs.clear()


def registered(bench: Bench) -> list[str]:
    return [version for kind, name, version in bench.cloud.assets if (kind, name) == ("models", NAME)]


def test_a_model_of_another_registry_is_registered_once_with_its_provenance(bench: Bench) -> None:
    bench.launched(1)
    bench.deployer.retire(bench.target, bench.release(1).name)
    bench.cloud.sleep(10)
    bench.launched(1)
    assert registered(bench) == ["1"]
    assert bench.cloud.count(r"PUT /models/") == 1
    tags = bench.cloud.assets["models", NAME, "1"]["properties"]["tags"]
    assert tags["watcher.source.registry"] == "https://registry.test/mlflow"
    assert tags["watcher.source.name"] == house.MODEL
    assert tags["watcher.source.version"] == "1"
    assert tags["watcher.source.run"] == "run-1"
    assert tags["watcher.source.digest"] == bench.version(1).identity.digest


def test_an_upload_that_was_cut_short_is_done_again_and_registered_once(bench: Bench) -> None:
    bench.cloud.fail(r"PUT /azureml-blobstore/.*weights", 0, times=9)
    with pytest.raises((Transient, Terminal)):
        bench.deployer.launch(bench.release(1))
    bench.cloud.faults.clear()
    bench.launched(1)
    assert registered(bench) == ["1"]
    stored = {path.rpartition("/")[2]: content for path, (content, _) in bench.cloud.blobs.items()}
    assert stored["weights.bin"] == bytes([1]) * 100


def test_a_number_that_another_model_has_is_not_taken_from_it(bench: Bench) -> None:
    theirs = {"name": "1", "id": f"{WORKSPACE_ID}/models/{NAME}/versions/1", "properties": {"tags": {}, "flavors": {}}}
    bench.cloud.assets["models", NAME, "1"] = theirs
    release = bench.launched(1)
    assert registered(bench) == ["1", "2"]
    assert bench.body(release)["properties"]["model"].endswith(f"/models/{NAME}/versions/2")
    assert bench.cloud.assets["models", NAME, "1"] == theirs


@pytest.mark.parametrize(
    ("scheme", "minutes", "same"), [("azureml", 0, True), ("azureml", 5, False), ("dbfs", 0, False)]
)
def test_a_version_of_the_workspaces_own_registry_is_not_registered_again(
    bench: Bench, scheme: str, minutes: int, same: bool
) -> None:
    created = datetime.fromtimestamp(1_700_000_000 + minutes * 60, UTC).isoformat()
    there = {"name": "1", "systemData": {"createdAt": created}, "properties": {"tags": {}, "flavors": {}}}
    bench.cloud.assets["models", "churn", "1"] = there
    version = house.version_of(1, Path("nowhere"), "churn")
    release = replace(bench.release(1), target=replace(bench.target, model="churn"))
    release = replace(release, version=replace(version, artifact_uri=f"{scheme}://artifacts/model"))
    azure = bench.deployer._azure(release.target)  # noqa: SLF001 - without the rest of a launch
    found = assets.Assets(azure, None, assets.ONLINE, lambda: 60.0)
    if same:
        assert found._model(release) == f"{WORKSPACE_ID}/models/churn/versions/1"  # noqa: SLF001 - as above
    else:
        with pytest.raises((Terminal, Transient)):
            found._model(release)  # noqa: SLF001 - as above: it goes on to fetch the files


def test_a_model_beyond_the_bound_of_the_target_is_refused(bench: Bench) -> None:
    bench.target = house.target_at(max_artifacts=50)
    with pytest.raises(Terminal, match="`max_artifacts`"):
        bench.deployer.launch(bench.release(1))
    assert registered(bench) == []


def test_what_is_no_model_is_said(bench: Bench, tmp_path: Path) -> None:
    release = replace(bench.release(1), version=house.version_of(1, tmp_path / "nothing"))
    with pytest.raises((Terminal, Transient), match="nothing"):
        bench.deployer.launch(release)
    (tmp_path / "empty").mkdir()
    release = replace(bench.release(1), version=house.version_of(1, tmp_path / "empty"))
    with pytest.raises(Terminal, match=r"no conda\.yaml in .*empty"):
        bench.deployer.launch(release)
    without_script = replace(release, target=house.target_at(bench.endpoint, environment="no-code"))
    with pytest.raises(Terminal, match=r"no MLmodel in .*empty"):
        bench.deployer.launch(without_script)


def test_the_environment_is_built_from_the_models_own_requirements_once_for_all_that_share_them(bench: Bench) -> None:
    one, two = bench.launched(1), bench.launched(2)
    ids = {bench.body(release)["properties"]["environmentId"] for release in (one, two)}
    assert len(ids) == 1
    (made,) = [body for (kind, _, _), body in bench.cloud.assets.items() if kind == "environments"]
    conda = json.loads(made["properties"]["condaFile"])
    server = "azureml-inference-server-http>=0.8.4,<2"
    pip = {"pip": ["mlflow==3.15.0", "scikit-learn==1.7.2", server]}
    assert conda["dependencies"] == ["python=3.11.7", "pip<=24", pip]
    assert made["properties"]["image"].startswith("mcr.microsoft.com/")


def test_our_scoring_script_is_uploaded_once(bench: Bench) -> None:
    one, two = bench.launched(1), bench.launched(2)
    assert bench.cloud.count("startPendingUpload") == 1
    codes = {bench.body(release)["properties"]["codeConfiguration"]["codeId"] for release in (one, two)}
    assert len(codes) == 1
    (content,) = [content for path, (content, _) in bench.cloud.blobs.items() if path.endswith("/score.py")]
    assert content == (Path(assets.__file__).parent / "serving" / "score.py").read_bytes()


def test_a_persons_own_environment_and_script_are_taken(bench: Bench, tmp_path: Path) -> None:
    script = tmp_path / "mine" / "serve.py"
    script.parent.mkdir()
    script.write_text("def init(): ...\ndef run(data): ...\n")
    bench.cloud.assets["environments", "ours", "3"] = {"name": "3", "properties": {}}
    bench.target = house.target_at(environment="ours:3", scoring_script=str(script))
    properties = bench.body(bench.launched(1))["properties"]
    assert properties["environmentId"] == f"{WORKSPACE_ID}/environments/ours/versions/3"
    assert properties["codeConfiguration"]["scoringScript"] == "serve.py"


@pytest.mark.parametrize("settings", [{"environment": "ours"}, {"scoring_script": "/nowhere/serve.py"}])
def test_what_the_settings_cannot_mean_is_the_persons_mistake(bench: Bench, settings: dict[str, str]) -> None:
    bench.target = house.target_at(**settings)
    with pytest.raises(UserError):
        bench.deployer.launch(bench.release(1))


@pytest.mark.parametrize("text", ["", "dependencies: 3", "- a", "{", "\x00"])
def test_a_conda_file_that_is_none_is_said(bench: Bench, tmp_path: Path, text: str) -> None:
    files = shutil.copytree(house.model_files(tmp_path, 1), tmp_path / "bent")
    (files / "conda.yaml").write_text(text)
    release = replace(bench.release(1), version=house.version_of(1, files))
    with pytest.raises(Terminal, match=r"conda\.yaml"):
        bench.deployer.launch(release)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("churn", "churn"),
        ("Churn_2-x", "Churn_2-x"),
        ("cat.schema.churn", "cat-schema-churn"),
    ],
)
def test_a_registered_name_becomes_one_that_azure_takes(name: str, expected: str) -> None:
    assert assets.model_name(name) == expected


@pytest.mark.parametrize("name", ["größe", "a b", "_x", "x" * 300, "模型", ".", "a/b"])
def test_a_bent_name_is_told_apart_by_a_digest(name: str) -> None:
    found = assets.model_name(name)
    assert found[0].isalnum()
    assert found.isascii()
    assert len(found) <= 255
    assert found != assets.model_name(name + "-")
