"""Model versions: one by direct get, many by a listing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from watcher.registry import tags
from watcher.registry.client import Client
from watcher.registry.errors import Absent
from watcher.registry.names import checked, is_named, number, possible, same
from watcher.registry.sources import Places
from watcher.values import Gone, Identity, Status, Version

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.store.entities import PagedList

MOST_AGAIN = 200
"""Versions to be judged again that are listed, whatever `most` says of new ones."""
_STATUS = {"READY": Status.READY, "PENDING_REGISTRATION": Status.PENDING, "FAILED_REGISTRATION": Status.FAILED}


class Versions:
    """Versions of registered models, with where their artifacts lie."""

    def __init__(self, client: Client, places: Places) -> None:
        self._client = client
        self._places = places

    def version(self, name: str, version: int) -> Version | Gone:
        checked(name)
        if not possible(version):
            return Gone(version)
        doing = f"read version {version} of {name!r}"
        try:
            found = self._client.ask(doing, lambda c: c.get_model_version(name, str(version)))
        except Absent:
            return Gone(version)
        same((name, version), (found.name, number(found.version)))
        return self._version(found)

    def versions(self, name: str, above: int, most: int = 200) -> Sequence[Version]:
        checked(name)
        newest = self._search(name, f"version_number > {int(above)}", most)
        again = self._search(name, f"tags.`{tags.REJUDGE}` LIKE '%'", MOST_AGAIN)
        found = {number(v.version): v for v in (*again, *newest)}
        return [self._version(found[n]) for n in sorted(found, reverse=True)]

    def _search(self, name: str, clause: str, most: int) -> Sequence[ModelVersion]:
        found: list[ModelVersion] = []
        token: str | None = None
        while len(found) < most:
            page = self._page(name, clause, most, token)
            found += [v for v in page if v.name == name]
            token = page.token or None
            if token is None or not page:
                break
        return found[:most]

    def _page(self, name: str, clause: str, most: int, token: str | None) -> PagedList[ModelVersion]:
        return self._client.ask(
            f"list versions of {name!r}",
            lambda c: c.search_model_versions(
                f"{is_named(name)} AND {clause}",
                max_results=most,
                order_by=["version_number DESC"],
                page_token=token,
            ),
        )

    def _version(self, found: ModelVersion) -> Version:
        texts = {str(k): str(v)[: tags.LONGEST_READ] for k, v in (found.tags or {}).items()}
        identity = Identity(
            name=str(found.name),
            version=number(found.version),
            created_ms=int(found.creation_timestamp or 0),
            source=str(found.source or ""),
        )
        status = _STATUS.get(str(found.status), Status.PENDING)
        place = self._places.of(identity)
        if status is Status.READY:
            # MLflow's own store calls a version ready when its row is written, before anything is uploaded.
            status = place.status
        return Version(
            identity=identity,
            status=status,
            artifact_uri=place.uri,
            run_id=str(found.run_id) if found.run_id else None,
            tags=texts,
            call=tags.call_from(texts.get(tags.VERDICT)),
            rejudge=tags.REJUDGE in texts,
        )
