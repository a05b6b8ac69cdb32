"""A version on its way to the workers: they may reach neither the registry nor the driver's disk."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from scoring import documents
from scoring.errors import VERSION, Stop, sentence
from scoring.pointer import Release

SHIPPED = "shipped:"
"""What a URI begins with that names a file which Spark brings to every worker."""


class Fetched:
    """A version's artifacts on the driver's disk, for as long as this is held."""

    def __init__(self, release: Release) -> None:
        """Raises Stop where they cannot be fetched."""
        self._spare: tempfile.TemporaryDirectory[str] | None = None
        local = not documents.is_remote(release.uri)
        self.folder = documents.local(release.uri) if local else self._download(release)

    def _download(self, release: Release) -> Path:
        from mlflow.artifacts import download_artifacts

        self._spare = tempfile.TemporaryDirectory(prefix="scoring-model-")
        try:
            return Path(download_artifacts(artifact_uri=release.uri, dst_path=self._spare.name))
        except Exception as error:
            raise Stop(VERSION, f"v{release.version} cannot be fetched: {sentence(error)}") from error


def ship(spark: Any, release: Release, folder: Path, *, far: bool | None = None) -> Release:
    """The release as the workers load it. `far`: whether they are elsewhere; by default where Spark is not local."""
    context = spark.sparkContext
    if not (far if far is not None else not context.master.startswith("local")):
        return replace(release, uri=str(folder))
    name = f"scoring-{hashlib.sha256(repr(release).encode()).hexdigest()[:16]}"
    spare = tempfile.mkdtemp(prefix="scoring-shipped-")
    context.addFile(shutil.make_archive(f"{spare}/{name}", "zip", folder))
    return replace(release, uri=f"{SHIPPED}{name}")


def received(uri: str) -> str:
    """On a worker: where a version's artifacts lie."""
    if not uri.startswith(SHIPPED):
        return uri
    from pyspark import SparkFiles

    name = uri.removeprefix(SHIPPED)
    target = Path(SparkFiles.getRootDirectory(), f"{name}.model")
    if not target.exists():
        spare = tempfile.mkdtemp(prefix=f"{name}-", dir=target.parent)
        with zipfile.ZipFile(SparkFiles.get(f"{name}.zip")) as archive:
            archive.extractall(spare)
        # Another worker of this machine may have been faster; either way it is whole.
        with contextlib.suppress(OSError):
            Path(spare).rename(target)
    return str(target)
