"""What a deployment is made of: the registered model, its environment and the scoring script."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployers.azureml import copying, marks
from deployers.azureml.artifacts import Source, one_file
from deployers.azureml.azure import Azure, Json, code_files
from watcher.errors import Terminal, UserError
from watcher.naming import slug
from watcher.text import plain
from watcher.values import Release, Target

IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
"""Where nothing else is said: Azure's own base with conda, into which the model's requirements are built."""
NO_CODE = "no-code"
LONGEST = 255
"""Characters of an asset's name."""
NOT_CODE = ("watch.yaml", "local.settings.json", ".env", ".git")
"""What says that a folder is more than a script's own."""
_BEFORE_BOUNDS = re.compile(r"[\[<>=!~; ]")


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


ONLINE = Serving(Path(__file__).parent / "serving", ("azureml-inference-server-http>=0.8.4,<2",))
BATCH = Serving(Path(__file__).parent / "serving_batch", ("azureml-core", "azureml-dataset-runtime[fuse]", "pandas"))


class Assets:
    """Finds or makes what a release needs. Whatever is repeated finds what it made before.

    `left` tells the seconds that may still be spent on a model's files.
    """

    def __init__(self, azure: Azure, tracking_uri: str | None, serving: Serving, left: Callable[[], float]) -> None:
        self._azure = azure
        self._tracking_uri = tracking_uri
        self._serving = serving
        self._left = left

    def of(self, release: Release) -> Parts:
        """Everything that the deployment names. Raises Terminal, Transient or Conflict."""
        settings = release.target.settings
        given = settings.get("environment")
        if given == NO_CODE:
            return Parts(self._model(release))
        # The model comes last: nothing that may be wrong is found only after gigabytes.
        environment = self._named(given) if isinstance(given, str) and given != "auto" else self._environment(release)
        folder, script = scoring_script(settings, self._serving)
        code = self._azure.upload_code(*_code_name(release.target, folder), folder)
        return Parts(self._model(release), environment, code, script)

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
        source = Source(release.version.artifact_uri, self._tracking_uri)
        # By the identity and not by the free number: a slice finds what the ones before it brought.
        folder = f"watcher/{name}/{key}"
        copying.copy(source, self._azure.store, folder, self._left, _most(release.target))
        tags = marks.of_release(release.target, release.version) | provenance(release)
        body: Json = {"tags": tags, "description": f"{release.target.model} version {number}"}
        self._azure.register_model(name, free, folder, body)
        return free

    def _is_the_same(self, name: str, number: str, release: Release) -> bool:
        """Whether the workspace is the registry that the version comes from: registered there at the same moment."""
        if not release.version.artifact_uri.startswith("azureml:") or name != release.target.model:
            return False
        found = self._azure.asset("models", name, number)
        created = (found or {}).get("systemData", {}).get("createdAt")
        return created is not None and abs(_milliseconds(created) - release.version.identity.created_ms) < 60_000  # noqa: PLR2004 - one minute

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
        "watcher.source.registry": marks.fitting(version.registry or "unknown"),
        "watcher.source.name": marks.fitting(version.identity.name),
        "watcher.source.version": str(version.number),
        "watcher.source.run": marks.fitting(version.run_id or "none"),
        "watcher.source.digest": version.identity.digest,
    }


def conda_of(artifact_uri: str, tracking_uri: str | None, scratch: Path, more: Sequence[str]) -> str:
    """conda.yaml of a model, with more packages where it lacks them. Raises Terminal where it cannot be read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = one_file(Source(artifact_uri, tracking_uri), "conda.yaml", scratch)
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
    if not any(_BEFORE_BOUNDS.split(each.strip())[0] == "pip" for each in dependencies):
        dependencies.append("pip")
    body = {
        "name": "watcher",
        "channels": [str(each) for each in found.get("channels") or ["conda-forge"]],
        "dependencies": [*dependencies, {"pip": [str(line) for line in pip]}],
    }
    return json.dumps(body)


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
