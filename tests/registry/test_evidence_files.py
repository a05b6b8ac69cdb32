"""The files beside a model are read as they are, wherever they lie, and never beyond them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.registry.mlflow_world import MlflowWorld, write_model_files
from watcher.errors import Transient
from watcher.values import Artifacts, Column, EvidenceOf, Identity, Status, Version


def at(place: Path | str) -> Version:
    return Version(Identity("m", 1, 0, str(place)), Status.READY, str(place))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a model's files, in a folder that holds other things too."""
    folder = tmp_path / "models" / "model"
    folder.mkdir(parents=True)
    (tmp_path / "models" / "other").mkdir()
    write_model_files(folder, "m-1")
    return folder


def test_what_mlflow_itself_writes_is_read_whole(world: MlflowWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature

    class Sum(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
        def predict(self, context: object, model_input: pd.DataFrame, params: object = None) -> list[float]:
            return [0.0] * len(model_input)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", world.uri)
    frame = pd.DataFrame({"age": [31, 42], "income": [1.5, None], "town": ["Rome", "Oslo"]})
    with mlflow.start_run(experiment_id=world.experiment):
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=Sum(),
            signature=infer_signature(frame, [0.5, 0.5], {"limit": 3}),
            input_example=frame,
            pip_requirements=["scikit-learn==1.7.2", "numpy>=2"],
        )
    world.create_model("m")
    number = int(world.client.create_model_version("m", info.model_uri).version)
    found_version = world.registry.version("m", number)
    assert isinstance(found_version, Version)
    found = world.registry.of(found_version)
    assert (found.artifacts, found.problem) == (Artifacts.PRESENT, None)
    assert found.signature is not None
    assert found.signature.inputs == (
        Column("age", "long"),
        Column("income", "double", required=False),
        Column("town", "string"),
    )
    assert found.signature.outputs == (Column(None, "double"),)
    assert found.signature.params == (Column("limit", "long", required=False),)
    assert set(found.flavors) == {"python_function"}
    assert found.mlflow == mlflow.__version__
    assert found.python is not None
    assert found.python.startswith("3.")
    assert {"scikit-learn==1.7.2", "numpy>=2"} <= set(found.requirements)
    assert found.example is not None
    assert found.example.rows == 2
    assert world.registry.example(found_version) == found.example
    assert json.loads(found.example.body)["dataframe_split"]["columns"] == ["age", "income", "town"]


def test_a_file_uri_and_a_path_are_the_same_place(world: MlflowWorld, files: Path) -> None:
    spaced = files.rename(files.with_name("a model"))
    plain, uri = world.registry.of(at(spaced)), world.registry.of(at(spaced.as_uri()))
    assert plain.flavors == uri.flavors == ("python_function", "sklearn")
    assert plain.requirements == ("mlflow==3.15.0", "scikit-learn==1.7.2")
    assert plain.python == "3.11.7"


def test_a_folder_without_a_model_file_is_absent(world: MlflowWorld, files: Path) -> None:
    (files / "MLmodel").unlink()
    assert world.registry.of(at(files)).artifacts is Artifacts.ABSENT


def test_a_missing_folder_among_others_is_absent(world: MlflowWorld, files: Path) -> None:
    assert world.registry.of(at(files.with_name("gone"))).artifacts is Artifacts.ABSENT


def test_a_missing_folder_under_an_empty_mount_point_is_unknown(world: MlflowWorld, tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    assert world.registry.of(at(tmp_path / "mount" / "a")).artifacts is Artifacts.UNKNOWN


@pytest.mark.parametrize("place", ["/nowhere/at/all/model", "runs:/gone/model", "models:/gone/1"])
def test_a_place_of_which_nothing_is_known_is_unknown(world: MlflowWorld, place: str) -> None:
    found = world.registry.of(at(place))
    assert (found.artifacts, found.problem) == (Artifacts.UNKNOWN, None)


def test_a_folder_that_may_not_be_read_is_a_fault_of_the_storage(
    world: MlflowWorld, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(Transient):
        world.registry.of(at(files))


def test_a_link_out_of_the_folder_is_not_followed(world: MlflowWorld, files: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("password\n")
    (files / "requirements.txt").unlink()
    (files / "requirements.txt").symlink_to(secret)
    assert world.registry.of(at(files)).requirements == ()


def test_a_pipe_in_place_of_a_file_does_not_block(world: MlflowWorld, files: Path) -> None:
    (files / "requirements.txt").unlink()
    os.mkfifo(files / "requirements.txt")
    assert world.registry.of(at(files)).requirements == ()


@pytest.mark.parametrize("name", ["MLmodel", "requirements.txt", "python_env.yaml"])
def test_a_file_that_is_too_large_is_a_problem(world: MlflowWorld, files: Path, name: str) -> None:
    with (files / name).open("wb") as stream:
        stream.truncate(2_000_001)
    found = world.registry.of(at(files))
    assert found.problem is not None
    assert name in found.problem


def test_an_example_that_is_too_large_is_no_example(world: MlflowWorld, files: Path) -> None:
    (files / "serving_input_example.json").write_text(json.dumps({"inputs": [0] * 500_000}))
    found = world.registry.of(at(files))
    assert (found.example, found.problem) == (None, None)


def test_a_model_file_that_is_not_one_is_a_problem_and_the_metrics_are_read_all_the_same(world: MlflowWorld) -> None:
    number = world.create_version("m", {"auc": 0.9})
    version = world.registry.version("m", number)
    assert isinstance(version, Version)
    Path(version.artifact_uri.removeprefix("file://"), "MLmodel").write_text("[")
    found = world.registry.of(version)
    assert found.problem is not None
    assert found.metrics["auc"].value == 0.9


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example/api/2.0/mlflow-artifacts/artifacts/x",
        "http://127.0.0.1:1/x",
        "mlflow-artifacts://evil.example/x",
        "file://evil.example/x",
        "http://[half/x",
        "gopher://x/y",
    ],
)
def test_a_stranger_is_never_asked_with_our_credentials(world: MlflowWorld, place: str) -> None:
    found = world.registry.of(at(place))
    assert isinstance(found, EvidenceOf)
    assert found.problem is not None
