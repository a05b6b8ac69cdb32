"""A model's files."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from evaluation.data import local_path
from evaluation.errors import EvaluationFailed
from evaluation.job import Model
from evaluation.store import Store


def fetched(model: Model, tracking_uri: str | None, store: Store) -> Path:
    """The model's files, downloaded whole or not at all; once there they are never fetched again.

    Raises EvaluationFailed where they cannot be had: nothing is said about the model.
    """
    folder = store.model(model.key)
    if folder.exists():
        return folder
    spare = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    spare.mkdir(parents=True, mode=0o700)
    try:
        found = _downloaded(model.artifact_uri, tracking_uri, spare)
        if not (found / "MLmodel").is_file():
            raise EvaluationFailed(f"The artifacts of {model.label} hold no file MLmodel.")
        if spare.resolve() not in (found.resolve(), *found.resolve().parents):
            found = Path(shutil.copytree(found, spare / "copy"))
        found.rename(folder)
    except EvaluationFailed:
        raise
    except Exception as error:  # MLflow's stores raise what their SDKs raise
        said = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise EvaluationFailed(f"The files of {model.label} cannot be downloaded: {said}") from error
    finally:
        shutil.rmtree(spare, ignore_errors=True)
    return folder


def _downloaded(uri: str, tracking_uri: str | None, spare: Path) -> Path:
    here = local_path(uri)
    if here is not None and here.is_dir():
        return here
    import mlflow
    from mlflow.artifacts import download_artifacts

    if tracking_uri:
        mlflow.set_tracking_uri(tracking_uri)
    return Path(download_artifacts(artifact_uri=uri, dst_path=str(spare), tracking_uri=tracking_uri))
