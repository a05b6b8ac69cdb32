"""The release's own copy of a model's files: what is deleted elsewhere does not take down a restart."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from pathlib import Path

from gateway.files import has_room


def fetch(artifact_uri: str, tracking_uri: str | None, folder: Path) -> Path:
    """Download into `folder/model`, whole or not at all; once there it is never fetched again.

    Raises OSError (ENOSPC) where the disk is full, and whatever MLflow raises.
    """
    model = folder / "model"
    if model.exists():
        return model
    import mlflow
    from mlflow.artifacts import download_artifacts

    if tracking_uri:
        mlflow.set_tracking_uri(tracking_uri)
    spare = folder / f".fetch-{uuid.uuid4().hex}"
    spare.mkdir(mode=0o700, parents=True)
    try:
        found = Path(download_artifacts(artifact_uri=artifact_uri, dst_path=str(spare), tracking_uri=tracking_uri))
        if not (found / "MLmodel").is_file():
            raise ValueError("the artifacts hold no file MLmodel")
        if spare.resolve() not in (found.resolve(), *found.resolve().parents):
            found = Path(shutil.copytree(found, spare / "copy"))
        found.rename(model)
    except Exception as error:
        if not has_room(spare):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise
    finally:
        shutil.rmtree(spare, ignore_errors=True)
    return model
