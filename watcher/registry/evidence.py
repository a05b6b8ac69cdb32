"""Everything the rules look at of one version, read without running or unpickling anything of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from watcher.registry import model_file
from watcher.registry.artifacts import MODEL_FILE, Folder, TooLarge, Unreadable, folder
from watcher.registry.client import Client
from watcher.registry.errors import Absent
from watcher.registry.metrics import Metrics
from watcher.registry.sources import logged_model_id
from watcher.values import Artifacts, EvidenceOf, Example, Version

if TYPE_CHECKING:
    from mlflow.entities import Metric

EXAMPLES = ("serving_input_example.json", "input_example.json")


class VersionEvidence:
    """Reads evidence from the tracking server and from the small files beside the model."""

    def __init__(self, client: Client, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics

    def of(self, version: Version) -> EvidenceOf:
        model_id, inline = self._measured(version)
        try:
            place = folder(version.artifact_uri, self._client)
            seen = place.look()
            files = _files(version, place) if seen is Artifacts.PRESENT else EvidenceOf(version.identity, seen)
        except (TooLarge, Unreadable, model_file.Malformed) as error:
            files = EvidenceOf(version.identity, problem=f"its artifacts cannot be judged: {error}")
        return replace(files, metrics=self._metrics.of(model_id, version.run_id, inline))

    def example(self, version: Version) -> Example | None:
        try:
            place = folder(version.artifact_uri, self._client)
            if place.look() is not Artifacts.PRESENT:
                return None
            return _example(place, model_file.model_file(place.read(MODEL_FILE) or b"").example_kind)
        except (TooLarge, Unreadable, model_file.Malformed):
            return None

    def _measured(self, version: Version) -> tuple[str | None, Sequence[Metric]]:
        """The version's logged model, and what the registry itself says was measured on it."""
        source = logged_model_id(version.identity.source)
        if not self._client.dialect.inline_measures:
            return source, ()
        name, number = version.identity.name, str(version.number)
        doing = f"read what was measured on version {number} of {name!r}"
        try:
            found = self._client.ask(doing, lambda c: c.get_model_version(name, number))
        except Absent:
            return source, ()
        return str(found.model_id) if found.model_id else source, found.metrics or ()


def _files(version: Version, place: Folder) -> EvidenceOf:
    main = model_file.model_file(place.read(MODEL_FILE) or b"")
    listed = place.read("requirements.txt")
    environment = place.read("python_env.yaml")
    return EvidenceOf(
        version.identity,
        artifacts=Artifacts.PRESENT,
        signature=main.signature,
        requirements=model_file.requirements(listed) if listed is not None else (),
        python=(model_file.python_version(environment) if environment is not None else None) or main.python,
        mlflow=main.mlflow,
        flavors=main.flavors,
        example=_example(place, main.example_kind),
    )


def _example(place: Folder, kind: str | None) -> Example | None:
    for name in EXAMPLES:
        try:
            content = place.read(name)
        except TooLarge:
            continue
        found = model_file.example(content, kind) if content is not None else None
        if found:
            return found
    return None
