"""Where a version's artifacts lie: a URI that another process can read without the registry's database."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.registry import tracking
from watcher.registry.client import Client
from watcher.registry.errors import Absent
from watcher.values import Identity, Status

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

_LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-zA-Z]{1,64})/?")
_RUN = re.compile(r"runs:/([0-9a-zA-Z]{1,64})/(.+)")
_KEPT = 4_096


def logged_model_id(source: str) -> str | None:
    """`m-…` of a source `models:/m-…`, None for every other source."""
    match = _LOGGED_MODEL.fullmatch(source)
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the artifacts lie, and how far their upload is, as far as the logged model tells."""

    uri: str
    status: Status = Status.READY


class Places:
    """Resolves sources; what cannot change any more is remembered, so that a listing costs one call."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._settled: OrderedDict[Identity, Place] = OrderedDict()

    def of(self, identity: Identity) -> Place:
        if self._client.dialect.keeps_files:
            # Whatever it was registered from; how far its upload is, the version itself says.
            return Place(f"models:/{identity.name}/{identity.version}")
        if identity in self._settled:
            self._settled.move_to_end(identity)
            return self._settled[identity]
        place = self._resolve(identity)
        if place.status is not Status.PENDING:
            self._settled[identity] = place
            if len(self._settled) > _KEPT:
                self._settled.popitem(last=False)
        return place

    def _resolve(self, identity: Identity) -> Place:
        if self._client.dialect.locates_files:
            return Place(self._download_uri(identity))
        model_id = logged_model_id(identity.source)
        if model_id:
            model = tracking.logged_model(self._client, model_id)
            # Deleted since? The registry wrote down where it was.
            return _place(model) if model else Place(self._download_uri(identity))
        if identity.source.startswith("models:"):
            return Place(self._download_uri(identity))
        run = _RUN.fullmatch(identity.source)
        return Place(self._run_uri(run[1], run[2]) or identity.source) if run else Place(identity.source)

    def _download_uri(self, identity: Identity) -> str:
        doing = f"locate version {identity.version} of {identity.name!r}"
        number = str(identity.version)
        try:
            uri = self._client.ask(doing, lambda c: c.get_model_version_download_uri(identity.name, number))
        except Absent:
            return identity.source
        return str(uri or identity.source)

    def _run_uri(self, run_id: str, path: str) -> str | None:
        run = tracking.run(self._client, run_id)
        return f"{str(run.info.artifact_uri).rstrip('/')}/{path}" if run else None


def _place(model: LoggedModel) -> Place:
    status = {"PENDING": Status.PENDING, "FAILED": Status.FAILED}.get(str(model.status), Status.READY)
    return Place(str(model.artifact_location), status)
