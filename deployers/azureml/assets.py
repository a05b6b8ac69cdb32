"""What a deployment is made of: the registered model, its environment and the scoring script."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployers.azureml import marks
from deployers.azureml.azure import Azure, Json, code_files
from deployers.azureml.trouble import shown
from watcher.errors import Terminal, Transient, UserError, WatcherError
from watcher.naming import slug
from watcher.text import plain
from watcher.values import Release, Target

IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
"""Where nothing else is said: Azure's own base with conda, into which the model's requirements are built."""
NO_CODE = "no-code"
LONGEST = 255
NOT_CODE = ("watch.yaml", "local.settings.json", ".env", ".git")
"""What says that a folder is more than a script's own."""
"""Characters of an asset's name."""
ROOM = 1.2
"""The free disk must hold so many times what is to be fetched."""
_BEFORE_BOUNDS = re.compile(r"[\[<>=!~; ]")
_NEVER = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"})


@dataclass(frozen=True, slots=True)
class Parts:
    """ARM ids for a deployment's body; None where the service brings its own."""

    model: str
    environment: str | None = None
    code: str | None = None
    script: str | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """What serves where a person brings nothing: our script, and the packages that run it."""

    folder: Path
    packages: tuple[str, ...]


ONLINE = Serving(Path(__file__).parent / "serving", ("azureml-inference-server-http",))
BATCH = Serving(Path(__file__).parent / "serving_batch", ("azureml-core", "azureml-dataset-runtime[fuse]", "pandas"))


class Assets:
    """Finds or makes what a release needs. Whatever is repeated finds what it made before."""

    def __init__(self, azure: Azure, tracking_uri: str | None, serving: Serving) -> None:
        self._azure = azure
        self._tracking_uri = tracking_uri
        self._serving = serving

    def of(self, release: Release) -> Parts:
        """Everything that the deployment names. Raises Terminal, Transient or Conflict."""
        settings = release.target.settings
        given = settings.get("environment")
        model = self._model(release)
        if given == NO_CODE:
            return Parts(model)
        environment = self._named(given) if isinstance(given, str) and given != "auto" else self._environment(release)
        folder, script = scoring_script(settings, self._serving)
        code = self._azure.upload_code(*_code_name(release.target, folder), folder)
        return Parts(model, environment, code, script)

    def _model(self, release: Release) -> str:
        """ARM id of the release's model in the workspace, registered there once."""
        name = model_name(release.target.model)
        version = self._registered(release, name)
        return f"{self._azure.where.arm_id}/models/{name}/versions/{version}"

    def _registered(self, release: Release, name: str) -> str:
        known = {str(found["name"]): _tags(found) for found in self._azure.model_versions(name)}
        key = release.version.identity.key
        for version, tags in known.items():
            if tags.get(marks.KEY) == key and tags.get(marks.MODEL) == marks.fitting(release.target.model):
                return version
        number = str(release.version.number)
        if number in known and self._is_the_same(name, number, release):
            return number
        numbers = [int(each) for each in known if each.isdecimal()]
        free = number if number not in known else str(max(numbers) + 1)
        with tempfile.TemporaryDirectory(prefix="watcher-azureml-") as scratch:
            folder = self._fetched(release, Path(scratch))
            tags = marks.of_release(release.target, release.version) | provenance(release)
            body: Json = {"tags": tags, "description": f"{release.target.model} version {number}"}
            self._azure.upload_model(name, free, folder, body)
        return free

    def _is_the_same(self, name: str, number: str, release: Release) -> bool:
        """Whether the workspace is the registry that the version comes from: registered there at the same moment."""
        if not release.version.artifact_uri.startswith("azureml:") or name != release.target.model:
            return False
        found = self._azure.asset("models", name, number)
        created = (found or {}).get("systemData", {}).get("createdAt")
        return created is not None and abs(_milliseconds(created) - release.version.identity.created_ms) < 60_000  # noqa: PLR2004 - one minute

    def _fetched(self, release: Release, scratch: Path) -> Path:
        """The version's files, beside which the disk keeps some room."""
        return fetch(release.version.artifact_uri, self._tracking_uri, scratch, _most(release.target))

    def _environment(self, release: Release) -> str:
        """ARM id of the environment that is built from the model's own requirements."""
        with tempfile.TemporaryDirectory(prefix="watcher-azureml-") as scratch:
            conda = conda_of(release.version.artifact_uri, self._tracking_uri, Path(scratch), self._serving.packages)
        image = str(release.target.settings.get("image") or IMAGE)
        body: Json = {"properties": {"condaFile": conda, "image": image, "osType": "Linux"}}
        name = f"watcher-{slug(release.target.model)}"
        version = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
        if self._azure.asset("environments", name, version) is None:
            body["properties"]["tags"] = {
                marks.OWNER: release.target.owner,
                marks.MODEL: marks.fitting(release.target.model),
            }
            self._azure.put_environment(name, version, body)
        return f"{self._azure.where.arm_id}/environments/{name}/versions/{version}"

    def _named(self, given: str) -> str:
        """ARM id of the environment that a person names."""
        if given.startswith("/"):
            return given
        name, _, version = given.removeprefix("azureml:").rpartition(":")
        if not name or not version:
            raise UserError(f"`environment` must be auto, {NO_CODE} or NAME:VERSION, not {plain(given)!r}.")
        return f"{self._azure.where.arm_id}/environments/{name}/versions/{version}"


def scoring_script(settings: Mapping[str, Any], serving: Serving) -> tuple[Path, str]:
    """Folder and file of the scoring script: a person's own, or ours."""
    given = settings.get("scoring_script")
    if not given:
        return serving.folder, "score.py"
    script = Path(str(given))
    if not script.is_file():
        raise UserError(f"`scoring_script` {plain(script)} is not a file.")
    if any((script.parent / name).exists() for name in NOT_CODE):
        raise UserError(
            f"`scoring_script` {plain(script)}: its whole folder is uploaded, and settings are there too; give it"
            " a folder of its own."
        )
    return script.parent, script.name


def model_name(name: str) -> str:
    """`cat.schema.churn` -> `cat-schema-churn`: letters, digits, '-' and '_'; a digest where two could meet."""
    kept = "".join(each if each.isascii() and (each.isalnum() or each in "-_") else "-" for each in name).lstrip("-_")
    if kept == name and len(name) <= LONGEST:
        return name
    # Names of one catalogue differ in more than dots only by intent; a long or bent one is told apart by its digest.
    plain_dots = name.replace(".", "-")
    if kept == plain_dots and len(kept) <= LONGEST:
        return kept
    tail = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{kept[: LONGEST - 9]}-{tail}".lstrip("-")


def provenance(release: Release) -> dict[str, str]:
    """Tags that say where a registered model came from."""
    version = release.version
    return {
        "watcher.source.name": marks.fitting(version.identity.name),
        "watcher.source.version": str(version.number),
        "watcher.source.run": marks.fitting(version.run_id or "none"),
        "watcher.source.digest": version.identity.digest,
    }


def conda_of(artifact_uri: str, tracking_uri: str | None, scratch: Path, more: Sequence[str]) -> str:
    """conda.yaml of a model, with more packages where it lacks them. Raises Terminal where it cannot be read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = _one_file(artifact_uri, "conda.yaml", tracking_uri, scratch)
    yaml = YAML(typ="safe", pure=True)
    try:
        found = yaml.load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise Terminal(f"the model's conda.yaml cannot be read: {type(error).__name__}") from None
    if not isinstance(found, dict) or not isinstance(found.get("dependencies"), list):
        raise Terminal("the model's conda.yaml names no dependencies: log the model again, or name an `environment`")
    dependencies = [each for each in found["dependencies"] if isinstance(each, str)]
    pip = [line for each in found["dependencies"] if isinstance(each, dict) for line in each.get("pip") or ()]
    there = {_BEFORE_BOUNDS.split(str(line).strip().lower())[0] for line in pip}
    pip += [each for each in more if _BEFORE_BOUNDS.split(each)[0] not in there]
    if not any(each.split("=")[0].strip() == "pip" for each in dependencies):
        dependencies.append("pip")
    body = {
        "name": "watcher",
        "channels": [str(each) for each in found.get("channels") or ["conda-forge"]],
        "dependencies": [*dependencies, {"pip": [str(line) for line in pip]}],
    }
    return json.dumps(body)


def fetch(artifact_uri: str, tracking_uri: str | None, scratch: Path, most: int | None) -> Path:
    """The model's folder, copied into `scratch`.

    Raises Terminal where it is larger than `most` bytes, Transient where the disk has no room for it now.
    """
    size = _size(artifact_uri, tracking_uri)
    free = shutil.disk_usage(scratch).free
    if most is not None and size > most:
        raise Terminal(
            f"the model's files are {size:,} bytes, and `max_artifacts` of the target allows {most:,}: raise it, or"
            " register the model in the workspace by other means"
        )
    if size * ROOM > free:
        raise Transient(
            f"the model's files are {size:,} bytes, and {tempfile.gettempdir()} has {free:,} free: make room there, or"
            " point TMPDIR at a larger disk",
            600.0,
        )
    with _from_store(f"fetch the model's files from {_where(artifact_uri)}"):
        found = _downloaded(artifact_uri, scratch, tracking_uri)
    if not (found / "MLmodel").is_file():
        raise Terminal(f"there is no MLmodel in {_where(artifact_uri)}: it is not a model of MLflow")
    return found


def _one_file(artifact_uri: str, name: str, tracking_uri: str | None, scratch: Path) -> Path:
    with _from_store(f"read {name} of the model in {_where(artifact_uri)}"):
        return _downloaded(f"{artifact_uri.rstrip('/')}/{name}", scratch, tracking_uri)


def _size(artifact_uri: str, tracking_uri: str | None) -> int:
    """Bytes of all files, as their store tells them."""
    with _from_store(f"list the model's files in {_where(artifact_uri)}"):
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        folders, total = [""], 0
        repository = get_artifact_repository(artifact_uri, tracking_uri=tracking_uri)
        while folders:
            for found in repository.list_artifacts(folders.pop() or None):
                if found.is_dir:
                    folders.append(found.path)
                else:
                    total += int(found.file_size or 0)
        return total


@contextmanager
def _from_store(doing: str) -> Iterator[None]:
    """What MLflow's artifact stores raise, as our own: each brings an SDK with errors of its own."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        yield
    except WatcherError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        sentence = f"could not {doing}: {shown(f'{type(error).__name__} ({error})')}"
        missing = isinstance(error, ImportError | FileNotFoundError | NotADirectoryError)
        if missing or getattr(error, "error_code", "") in _NEVER:
            raise Terminal(sentence) from None
        raise Transient(sentence) from None


def _downloaded(uri: str, scratch: Path, tracking_uri: str | None) -> Path:
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(artifact_uri=uri, dst_path=str(scratch), tracking_uri=tracking_uri))


def _where(uri: str) -> str:
    return plain(uri.partition("?")[0], 200)


def _most(target: Target) -> int | None:
    given = target.settings.get("max_artifacts")
    return given if isinstance(given, int) else None


def _tags(found: Mapping[str, Any]) -> Mapping[str, str]:
    return (found.get("properties") or {}).get("tags") or {}


def _milliseconds(text: object) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(str(text)).timestamp() * 1000
    except ValueError:
        return 0.0


def _code_name(target: Target, folder: Path) -> tuple[str, str]:
    """Name and version of the code asset: a pure function of the files."""
    digest = hashlib.sha256()
    for path in code_files(folder):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return f"watcher-{slug(target.model)}-scoring", digest.hexdigest()[:12]
